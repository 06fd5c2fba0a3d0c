// A pool of threads that nobody registered: the child uses the pool of its parent. With the policy
// `resume` for this program its threads go on in the child, each with its own stack, thread-local
// storage, keys and locks, and each is libc's own in every respect.
//
//   resume_pool MODE [threads=N] [forks=N] [load=N]
//
// MODE is what the child does: submit, destroy, detach, setuid, grandchild, never, ends (return,
// pthread_exit, throw, cancel), refused, eagain, partly, enomem, cost (of the revival, beside that
// of creating as many threads), leaks (of the parent after a warm-up of a fifth of the forks, and
// of a revival), moved (see below). load=N: so many jobs wait at each fork.
#include <dlfcn.h>
#include <grp.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <climits>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "tests/programs/footprint.h"
#include "tests/programs/victim.h"

using namespace victim;

namespace {

std::atomic<int> destroyed{0}, keys_destroyed{0};
pthread_key_t key;

// Constructed in each thread, destroyed when it ends.
struct Local {
  int id = -1;
  ~Local() {
    if (id >= 0) destroyed++;
  }
};
thread_local Local local;
thread_local long plain_local = 0;

// libc's own, around the shim.
template <class Function>
Function* of_libc(const char* name) {
  static void* libc = dlopen("libpthread.so.0", RTLD_NOW);
  void* symbol = libc != nullptr ? dlsym(libc, name) : nullptr;
  if (symbol == nullptr) set_up_failed(name);
  return reinterpret_cast<Function*>(symbol);
}

// Raised by many threads; the last one wakes who waits for them. Around the shim: a wait of this
// program's would bring the pool back.
class Count {
 public:
  void expect(int wanted) {
    count_.store(0);
    wanted_.store(wanted);
  }
  void raise() {
    if (count_.fetch_add(1) + 1 == wanted_.load()) futex(FUTEX_WAKE_PRIVATE, INT_MAX);
  }
  void wait() {
    for (int seen; (seen = count_.load()) < wanted_.load();) futex(FUTEX_WAIT_PRIVATE, seen);
  }

 private:
  void futex(int operation, int value) {
    static auto* call = of_libc<decltype(syscall)>("syscall");
    call(SYS_futex, &count_, operation, value, nullptr);
  }

  std::atomic<int> count_{0}, wanted_{INT_MAX};
};
Count woken;  // came out of a wait of the pool's

enum class End { by_return, by_exit, by_throw, by_cancel };

class Pool {
 public:
  explicit Pool(int threads, bool detached = false) : threads_(static_cast<size_t>(threads)) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    if (detached) pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    for (int i = 0; i < threads; i++) {
      starting_ = i;
      if (pthread_create(&threads_[static_cast<size_t>(i)], &attributes, start, this) != 0)
        set_up_failed("pthread_create");
      pthread_mutex_lock(&mutex_);
      while (running_ <= i) pthread_cond_wait(&done_, &mutex_);
      pthread_mutex_unlock(&mutex_);
    }
    pthread_attr_destroy(&attributes);
  }

  void submit(long work_us) {
    pthread_mutex_lock(&mutex_);
    jobs_.push_back(work_us);
    submitted_++;
    pthread_cond_signal(&more_);
    pthread_mutex_unlock(&mutex_);
  }

  void finish() {
    pthread_mutex_lock(&mutex_);
    while (finished_ < submitted_) pthread_cond_wait(&done_, &mutex_);
    pthread_mutex_unlock(&mutex_);
  }

  // What the parent had queued belongs to the parent.
  void forget_jobs() {
    pthread_mutex_lock(&mutex_);
    jobs_.clear();
    finished_ = submitted_;
    pthread_mutex_unlock(&mutex_);
  }

  // 0, or the step that failed.
  int stop(End end, bool join) {
    pthread_mutex_lock(&mutex_);
    stopping_ = true;
    end_ = end;
    pthread_cond_broadcast(&more_);
    pthread_mutex_unlock(&mutex_);
    // Cancelled where it sleeps: in pthread_cond_wait it would keep the mutex.
    while (end == End::by_cancel && asleep_.load() < size()) sched_yield();
    for (size_t i = 0; i < threads_.size() && join; i++) {
      if (end == End::by_cancel && pthread_cancel(threads_[i]) != 0) return 31;
      void* result;
      if (pthread_join(threads_[i], &result) != 0) return 32;
      const auto expected =
          end == End::by_cancel ? PTHREAD_CANCELED : reinterpret_cast<void*>(100 + i);
      if (result != expected) return 33;
    }
    return 0;
  }

  int size() const { return static_cast<int>(threads_.size()); }
  int broken() const { return broken_.load(); }
  int working() const { return working_.load(); }
  pthread_t thread(int i) const { return threads_[static_cast<size_t>(i)]; }

 private:
  static void* start(void* self) { return static_cast<Pool*>(self)->work(); }

  void check(int id, pthread_t self) {
    const auto* value = static_cast<int*>(pthread_getspecific(key));
    pthread_attr_t attributes;
    if (local.id != id || plain_local != id + 7 || value == nullptr || *value != id ||
        pthread_self() != self || pthread_getattr_np(self, &attributes) != 0) {
      broken_++;
      return;
    }
    void* base;
    size_t size;
    pthread_attr_getstack(&attributes, &base, &size);
    const char* here = static_cast<char*>(__builtin_frame_address(0));
    if (here < base || here >= static_cast<char*>(base) + size) broken_++;
    if (pthread_attr_getguardsize(&attributes, &size) != 0 || size == 0) broken_++;
    pthread_attr_destroy(&attributes);
    // Restartable sequences: libc's idea of the CPU is the kernel's.
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<size_t>(id) % 2, &one);
    if (sched_setaffinity(0, sizeof one, &one) == 0 && sched_getcpu() != id % 2) broken_++;
  }

  void* work() {
    const int id = starting_;
    const pthread_t self = pthread_self();
    local.id = id;
    plain_local = id + 7;
    pthread_setspecific(key, new int(id));
    std::vector<char*> memory;
    pthread_mutex_lock(&mutex_);
    running_++;
    pthread_cond_broadcast(&done_);
    try {
      for (;;) {
        while (jobs_.empty() && !stopping_) {
          pthread_cond_wait(&more_, &mutex_);
          woken.raise();
        }
        if (stopping_) break;
        const long work_us = jobs_.back();
        jobs_.pop_back();
        pthread_mutex_unlock(&mutex_);
        working_++;
        check(id, self);
        memory.push_back(new char[64]);
        if (memory.size() > 50) {
          for (char* one : memory) delete[] one;
          memory.clear();
        }
        const long until = now_ns() + work_us * 1000;
        while (now_ns() < until) {
          char* volatile one = new char[100];
          delete[] one;
        }
        working_--;
        pthread_mutex_lock(&mutex_);
        finished_++;
        pthread_cond_broadcast(&done_);
      }
      pthread_mutex_unlock(&mutex_);
      for (char* one : memory) delete[] one;
      switch (end_) {
        case End::by_return:
          break;
        case End::by_exit:
          pthread_exit(reinterpret_cast<void*>(100L + id));
        case End::by_throw:
          throw std::runtime_error("unwinds the frames from before the fork");
        case End::by_cancel:
          asleep_++;
          sleep_for_ever();
      }
    } catch (const std::runtime_error&) {
    }
    return reinterpret_cast<void*>(100L + id);
  }

  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t more_ = PTHREAD_COND_INITIALIZER, done_ = PTHREAD_COND_INITIALIZER;
  std::vector<long> jobs_;
  std::vector<pthread_t> threads_;
  int starting_ = 0, running_ = 0;
  long submitted_ = 0, finished_ = 0;
  bool stopping_ = false;
  End end_ = End::by_return;
  std::atomic<int> broken_{0}, asleep_{0}, working_{0};
};

int use(Pool& pool) {
  for (int i = 0; i < 3 * pool.size(); i++) pool.submit(20);
  pool.finish();
  if (pool.broken() != 0) return 12;
  return count_tasks() == pool.size() + 1 ? 0 : 13;
}

int stop(Pool& pool, End end) {
  const int error = pool.stop(end, true);
  if (error != 0) return error;
  return destroyed.load() == pool.size() && keys_destroyed.load() == pool.size() ? 0 : 34;
}

// Every thread of this process has this user id, by the kernel.
bool all_have_uid(uid_t uid) {
  for (int place = 0; place < 100000; place++) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task/%d/status", getpid(), getpid() + place);
    FILE* file = fopen(path, "re");
    if (file == nullptr) {
      if (place > 5000) break;
      continue;
    }
    char line[256];
    unsigned real = 0;
    while (fgets(line, sizeof line, file) != nullptr) {
      if (sscanf(line, "Uid: %u", &real) == 1) break;
    }
    fclose(file);
    if (real != uid) return false;
  }
  return true;
}

// --- what a revival costs
// ------------------------------------------------------------------------

struct Costs {
  long created, revived, back;  // ns
};

Count running, released;

void* run_once(void*) {
  running.raise();
  released.wait();
  return nullptr;
}

// As many threads, with stacks as large, until all of them run.
long cost_of_creating(int threads) {
  static auto* create = of_libc<decltype(pthread_create)>("pthread_create");
  static auto* join = of_libc<decltype(pthread_join)>("pthread_join");
  std::vector<pthread_t> handles(static_cast<size_t>(threads));
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  size_t size;
  pthread_attr_getstacksize(&attributes, &size);
  constexpr size_t kPad = size_t{32} << 10;  // of a thread that can be resumed
  pthread_attr_setstacksize(&attributes, size + kPad);
  running.expect(threads);
  released.expect(1);
  const long start = now_ns();
  for (pthread_t& handle : handles) {
    if (create(&handle, &attributes, run_once, nullptr) != 0) set_up_failed("pthread_create");
  }
  running.wait();
  const long took = now_ns() - start;
  released.raise();
  for (const pthread_t handle : handles) join(handle, nullptr);
  return took;
}

int measure(Pool& pool, bool create_first, Costs& costs) {
  if (create_first) costs.created = cost_of_creating(pool.size());
  woken.expect(pool.size());
  const long start = now_ns();
  pool.submit(0);
  costs.revived = now_ns() - start;
  woken.wait();
  costs.back = now_ns() - start;
  pool.finish();
  if (count_tasks() != pool.size() + 1) return 13;
  if (!create_first) costs.created = cost_of_creating(pool.size());
  return use(pool);
}

Costs* shared_costs(long forks) {
  void* memory = mmap(nullptr, sizeof(Costs) * static_cast<size_t>(forks), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) set_up_failed("mmap");
  return static_cast<Costs*>(memory);
}

long median(std::vector<long> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void report_costs(const Costs* costs, long forks) {
  std::vector<long> created, revived, back, ratio, ratio_back;
  for (long i = 0; i < forks; i++) {
    const Costs& one = costs[i];
    if (one.created == 0 || one.back == 0) continue;  // the child did not come so far
    created.push_back(one.created);
    revived.push_back(one.revived);
    back.push_back(one.back);
    ratio.push_back(one.revived * 1000 / one.created);
    ratio_back.push_back(one.back * 1000 / one.created);
  }
  if (created.empty()) return;
  step("created", median(created));
  step("revived", median(revived));
  step("back", median(back));
  step("revived-to-created", median(ratio));
  step("back-to-created", median(ratio_back));
}

// --- what is left behind
// -------------------------------------------------------------------------

// A revival's: no descriptor, no mapping but the one that the shim makes at first use.
int leaks(Pool& pool) {
  constexpr long kAtFirstUse = 1;
  measure_footprint();
  const Footprint before = measure_footprint();
  if (const int error = use(pool)) return error;
  const Footprint after = measure_footprint();
  if (after.descriptors != before.descriptors) return 50;
  if (after.mappings > before.mappings + kAtFirstUse) return 51;
  return stop(pool, End::by_return);
}

// The parent's, between forks.
int report_leaks(const Footprint& before) {
  constexpr long kSlackKib = 1024;  // of 100 threads that allocate all the time
  const Footprint after = measure_footprint();
  step("descriptors", after.descriptors - before.descriptors);
  step("mappings", after.mappings - before.mappings);
  step("size-kib", after.size_kib - before.size_kib);
  step("resident-kib", after.resident_kib - before.resident_kib);
  if (after.descriptors != before.descriptors) return 52;
  if (after.mappings != before.mappings) return 53;
  if (after.size_kib > before.size_kib + kSlackKib) return 54;
  return after.resident_kib > before.resident_kib + kSlackKib ? 55 : 0;
}

// --- where threads cannot be made
// ----------------------------------------------------------------

// A user of whom there are no other processes: RLIMIT_NPROC then counts this one's threads.
void become_somebody() {
  constexpr uid_t kNobodyElse = 61'357;
  if (setresgid(kNobodyElse, kNobodyElse, kNobodyElse) != 0 ||
      setresuid(kNobodyElse, kNobodyElse, kNobodyElse) != 0)
    set_up_failed("setresuid");
}

// Under the limit the pool stays lost and nothing crashes; without it, it comes back.
int limited(Pool& pool, int resource, rlim_t least) {
  rlimit limit;
  getrlimit(static_cast<__rlimit_resource_t>(resource), &limit);
  const rlimit none{least, limit.rlim_max};
  setrlimit(static_cast<__rlimit_resource_t>(resource), &none);
  for (int i = 0; i < 3; i++) pool.submit(20);
  if (count_tasks() != 1) return 15;
  setrlimit(static_cast<__rlimit_resource_t>(resource), &limit);
  if (const int error = use(pool)) return error;
  return stop(pool, End::by_return);
}

int child(Pool& pool, const char* mode) {
  alarm(60);
  if (is(mode, "never")) return count_tasks() == 1 ? 0 : 10;
  if (!is(mode, "destroy")) pool.forget_jobs();
  step("uses");
  if (is(mode, "submit")) return use(pool);
  if (is(mode, "leaks")) return leaks(pool);
  if (is(mode, "destroy")) return stop(pool, End::by_return);
  if (is(mode, "detach")) {
    if (const int error = use(pool)) return error;
    pool.stop(End::by_return, false);
    while (count_tasks() > 1) sched_yield();
    return destroyed.load() == pool.size() ? 0 : 34;
  }
  if (is(mode, "setuid")) {
    if (const int error = use(pool)) return error;
    constexpr uid_t kNobody = 65534;
    if (setuid(kNobody) != 0) return 20;
    if (!all_have_uid(kNobody)) return 21;
    if (const int error = use(pool)) return error;
    return stop(pool, End::by_return);
  }
  if (is(mode, "grandchild")) {
    const bool before = true;
    for (int round = 0; round < 2; round++) {
      if (before && round == 1) {
        if (const int error = use(pool)) return error;
      }
      const pid_t pid = fork();
      if (pid == 0) {
        if (const int error = use(pool)) _exit(error);
        _exit(stop(pool, End::by_return));
      }
      if (const int code = reap(pid)) return 40 + code;
    }
    return stop(pool, End::by_return);
  }
  if (is(mode, "exits")) return use(pool) + stop(pool, End::by_exit);
  if (is(mode, "throws")) return use(pool) + stop(pool, End::by_throw);
  if (is(mode, "cancels")) return use(pool) + stop(pool, End::by_cancel);
  if (is(mode, "eagain")) {
    become_nobody();
    return limited(pool, RLIMIT_NPROC, 1);
  }
  if (is(mode, "refused")) {
    for (int i = 0; i < 3; i++) pool.submit(20);
    return count_tasks() == 1 ? 0 : 16;
  }
  if (is(mode, "partly")) {
    // All but one: this process and as many threads as there are, less one.
    become_somebody();
    return limited(pool, RLIMIT_NPROC, static_cast<rlim_t>(pool.size()));
  }
  if (is(mode, "enomem")) {
    // What stdio and the shim map at first use is there: the revival itself is what fails.
    count_tasks();
    pthread_cond_t unrelated = PTHREAD_COND_INITIALIZER;
    pthread_cond_signal(&unrelated);
    return limited(pool, RLIMIT_AS, 4096);
  }
  return 97;
}

// --- a thread that has most likely not begun at the fork, and whose handle lies elsewhere by then
// -------------------------------------------------------------------------------------------------

int joins_moved(long forks) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(0, &one);
  sched_setaffinity(0, sizeof one, &one);
  for (long i = 0; i < forks; i++) {
    static std::atomic<bool> told;
    told.store(false);
    auto* place = new pthread_t;
    const auto wait = [](void*) -> void* {
      while (!told.load()) sched_yield();
      return nullptr;
    };
    if (pthread_create(place, nullptr, wait, nullptr) != 0) set_up_failed("pthread_create");
    const pthread_t thread = *place;
    *place = 0;
    const int code = reap(spawn([&] {
      told.store(true);  // where it had begun, it is resumed
      return pthread_join(thread, nullptr) == 0 ? 0 : 32;
    }));
    told.store(true);
    pthread_join(thread, nullptr);
    delete place;
    if (code != 0) return code;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const char* mode = argc > 1 ? argv[1] : "submit";
  long threads = 4, forks = 1, load = 0, work_us = 50;
  for (int i = 2; i < argc; i++) {
    sscanf(argv[i], "threads=%ld", &threads);
    sscanf(argv[i], "forks=%ld", &forks);
    sscanf(argv[i], "load=%ld", &load);
    sscanf(argv[i], "work_us=%ld", &work_us);
  }
  if (is(mode, "moved")) return joins_moved(forks);
  pthread_key_create(&key, [](void* value) {
    keys_destroyed++;
    delete static_cast<int*>(value);
  });
  Pool pool(static_cast<int>(threads), is(mode, "detach"));
  pool.submit(20);
  pool.finish();
  const bool costs_asked = is(mode, "cost");
  Costs* costs = costs_asked ? shared_costs(forks) : nullptr;
  if (costs_asked) cost_of_creating(1);  // finds libc's
  Footprint warm;
  int bad = 0, code = 0;
  const long start = now_ns();
  for (long i = 0; i < forks; i++) {
    if (is(mode, "leaks") && i == forks / 5) {
      pool.finish();
      measure_footprint();
      warm = measure_footprint();
    }
    for (long j = 0; j < load; j++) pool.submit(work_us);
    while (is(mode, "refused") && load > 0 && pool.working() == 0) sched_yield();
    const pid_t pid = spawn([&] {
      if (costs_asked) return measure(pool, i % 2 == 0, costs[i]);
      return child(pool, mode);
    });
    const int result = reap(pid);
    if (result != 0) {
      bad++;
      if (code == 0) code = result;
    }
  }
  pool.finish();
  step("forked", (now_ns() - start) / forks / 1000);
  if (costs_asked) report_costs(costs, forks);
  if (is(mode, "leaks") && code == 0) code = report_leaks(warm);
  if (bad != 0) fprintf(stderr, "%d of %ld children bad, the first with %d\n", bad, forks, code);
  return code;
}
