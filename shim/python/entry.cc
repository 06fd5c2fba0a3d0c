#include "shim/python/entry.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>

#include <atomic>

#include "shim/base/syscall.h"
#include "shim/exiting/park.h"
#include "shim/python/audit.h"
#include "shim/python/capi.h"
#include "shim/python/finalizing.h"
#include "shim/reporting/event.h"
#include "shim/reporting/modules.h"
#include "shim/runtimes/runtime.h"

namespace forkmend::python::entry {
namespace {

// --- the guards: what the slots lead to ----------------------------------------------------------

int (*real_ensure)();
void (*real_restore)(PyThreadState*);
void (*real_acquire)(PyThreadState*);

void stop_if_late() {
  if (finalizing::shuts_out_this_thread()) exiting::park();
}

int guarded_ensure() {
  stop_if_late();
  return real_ensure();
}
void guarded_restore(PyThreadState* state) {
  stop_if_late();
  real_restore(state);
}
void guarded_acquire(PyThreadState* state) {
  stop_if_late();
  real_acquire(state);
}

int (*real_is_initialized)();
int (*real_is_finalizing)();

// Only in libraries that panic at the answer: others ask in order to stay away, and go on.
int guarded_is_initialized() {
  stop_if_late();
  return real_is_initialized();
}
int guarded_is_finalizing() {
  stop_if_late();
  return real_is_finalizing();
}

struct Way {
  const char* name;
  void* guard;
  void** real;
  bool asks;
};
const Way kWays[] = {
    {"PyGILState_Ensure", reinterpret_cast<void*>(&guarded_ensure),
     reinterpret_cast<void**>(&real_ensure), false},
    {"PyEval_RestoreThread", reinterpret_cast<void*>(&guarded_restore),
     reinterpret_cast<void**>(&real_restore), false},
    {"PyEval_AcquireThread", reinterpret_cast<void*>(&guarded_acquire),
     reinterpret_cast<void**>(&real_acquire), false},
    {"Py_IsInitialized", reinterpret_cast<void*>(&guarded_is_initialized),
     reinterpret_cast<void**>(&real_is_initialized), true},
    {"Py_IsFinalizing", reinterpret_cast<void*>(&guarded_is_finalizing),
     reinterpret_cast<void**>(&real_is_finalizing), true},
};

// --- the slots
// -------------------------------------------------------------------------------------

#if defined(__x86_64__)
constexpr unsigned long kJumpSlot = R_X86_64_JUMP_SLOT, kDataSlot = R_X86_64_GLOB_DAT;
#else
constexpr unsigned long kJumpSlot = R_AARCH64_JUMP_SLOT, kDataSlot = R_AARCH64_GLOB_DAT;
#endif

// The parts of a loaded object that the dynamic linker works from.
struct Image {
  std::uintptr_t bias;
  const ElfW(Phdr) * segments;
  int segment_count;
  const ElfW(Sym) * symbols = nullptr;
  const char* names = nullptr;
  const ElfW(Rela) * relocations[2] = {};
  std::size_t count[2] = {};
  std::uintptr_t read_only_from = 0, read_only_to = 0;  // PT_GNU_RELRO

  // From its headers in memory: dl_iterate_phdr would take the loader's lock, and somebody else's
  // callback may hold that while it waits for what our caller holds.
  bool read(const modules::Module& module) {
    const auto* header = reinterpret_cast<const ElfW(Ehdr)*>(module.lo);
    if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) return false;
    bias = module.bias;
    segments = reinterpret_cast<const ElfW(Phdr)*>(module.lo + header->e_phoff);
    segment_count = header->e_phnum;
    const ElfW(Dyn)* dynamic = nullptr;
    for (int i = 0; i < segment_count; i++) {
      const ElfW(Phdr)& segment = segments[i];
      if (segment.p_type == PT_DYNAMIC)
        dynamic = reinterpret_cast<const ElfW(Dyn)*>(bias + segment.p_vaddr);
      if (segment.p_type == PT_GNU_RELRO) {
        read_only_from = bias + segment.p_vaddr;
        read_only_to = read_only_from + segment.p_memsz;
      }
    }
    if (dynamic == nullptr) return false;
    for (; dynamic->d_tag != DT_NULL; dynamic++) note(*dynamic);
    return symbols != nullptr && names != nullptr;
  }

 private:
  // glibc adds the load address to these in place.
  template <class T>
  const T* pointer(const ElfW(Dyn) & entry) const {
    const std::uintptr_t at = entry.d_un.d_ptr;
    return reinterpret_cast<const T*>(at < bias ? at + bias : at);
  }
  void note(const ElfW(Dyn) & entry) {
    switch (entry.d_tag) {
      case DT_SYMTAB:
        symbols = pointer<ElfW(Sym)>(entry);
        break;
      case DT_STRTAB:
        names = pointer<char>(entry);
        break;
      case DT_JMPREL:
        relocations[0] = pointer<ElfW(Rela)>(entry);
        break;
      case DT_PLTRELSZ:
        count[0] = entry.d_un.d_val / sizeof(ElfW(Rela));
        break;
      case DT_RELA:
        relocations[1] = pointer<ElfW(Rela)>(entry);
        break;
      case DT_RELASZ:
        count[1] = entry.d_un.d_val / sizeof(ElfW(Rela));
        break;
      default:
        break;
    }
  }
};

constexpr std::uintptr_t kPage = 4096;

// Other threads may read the slot meanwhile: one aligned store, and the page is never unreadable.
bool store(const Image& image, void** slot, void* value) {
  const auto at = reinterpret_cast<std::uintptr_t>(slot);
  const bool read_only = at - image.read_only_from < image.read_only_to - image.read_only_from;
  const long page = static_cast<long>(at & ~(kPage - 1));
  if (read_only && sys::call(SYS_mprotect, page, kPage, PROT_READ | PROT_WRITE) != 0) return false;
  __atomic_store_n(slot, value, __ATOMIC_RELEASE);
  if (read_only) sys::call(SYS_mprotect, page, kPage, PROT_READ);
  return true;
}

bool guard_slots(const Image& image, bool asks_first) {
  for (int table = 0; table < 2; table++) {
    for (std::size_t i = 0; i < image.count[table]; i++) {
      const ElfW(Rela)& relocation = image.relocations[table][i];
      const unsigned long type = ELF64_R_TYPE(relocation.r_info);
      if (type != kJumpSlot && type != kDataSlot) continue;
      const char* name = image.names + image.symbols[ELF64_R_SYM(relocation.r_info)].st_name;
      if (name[0] != 'P' || name[1] != 'y') continue;
      for (const Way& way : kWays) {
        if ((way.asks && !asks_first) || *way.real == nullptr || strcmp(name, way.name) != 0)
          continue;
        if (!store(image, reinterpret_cast<void**>(image.bias + relocation.r_offset), way.guard))
          return false;
      }
    }
  }
  return true;
}

// Which libraries were looked at. Index: modules::index_of.
std::atomic<bool> seen[modules::kMaxModules];

void guard_module(const modules::Module* module, bool asks_first) {
  if (module == nullptr || seen[modules::index_of(*module)].exchange(true)) return;
  const auto interpreter = reinterpret_cast<std::uintptr_t>(*kWays[0].real);
  if (interpreter - module->lo < module->hi - module->lo) return;
  Image image{};
  if (image.read(*module) && !guard_slots(image, asks_first))
    report_off("guard at interpreter exit", "mprotect of a global offset table failed");
}

// Found by name, not taken by address: on a static python &PyGILState_Ensure in a preload would be
// right as well, but in ours it would be an undefined symbol.
bool find_ways() {
  static std::atomic<bool> found{false};
  if (found.load(std::memory_order_acquire)) return true;
  for (const Way& way : kWays) *way.real = dlsym(RTLD_DEFAULT, way.name);
  if (real_ensure == nullptr || real_restore == nullptr) return false;
  finalizing::prepare();
  found.store(true, std::memory_order_release);
  return true;
}

}  // namespace

void guard(const void* caller, const void* symbol, const Runtime* runtime) {
  if (!audit::available() || !find_ways()) return;
  const bool asks_first =
      runtime != nullptr && runtime->profile != nullptr && runtime->profile->asks_first != 0;
  guard_module(modules::find_or_refresh(caller), asks_first);
  guard_module(modules::find_or_refresh(symbol), asks_first);
}

}  // namespace forkmend::python::entry
