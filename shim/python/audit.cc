#include "shim/python/audit.h"

extern "C" int PySys_AddAuditHook(forkmend::python::audit::Hook hook, void* user)
    __attribute__((weak, visibility("default")));

namespace forkmend::python::audit {
namespace {

// CPython keeps a hook in memory of PyMem_RawMalloc and gives it back with PyMem_RawFree when it
// finalises. Ours is made before the interpreter has read its options. With PYTHONMALLOC=debug or
// -X dev the allocator is another one by the time it is given back, which finds no header of its
// own before the block and aborts ("bad ID: Allocated using API '!'"; 3.8 to 3.13, measured). So we
// note which block it is, and send it back where it came from.
Allocator first;      // before the interpreter started
Allocator debugging;  // in use now, where that is another one
void* entry;          // the hook's memory

void* note_entry(void* context, std::size_t size) { return entry = first.malloc(context, size); }

void* forward_malloc(void* context, std::size_t size) { return debugging.malloc(context, size); }
void* forward_calloc(void* context, std::size_t count, std::size_t size) {
  return debugging.calloc(context, count, size);
}
void* forward_realloc(void* context, void* memory, std::size_t size) {
  return debugging.realloc(context, memory, size);
}
void free_or_return(void* context, void* memory) {
  if (memory == entry && memory != nullptr) {
    entry = nullptr;  // the address may be handed out again
    first.free(first.context, memory);
  } else {
    debugging.free(context, memory);
  }
}

}  // namespace

bool available() { return &PySys_AddAuditHook != nullptr; }

bool add(Hook hook) {
  api.PyMem_GetAllocator(kRawDomain, &first);
  Allocator noting = first;
  noting.malloc = note_entry;
  api.PyMem_SetAllocator(kRawDomain, &noting);
  const bool added = PySys_AddAuditHook(hook, nullptr) == 0;
  Allocator restored = first;
  api.PyMem_SetAllocator(kRawDomain, &restored);
  return added;
}

bool allocator_changed() {
  Allocator now{};
  api.PyMem_GetAllocator(kRawDomain, &now);
  return now.free != first.free;
}

// Not earlier: tracemalloc, which wraps whatever it finds, has put back by now what it found.
void keep_entry() {
  if (!allocator_changed()) return;
  api.PyMem_GetAllocator(kRawDomain, &debugging);
  // The context stays theirs: another thread may read it together with a function of either table.
  Allocator forwarding = {debugging.context, forward_malloc, forward_calloc, forward_realloc,
                          free_or_return};
  api.PyMem_SetAllocator(kRawDomain, &forwarding);
}

}  // namespace forkmend::python::audit
