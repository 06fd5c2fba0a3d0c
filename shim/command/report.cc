// forkmend report: what was reported, with stacks unwound and named.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>

#include "shim/command/analysis.h"
#include "shim/command/block.h"
#include "shim/command/command.h"
#include "shim/command/event_store.h"
#include "shim/command/live.h"
#include "shim/command/output.h"

namespace forkmend::command {
namespace {

constexpr std::size_t kIdSize = 6;  // of a lockup's id, in hexadecimal digits

int as_pid(const std::string& text) {
  int pid = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), pid);
  return result.ec == std::errc{} && result.ptr == text.data() + text.size() && pid > 0 ? pid : 0;
}

bool is_live(int pid) { return std::filesystem::exists(fmt::format("/proc/{}/task", pid)); }

bool looks_like_path(const std::string& text) {
  return text.find('/') != std::string::npos || std::filesystem::exists(text);
}

class Report {
 public:
  Report(ReportOptions options) : options_(std::move(options)), style_(Style::of(stdout)) {}

  int run() {
    const std::string& subject = options_.subject;
    const bool path = !subject.empty() && looks_like_path(subject);
    if (path && !std::filesystem::exists(subject)) {
      throw UserError(
          fmt::format("{}: no such file or directory: give a report file, a directory, "
                      "an id or a process id",
                      subject));
    }
    directory_ = path ? subject : report_directory();
    if (!path) {
      const std::string problem = directory_problem(directory_);
      if (!problem.empty()) throw UserError(problem);
    }
    if (std::filesystem::exists(directory_)) reports_ = read_reports(directory_);
    for (const std::string& problem : reports_.problems) complain("forkmend report", problem);

    if (subject.empty() || path) {
      all();
    } else {
      one(subject);
    }
    if (!reports_.problems.empty()) return kExitUsage;
    return options_.exit_code && found_ > 0 ? kExitFound : 0;
  }

 private:
  std::vector<const Event*> lockups() const {
    std::vector<const Event*> out;
    for (const Event& event : reports_.events) {
      if (event.is_lockup()) out.push_back(&event);
    }
    return out;
  }

  static void print_json(const nlohmann::json& line) {
    // ASCII alone: what is not (C1 among it) as \uNNNN, which a terminal does not obey.
    print(line.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) + "\n");
  }

  void print_json(const Event& event) {
    print_json(event.is_lockup() ? enriched(event, analyse(event, options_.sysroot)) : event.raw);
  }

  void print_full(const Event& event) {
    std::vector<const Event*> others;
    for (const Event& other : reports_.events) {
      if (!other.is_lockup() && other.same_process(event)) others.push_back(&other);
    }
    print(full_block(event, analyse(event, options_.sysroot), others, style_));
  }

  void all() {
    const std::vector<const Event*> found = lockups();
    found_ = found.size();
    if (options_.json) {
      for (const Event& event : reports_.events) print_json(event);
      return;
    }
    if (found.empty()) {
      const char* const why =
          std::filesystem::exists(directory_)
              ? "no lockup was reported there"
              : "it does not exist: no process has reported anything, or FORKMEND_DIR differs";
      print(fmt::format("forkmend: {}: {}\n", printable(directory_), why));
      return;
    }
    for (const Event* event : found) print(list_row(*event, style_) + "\n");
    print("\n");
    print_full(*found.back());
    if (found.size() > 1) print("\nOthers: forkmend report ID\n");
  }

  // An id, the beginning of one, or a process id. An id that is given whole wins.
  void one(const std::string& subject) {
    const std::vector<const Event*> every = lockups();
    std::vector<const Event*> exact;
    std::vector<const Event*> beginning;
    for (const Event* event : every) {
      if (event->id == subject) exact.push_back(event);
      if (event->id.compare(0, subject.size(), subject) == 0) beginning.push_back(event);
    }
    const int pid = as_pid(subject);
    const bool known_pid =
        pid != 0 &&
        (is_live(pid) || std::any_of(reports_.events.begin(), reports_.events.end(),
                                     [&](const Event& event) { return event.process.pid == pid; }));
    if (exact.empty() && !known_pid) exact = unique(subject, beginning);
    if (exact.empty() && !known_pid) {
      throw UserError(fmt::format(
          "no lockup \"{}\" in {}{}: `forkmend report` lists what there is", printable(subject),
          directory_, pid != 0 ? fmt::format(", and no process {}", pid) : std::string()));
    }
    if (exact.empty()) {
      process(pid);
      return;
    }
    found_ = exact.size();
    if (options_.json) {
      for (const Event* event : exact) print_json(*event);
    } else {
      print_full(*exact.back());
    }
  }

  std::vector<const Event*> unique(const std::string& subject,
                                   const std::vector<const Event*>& beginning) const {
    std::vector<std::string> ids;
    ids.reserve(beginning.size());
    for (const Event* event : beginning) ids.push_back(event->id);
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    if (ids.size() <= 1) return beginning;
    throw UserError(
        fmt::format("\"{}\" is the beginning of {} ids, {} and {} among them: give {} "
                    "digits",
                    printable(subject), ids.size(), ids[0], ids[1], kIdSize));
  }

  void process(int pid) {
    std::vector<const Event*> here;
    for (const Event& event : reports_.events) {
      if (event.process.pid == pid) here.push_back(&event);
    }
    found_ = static_cast<std::size_t>(std::count_if(
        here.begin(), here.end(), [](const Event* event) { return event->is_lockup(); }));
    if (options_.json) {
      if (is_live(pid)) print_threads_json(pid);
      for (const Event* event : here) print_json(*event);
      return;
    }
    if (is_live(pid)) {
      print_threads(pid);
    } else {
      print(fmt::format("forkmend: process {} is gone; what it reported:\n", pid));
    }
    const Event* newest = nullptr;
    for (const Event* event : here) {
      if (event->is_lockup()) newest = event;
    }
    if (newest != nullptr) {
      print("\n");
      if (found_ > 1) {
        for (const Event* event : here) {
          if (event->is_lockup()) print(list_row(*event, style_) + "\n");
        }
        print("\n");
      }
      print_full(*newest);
      return;
    }
    print(fmt::format("\nno lockup of process {} in {}\n", pid, printable(directory_)));
    for (const Event* event : here) print("  " + other_row(*event) + "\n");
  }

  void print_threads_json(int pid) {
    nlohmann::json threads = nlohmann::json::array();
    for (const LiveThread& thread : live_threads(pid)) {
      threads.push_back({{"tid", thread.tid},
                         {"name", thread.name},
                         {"stack", {{"frames", frames_json(thread.stack)}}}});
    }
    print_json({{"schema", kSchema},
                {"event", "threads"},
                {"process", {{"pid", pid}}},
                {"threads", std::move(threads)}});
  }

  void print_threads(int pid) {
    const std::vector<LiveThread> threads = live_threads(pid);
    print(fmt::format("forkmend: process {}, {}\n", pid, counted(threads.size(), "thread")));
    for (const LiveThread& thread : threads) {
      print(fmt::format("\n{} {}{}\n", style_.bold(fmt::format("thread {}", thread.tid)),
                        printable(thread.name), thread.tid == pid ? " (main thread)" : ""));
      for (const std::string& row : frame_rows(thread.stack, kMaxLiveRows, style_)) {
        print("  " + row + "\n");
      }
    }
  }

  static constexpr std::size_t kMaxLiveRows = 100;

  ReportOptions options_;
  Style style_;
  std::string directory_;
  Reports reports_;
  std::size_t found_ = 0;
};

}  // namespace

int report(const ReportOptions& options) { return Report(options).run(); }

}  // namespace forkmend::command
