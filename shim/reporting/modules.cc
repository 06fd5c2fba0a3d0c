#include "shim/reporting/modules.h"

#include <elf.h>
#include <link.h>
#include <string.h>

#include <atomic>

#include "shim/base/glob.h"
#include "shim/base/lazy.h"
#include "shim/base/real.h"
#include "shim/base/spinlock.h"
#include "shim/base/syscall.h"
#include "shim/base/text.h"

namespace forkmend::modules {
namespace {

struct Table {
  Module module[kMaxModules];
};
Lazy<Table> table;
std::atomic<int> used{0};
std::atomic<int> inside_iteration{0};  // other threads inside dl_iterate_phdr
std::atomic<bool> refreshing{false};
// A signal handler that throws while its own thread refreshes must not wait for itself.
FORKMEND_TLS bool refreshing_here;
std::atomic<std::uint64_t> loads_seen{0};

// Allocators and their ranges, so that a look costs a few comparisons.
constexpr std::string_view kAllocators[] = {"*jemalloc*", "*tcmalloc*", "*mimalloc*"};
constexpr int kMostAllocators = 4;  // a process has one, or two by mistake

struct Range {
  std::uintptr_t lo, size;
};
Range allocators[kMostAllocators];
std::atomic<int> allocator_count{0};

void note_allocator(const Module& module) {
  const std::string_view name = base_name(module.path);
  const int count = allocator_count.load(std::memory_order_relaxed);
  if (count == kMostAllocators) return;
  for (const std::string_view pattern : kAllocators) {
    if (!glob_match(pattern, name)) continue;
    allocators[count] = {module.lo, module.hi - module.lo};
    allocator_count.store(count + 1, std::memory_order_release);
    return;
  }
}

// A note segment holds records: sizes of name and content, a type, then both, padded to 4 bytes.
void read_build_id(const dl_phdr_info& info, const ElfW(Phdr) & segment, Module& module) {
  std::uintptr_t at = info.dlpi_addr + segment.p_vaddr;
  const std::uintptr_t end = at + segment.p_memsz;
  while (at + sizeof(ElfW(Nhdr)) <= end) {
    const auto* note = reinterpret_cast<const ElfW(Nhdr)*>(at);
    const std::uintptr_t name = at + sizeof *note;
    const std::uintptr_t content = name + ((note->n_namesz + 3u) & ~3u);
    if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 &&
        memcmp(reinterpret_cast<const void*>(name), "GNU", 4) == 0) {
      const std::size_t size = note->n_descsz < kBuildIdSize ? note->n_descsz : kBuildIdSize;
      module.build_id_size = static_cast<std::uint8_t>(size);
      memcpy(module.build_id, reinterpret_cast<const void*>(content), size);
      return;
    }
    at = content + ((note->n_descsz + 3u) & ~3u);
  }
}

void set_path(const dl_phdr_info& info, Module& module) {
  if (info.dlpi_name != nullptr && info.dlpi_name[0] != '\0') {
    copy_text(module.path, info.dlpi_name);
    return;
  }
  // The executable has no name in the list (and a kernel may name the vDSO so).
  const long n = sys::call(SYS_readlinkat, AT_FDCWD, sys::arg("/proc/self/exe"),
                           sys::arg(module.path), kPathSize - 1);
  module.path[n > 0 ? n : 0] = '\0';
}

void find_ends(const dl_phdr_info& info, std::uintptr_t& lo, std::uintptr_t& hi) {
  lo = ~std::uintptr_t{0};
  hi = 0;
  for (int i = 0; i < info.dlpi_phnum; i++) {
    const ElfW(Phdr)& segment = info.dlpi_phdr[i];
    if (segment.p_type != PT_LOAD) continue;
    const std::uintptr_t start = info.dlpi_addr + segment.p_vaddr;
    if (start < lo) lo = start;
    if (start + segment.p_memsz > hi) hi = start + segment.p_memsz;
  }
}

// The entry of an object that is loaded, or null if it is not in the map yet.
const Module* known_as(const dl_phdr_info& info, std::uintptr_t lo, std::uintptr_t hi) {
  const Module* known = find(reinterpret_cast<const void*>(lo));
  const bool same = known != nullptr && known->lo == lo && known->hi == hi &&
                    (info.dlpi_name == nullptr || info.dlpi_name[0] == '\0' ||
                     strncmp(known->path, info.dlpi_name, kPathSize - 1) == 0);
  return same ? known : nullptr;
}

int add(dl_phdr_info* info, std::size_t, void*) {
  std::uintptr_t lo, hi;
  find_ends(*info, lo, hi);
  if (hi == 0 || known_as(*info, lo, hi) != nullptr) return 0;
  const int index = used.load(std::memory_order_relaxed);
  if (index == kMaxModules) return 1;
  Table* all = table.get();
  if (all == nullptr) return 1;
  Module& module = all->module[index];
  module.lo = lo;
  module.hi = hi;
  module.bias = info->dlpi_addr;
  set_path(*info, module);
  for (int i = 0; i < info->dlpi_phnum; i++) {
    if (info->dlpi_phdr[i].p_type == PT_NOTE) read_build_id(*info, info->dlpi_phdr[i], module);
  }
  note_allocator(module);
  used.store(index + 1, std::memory_order_release);
  return 0;
}

int count_loads(dl_phdr_info* info, std::size_t, void* out) {
  *static_cast<std::uint64_t*>(out) = info->dlpi_adds + info->dlpi_subs;
  return 1;  // the first entry tells; the walk ends here
}

}  // namespace

const Module* find(const void* address) {
  const auto at = reinterpret_cast<std::uintptr_t>(address);
  const Table* all = table.existing();
  // Newest first: after dlclose and dlopen a new object may lie where an old one was.
  for (int i = used.load(std::memory_order_acquire) - 1; i >= 0; i--) {
    const Module& module = all->module[i];
    if (at - module.lo < module.hi - module.lo) return &module;
  }
  return nullptr;
}

namespace {

void look_for_new() {
  std::uint64_t total = 0;
  real().dl_iterate_phdr(count_loads, &total);
  if (total == loads_seen.load(std::memory_order_relaxed)) return;
  real().dl_iterate_phdr(add, nullptr);
  loads_seen.store(total, std::memory_order_relaxed);
}

// Does `work` where the loader's list may be walked; false where it may not.
template <class Work>
bool with_list(Work&& work) {
  const Turn turn(Rank::module_map);
  if (!turn) return false;  // somebody else is at it
  // A callback of somebody else's may wait for a lock that our caller holds, and it holds the
  // loader's meanwhile: never wait for one. Announce first, look after, as they do (Dekker).
  refreshing_here = true;
  refreshing.store(true);
  const bool free = inside_iteration.load() == 0;
  if (free) work();
  refreshing.store(false);
  refreshing_here = false;
  return free;
}

struct Visit {
  void (*visit)(const Module&, void*);
  void* data;
};

int visit_one(dl_phdr_info* info, std::size_t, void* data) {
  const auto* visit = static_cast<const Visit*>(data);
  std::uintptr_t lo, hi;
  find_ends(*info, lo, hi);
  const Module* module = hi == 0 ? nullptr : known_as(*info, lo, hi);
  if (module != nullptr) visit->visit(*module, visit->data);
  return 0;
}

}  // namespace

void refresh() { with_list(look_for_new); }

bool for_each_loaded(void (*visit)(const Module&, void*), void* data) {
  return with_list([&] {
    look_for_new();
    Visit one{visit, data};
    real().dl_iterate_phdr(visit_one, &one);
  });
}

std::uint64_t loads() { return loads_seen.load(std::memory_order_relaxed); }

const Module* find_or_refresh(const void* address) {
  const Module* module = find(address);
  if (module != nullptr) return module;
  refresh();
  return find(address);
}

// dl_iterate_phdr visits the executable first.
const Module* of_executable() { return count() > 0 ? &at(0) : nullptr; }

namespace {

// Of glibc 2.35's interface (dlfcn.h), what has been there from the start.
struct FoundObject {
  unsigned long long flags;
  void *begin, *end;
  link_map* map;
  void* eh_frame;
  unsigned long long reserved[16];  // it has 7, which later ones may use
};

struct Sought {
  std::uintptr_t address;
  const char* path;
};

int is_it(dl_phdr_info* info, std::size_t, void* data) {
  auto* sought = static_cast<Sought*>(data);
  std::uintptr_t lo, hi;
  find_ends(*info, lo, hi);
  if (hi == 0 || sought->address - lo >= hi - lo) return 0;
  sought->path = info->dlpi_name != nullptr ? info->dlpi_name : "";
  return 1;
}

}  // namespace

const char* path_of_loaded(const void* address) {
  Sought sought{reinterpret_cast<std::uintptr_t>(address), nullptr};
  if (libc_is_before(35)) {
    with_list([&] { real().dl_iterate_phdr(is_it, &sought); });
    return sought.path;
  }
  FoundObject found{};
  if (real()._dl_find_object(const_cast<void*>(address),
                             reinterpret_cast<dl_find_object*>(&found)) != 0)
    return nullptr;
  return found.map->l_name;
}

bool is_in_allocator(const void* address) {
  const auto at = reinterpret_cast<std::uintptr_t>(address);
  for (int i = 0; i < allocator_count.load(std::memory_order_acquire); i++) {
    if (at - allocators[i].lo < allocators[i].size) return true;
  }
  return false;
}

bool has_allocator() { return allocator_count.load(std::memory_order_acquire) > 0; }

int count() { return used.load(std::memory_order_acquire); }
const Module& at(int index) { return table.existing()->module[index]; }
int index_of(const Module& module) { return static_cast<int>(&module - table.existing()->module); }

void enter_iteration() {
  for (;;) {
    inside_iteration.fetch_add(1);
    if (!refreshing.load() || refreshing_here) return;
    inside_iteration.fetch_sub(1);
    while (refreshing.load()) sys::yield();  // a few microseconds: nothing blocks in a refresh
  }
}

void leave_iteration() { inside_iteration.fetch_sub(1); }

void after_fork_child(const ChildEntry&) {
  // Threads inside an iteration, or at a refresh, did not survive.
  if (inside_iteration.load(std::memory_order_relaxed) != 0) inside_iteration.store(0);
  if (refreshing.load(std::memory_order_relaxed)) refreshing.store(false);
}

}  // namespace forkmend::modules
