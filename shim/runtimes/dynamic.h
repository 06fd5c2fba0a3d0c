// The dynamic section of a loaded object: its own symbols, and its slots for other objects'.
//
// Promises: everything is read from the object's headers in memory. dlsym and dl_iterate_phdr take
// the loader's lock, which somebody else may hold while it waits for what our caller holds.
// Does not: keep the object loaded: use it while a call from the object is on the stack, or a
// thread that the object made is alive.
#pragma once

#include <elf.h>
#include <link.h>

#include <cstddef>
#include <cstdint>

#include "shim/reporting/modules.h"

namespace forkmend::dynamic {

class Image {
 public:
  explicit Image(const modules::Module& module);

  // False for an object without a dynamic section, or without a hash table of its symbols.
  bool readable() const { return symbols_ != nullptr && names_ != nullptr; }

  // The function or variable that the object itself defines and exports under this name; null if
  // it has none. Takes the first version of a versioned symbol. Indirect functions are not found.
  void* find(const char* name) const;

  // Calls visit(slot, name, lazy) for each slot of the global offset table that the loader fills
  // with the address of a symbol, a lazy one perhaps at its first use; `in_data`: and for each such
  // word of its data (a table of functions).
  template <class Visit>
  void for_each_slot(Visit&& visit, bool in_data = false) const;

  // Changes a slot; false if its page cannot be written. Other threads may use it meanwhile.
  bool store(void** slot, void* value) const;

  // The first place in the object's read-only or data segments where `bytes` lie, or null.
  const void* find_bytes(const void* bytes, std::size_t size) const;

 private:
  void note(const ElfW(Dyn) & entry);
  template <class T>
  const T* pointer(const ElfW(Dyn) & entry) const;

  std::uintptr_t bias_;
  const ElfW(Phdr) * segments_ = nullptr;
  int segment_count_ = 0;
  const ElfW(Sym) * symbols_ = nullptr;
  const char* names_ = nullptr;
  const std::uint32_t* gnu_hash_ = nullptr;
  const std::uint32_t* sysv_hash_ = nullptr;
  struct Relocations {
    const ElfW(Rela) * entry = nullptr;
    std::size_t count = 0;
  };
  Relocations relocations_[2];
  std::uintptr_t relro_from_ = 0, relro_to_ = 0;
};

#if defined(__x86_64__)
inline constexpr unsigned long kJumpSlot = R_X86_64_JUMP_SLOT, kDataSlot = R_X86_64_GLOB_DAT,
                               kDataWord = R_X86_64_64;
#else
inline constexpr unsigned long kJumpSlot = R_AARCH64_JUMP_SLOT, kDataSlot = R_AARCH64_GLOB_DAT,
                               kDataWord = R_AARCH64_ABS64;
#endif

template <class Visit>
void Image::for_each_slot(Visit&& visit, bool in_data) const {
  if (!readable()) return;
  for (const Relocations& table : relocations_) {
    for (std::size_t i = 0; i < table.count; i++) {
      const ElfW(Rela)& relocation = table.entry[i];
      const unsigned long type = ELF64_R_TYPE(relocation.r_info);
      const bool is_word = in_data && type == kDataWord && relocation.r_addend == 0;
      if (type != kJumpSlot && type != kDataSlot && !is_word) continue;
      visit(reinterpret_cast<void**>(bias_ + relocation.r_offset),
            names_ + symbols_[ELF64_R_SYM(relocation.r_info)].st_name, type == kJumpSlot);
    }
  }
}

}  // namespace forkmend::dynamic
