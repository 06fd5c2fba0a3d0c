#include "shim/command/library.h"

#include <dlfcn.h>
#include <elf.h>
#include <fmt/format.h>
#include <link.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <vector>

#include "shim/command/command.h"
#include "shim/command/elf_image.h"

namespace forkmend::command {
namespace {

namespace fs = std::filesystem;

std::string own_directory() {
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  return error ? "" : self.parent_path().string();
}

// The directories in which the loader looks for a bare name, as it tells of itself.
std::vector<std::string> loader_directories() {
  std::vector<std::string> out;
  void* const self = dlopen(nullptr, RTLD_LAZY);
  if (self == nullptr) return out;
  Dl_serinfo size{};
  if (dlinfo(self, RTLD_DI_SERINFOSIZE, &size) == 0) {
    const std::unique_ptr<void, void (*)(void*)> memory(std::malloc(size.dls_size), std::free);
    auto* const info = static_cast<Dl_serinfo*>(memory.get());
    if (info != nullptr) {
      info->dls_size = size.dls_size;
      info->dls_cnt = size.dls_cnt;
      if (dlinfo(self, RTLD_DI_SERINFO, info) == 0) {
        for (unsigned i = 0; i < info->dls_cnt; ++i)
          out.emplace_back(info->dls_serpath[i].dls_name);
      }
    }
  }
  dlclose(self);
  return out;
}

bool is_same(const std::string& a, const std::string& b) {
  std::error_code error;
  return a == b || (fs::equivalent(a, b, error) && !error);
}

Library checked(const std::string& file, const std::string& preload, const std::string& origin,
                int exit_code) {
  const std::string problem = library_problem(file);
  if (!problem.empty()) {
    throw UserError(fmt::format("{}: {}: give another with --lib FILE{}", file, problem, origin),
                    exit_code);
  }
  if (preload.find_first_of(": \t\n") != std::string::npos) {
    throw UserError(fmt::format("{}: LD_PRELOAD cannot carry a path with a colon or a blank: move "
                                "the library",
                                file),
                    exit_code);
  }
  return {file, preload};
}

Library by_name(const std::string& name, const std::string& origin, int exit_code) {
  if (name.find('/') != std::string::npos) {
    const std::string file = fs::absolute(name).lexically_normal().string();
    return checked(file, file, origin, exit_code);
  }
  // A bare name, if the loader itself finds it; otherwise a file in the current directory.
  for (const std::string& directory : loader_directories()) {
    const std::string file = fmt::format("{}/{}", directory, name);
    if (fs::exists(file)) return checked(file, name, origin, exit_code);
  }
  const std::string installed = std::string(FORKMEND_LIBDIR) + "/" + name;
  if (fs::exists(installed)) return checked(installed, installed, origin, exit_code);
  const std::string file = fs::absolute(name).string();
  return checked(file, file, origin, exit_code);
}

}  // namespace

std::string library_problem(const std::string& file) {
  std::string why;
  const std::unique_ptr<ElfImage> image = ElfImage::open(file, why);
  if (image == nullptr) return why;
  if (!image->same_machine_as_us()) {
    return fmt::format("is for {}, this command for another machine", image->machine_name());
  }
  if (image->cut_short()) return "is cut short";
  if (image->type() != ET_DYN || !image->dynamic()) return "is no shared library";
  if (!image->interpreter().empty()) return "is a program, not a library";
  return {};
}

Library find_library(const std::string& wanted, int exit_code) {
  if (!wanted.empty()) return by_name(wanted, "", exit_code);
  const char* const environment = std::getenv("FORKMEND_LIB");
  if (environment != nullptr && *environment != '\0') {
    return by_name(environment, " (this one is from FORKMEND_LIB)", exit_code);
  }
  const std::string beside = own_directory() + "/" + kLibraryName;
  if (fs::exists(beside)) return checked(beside, beside, "", exit_code);
  const std::string installed = std::string(FORKMEND_LIBDIR) + "/" + kLibraryName;
  if (fs::exists(installed)) return checked(installed, installed, "", exit_code);
  throw UserError(fmt::format("{} is neither beside this command nor in {}: install it, or give it "
                              "with --lib FILE",
                              kLibraryName, FORKMEND_LIBDIR),
                  exit_code);
}

std::vector<std::string> preload_entries(const std::string& list) {
  std::vector<std::string> out;
  std::string entry;
  for (const char c : list + ":") {
    if (c != ':' && c != ' ') {
      entry += c;
    } else if (!entry.empty()) {
      out.push_back(std::move(entry));
      entry.clear();
    }
  }
  return out;
}

std::string preload_list(const std::string& present, const Library& library) {
  std::vector<std::string> entries = preload_entries(present);
  bool there = false;
  std::string out;
  const auto add = [&](const std::string& entry) { out += (out.empty() ? "" : ":") + entry; };
  for (const std::string& entry : entries) {
    there = there || entry == library.preload || is_same(entry, library.file);
  }
  if (!there) add(library.preload);
  for (const std::string& entry : entries) {
    const bool ours = entry == library.preload || is_same(entry, library.file);
    if (!ours && fs::path(entry).filename() == kLibraryName) continue;
    add(entry);
  }
  return out;
}

}  // namespace forkmend::command
