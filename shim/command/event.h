// One event of the shared object: a line of a report file.
//
// Promises: every field that is used has been checked for its type; what is absent or null keeps
// its default; unknown fields are ignored here and kept in `raw`. A line that breaks the format
// throws FormatError, which names the field.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace forkmend::command {

inline constexpr int kSchema = 1;
// Deeper nesting is no event; the limit keeps recursion over a hostile line bounded.
inline constexpr int kMaxDepth = 24;

class FormatError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

using Address = std::uint64_t;

struct PythonFrame {
  std::string file;
  int line = 0;
  std::string function;
};

struct StackCopy {
  std::vector<std::pair<std::string, Address>> registers;
  Address base = 0;  // address of the first byte of `bytes`
  std::vector<std::uint8_t> bytes;
  bool truncated = false;
  std::vector<PythonFrame> python;  // innermost first

  Address at(std::string_view name) const;  // of a register; 0 if it was not captured
};

struct Caller {
  Address addr = 0;  // or, for Python, the frame
  PythonFrame frame;
};

struct HeldLock {
  Address addr = 0;
  std::string kind;
};

struct LostThread {
  int generation = 0;
  std::int64_t serial = 0;
  int tid_in_parent = 0;
  std::string name, runtime, dso;
  Address creator = 0, start_routine = 0;
  std::string at_fork;  // "futex", "running", …; with a kind: of the object
  std::string at_fork_kind;
  Address at_fork_object = 0;
  std::optional<StackCopy> stack;
  std::vector<HeldLock> held;
};

struct WaitedFor {
  Address addr = 0;
  std::string kind;
  std::optional<bool> pshared;
  int owner_tid = 0;
};

struct Evidence {
  std::string code, text;
};

struct Fix {
  std::string kind, setting, text, risk;  // kind: "now", "code"
};

struct LoadedModule {
  std::string path;
  Address lo = 0, hi = 0, bias = 0;
  std::string build_id;
};

struct ProcessId {
  int pid = 0;
  std::int64_t start_ticks = 0;
  int ppid = 0;
  int generation = 0;
  std::string argv0, exe, build_id;
};

// (The JSON library's move constructor is noexcept by declaration; the check looks inside.)
struct Event {  // NOLINT(bugprone-exception-escape)
  nlohmann::json raw;
  std::string file;  // where it was read
  int line = 0;

  std::string event, time, host, boot_id;
  std::int64_t mono_ns = 0;
  ProcessId process;

  // Lockups:
  std::string id, fingerprint, verdict;
  std::string cause;  // code of the deciding evidence; then the first lost thread is to blame
  std::string fork_time;
  std::int64_t fork_mono_ns = 0;
  int fork_parent = 0;
  std::vector<Caller> fork_caller;
  int wait_tid = 0;
  std::string wait_thread, wait_call;
  std::optional<WaitedFor> object;
  std::int64_t wait_since_mono_ns = 0;
  std::optional<std::int64_t> wait_timeout_ns;
  std::optional<StackCopy> wait_stack;
  std::vector<LostThread> lost;
  std::int64_t lost_total = 0;
  std::vector<Evidence> evidence;
  std::vector<Fix> fixes;
  bool has_runtime = false;
  std::string runtime_name, runtime_dso, runtime_policy, runtime_profile, runtime_version;
  std::optional<bool> runtime_measured;
  std::string action;
  std::int64_t seen = 1;
  std::vector<std::string> truncated;
  std::vector<LoadedModule> modules;
  std::string version;

  bool is_lockup() const { return event == "lockup"; }
  bool same_process(const Event& other) const;
};

// Parses one line. Throws FormatError.
Event parse_event(std::string_view line);

}  // namespace forkmend::command
