#include "shim/command/live.h"

#include <fmt/format.h>
#include <libunwind-ptrace.h>
#include <libunwind.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <thread>

#include "shim/command/command.h"
#include "shim/command/unwind.h"

namespace forkmend::command {
namespace {

// A thread stops at once unless it is in an uninterruptible sleep, which may last for ever.
constexpr auto kStopPatience = std::chrono::milliseconds(2000);

// Of a process; of a thread that is none by itself, 0.
int parent_of(int pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string text;
  std::getline(file, text);
  const std::size_t name_end = text.rfind(')');  // the name may hold anything
  int parent = 0;
  if (name_end != std::string::npos) std::sscanf(text.c_str() + name_end, ") %*c %d", &parent);
  return parent;
}

// Threads that did not stop in time: they stop when they leave the kernel.
std::vector<int> late;

// PTRACE_SEIZE and not ATTACH: it sends no SIGSTOP that could be left behind.
class Stopped {
 public:
  Stopped(int pid, int tid) : pid_(pid), tid_(tid) {
    if (ptrace(PTRACE_SEIZE, tid, nullptr, nullptr) != 0) {
      error_ = errno;
      return;
    }
    if (ptrace(PTRACE_INTERRUPT, tid, nullptr, nullptr) != 0) error_ = errno;
    stopped_ = error_ == 0 && wait_for_stop();
    if (stopped_ || error_ != 0) return;
    error_ = ETIMEDOUT;
    late.push_back(tid);
  }
  ~Stopped() {
    if (stopped_) ptrace(PTRACE_DETACH, tid_, nullptr, reinterpret_cast<void*>(signal_));
  }
  Stopped(const Stopped&) = delete;
  Stopped& operator=(const Stopped&) = delete;

  bool ok() const { return stopped_; }
  int error() const { return error_; }

 private:
  bool wait_for_stop() {
    const auto deadline = std::chrono::steady_clock::now() + kStopPatience;
    while (std::chrono::steady_clock::now() < deadline) {
      siginfo_t info{};
      const int options = WSTOPPED | WEXITED | __WALL | WNOHANG;
      const int got = waitid(P_PID, static_cast<id_t>(tid_), &info, options | WNOWAIT);
      if (got == 0 && info.si_pid == tid_ && info.si_code == CLD_TRAPPED) {
        waitid(P_PID, static_cast<id_t>(tid_), &info, options);
        // A signal that arrived first is delivered when the thread goes on.
        if (info.si_status >> 8 != PTRACE_EVENT_STOP) signal_ = info.si_status & 0x7f;
        return true;
      }
      if ((got == 0 && info.si_pid == tid_) || (got != 0 && errno != EINTR)) {
        // It ended. If this program started it, how it ended is learnt elsewhere.
        if (got == 0 && (tid_ != pid_ || parent_of(pid_) != getpid()))
          waitid(P_PID, static_cast<id_t>(tid_), &info, options);
        error_ = ESRCH;
        return false;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return false;
  }

  int pid_, tid_;
  bool stopped_ = false;
  int error_ = 0;
  long signal_ = 0;
};

struct DestroySpace {
  void operator()(unw_addr_space_t space) const { unw_destroy_addr_space(space); }
};
struct DestroyUpt {
  void operator()(void* upt) const { _UPT_destroy(upt); }
};

RawStack unwind_stopped(unw_addr_space_t space, int tid) {
  RawStack out;
  const std::unique_ptr<void, DestroyUpt> upt(_UPT_create(tid));
  unw_cursor_t cursor;
  if (upt == nullptr || unw_init_remote(&cursor, space, upt.get()) != 0) {
    out.ended = "the unwinder could not be set up";
    return out;
  }
  int step = 1;
  while (step > 0 && out.frames.size() < kMaxFrames) {
    unw_word_t ip = 0;
    unw_word_t sp = 0;
    unw_get_reg(&cursor, UNW_REG_IP, &ip);
    unw_get_reg(&cursor, UNW_REG_SP, &sp);
    if (ip == 0 || (!out.frames.empty() && sp < out.frames.back().sp)) break;
    out.frames.push_back({ip, sp, out.frames.empty(), false, false});
    note_signal(cursor, out.frames);
    step = unw_step(&cursor);
  }
  if (step < 0) out.ended = fmt::format("cannot be unwound further: {}", unw_strerror(step));
  return out;
}

std::vector<int> threads_of(int pid) {
  std::vector<int> out;
  std::error_code error;
  const std::filesystem::path tasks = fmt::format("/proc/{}/task", pid);
  for (std::filesystem::directory_iterator it(tasks, error), end; !error && it != end;
       it.increment(error)) {
    out.push_back(std::atoi(it->path().filename().c_str()));
  }
  std::sort(out.begin(), out.end(),
            [&](int a, int b) { return (a == pid) != (b == pid) ? a == pid : a < b; });
  return out;
}

std::string thread_name(int pid, int tid) {
  std::ifstream file(fmt::format("/proc/{}/task/{}/comm", pid, tid));
  std::string name;
  std::getline(file, name);
  return name;
}

}  // namespace

void let_go_of_late_threads() {
  late.erase(std::remove_if(late.begin(), late.end(),
                            [](int tid) {
                              siginfo_t info{};
                              const int options = WSTOPPED | __WALL | WNOHANG;
                              if (waitid(P_PID, static_cast<id_t>(tid), &info, options) != 0)
                                return errno == ECHILD;
                              if (info.si_pid != tid) return false;
                              ptrace(PTRACE_DETACH, tid, nullptr, nullptr);
                              return true;
                            }),
             late.end());
}

std::vector<LiveThread> live_threads(int pid, std::chrono::nanoseconds* stopped_for) {
  if (pid == getpid()) throw UserError(fmt::format("process {} is this command itself", pid));
  const std::vector<int> tids = threads_of(pid);
  if (tids.empty()) throw UserError(fmt::format("process {} does not exist", pid));

  std::vector<std::pair<LiveThread, RawStack>> raw;
  const auto start = std::chrono::steady_clock::now();
  {
    const std::unique_ptr<std::remove_pointer_t<unw_addr_space_t>, DestroySpace> space(
        unw_create_addr_space(&_UPT_accessors, 0));
    if (space == nullptr) throw UserError("the unwinder could not be set up");
    std::vector<std::unique_ptr<Stopped>> stopped;  // all at once: the stacks belong together
    for (const int tid : tids) {
      auto one = std::make_unique<Stopped>(pid, tid);
      LiveThread thread;
      thread.tid = tid;
      thread.name = thread_name(pid, tid);
      if (!one->ok() && one->error() == EPERM) {
        throw UserError(
            fmt::format("process {} cannot be traced: run this as its user or as root, "
                        "and not while a debugger is attached",
                        pid));
      }
      RawStack none;
      if (!one->ok()) none.ended = fmt::format("not stopped: {}", std::strerror(one->error()));
      raw.emplace_back(std::move(thread), std::move(none));
      stopped.push_back(std::move(one));
    }
    for (std::size_t i = 0; i < raw.size(); ++i) {
      if (stopped[i]->ok()) raw[i].second = unwind_stopped(space.get(), raw[i].first.tid);
    }
  }

  if (stopped_for != nullptr) *stopped_for += std::chrono::steady_clock::now() - start;

  Symbols symbols(pid);
  std::vector<LiveThread> out;
  for (auto& [thread, stack] : raw) {
    for (const RawFrame& frame : stack.frames) {
      for (Frame& named : symbols.frames(frame)) {
        thread.stack.frames.push_back(std::move(named));
      }
    }
    thread.stack.ended = stack.ended;
    mark_yours(thread.stack.frames);
    out.push_back(std::move(thread));
  }
  return out;
}

}  // namespace forkmend::command
