#include "shim/runtimes/dynamic.h"

#include <string.h>
#include <sys/mman.h>

#include "shim/base/syscall.h"

namespace forkmend::dynamic {
namespace {

constexpr std::uintptr_t kPage = 4096;

// The name's hash in DT_GNU_HASH tables (Bernstein's, by 33).
std::uint32_t gnu_hash_of(const char* name) {
  std::uint32_t hash = 5381;
  for (; *name != '\0'; name++) hash = hash * 33 + static_cast<unsigned char>(*name);
  return hash;
}

}  // namespace

Image::Image(const modules::Module& module) : bias_(module.bias) {
  const auto* header = reinterpret_cast<const ElfW(Ehdr)*>(module.lo);
  if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) return;
  segments_ = reinterpret_cast<const ElfW(Phdr)*>(module.lo + header->e_phoff);
  segment_count_ = header->e_phnum;
  const ElfW(Dyn)* entry = nullptr;
  for (int i = 0; i < segment_count_; i++) {
    const ElfW(Phdr)& segment = segments_[i];
    if (segment.p_type == PT_DYNAMIC)
      entry = reinterpret_cast<const ElfW(Dyn)*>(bias_ + segment.p_vaddr);
    if (segment.p_type == PT_GNU_RELRO) {
      relro_from_ = bias_ + segment.p_vaddr;
      relro_to_ = relro_from_ + segment.p_memsz;
    }
  }
  if (entry == nullptr) return;
  for (; entry->d_tag != DT_NULL; entry++) note(*entry);
}

// glibc adds the load address to these in place.
template <class T>
const T* Image::pointer(const ElfW(Dyn) & entry) const {
  const std::uintptr_t at = entry.d_un.d_ptr;
  return reinterpret_cast<const T*>(at < bias_ ? at + bias_ : at);
}

void Image::note(const ElfW(Dyn) & entry) {
  switch (entry.d_tag) {
    case DT_SYMTAB:
      symbols_ = pointer<ElfW(Sym)>(entry);
      break;
    case DT_STRTAB:
      names_ = pointer<char>(entry);
      break;
    case DT_GNU_HASH:
      gnu_hash_ = pointer<std::uint32_t>(entry);
      break;
    case DT_HASH:
      sysv_hash_ = pointer<std::uint32_t>(entry);
      break;
    case DT_JMPREL:
      relocations_[0].entry = pointer<ElfW(Rela)>(entry);
      break;
    case DT_PLTRELSZ:
      relocations_[0].count = entry.d_un.d_val / sizeof(ElfW(Rela));
      break;
    case DT_RELA:
      relocations_[1].entry = pointer<ElfW(Rela)>(entry);
      break;
    case DT_RELASZ:
      relocations_[1].count = entry.d_un.d_val / sizeof(ElfW(Rela));
      break;
    default:
      break;
  }
}

void* Image::find(const char* name) const {
  if (!readable()) return nullptr;
  const auto matches = [&](std::uint32_t index) -> void* {
    const ElfW(Sym)& symbol = symbols_[index];
    const int type = ELF64_ST_TYPE(symbol.st_info);
    if (symbol.st_shndx == SHN_UNDEF || (type != STT_FUNC && type != STT_OBJECT)) return nullptr;
    if (strcmp(names_ + symbol.st_name, name) != 0) return nullptr;
    return reinterpret_cast<void*>(bias_ + symbol.st_value);
  };
  if (gnu_hash_ != nullptr) {
    // Layout: buckets, index of the first symbol, words of the filter, shift; filter; buckets;
    // chains, in which the lowest bit ends one.
    const std::uint32_t buckets = gnu_hash_[0], first = gnu_hash_[1], filter_words = gnu_hash_[2];
    const std::uint32_t* bucket = gnu_hash_ + 4 + filter_words * (sizeof(ElfW(Addr)) / 4);
    const std::uint32_t* chain = bucket + buckets;
    if (buckets == 0) return nullptr;
    const std::uint32_t hash = gnu_hash_of(name);
    std::uint32_t index = bucket[hash % buckets];
    if (index < first) return nullptr;
    for (;; index++) {
      const std::uint32_t entry = chain[index - first];
      if ((entry | 1) == (hash | 1)) {
        if (void* found = matches(index)) return found;
      }
      if ((entry & 1) != 0) return nullptr;
    }
  }
  if (sysv_hash_ == nullptr) return nullptr;
  const std::uint32_t count = sysv_hash_[1];
  for (std::uint32_t index = 1; index < count; index++) {
    if (void* found = matches(index)) return found;
  }
  return nullptr;
}

// One aligned store, and the page is never unreadable meanwhile.
bool Image::store(void** slot, void* value) const {
  const auto at = reinterpret_cast<std::uintptr_t>(slot);
  const bool read_only = at - relro_from_ < relro_to_ - relro_from_;
  const long page = static_cast<long>(at & ~(kPage - 1));
  if (read_only && sys::call(SYS_mprotect, page, kPage, PROT_READ | PROT_WRITE) != 0) return false;
  __atomic_store_n(slot, value, __ATOMIC_RELEASE);
  if (read_only) sys::call(SYS_mprotect, page, kPage, PROT_READ);
  return true;
}

const void* Image::find_bytes(const void* bytes, std::size_t size) const {
  for (int i = 0; i < segment_count_; i++) {
    const ElfW(Phdr)& segment = segments_[i];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_R) == 0) continue;
    // What lies behind the file's content is zero.
    const void* found = memmem(reinterpret_cast<const void*>(bias_ + segment.p_vaddr),
                               segment.p_filesz, bytes, size);
    if (found != nullptr) return found;
  }
  return nullptr;
}

}  // namespace forkmend::dynamic
