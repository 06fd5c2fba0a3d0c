#include "shim/threads/destructors.h"

#include <sys/mman.h>

#include "shim/base/real.h"
#include "shim/base/syscall.h"
#include "shim/threads/stacks.h"
#include "shim/threads/thread.h"

namespace forkmend {

namespace {

struct Entry {
  void (*function)(void*);
  void* object;
  void* dso;
};
constexpr std::size_t kPage = 4096;
constexpr int kEntries = (kPage - 16) / sizeof(Entry);

}  // namespace

struct Destructors {
  Destructors* next;  // the page before: the newest comes first
  int count;
  Entry entry[kEntries];
};
static_assert(sizeof(Destructors) <= kPage);

namespace threads::destructors {
namespace {

Destructors* fresh_page(Destructors* next) {
  const long memory =
      sys::call(SYS_mmap, 0, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory < 0 && memory > -4096) return nullptr;
  auto* page = reinterpret_cast<Destructors*>(memory);
  page->next = next;
  return page;
}

}  // namespace

int add(void (*function)(void*), void* object, void* dso) {
  Thread* t = threads::self();
  Stack* s = t != nullptr ? t->stack.load(std::memory_order_relaxed) : nullptr;
  if (s != nullptr) {
    Destructors* page = s->destructors;
    if (page == nullptr || page->count == kEntries) page = fresh_page(page);
    // Without a page the thread could not be resumed whole.
    if (page == nullptr) {
      s->frame = nullptr;
    } else {
      page->entry[page->count++] = {function, object, dso};
      s->destructors = page;
    }
  }
  return real().__cxa_thread_atexit_impl(function, object, dso);
}

void register_again(const Destructors* list) {
  if (list == nullptr) return;
  register_again(list->next);
  for (int i = 0; i < list->count; i++)
    real().__cxa_thread_atexit_impl(list->entry[i].function, list->entry[i].object,
                                    list->entry[i].dso);
}

void release(Destructors* list) {
  while (list != nullptr) {
    Destructors* next = list->next;
    sys::call(SYS_munmap, sys::arg(list), kPage);
    list = next;
  }
}

}  // namespace threads::destructors
}  // namespace forkmend
