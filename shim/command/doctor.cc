// forkmend doctor: whether forkmend can work here, for a program or in general.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>

#include "shim/command/command.h"
#include "shim/command/event_store.h"
#include "shim/command/library.h"
#include "shim/command/output.h"
#include "shim/command/program.h"
#include "shim/runtimes/profile_file.h"

namespace forkmend::command {
namespace {

// /bin/true takes a millisecond; a library that hangs at load must not hang the doctor.
constexpr auto kProbePatience = std::chrono::seconds(10);

struct KnownPreload {
  const char* start;  // of the file's name
  Level level;
  const char* text;
};

// What was measured or read about libraries that are preloaded beside ours.
constexpr KnownPreload kKnownPreloads[] = {
    {"libjemalloc", Level::warn,
     "an allocator: works in either order; threads that only allocate never reach the safepoint"},
    {"libtcmalloc", Level::warn,
     "an allocator: works in either order; threads that only allocate never reach the safepoint"},
    {"libmimalloc", Level::warn,
     "an allocator: works in either order; threads that only allocate never reach the safepoint"},
    {"libasan", Level::fail, "a sanitizer: forkmend stays switched off beside it; remove it"},
    {"libtsan", Level::fail, "a sanitizer: forkmend stays switched off beside it; remove it"},
    {"libmsan", Level::fail, "a sanitizer: forkmend stays switched off beside it; remove it"},
    {"liblsan", Level::fail, "a sanitizer: forkmend stays switched off beside it; remove it"},
    {"libclang_rt.", Level::fail, "a sanitizer: forkmend stays switched off beside it; remove it"},
    {"libfaketime", Level::warn,
     "changes what timed waits see: deadlines and reported times are the faked ones"},
    {"libheaptrack", Level::warn, "interposes allocation and starts a thread of its own"},
    {"libmutrace", Level::warn, "interposes the same locks: its counts will include ours"},
    {"libdmtcp", Level::fail, "interposes fork and threads itself: use one of the two"},
    {"libcoz", Level::warn, "interposes locks, waits and thread creation; not measured together"},
};

class Doctor {
 public:
  explicit Doctor(std::string wanted_library)
      : wanted_(std::move(wanted_library)), style_(Style::of(stdout)) {}

  int run(const std::string& subject) {
    check_library();
    if (!subject.empty()) check_subject(subject);
    check_preloads();
    check_configuration();
    check_directory();
    std::fflush(stdout);
    if (first_failure_.empty()) return 0;
    complain("forkmend doctor", "it will not work: " + first_failure_);
    return kExitFound;
  }

 private:
  void say(Level level, const std::string& subject, const std::string& text) {
    const char* const names[] = {"ok", "warn", "fail"};
    std::string label = fmt::format("{:<5}", names[static_cast<int>(level)]);
    label = level == Level::ok     ? style_.green(label)
            : level == Level::warn ? style_.yellow(label)
                                   : style_.red(label);
    const std::string line = fmt::format("{} {:<11} {}\n", label, subject, printable(text));
    print(line);
    if (level == Level::fail && first_failure_.empty()) first_failure_ = text;
  }

  void check_library() {
    try {
      const Library library = find_library(wanted_, kExitFound);
      say(Level::ok, "library", library.file);
      probe(library);
    } catch (const UserError& error) {
      say(Level::fail, "library", error.what());
    }
  }

  static bool begins(std::string_view text, std::string_view start) {
    return text.substr(0, start.size()) == start;
  }

  // Runs /bin/true under the library alone and reads what it found out while it was loaded.
  void probe(const Library& library) {
    std::vector<std::string> environment;
    for (char** entry = environ; *entry != nullptr; ++entry) {
      const std::string_view text = *entry;
      // Where the library is not to act it says nothing: what switches it off is looked at apart.
      if (!begins(text, "LD_PRELOAD=") && !begins(text, "FORKMEND=") &&
          !begins(text, "FORKMEND_ONLY="))
        environment.emplace_back(text);
    }
    environment.push_back("LD_PRELOAD=" + library.file);
    environment.emplace_back("FORKMEND_DOCTOR=1");
    std::string errors;
    const std::string output = run_true(environment, errors);
    int lines = 0;
    std::istringstream stream(output);
    for (std::string line; std::getline(stream, line);) lines += probe_line(line) ? 1 : 0;
    if (lines > 0) return;
    std::string why = errors.substr(0, errors.find('\n'));
    constexpr std::string_view kOff = "forkmend: off in this process: ";
    if (begins(why, kOff)) {
      say(Level::fail, "library",
          fmt::format("it switches itself off: {}", why.substr(kOff.size())));
      return;
    }
    say(Level::fail, "library",
        fmt::format("{} did not load into /bin/true{}{}: reinstall it, or see whether it is made "
                    "for this libc",
                    library.file, why.empty() ? "" : ": ", why));
  }

  // "forkmend doctor: KEY: ok|off REASON"
  bool probe_line(const std::string& line) {
    constexpr std::string_view kStart = "forkmend doctor: ";
    if (line.compare(0, kStart.size(), kStart) != 0) return false;
    const std::size_t colon = line.find(": ", kStart.size());
    if (colon == std::string::npos) return false;
    const std::string key = line.substr(kStart.size(), colon - kStart.size());
    const std::string rest = line.substr(colon + 2);
    const std::string state = rest.substr(0, rest.find(' '));
    const std::string reason = state.size() < rest.size() ? rest.substr(state.size() + 1) : "";
    if (state == "ok") {
      say(Level::ok, "probe", fmt::format("{}{}{}", key, reason.empty() ? "" : ": ", reason));
    } else {
      say(Level::warn, "probe",
          fmt::format("{} is off: {}; what needs it stays off, the rest works", key,
                      reason.empty() ? "no reason given" : reason));
    }
    return true;
  }

  static std::string run_true(std::vector<std::string>& environment, std::string& errors) {
    int out[2];
    int err[2];
    if (pipe2(out, O_CLOEXEC) != 0) return {};
    if (pipe2(err, O_CLOEXEC) != 0) {
      close(out[0]);
      close(out[1]);
      return {};
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, err[1], STDERR_FILENO);
    std::vector<char*> variables;
    variables.reserve(environment.size() + 1);
    for (std::string& variable : environment) variables.push_back(variable.data());
    variables.push_back(nullptr);
    char program[] = "/bin/true";
    char* const arguments[] = {program, nullptr};
    pid_t child = 0;
    const int failed = posix_spawn(&child, program, &actions, nullptr, arguments, variables.data());
    posix_spawn_file_actions_destroy(&actions);
    close(out[1]);
    close(err[1]);
    std::string output;
    if (failed == 0) {
      if (!drain(out[0], err[0], output, errors)) {
        errors = fmt::format("it did not end within {} s", kProbePatience.count());
        kill(child, SIGKILL);
      }
      int status = 0;
      while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
      }
      if (errors.empty() && WIFSIGNALED(status)) {
        errors = fmt::format("it died of signal {}", WTERMSIG(status));
      }
    }
    close(out[0]);
    close(err[0]);
    return output;
  }

  // Reads both until they end; false if that takes too long.
  static bool drain(int out, int err, std::string& output, std::string& errors) {
    const auto deadline = std::chrono::steady_clock::now() + kProbePatience;
    pollfd both[2] = {{out, POLLIN, 0}, {err, POLLIN, 0}};
    while (both[0].fd >= 0 || both[1].fd >= 0) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          deadline - std::chrono::steady_clock::now());
      if (left.count() <= 0) return false;
      if (poll(both, 2, static_cast<int>(left.count())) < 0 && errno != EINTR) return false;
      for (int i = 0; i < 2; ++i) {
        if (both[i].fd < 0 || both[i].revents == 0) continue;
        char buffer[4096];
        const ssize_t got = read(both[i].fd, buffer, sizeof buffer);
        if (got > 0) {
          (i == 0 ? output : errors).append(buffer, static_cast<std::size_t>(got));
        } else if (got == 0 || errno != EINTR) {
          both[i].fd = -1;
        }
      }
    }
    return true;
  }

  void check_subject(const std::string& subject) {
    int exit_code = 0;
    std::string why;
    const std::string program = find_program(subject, exit_code, why);
    if (program.empty()) {
      say(Level::fail, "program", fmt::format("{}: {}", subject, why));
      return;
    }
    for (const Finding& finding : check_program(program)) {
      say(finding.level, finding.subject, finding.text);
    }
  }

  void check_preloads() {
    const char* const list = std::getenv("LD_PRELOAD");
    bool any = false;
    for (const std::string& entry : preload_entries(list == nullptr ? "" : list)) {
      any = check_preload(entry, "LD_PRELOAD") || any;
    }
    std::ifstream file("/etc/ld.so.preload");
    for (std::string line; std::getline(file, line);) {
      for (const std::string& entry : preload_entries(line.substr(0, line.find('#')))) {
        any = check_preload(entry, "/etc/ld.so.preload") || any;
      }
    }
    if (!any) say(Level::ok, "preload", "no other library is preloaded");
  }

  // False for our own library, which is no other one.
  bool check_preload(const std::string& entry, const char* where) {
    const std::string name = std::filesystem::path(entry).filename().string();
    if (name == kLibraryName) return false;
    if (entry.find('/') != std::string::npos && entry.find('$') == std::string::npos &&
        !std::filesystem::exists(entry)) {
      say(Level::warn, "preload",
          fmt::format("{} ({}): no such file: remove it, every program prints a line about it",
                      entry, where));
      return true;
    }
    for (const KnownPreload& known : kKnownPreloads) {
      if (name.compare(0, std::strlen(known.start), known.start) != 0) continue;
      say(known.level, "preload", fmt::format("{} ({}): {}", entry, where, known.text));
      return true;
    }
    say(Level::warn, "preload",
        fmt::format("{} ({}): not known; if it interposes locks or fork, try without it", entry,
                    where));
    return true;
  }

  void check_configuration() {
    const char* const off = std::getenv("FORKMEND");
    for (const char* const value : {"off", "0", "false", "no"}) {
      if (off == nullptr || std::strcmp(off, value) != 0) continue;
      say(Level::fail, "environment",
          fmt::format("FORKMEND={} switches the library off: unset it", off));
    }
    const char* const only = std::getenv("FORKMEND_ONLY");
    if (only != nullptr && *only != '\0') {
      say(Level::warn, "environment",
          fmt::format("FORKMEND_ONLY={}: it acts in programs of these names alone", only));
    }
    const std::string system = "/etc/forkmend.toml";
    if (std::filesystem::exists(system)) check_configuration(system);
    const char* const own = std::getenv("FORKMEND_CONFIG");
    if (own != nullptr && *own != '\0') check_configuration(own);
  }

  void check_configuration(const std::string& path) {
    const ProfileFile file = read_profile_file(path);
    for (const ProfileProblem& problem : file.problems) {
      say(Level::fail, "config", problem.message());
    }
    if (file.problems.empty()) say(Level::ok, "config", path);
  }

  void check_directory() {
    const std::string directory = report_directory();
    const std::string problem = directory_problem(directory);
    if (!problem.empty()) {
      say(Level::fail, "reports", problem);
      return;
    }
    struct stat status {};
    if (stat(directory.c_str(), &status) == 0) {
      writable(directory, "reports are written to ");
      if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        say(Level::warn, "reports",
            fmt::format("{} can be written to by others: chmod 700", directory));
      }
      return;
    }
    const std::string parent = std::filesystem::absolute(directory).parent_path().string();
    if (!std::filesystem::is_directory(parent)) {
      say(Level::fail, "reports",
          fmt::format("{}: {} does not exist: make it, or set FORKMEND_DIR", directory, parent));
      return;
    }
    writable(parent, fmt::format("{} will be made in ", directory));
  }

  void writable(const std::string& directory, const std::string& text) {
    struct statvfs filesystem {};
    if (statvfs(directory.c_str(), &filesystem) == 0 && (filesystem.f_flag & ST_RDONLY) != 0) {
      say(Level::fail, "reports",
          fmt::format("{} is on a read-only file system: set FORKMEND_DIR", directory));
    } else if (access(directory.c_str(), W_OK | X_OK) != 0) {
      say(Level::fail, "reports",
          fmt::format("{} is not writable: {}: set FORKMEND_DIR", directory, std::strerror(errno)));
    } else {
      say(Level::ok, "reports", text + directory);
    }
  }

  std::string wanted_;
  Style style_;
  std::string first_failure_;
};

}  // namespace

int doctor(const std::string& library, const std::string& program) {
  return Doctor(library).run(program);
}

}  // namespace forkmend::command
