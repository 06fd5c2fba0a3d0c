#include "shim/command/program.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <elf.h>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>
#include <string_view>

#include "shim/command/command.h"
#include "shim/command/elf_image.h"
#include "shim/command/library.h"

namespace forkmend::command {
namespace {

// Linux follows four levels of scripts; env adds one of its own to each.
constexpr int kScriptLevels = 8;

bool executable(const std::string& path, std::string& why) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) {
    why = std::strerror(errno);
    return false;
  }
  if (S_ISDIR(status.st_mode)) {
    why = "is a directory";
    return false;
  }
  if (access(path.c_str(), X_OK) != 0) {
    why = std::strerror(errno);
    return false;
  }
  return true;
}

// The words after "#!"; the kernel passes everything after the first as one argument.
std::vector<std::string> interpreter_words(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  char start[2] = {};
  std::string line;
  if (!file.read(start, 2) || start[0] != '#' || start[1] != '!') return {};
  std::getline(file, line);
  if (line.size() > 4096) return {};
  std::istringstream stream(line);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

bool is_shell(const std::string& path) {
  const std::string name = path.substr(path.rfind('/') + 1);
  return name == "sh" || name == "bash" || name == "dash" || name == "zsh" || name == "ksh";
}

// What env will run: the first word that is neither an option nor an assignment.
std::string program_of_env(const std::vector<std::string>& words) {
  for (std::size_t i = 1; i < words.size(); ++i) {
    if (words[i].front() == '-' || words[i].find('=') != std::string::npos) continue;
    return words[i];
  }
  return {};
}

// Secure execution: the loader ignores every LD_PRELOAD entry with a slash.
void check_privileges(const std::string& path, std::vector<Finding>& out) {
  const auto find = [&](bool now, const std::string& what) {
    const std::string text = fmt::format(
        "{} {}: {}", path, what,
        now ? "the loader ignores LD_PRELOAD for it; run what it protects as that user instead"
            : "no harm for you, but for other users the loader ignores LD_PRELOAD");
    out.push_back({now ? Level::fail : Level::warn, "privileges", text});
  };
  struct stat status {};
  if (stat(path.c_str(), &status) == 0) {
    if ((status.st_mode & S_ISUID) != 0) {
      find(status.st_uid != getuid(), fmt::format("is setuid to user {}", status.st_uid));
    }
    if ((status.st_mode & S_ISGID) != 0 && (status.st_mode & S_IXGRP) != 0) {
      find(status.st_gid != getgid(), fmt::format("is setgid to group {}", status.st_gid));
    }
  }
  if (getxattr(path.c_str(), "security.capability", nullptr, 0) > 0) {
    find(getuid() != 0, "has file capabilities");
  }
}

std::string sanitizer_of(const ElfImage& image) {
  constexpr std::array<std::array<const char*, 3>, 5> kSanitizers = {{
      {"libasan.so", "__asan_init", "AddressSanitizer"},
      {"libtsan.so", "__tsan_init", "ThreadSanitizer"},
      {"libmsan.so", "__msan_init", "MemorySanitizer"},
      {"liblsan.so", "__lsan_init", "LeakSanitizer"},
      {"libhwasan.so", "__hwasan_init", "HWAddressSanitizer"},
  }};
  for (const auto& [library, symbol, name] : kSanitizers) {
    for (const std::string& needed : image.needed()) {
      const std::string runtime = fmt::format("libclang_rt.{}", std::string(library + 3, 4));
      if (needed.find(library) == 0 || needed.find(runtime) == 0) return name;
    }
    if (image.defines(symbol)) return name;
  }
  return {};
}

void check_binary(const std::string& path, const ElfImage& image, std::vector<Finding>& out) {
  const auto fail = [&](const std::string& text) {
    out.push_back({Level::fail, "program", fmt::format("{} {}", path, text)});
  };
  if (!image.same_machine_as_us()) {
    fail(fmt::format("is for {}: use a {} for that machine", image.machine_name(), kLibraryName));
    return;
  }
  if (image.cut_short()) {
    fail("is cut short: install it again");
    return;
  }
  if (image.interpreter().find("ld-musl") != std::string::npos) {
    fail(
        "uses musl: the library needs glibc, and musl refuses to start a program with it; use a "
        "build for glibc");
    return;
  }
  if (image.interpreter().empty()) {
    fail(
        "is statically linked: no loader runs, LD_PRELOAD has no effect; link it dynamically (Go: "
        "CGO_ENABLED=1 and -linkmode=external)");
    return;
  }
  if (access(image.interpreter().c_str(), X_OK) != 0) {
    fail(fmt::format("needs the loader {}, which is not here: install its libc",
                     image.interpreter()));
    return;
  }
  const std::string sanitizer = sanitizer_of(image);
  if (!sanitizer.empty()) {
    fail(
        fmt::format("contains {}, beside which the library stays switched off: use a build "
                    "without it",
                    sanitizer));
    return;
  }
  out.push_back(
      {Level::ok, "program",
       fmt::format("{} is dynamically linked for {} and glibc", path, image.machine_name())});
}

}  // namespace

std::string find_program(const std::string& name, int& exit_code, std::string& why) {
  exit_code = kExitNotFound;
  why = "not found: check the name and PATH";
  if (name.empty()) return {};
  if (name.find('/') != std::string::npos) {
    if (executable(name, why)) return name;
    exit_code = access(name.c_str(), F_OK) == 0 ? kExitNotExecutable : kExitNotFound;
    return {};
  }
  const char* const environment = std::getenv("PATH");
  std::istringstream path(environment == nullptr ? "/usr/local/bin:/usr/bin:/bin" : environment);
  for (std::string directory; std::getline(path, directory, ':');) {
    std::string file = (directory.empty() ? "." : directory) + "/" + name;
    std::string reason;
    if (executable(file, reason)) return file;
    struct stat status {};
    if (stat(file.c_str(), &status) == 0 && !S_ISDIR(status.st_mode)) {
      exit_code = kExitNotExecutable;
      why = fmt::format("{}: {}", file, reason);
    }
  }
  return {};
}

std::vector<Finding> check_program(const std::string& path) {
  std::vector<Finding> out;
  std::string current = path;
  for (int level = 0; level < kScriptLevels; ++level) {
    const std::vector<std::string> words = interpreter_words(current);
    if (words.empty()) break;
    // The kernel ignores setuid on scripts; what interprets them decides.
    out.push_back({Level::ok, "script", fmt::format("{} is run by {}", current, words[0])});
    current = words[0];
    if (!std::ifstream(current)) {
      out.push_back({Level::fail, "program",
                     fmt::format("{}: {}: install it, or correct the first line of the script",
                                 current, std::strerror(errno))});
      return out;
    }
    const std::string after_env = program_of_env(words);
    if (current.size() < 4 || current.compare(current.size() - 4, 4, "/env") != 0 ||
        after_env.empty()) {
      continue;
    }
    int ignored = 0;
    std::string why;
    current = find_program(after_env, ignored, why);
    if (current.empty()) {
      out.push_back({Level::fail, "program", fmt::format("{}: {}", after_env, why)});
      return out;
    }
    out.push_back({Level::ok, "script", fmt::format("env runs {}", current)});
  }
  std::string why;
  const std::unique_ptr<ElfImage> image = ElfImage::open(current, why);
  if (image == nullptr) {
    out.push_back(
        {Level::fail, "program",
         fmt::format("{} {}: give a program or a script that starts with #!", current, why)});
    return out;
  }
  check_binary(current, *image, out);
  if (current != path && is_shell(current)) {
    out.push_back({Level::ok, "script",
                   fmt::format("{} is a shell script: what it executes is not checked, give that "
                               "program instead",
                               path)});
  }
  check_privileges(current, out);
  return out;
}

}  // namespace forkmend::command
