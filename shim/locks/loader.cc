#include "shim/locks/loader.h"

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>

#include "shim/base/real.h"
#include "shim/base/syscall.h"
#include "shim/locks/layout.h"
#include "shim/reporting/event.h"
#include "shim/threads/thread.h"

namespace forkmend::loader {
namespace {

FORKMEND_SAME_PAGE pthread_mutex_t* write_lock;

constexpr int kMostHeld = 4;  // locks of the loader that one thread holds at once: two are known

struct Search {
  const char* begin;
  std::size_t size;
  int tid;
  pthread_mutex_t* held[kMostHeld];
  int count;
};

// Every recursive mutex in the loader's data that this thread holds.
void find_held(Search& search) {
  search.count = 0;
  for (std::size_t at = 0; at + sizeof(pthread_mutex_t) <= search.size; at += 8) {
    auto* m = reinterpret_cast<pthread_mutex_t*>(const_cast<char*>(search.begin + at));
    if (layout::mutex_owner(m) != search.tid || !layout::looks_locked(m) ||
        m->__data.__kind != PTHREAD_MUTEX_RECURSIVE || m->__data.__count == 0)
      continue;
    if (search.count < kMostHeld) search.held[search.count] = m;
    search.count++;
  }
}

int find_inside(dl_phdr_info*, std::size_t, void* search) {
  find_held(*static_cast<Search*>(search));
  return 1;
}

pthread_mutex_t* find() {
  // struct rtld_global: GLIBC_PRIVATE, but a symbol of ld.so with a size.
  void* data = dlsym(RTLD_DEFAULT, "_rtld_global");
  Dl_info info;
  ElfW(Sym)* symbol = nullptr;
  if (data == nullptr ||
      dladdr1(data, &info, reinterpret_cast<void**>(&symbol), RTLD_DL_SYMENT) == 0 ||
      symbol == nullptr)
    return nullptr;
  Search before{static_cast<const char*>(data), symbol->st_size, sys::gettid(), {}, 0};
  Search inside = before;
  find_held(before);
  real().dl_iterate_phdr(find_inside, &inside);
  // The one that is held inside and was not before: a constructor that creates the first thread
  // runs under dlopen's own lock.
  if (before.count > kMostHeld || inside.count != before.count + 1 || inside.count > kMostHeld)
    return nullptr;
  for (int i = 0; i < inside.count; i++) {
    bool was_held = false;
    for (int j = 0; j < before.count; j++) was_held = was_held || before.held[j] == inside.held[i];
    if (!was_held) return inside.held[i];
  }
  return nullptr;
}

}  // namespace

void probe() {
  if (layout::mutex_known()) write_lock = find();
  if (write_lock == nullptr)
    report_off("the loader's lock", "it was not found in this libc's _rtld_global");
}

void after_fork_child(const ChildEntry&, int tid) {
  if (write_lock == nullptr) return;
  const int owner = layout::mutex_owner(write_lock);
  if (owner == 0) return;
  const Thread* self = threads::self();
  if (self != nullptr && self->tid.load(std::memory_order_relaxed) == owner) {
    layout::mutex_inherit(write_lock, owner, tid, true);
  } else if (self != nullptr) {
    layout::mutex_open(write_lock);
  }
}

}  // namespace forkmend::loader
