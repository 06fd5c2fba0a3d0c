#include "shim/command/symbols.h"

#include <cxxabi.h>
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <fmt/format.h>

#include <cstdlib>
#include <cstring>

#include "shim/command/command.h"

namespace forkmend::command {
namespace {

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

char* debug_directories = nullptr;  // null: libdw's defaults

const Dwfl_Callbacks kFilesOnly = {dwfl_build_id_find_elf, dwfl_standard_find_debuginfo,
                                   dwfl_offline_section_address, &debug_directories};
const Dwfl_Callbacks kLive = {dwfl_linux_proc_find_elf, dwfl_standard_find_debuginfo, nullptr,
                              &debug_directories};

std::string name_of(Dwarf_Die* die) {
  Dwarf_Attribute memory;
  for (const unsigned name : {DW_AT_linkage_name, DW_AT_MIPS_linkage_name, DW_AT_name}) {
    Dwarf_Attribute* const attribute = dwarf_attr_integrate(die, name, &memory);
    const char* const text = attribute == nullptr ? nullptr : dwarf_formstring(attribute);
    if (text != nullptr) return demangled(text);
  }
  return {};
}

// Where an inlined subroutine was called.
void call_site(Dwarf_Die* die, Dwarf_Die* unit, std::string& file, int& line) {
  file.clear();
  line = 0;
  Dwarf_Attribute memory;
  Dwarf_Word value = 0;
  if (dwarf_formudata(dwarf_attr(die, DW_AT_call_line, &memory), &value) == 0) {
    line = static_cast<int>(value);
  }
  Dwarf_Files* files = nullptr;
  std::size_t count = 0;
  if (dwarf_getsrcfiles(unit, &files, &count) == 0 &&
      dwarf_formudata(dwarf_attr(die, DW_AT_call_file, &memory), &value) == 0 && value < count) {
    const char* const name = dwarf_filesrc(files, value, nullptr, nullptr);
    if (name != nullptr) file = name;
  }
}

// The frames of `pc` from the debugging information, innermost first; empty if there is none.
std::vector<Frame> inlined_frames(Dwfl_Module* module, Address pc, std::string file, int line) {
  std::vector<Frame> out;
  Dwarf_Addr bias = 0;
  Dwarf_Die* const unit = dwfl_module_addrdie(module, pc, &bias);
  if (unit == nullptr) return out;
  Dwarf_Die* raw = nullptr;
  const int lexical = dwarf_getscopes(unit, pc - bias, &raw);
  std::unique_ptr<Dwarf_Die, Free> scopes(raw);
  if (lexical <= 0) return out;
  // The scopes around an inlined subroutine are those of its definition; what is wanted are those
  // of the place that it was inlined into.
  Dwarf_Die innermost = scopes.get()[0];
  raw = nullptr;
  const int count = dwarf_getscopes_die(&innermost, &raw);
  scopes.reset(raw);
  for (int i = 0; i < count; ++i) {
    Dwarf_Die* const die = scopes.get() + i;
    const int tag = dwarf_tag(die);
    if (tag != DW_TAG_inlined_subroutine && tag != DW_TAG_subprogram) continue;
    Frame frame;
    frame.function = name_of(die);
    frame.file = file;
    frame.line = line;
    frame.inlined = tag == DW_TAG_inlined_subroutine;
    out.push_back(std::move(frame));
    if (tag == DW_TAG_subprogram) return out;
    call_site(die, unit, file, line);
  }
  out.clear();  // no function around it: assembly with line numbers
  return out;
}

}  // namespace

Symbols::Symbols(ModuleMap& modules) : modules_(&modules), dwfl_(dwfl_begin(&kFilesOnly)) {
  if (dwfl_ == nullptr) return;
  dwfl_report_begin(dwfl_);
  for (Module& module : modules.modules()) {
    modules.at(module.loaded.lo);
    if (module.state != Module::State::usable) continue;
    dwfl_report_elf(dwfl_, module.loaded.path.c_str(), module.host_path.c_str(), -1,
                    module.loaded.bias, true);
  }
  dwfl_report_end(dwfl_, nullptr, nullptr);
}

Symbols::Symbols(int pid) : dwfl_(dwfl_begin(&kLive)) {
  if (dwfl_ != nullptr && dwfl_linux_proc_report(dwfl_, pid) == 0 &&
      dwfl_report_end(dwfl_, nullptr, nullptr) == 0) {
    return;
  }
  if (dwfl_ != nullptr) dwfl_end(dwfl_);
  throw UserError(
      fmt::format("process {}: its memory map cannot be read: {}", pid, dwfl_errmsg(-1)));
}

Symbols::~Symbols() {
  if (dwfl_ != nullptr) dwfl_end(dwfl_);
}

void Symbols::locate(Address address, std::string& module, Address& offset) {
  if (modules_ != nullptr) {
    if (const Module* const found = modules_->at(address)) {
      module = found->loaded.path;
      offset = address - found->loaded.bias;
    }
    return;
  }
  Dwfl_Module* const found = dwfl_ == nullptr ? nullptr : dwfl_addrmodule(dwfl_, address);
  if (found == nullptr) return;
  GElf_Addr bias = 0;
  Dwarf_Addr low = 0;
  const char* const name =
      dwfl_module_info(found, nullptr, &low, nullptr, nullptr, nullptr, nullptr, nullptr);
  dwfl_module_getelf(found, &bias);
  module = name == nullptr ? "" : name;
  offset = address - bias;
}

std::vector<Frame> Symbols::frames(Address ip, bool exact) {
  const Address pc = exact || ip == 0 ? ip : ip - 1;
  std::vector<Frame> out;
  Dwfl_Module* const module = dwfl_ == nullptr ? nullptr : dwfl_addrmodule(dwfl_, pc);
  if (module != nullptr) {
    std::string file;
    int line = 0;
    if (Dwfl_Line* const found = dwfl_module_getsrc(module, pc)) {
      const char* const name = dwfl_lineinfo(found, nullptr, &line, nullptr, nullptr, nullptr);
      if (name != nullptr) file = name;
    }
    out = inlined_frames(module, pc, file, line);
    if (out.empty()) {
      Frame frame;
      frame.file = file;
      frame.line = line;
      out.push_back(std::move(frame));
    }
    // The symbol table has the whole name; debugging information of a member function often only
    // its last part. A stripped file has few symbols: one that ends before pc is another function.
    GElf_Off offset = 0;
    GElf_Sym symbol;
    const char* const name =
        dwfl_module_addrinfo(module, pc, &offset, &symbol, nullptr, nullptr, nullptr);
    if (name != nullptr &&
        (symbol.st_size == 0 ? out.back().function.empty() : offset < symbol.st_size)) {
      out.back().function = demangled(name);
    }
  }
  if (out.empty()) out.emplace_back();
  for (Frame& frame : out) {
    frame.ip = ip;
    locate(pc, frame.module, frame.offset);
    frame.offset += ip - pc;
  }
  return out;
}

std::vector<Frame> Symbols::frames(const RawFrame& raw) {
  std::vector<Frame> out = frames(raw.ip, raw.exact);
  for (Frame& frame : out) frame.guessed = raw.guessed;
  if (raw.signal) out.back().function = "<signal handler>";
  return out;
}

std::optional<DataSymbol> Symbols::data(Address address) {
  DataSymbol out;
  locate(address, out.module, out.in_module);
  if (out.module.empty()) return std::nullopt;
  Dwfl_Module* const module = dwfl_ == nullptr ? nullptr : dwfl_addrmodule(dwfl_, address);
  if (module == nullptr) return out;
  GElf_Off offset = 0;
  GElf_Sym symbol;
  const char* const name =
      dwfl_module_addrinfo(module, address, &offset, &symbol, nullptr, nullptr, nullptr);
  if (name != nullptr && offset < symbol.st_size) {
    out.name = demangled(name);
    out.offset = offset;
  }
  Dwarf_Addr relative = address;
  Dwarf_Addr bias = 0;
  if (Elf_Scn* const section = dwfl_module_address_section(module, &relative, &bias)) {
    GElf_Shdr header;
    std::size_t strings = 0;
    Elf* const elf = dwfl_module_getelf(module, &bias);
    if (elf != nullptr && gelf_getshdr(section, &header) != nullptr &&
        elf_getshdrstrndx(elf, &strings) == 0) {
      const char* const text = elf_strptr(elf, strings, header.sh_name);
      if (text != nullptr) out.section = text;
    }
  }
  return out;
}

std::string demangled(const char* name) {
  int status = 0;
  const std::unique_ptr<char, Free> text(abi::__cxa_demangle(name, nullptr, nullptr, &status));
  std::string out = status == 0 && text != nullptr ? text.get() : name;
  // Symbol tables of executables append the version: __libc_start_main@@GLIBC_2.34
  if (const auto at = out.find('@'); at != std::string::npos && at > 0) out.resize(at);
  // Rust's legacy mangling ends in a hash that names nothing: core::ops::f::h0123456789abcdef
  constexpr std::size_t kHash = 19;
  if (out.size() > kHash && out.compare(out.size() - kHash, 3, "::h") == 0 &&
      out.find_first_not_of("0123456789abcdef", out.size() - kHash + 3) == std::string::npos) {
    out.resize(out.size() - kHash);
  }
  return out;
}

std::string short_function(const std::string& function) {
  // Text at depth 0 of brackets, up to the parameters; "(anonymous namespace)" is no parameter
  // list, and neither are the brackets of operator().
  if (!function.empty() && function.front() == '<') return function;
  std::string out;
  int angle = 0;
  for (std::size_t i = 0; i < function.size(); ++i) {
    const std::string_view rest = std::string_view(function).substr(i);
    constexpr std::string_view kAnonymous = "(anonymous namespace)";
    constexpr std::string_view kOperator = "operator";
    if (rest.substr(0, kAnonymous.size()) == kAnonymous) {
      if (angle == 0) out += kAnonymous;
      i += kAnonymous.size() - 1;
      continue;
    }
    if (rest.substr(0, kOperator.size()) == kOperator && rest.size() > kOperator.size() &&
        std::strchr("<>()-=!+*/&|^%~,[", rest[kOperator.size()]) != nullptr) {
      const std::size_t end = function.find('(', i + kOperator.size() + 1);
      if (angle == 0) out += function.substr(i, end == std::string::npos ? end : end - i);
      i = end == std::string::npos ? function.size() : end - 1;
      continue;
    }
    const char c = function[i];
    if (c == '<') {
      if (angle++ == 0) out += "<>";
    } else if (c == '>') {
      if (angle > 0) --angle;
    } else if (angle > 0) {
      continue;
    } else if (c == '(') {
      // {lambda()#1} has brackets in the middle of a name.
      const std::size_t lambda = out.rfind("{lambda");
      if (lambda == std::string::npos || out.find('}', lambda) != std::string::npos) break;
      i = function.find(')', i);
      if (i == std::string::npos) break;
    } else {
      out += c;
    }
  }
  // The return type of a template: everything up to the last space that is not in a name.
  const std::size_t space = out.rfind(' ');
  if (space != std::string::npos && out.compare(0, 8, "operator") != 0 &&
      out.find("namespace)") == std::string::npos && out.find("operator") == std::string::npos) {
    out.erase(0, space + 1);
  }
  return out.empty() ? function : out;
}

}  // namespace forkmend::command
