// An ELF file on disk: what the loader and the unwinder would see of it.
//
// Promises: every offset in the file is checked against its size; a damaged file is an error or an
// empty answer, never a crash.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

struct Elf;

namespace forkmend::command {

class ElfImage {
 public:
  struct Range {
    std::uint64_t address;  // as linked, without bias
    std::uint64_t size;
  };

  // Null, and the reason in `why`, if the file cannot be read or is no ELF file.
  static std::unique_ptr<ElfImage> open(const std::string& path, std::string& why);
  ~ElfImage();
  ElfImage(const ElfImage&) = delete;
  ElfImage& operator=(const ElfImage&) = delete;

  int elf_class() const { return class_; }  // ELFCLASS32, ELFCLASS64
  int machine() const { return machine_; }  // EM_X86_64, …
  int type() const { return type_; }        // ET_EXEC, ET_DYN, …
  bool same_machine_as_us() const;
  std::string machine_name() const;

  const std::string& interpreter() const { return interpreter_; }  // PT_INTERP; empty: none
  bool dynamic() const { return dynamic_; }
  bool cut_short() const { return cut_short_; }  // the loader would map what the file lacks
  const std::vector<std::string>& needed() const { return needed_; }
  std::string build_id() const;  // hexadecimal; empty: none

  // Whether the dynamic symbol table defines `name`.
  bool defines(const char* name) const;

  std::optional<Range> eh_frame_hdr() const { return eh_frame_hdr_; }

  // Copies bytes that the loader maps read-only from the file. False if any is not such a byte:
  // writable data had its own values in the process.
  bool read(std::uint64_t address, void* out, std::size_t size) const;

 private:
  struct Segment {
    std::uint64_t address, size, offset;
  };
  ElfImage() = default;
  void read_headers();
  void read_dynamic();

  int fd_ = -1;
  Elf* elf_ = nullptr;
  const char* raw_ = nullptr;
  std::size_t raw_size_ = 0;
  int class_ = 0, machine_ = 0, type_ = 0;
  bool dynamic_ = false;
  bool cut_short_ = false;
  std::string interpreter_;
  std::vector<std::string> needed_;
  std::vector<Segment> read_only_;
  std::optional<Range> eh_frame_hdr_;
};

}  // namespace forkmend::command
