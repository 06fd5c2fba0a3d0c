// A child creates and joins threads; its parent had few threads, or very many. What a create and a
// join look at must not grow with the threads that are lost.
//
//   lost_many THREADS PAIRS
//
// The parent's threads stand on stacks of the program's own: of its own ones libc keeps lists, and
// goes through them. Prints ns a pair, and how many KiB of memory the child looked at in PAIRS
// pairs (by the page tables' accessed bits). Then it signals and joins one lost thread in ten.
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include <atomic>
#include <vector>

#include "tests/programs/victim.h"

namespace {

constexpr size_t kStack = 32 * 1024;

pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t never = PTHREAD_COND_INITIALIZER;
std::atomic<int> arrived{0};

void* wait_for_ever(void*) {
  pthread_mutex_lock(&mutex);
  arrived++;
  for (;;) pthread_cond_wait(&never, &mutex);
}

void* give_back(void* argument) { return argument; }

int create_and_join(int pairs) {
  for (long i = 1; i <= pairs; i++) {
    pthread_t thread;
    void* result = nullptr;
    if (pthread_create(&thread, nullptr, give_back, reinterpret_cast<void*>(i)) != 0) return 1;
    if (pthread_join(thread, &result) != 0 || result != reinterpret_cast<void*>(i)) return 2;
  }
  return 0;
}

void forget_accesses() {
  const int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, "1", 1) != 1) victim::set_up_failed("/proc/self/clear_refs");
  close(fd);
}

long accessed_kib() {
  FILE* file = fopen("/proc/self/smaps_rollup", "re");
  if (file == nullptr) victim::set_up_failed("/proc/self/smaps_rollup");
  char line[256];
  long kib = -1;
  while (kib < 0 && fgets(line, sizeof line, file) != nullptr)
    sscanf(line, "Referenced: %ld", &kib);
  fclose(file);
  return kib;
}

int child(const std::vector<pthread_t>& lost, int pairs) {
  if (const int code = create_and_join(100)) return code;  // what is made at the first time
  const long start = victim::now_ns();
  if (const int code = create_and_join(pairs)) return code;
  victim::step("pair-ns", (victim::now_ns() - start) / pairs);
  forget_accesses();
  if (const int code = create_and_join(pairs)) return code;
  victim::step("accessed-kib", accessed_kib());
  for (size_t i = 0; i < lost.size(); i += 10) {
    if (pthread_kill(lost[i], 0) != ESRCH) return 3;
    void* result = &mutex;
    if (pthread_join(lost[i], &result) != 0 || result != nullptr) return 4;
    if (pthread_join(lost[i], nullptr) != ESRCH) return 5;
  }
  return 0;
}

}  // namespace

int main(int, char** arguments) {
  const int threads = atoi(arguments[1]), pairs = atoi(arguments[2]);
  auto* memory = static_cast<char*>(mmap(nullptr, static_cast<size_t>(threads) * kStack,
                                         PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  if (memory == MAP_FAILED) victim::set_up_failed("mmap");
  std::vector<pthread_t> all(static_cast<size_t>(threads));
  for (size_t i = 0; i < all.size(); i++) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, memory + i * kStack, kStack);
    const int error = pthread_create(&all[i], &attributes, wait_for_ever, nullptr);
    pthread_attr_destroy(&attributes);
    if (error != 0) {
      errno = error;
      victim::set_up_failed("pthread_create");
    }
  }
  while (arrived < threads) sched_yield();
  _exit(victim::reap(victim::spawn([&] { return child(all, pairs); })));
}
