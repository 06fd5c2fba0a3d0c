// Threads inside dl_iterate_phdr at the fork, and exceptions, which need it.
#include <link.h>

#include <stdexcept>
#include <thread>

#include "tests/programs/primitive/primitive.h"

namespace primitive {
namespace {

int count_objects() {
  int count = 0;
  dl_iterate_phdr(
      [](dl_phdr_info*, size_t, void* sum) {
        ++*static_cast<int*>(sum);
        return 0;
      },
      &count);
  return count;
}

int throw_once(int i) {
  try {
    if (i > 0) throw std::runtime_error("thrown");
  } catch (const std::runtime_error& error) {
    return error.what()[0] == 't';
  }
  return 0;
}

int loader_child() {
  for (int i = 1; i < 4; i++) {
    if (named("dl_iterate_phdr")) STEP(1, count_objects() > 1);
    if (named("throw")) STEP(2, throw_once(i) == 1);
  }
  int from_thread = 0;
  std::thread([&] { from_thread = named("throw") ? throw_once(1) : count_objects(); }).join();
  STEP(3, from_thread > 0);
  return 0;
}

}  // namespace

int loader_case() {
  throw_once(1);  // what the unwinder loads at its first use is loaded
  start([] {
    dl_iterate_phdr(
        [](dl_phdr_info*, size_t, void*) {
          sleeps();
          return 0;
        },
        nullptr);
  });
  return in_child(loader_child);
}

// The forking thread is inside itself.
int loader_own_case() {
  throw_once(1);
  start(sleeps);
  static int code;
  dl_iterate_phdr(
      [](dl_phdr_info*, size_t, void*) {
        const pid_t child = fork();
        if (child == 0) {
          victim::begin_child();
          victim::step("acts");
          code = -1;
          return 1;
        }
        code = victim::reap(child);
        return 1;
      },
      nullptr);
  return code == -1 ? loader_child() : code;
}

}  // namespace primitive
