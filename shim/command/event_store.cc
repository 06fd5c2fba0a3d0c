#include "shim/command/event_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>

namespace forkmend::command {
namespace {

namespace fs = std::filesystem;

// The shared object writes events of 512 KiB at most, and stops at 64 MiB in a directory.
constexpr ssize_t kReportLineMax = 4 << 20;
constexpr off_t kReportFileMax = off_t{256} << 20;
constexpr std::size_t kMostProblems = 20;  // told of one file

std::string from_environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// What is wrong with the lines of one file: some of it is told of, all of it is counted.
class LineProblems {
 public:
  LineProblems(Reports& out, const std::string& file) : out_(out), file_(file) {}
  void end() {
    if (count_ > kMostProblems) {
      out_.problems.push_back(
          fmt::format("{}: {} more lines skipped", file_, count_ - kMostProblems));
    }
  }
  void add(std::string text) {
    if (++count_ <= kMostProblems) out_.problems.push_back(std::move(text));
  }

 private:
  Reports& out_;
  const std::string& file_;
  std::size_t count_ = 0;
};

// The line as a problem tells of it. A writer that was killed leaves its last line unfinished.
void read_line(Reports& out, LineProblems& problems, const std::string& file, int number,
               std::string_view line, bool finished) {
  if (line.find_first_not_of(" \t\r") == std::string_view::npos) return;
  try {
    Event event = parse_event(line);
    event.file = file;
    event.line = number;
    out.events.push_back(std::move(event));
  } catch (const FormatError& error) {
    problems.add(
        finished ? fmt::format("{}:{}: {}; line skipped", file, number, error.what())
                 : fmt::format("{}:{}: the last line is cut short ({}); line skipped, read again "
                               "if the process is still writing",
                               file, number, error.what()));
  }
}

// `link`: O_NOFOLLOW for what stands in a directory, where others may have put it, or 0. Never
// waits for a FIFO or a device.
void read_file(Reports& out, const std::string& file, int link) {
  const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | link);
  struct stat status {};
  if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
    out.problems.push_back(fmt::format("{}: cannot be read: {}; file skipped", file,
                                       fd >= 0          ? "no regular file"
                                       : errno == ELOOP ? "a link"
                                                        : std::strerror(errno)));
    if (fd >= 0) close(fd);
    return;
  }
  if (status.st_size > kReportFileMax) {
    out.problems.push_back(fmt::format("{}: is larger than {} MiB, no report file; file skipped",
                                       file, kReportFileMax >> 20));
    close(fd);
    return;
  }
  LineProblems problems(out, file);
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> stream(fdopen(fd, "r"), std::fclose);
  char* buffer = nullptr;
  std::size_t capacity = 0;
  int number = 0;
  ssize_t length;
  while ((length = getline(&buffer, &capacity, stream.get())) >= 0) {
    const bool finished = length > 0 && buffer[length - 1] == '\n';
    ++number;
    if (length > kReportLineMax) {
      problems.add(fmt::format("{}:{}: is longer than {} MiB, no event; line skipped", file, number,
                               kReportLineMax >> 20));
      continue;
    }
    read_line(out, problems, file, number, {buffer, static_cast<std::size_t>(length - finished)},
              finished);
  }
  std::free(buffer);
  problems.end();
  if (std::ferror(stream.get()) != 0) {
    out.problems.push_back(fmt::format("{}:{}: cannot be read further: {}; the rest skipped", file,
                                       number, std::strerror(errno)));
  }
}

}  // namespace

std::string report_directory() {
  if (std::string own = from_environment("FORKMEND_DIR"); !own.empty()) return own;
  if (std::string user = from_environment("XDG_RUNTIME_DIR"); !user.empty()) {
    return user + "/forkmend";
  }
  std::string temporary = from_environment("TMPDIR");
  if (temporary.empty()) temporary = "/tmp";
  return fmt::format("{}/forkmend-{}", temporary, geteuid());
}

std::string directory_problem(const std::string& directory) {
  struct stat status {};
  if (lstat(directory.c_str(), &status) != 0) {
    if (errno == ENOENT) return {};
    return fmt::format("{}: {}", directory, std::strerror(errno));
  }
  const bool chosen = !from_environment("FORKMEND_DIR").empty();
  if (S_ISLNK(status.st_mode) && chosen && stat(directory.c_str(), &status) != 0) {
    return fmt::format("{}: {}", directory, std::strerror(errno));
  }
  if (!S_ISDIR(status.st_mode)) {
    return fmt::format("{} is no directory: remove it, or set FORKMEND_DIR", directory);
  }
  // In a directory that everybody can write to, the name may have been taken by somebody else.
  if (!chosen && status.st_uid != geteuid()) {
    return fmt::format("{} belongs to user {}: remove it, or set FORKMEND_DIR", directory,
                       status.st_uid);
  }
  if (access(directory.c_str(), R_OK | X_OK) != 0) {
    return fmt::format("{}: {}", directory, std::strerror(errno));
  }
  return {};
}

Reports read_reports(const std::string& path) {
  Reports out;
  std::error_code error;
  if (fs::is_directory(path, error)) {
    std::vector<std::string> files;
    for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
      if (it->path().extension() == ".jsonl") files.push_back(it->path().string());
    }
    if (error) out.problems.push_back(fmt::format("{}: {}", path, error.message()));
    std::sort(files.begin(), files.end());
    for (const std::string& file : files) read_file(out, file, O_NOFOLLOW);
  } else {
    read_file(out, path, 0);
  }
  // UTC in a fixed format: the order of the text is that of time, across reboots and hosts.
  std::stable_sort(out.events.begin(), out.events.end(),
                   [](const Event& a, const Event& b) { return a.time < b.time; });
  return out;
}

}  // namespace forkmend::command
