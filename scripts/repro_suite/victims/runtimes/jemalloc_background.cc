// jemalloc with its background threads (MALLOC_CONF=background_thread:true), which it restarts in
// the child: must stay so. Linked with jemalloc, since a preload of our own is what is tested.
//
//   allocate   the child allocates and frees in several threads
#include <pthread.h>

#include <vector>

#include "fork_loop.h"

extern "C" {
int mallctl(const char* name, void* old, size_t* size, void* value, size_t value_size);
const char* malloc_conf = "background_thread:true,dirty_decay_ms:10";
}

namespace {

void* churn(void*) {
  std::vector<void*> blocks;
  for (int i = 0; i < 2000; i++) blocks.push_back(malloc(64 + i % 4096));
  for (void* block : blocks) free(block);
  return nullptr;
}

int allocate() {
  pthread_t threads[3];
  for (pthread_t& thread : threads) {
    if (pthread_create(&thread, nullptr, churn, nullptr) != 0) return victim::kFirst;
  }
  for (pthread_t thread : threads) pthread_join(thread, nullptr);
  return victim::kOk;
}

}  // namespace

int main(int count, char** arguments) {
  const victim::Options options = victim::parse(count, arguments);
  if (options.operation != "allocate") victim::usage("allocate");
  bool enabled = false;
  size_t size = sizeof enabled;
  if (mallctl("background_thread", &enabled, &size, nullptr, 0) != 0 || !enabled) {
    std::fputs("this jemalloc has no background threads\n", stderr);
    return 2;
  }
  allocate();
  return victim::fork_loop(
      options, [] {}, allocate, allocate, victim::as_it_is);
}
