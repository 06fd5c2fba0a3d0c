// OpenBLAS with its own threads, which it rebuilds in the child: must stay as well as it is.
//
//   multiply   the child multiplies matrices large enough for all threads
#include <cblas.h>

#include <vector>

#include "fork_loop.h"

namespace {

constexpr int kSize = 256;

int multiply() {
  const std::vector<double> a(kSize * kSize, 1.0), b(kSize * kSize, 2.0);
  std::vector<double> c(kSize * kSize);
  for (int i = 0; i < 3; i++) {
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, kSize, kSize, kSize, 1.0, a.data(),
                kSize, b.data(), kSize, 0.0, c.data(), kSize);
    if (c[0] != 2.0 * kSize || c.back() != 2.0 * kSize) return victim::kFirst;
  }
  return victim::kOk;
}

}  // namespace

int main(int count, char** arguments) {
  const victim::Options options = victim::parse(count, arguments);
  if (options.operation != "multiply") victim::usage("multiply");
  openblas_set_num_threads(4);
  multiply();
  return victim::fork_loop(
      options, [] {}, multiply, multiply, victim::as_it_is);
}
