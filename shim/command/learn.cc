#include "shim/command/learn.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "shim/base/glob.h"
#include "shim/command/analysis.h"
#include "shim/command/builtin.h"
#include "shim/command/command.h"
#include "shim/command/elf_image.h"
#include "shim/command/output.h"

namespace forkmend::command {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kFirstPause = std::chrono::milliseconds(50);
constexpr auto kLongestPause = std::chrono::milliseconds(1000);
// A look stops the program: it runs for this many times as long before the next.
constexpr int kShare = 9;
constexpr std::size_t kMostListed = 4;

bool is_libc(const Frame& frame) {
  const std::string_view name = base_name(frame.module);
  return glob_match("libc.so*", name) || glob_match("libc-2.*", name) ||
         glob_match("libpthread*", name) || glob_match("ld-*", name) || glob_match("ld.so*", name);
}
bool is_cxx(const Frame& frame) { return glob_match("libstdc++.so*", base_name(frame.module)); }

// The frame of the code that a thread was started with: the outermost one that is neither libc's
// nor the C++ library's.
const Frame* start_of(const std::vector<Frame>& frames) {
  for (auto it = frames.rbegin(); it != frames.rend(); ++it) {
    if (!it->module.empty() && !is_libc(*it) && !is_cxx(*it)) return &*it;
  }
  return nullptr;
}

// "pthread_cond_wait@@GLIBC_2.3.2" without the version.
std::string plain(const std::string& function) {
  std::string name = short_function(function);
  name = name.substr(0, name.find('@'));
  while (name.size() > 2 && name.compare(0, 2, "__") == 0) name.erase(0, 2);
  return name;
}

enum class Doing { waits, own_call, runs };

// Where the thread is. A wait is named by the libc function that the library called.
Doing describe(const std::vector<Frame>& frames, int pid, int tid, std::string& wait) {
  std::size_t at = 0;
  while (at < frames.size() && is_libc(frames[at])) ++at;
  std::ifstream file(fmt::format("/proc/{}/task/{}/syscall", pid, tid));
  std::string number;
  file >> number;
  const bool in_kernel = !number.empty() && number != "running";
  if (!in_kernel) return Doing::runs;
  const std::string caller =
      at < frames.size() ? std::string(base_name(frames[at].module)) : "libc itself";
  if (at == 0) {
    wait = fmt::format("system call {} of {}'s own", number, caller);
    return Doing::own_call;
  }
  const std::string function = plain(frames[at - 1].function);
  wait = fmt::format("{} called by {}", function.empty() ? "a function of libc" : function, caller);
  return Doing::waits;
}

// What ends such a wait: what the shim can see a live thread do.
const char* ended_by(const std::string& wait) {
  const auto begins = [&](const char* name) {
    return wait.compare(0, std::strlen(name), name) == 0;
  };
  if (begins("pthread_cond") || begins("cnd_"))
    return "pthread_cond_signal or _broadcast: seen by the shim";
  if (begins("sem_") || begins("new_sem")) return "sem_post: seen by the shim";
  if (begins("syscall")) return "FUTEX_WAKE through syscall(): seen by the shim";
  if (begins("epoll") || begins("poll") || begins("ppoll") || begins("select") || begins("pselect"))
    return "a write to a descriptor: eventfds and pipes of the library are seen";
  if (begins("system call")) return "another system call of its own: not seen";
  if (begins("clock_nanosleep") || begins("nanosleep")) return "time";
  return "not known";
}

std::vector<int> with_descendants(int pid) {
  std::vector<int> all{pid};
  for (std::size_t i = 0; i < all.size(); ++i) {
    std::error_code error;
    const std::filesystem::path tasks = fmt::format("/proc/{}/task", all[i]);
    for (std::filesystem::directory_iterator it(tasks, error), end; !error && it != end;
         it.increment(error)) {
      std::ifstream children(it->path() / "children");
      for (int child; children >> child;) all.push_back(child);
    }
  }
  return all;
}

std::string executable_of(int pid) {
  std::error_code error;
  return std::filesystem::read_symlink(fmt::format("/proc/{}/exe", pid), error).string();
}

// Returns for how long the program stood still.
Clock::duration look(int pid, std::vector<SeenRuntime>& seen) {
  std::chrono::nanoseconds stopped{0};
  for (const int process : with_descendants(pid)) {
    try {
      note_look(process, executable_of(process), live_threads(process, &stopped), seen);
    } catch (const UserError&) {
      // It ended meanwhile, or may not be traced: what others show still counts.
    }
  }
  return std::chrono::duration_cast<Clock::duration>(stopped);
}

// Runs the program. One that cannot be run is told by a pipe that a successful exec closes.
pid_t start(std::vector<std::string> words) {
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw UserError(fmt::format("pipe: {}", std::strerror(errno)));
  const pid_t pid = fork();
  if (pid < 0) throw UserError(fmt::format("fork: {}", std::strerror(errno)));
  if (pid == 0) {
    execvp(arguments[0], arguments.data());
    const int error = errno;
    _exit(write(ends[1], &error, sizeof error) == sizeof error ? 0 : 1);
  }
  close(ends[1]);
  int error = 0;
  const bool failed = read(ends[0], &error, sizeof error) == sizeof error;
  close(ends[0]);
  if (!failed) return pid;
  waitpid(pid, nullptr, 0);
  throw UserError(fmt::format("{}: {}", printable(words.front()), std::strerror(error)),
                  error == ENOENT ? kExitNotFound : kExitNotExecutable);
}

// Whether it ended within the pause. WNOWAIT: its threads are looked at with ptrace, which waits
// too.
bool ended_within(pid_t pid, Clock::duration pause) {
  const auto until = Clock::now() + pause;
  for (;;) {
    let_go_of_late_threads();
    siginfo_t info{};
    if (waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) != 0) return true;
    if (info.si_pid == pid) return true;
    const auto left = until - Clock::now();
    if (left <= Clock::duration::zero()) return false;
    std::this_thread::sleep_for(std::min<Clock::duration>(left, std::chrono::milliseconds(10)));
  }
}

bool exports_one(const std::string& path, const Profile& profile) {
  if (profile.symbol[0][0] == '\0') return false;
  std::string why;
  const auto image = ElfImage::open(path, why);
  return image != nullptr &&
         std::any_of(std::begin(profile.symbol), std::end(profile.symbol), [&](const char* symbol) {
           return symbol[0] != '\0' && image->defines(symbol);
         });
}

const Profile* known_profile(const SeenRuntime& runtime, const std::vector<KnownProfile>& known) {
  for (const KnownProfile& candidate : known) {
    const Profile& profile = candidate.profile;
    if (glob_match_any(profile.dso, runtime.library) || exports_one(runtime.path, profile))
      return &profile;
    for (const auto& [name, looks] : runtime.names) {
      if (glob_match_any(profile.thread, name)) return &profile;
    }
  }
  return nullptr;
}

std::vector<std::pair<std::string, int>> most_frequent(const std::map<std::string, int>& counts) {
  std::vector<std::pair<std::string, int>> out(counts.begin(), counts.end());
  std::stable_sort(out.begin(), out.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  return out;
}

std::string joined_names(const SeenRuntime& runtime) {
  std::string out;
  std::size_t count = 0;
  for (const auto& [name, looks] : most_frequent(runtime.names)) {
    if (count++ == kMostListed) return out + ", ...";
    out += (out.empty() ? "" : ", ") + printable(name);
  }
  return out;
}

int percent(int part, int whole) { return whole == 0 ? 0 : (100 * part + whole / 2) / whole; }

void print_line(const std::string& line) { print(line + "\n"); }

void print_runtime(const SeenRuntime& runtime, const std::vector<KnownProfile>& known) {
  const Style style = Style::of(stdout);
  print_line(fmt::format("{}  {} named {}", style.bold(printable(runtime.library)),
                         counted(runtime.tids.size(), "thread"), joined_names(runtime)));
  std::size_t count = 0;
  for (const auto& [wait, looks] : most_frequent(runtime.waits)) {
    if (count++ == kMostListed) break;
    print_line(fmt::format("    {:>3} %  in {}", percent(looks, runtime.looks), printable(wait)));
    print_line(fmt::format("           ended by {}", ended_by(wait)));
  }
  if (runtime.running > 0)
    print_line(fmt::format("    {:>3} %  running", percent(runtime.running, runtime.looks)));
  if (runtime.interpreter) {
    print_line("    started by Python code: its module is the runtime, not a library");
    return;
  }
  if (const Profile* profile = known_profile(runtime, known)) {
    print_line(fmt::format("    profile {}, policy {}: {}", profile->name,
                           kPolicyNames[static_cast<std::size_t>(profile->policy)],
                           profile->opt_in != 0
                               ? fmt::format("FORKMEND_PROFILES=+{} switches it on", profile->name)
                               : "nothing to write"));
    return;
  }
  print_line("");
  print_line(profile_text(runtime));
}

}  // namespace

void note_look(int pid, const std::string& executable, const std::vector<LiveThread>& threads,
               std::vector<SeenRuntime>& seen) {
  for (const LiveThread& thread : threads) {
    if (thread.tid == pid) continue;
    const Frame* from = start_of(thread.stack.frames);
    if (from == nullptr) continue;
    const std::string library(base_name(from->module));
    auto found = std::find_if(seen.begin(), seen.end(),
                              [&](const SeenRuntime& one) { return one.library == library; });
    if (found == seen.end()) {
      found = seen.emplace(seen.end());
      found->library = library;
      found->path = from->module;
      found->program = from->module == executable;
      found->interpreter = is_interpreter(from->module);
    }
    found->tids.emplace(pid, thread.tid);
    found->names[thread.name]++;
    found->looks++;
    std::string wait;
    const Doing doing = describe(thread.stack.frames, pid, thread.tid, wait);
    if (doing == Doing::runs) {
      found->running++;
      continue;
    }
    found->waits[wait]++;
    if (doing == Doing::own_call) found->own_calls++;
  }
}

std::string library_pattern(const std::string& library) {
  const std::size_t end = library.find(".so");
  if (end == std::string::npos) return library;
  std::string stem = library.substr(0, end);
  const bool versioned = library.size() > end + 3;
  // An extension module's tag, and the checksum that a wheel's libraries carry.
  const std::size_t tag = stem.find(".cpython-");
  const std::size_t abi = stem.find(".abi3");
  const std::size_t dash = stem.rfind('-');
  const auto is_hex = [](unsigned char c) { return std::isxdigit(c) != 0; };
  const bool checksum =
      dash != std::string::npos && stem.size() - dash == 9 &&
      std::all_of(stem.begin() + static_cast<std::ptrdiff_t>(dash) + 1, stem.end(), is_hex);
  const std::size_t cut = tag != std::string::npos ? tag : abi != std::string::npos ? abi : dash;
  if (tag != std::string::npos || abi != std::string::npos || checksum)
    stem = stem.substr(0, cut) + "*";
  return stem + ".so" + (versioned ? "*" : "");
}

std::string profile_text(const SeenRuntime& runtime) {
  std::string name;
  const std::string stem = library_pattern(runtime.library);
  for (const char c : stem.substr(0, stem.find(".so"))) {
    const bool fits = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_';
    if (fits && (!name.empty() || std::isalnum(static_cast<unsigned char>(c)) != 0)) name += c;
  }
  if (name.empty()) name = "unnamed";
  const bool by_itself = runtime.own_calls * 2 > runtime.looks;
  std::string out = fmt::format("# Threads of {}.\n", printable(runtime.library));
  if (by_itself)
    out +=
        "# They wait in system calls of their own: no fork can wait for them, so nothing is done\n"
        "# but to watch. To be tried: policy = \"eager\" and signal = 60, which parks them.\n";
  out += fmt::format(
      "name = \"{}\"\npolicy = \"{}\"\nmeasured = []  # the versions that you tried\n\n[match]\n",
      name.substr(0, kProfileNameSize - 1), by_itself ? "report" : "drain");
  if (!runtime.program)
    return out + fmt::format("dso = [\"{}\"]", library_pattern(runtime.library));
  // A program does many things with threads: those of one pool share a name.
  std::string names;
  std::size_t count = 0;
  for (const auto& [thread, looks] : most_frequent(runtime.names)) {
    if (count++ == kProfilePatterns) break;
    names += fmt::format("{}\"{}\"", names.empty() ? "" : ", ", printable(thread));
  }
  return out + fmt::format("thread = [{}]", names);
}

int learn(const std::vector<std::string>& words, int seconds) {
  std::vector<std::string> problems;
  const std::vector<KnownProfile> known = known_profiles(problems);
  for (const std::string& problem : problems) complain("forkmend profiles learn", problem);
  const pid_t pid = start(words);
  // ^C ends the program; what was seen is printed all the same.
  signal(SIGINT, SIG_IGN);
  const auto until = Clock::now() + std::chrono::seconds(seconds);
  std::vector<SeenRuntime> seen;
  int looks = 0;
  bool told = false;
  for (Clock::duration pause = kFirstPause; !ended_within(pid, pause);) {
    const auto before = Clock::now();
    if (seconds > 0 && before >= until && !told) {
      kill(pid, SIGTERM);
      told = true;
    }
    const Clock::duration stopped = look(pid, seen);
    looks++;
    // Reading symbols takes longer, beside the program: half of a CPU at most.
    pause = std::max({std::min<Clock::duration>(pause * 2, kLongestPause), stopped * kShare,
                      Clock::now() - before});
  }
  int status = 0;
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) throw UserError(fmt::format("waitpid: {}", std::strerror(errno)));
  }
  if (seen.empty()) {
    print_line(fmt::format("no threads but main threads were seen, in {}",
                           counted(static_cast<std::size_t>(looks), "look")));
  }
  for (const SeenRuntime& runtime : seen) print_runtime(runtime, known);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace forkmend::command
