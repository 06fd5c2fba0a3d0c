#include "shim/command/elf_image.h"

#include <elfutils/libdwelf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gelf.h>
#include <libelf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace forkmend::command {

std::unique_ptr<ElfImage> ElfImage::open(const std::string& path, std::string& why) {
  elf_version(EV_CURRENT);
  std::unique_ptr<ElfImage> image(new ElfImage);
  image->fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat status {};
  if (image->fd_ < 0 || fstat(image->fd_, &status) != 0) {
    why = std::strerror(errno);
    return nullptr;
  }
  if (!S_ISREG(status.st_mode)) {
    why = S_ISDIR(status.st_mode) ? "is a directory" : "is no regular file";
    return nullptr;
  }
  image->elf_ = elf_begin(image->fd_, ELF_C_READ_MMAP, nullptr);
  GElf_Ehdr header;
  if (image->elf_ == nullptr || elf_kind(image->elf_) != ELF_K_ELF ||
      gelf_getehdr(image->elf_, &header) == nullptr) {
    why = "is no ELF file";
    return nullptr;
  }
  image->class_ = gelf_getclass(image->elf_);
  image->machine_ = header.e_machine;
  image->type_ = header.e_type;
  image->raw_ = elf_rawfile(image->elf_, &image->raw_size_);
  image->read_headers();
  image->read_dynamic();
  return image;
}

ElfImage::~ElfImage() {
  if (elf_ != nullptr) elf_end(elf_);
  if (fd_ >= 0) close(fd_);
}

void ElfImage::read_headers() {
  std::size_t count = 0;
  if (elf_getphdrnum(elf_, &count) != 0) return;
  for (std::size_t i = 0; i < count; ++i) {
    GElf_Phdr header;
    if (gelf_getphdr(elf_, static_cast<int>(i), &header) == nullptr) continue;
    if (header.p_type == PT_DYNAMIC) dynamic_ = true;
    if (header.p_offset > raw_size_ || header.p_filesz > raw_size_ - header.p_offset) {
      cut_short_ = cut_short_ || header.p_type == PT_LOAD;
      continue;
    }
    if (header.p_type == PT_LOAD && (header.p_flags & PF_W) == 0) {
      read_only_.push_back({header.p_vaddr, header.p_filesz, header.p_offset});
    } else if (header.p_type == PT_GNU_EH_FRAME) {
      eh_frame_hdr_ = Range{header.p_vaddr, header.p_filesz};
    } else if (header.p_type == PT_INTERP && header.p_filesz > 0) {
      const char* const text = raw_ + header.p_offset;
      interpreter_.assign(text, strnlen(text, header.p_filesz));
    }
  }
}

void ElfImage::read_dynamic() {
  Elf_Scn* section = nullptr;
  while ((section = elf_nextscn(elf_, section)) != nullptr) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr || header.sh_type != SHT_DYNAMIC) continue;
    Elf_Data* const data = elf_getdata(section, nullptr);
    if (data == nullptr || header.sh_entsize == 0) continue;
    const std::size_t entries = header.sh_size / header.sh_entsize;
    for (std::size_t i = 0; i < entries; ++i) {
      GElf_Dyn entry;
      if (gelf_getdyn(data, static_cast<int>(i), &entry) == nullptr) break;
      if (entry.d_tag != DT_NEEDED) continue;
      const char* const name = elf_strptr(elf_, header.sh_link, entry.d_un.d_val);
      if (name != nullptr) needed_.emplace_back(name);
    }
  }
}

bool ElfImage::same_machine_as_us() const {
#if defined(__x86_64__)
  return machine_ == EM_X86_64 && class_ == ELFCLASS64;
#elif defined(__aarch64__)
  return machine_ == EM_AARCH64 && class_ == ELFCLASS64;
#else
#error "forkmend knows x86_64 and aarch64"
#endif
}

std::string ElfImage::machine_name() const {
  const char* const bits = class_ == ELFCLASS32 ? "32-bit" : "64-bit";
  switch (machine_) {
    case EM_X86_64:
      return class_ == ELFCLASS32 ? "x32" : "x86_64";
    case EM_386:
      return "i386";
    case EM_AARCH64:
      return class_ == ELFCLASS32 ? "aarch64 ilp32" : "aarch64";
    case EM_ARM:
      return "32-bit ARM";
    case EM_RISCV:
      return fmt::format("{} RISC-V", bits);
    case EM_PPC64:
      return "ppc64";
    case EM_S390:
      return "s390x";
    default:
      return fmt::format("{} machine {}", bits, machine_);
  }
}

std::string ElfImage::build_id() const {
  const void* bytes = nullptr;
  const ssize_t size = dwelf_elf_gnu_build_id(elf_, &bytes);
  std::string out;
  for (ssize_t i = 0; i < size; ++i) {
    out += fmt::format("{:02x}", static_cast<const unsigned char*>(bytes)[i]);
  }
  return out;
}

bool ElfImage::defines(const char* name) const {
  Elf_Scn* section = nullptr;
  while ((section = elf_nextscn(elf_, section)) != nullptr) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr || header.sh_type != SHT_DYNSYM) continue;
    Elf_Data* const data = elf_getdata(section, nullptr);
    if (data == nullptr || header.sh_entsize == 0) continue;
    const std::size_t symbols = header.sh_size / header.sh_entsize;
    for (std::size_t i = 0; i < symbols; ++i) {
      GElf_Sym symbol;
      if (gelf_getsym(data, static_cast<int>(i), &symbol) == nullptr) break;
      if (symbol.st_shndx == SHN_UNDEF) continue;
      const char* const found = elf_strptr(elf_, header.sh_link, symbol.st_name);
      if (found != nullptr && std::strcmp(found, name) == 0) return true;
    }
  }
  return false;
}

bool ElfImage::read(std::uint64_t address, void* out, std::size_t size) const {
  for (const Segment& segment : read_only_) {
    if (address < segment.address || address - segment.address > segment.size) continue;
    const std::uint64_t inside = address - segment.address;
    if (size > segment.size - inside) continue;
    std::memcpy(out, raw_ + segment.offset + inside, size);
    return true;
  }
  return false;
}

}  // namespace forkmend::command
