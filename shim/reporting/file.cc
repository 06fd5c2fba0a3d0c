#include "shim/reporting/file.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "shim/base/directory.h"
#include "shim/base/message.h"
#include "shim/base/output.h"
#include "shim/base/settings.h"
#include "shim/base/spinlock.h"
#include "shim/base/syscall.h"
#include "shim/reporting/modules.h"
#include "shim/reporting/process.h"
#include "shim/reporting/storm.h"
#include "shim/reporting/utc.h"
#include "shim/threads/thread.h"

namespace forkmend::report_file {
namespace {

// A directory may hold this much in all; a storm of reports must not fill a disk.
constexpr std::int64_t kDirectoryLimit = std::int64_t{64} << 20;

// The file that this process made. Whoever finds that it is another process's makes its own.
struct File {
  int pid;  // stored last
  std::uint64_t start_ticks;
  std::uint64_t device, inode;
  char name[96];
};
File made;  // Rank::report_file

// An open descriptor, closed at the end.
class Descriptor {
 public:
  explicit Descriptor(long number = -1) : number_(static_cast<int>(number)) {}
  ~Descriptor() {
    if (number_ >= 0) sys::close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  void reset(long number) {
    if (number_ >= 0) sys::close(number_);
    number_ = static_cast<int>(number);
  }
  int number() const { return number_; }
  explicit operator bool() const { return number_ >= 0; }

 private:
  int number_;
};

long open_at(const Descriptor& directory, const char* name, int flags, int mode = 0) {
  return sys::call(SYS_openat, directory.number(), sys::arg(name),
                   flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, mode);
}

bool facts(const Descriptor& file, struct stat& out) {
  return sys::call(SYS_newfstatat, file.number(), sys::arg(""), sys::arg(&out), AT_EMPTY_PATH) == 0;
}

std::uint64_t effective_user() { return static_cast<std::uint64_t>(sys::call(SYS_geteuid)); }

// What is wrong, in words: empty if nothing is, and nothing is said of a directory that is not
// there. It never holds more than a few numbers.
using Problem = Text<160>;

// Opens the directory, which is made if need be. Refused where somebody else could put files into
// the way: another user's (but root's, who can do anything anyway, unless it is to be ours alone),
// one that everybody may write to without the sticky bit, a link.
bool open_directory(const char* path, bool ours_alone, Descriptor& out, Problem& problem) {
  sys::call(SYS_mkdirat, AT_FDCWD, sys::arg(path), 0700);
  const long fd = sys::open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW);
  if (fd == -ENOENT) return false;
  if (fd == -ENOTDIR || fd == -ELOOP)
    return problem.append("is no directory, or a link: name a directory in FORKMEND_DIR"), false;
  if (fd < 0) return problem.format("cannot be opened (errno {}): set FORKMEND_DIR", -fd), false;
  out.reset(fd);
  struct stat info {};
  if (!facts(out, info)) return problem.append("cannot be looked at: set FORKMEND_DIR"), false;
  const std::uint64_t user = effective_user();
  if (info.st_uid != user && (ours_alone || info.st_uid != 0)) {
    problem.format("belongs to user {}, this process to {}: chown it, or set FORKMEND_DIR",
                   info.st_uid, user);
  } else if ((info.st_mode & S_IWOTH) != 0 && (info.st_mode & S_ISVTX) == 0) {
    problem.format("has mode {:o}, so that anybody can put files there: chmod o-w or +t",
                   info.st_mode & 07777);
  } else if (sys::call(SYS_faccessat, out.number(), sys::arg("."), 2 /* W_OK */) != 0) {
    problem.format("cannot be written to by user {}: chown it, or set FORKMEND_DIR", user);
  }
  return problem.size() == 0;
}

// FORKMEND_DIR, else the user's own. `path` is the last that was tried.
bool find_directory(Text<512>& path, Descriptor& out, Problem& problem) {
  if (settings.dir[0] != '\0') {
    path.append(settings.dir).append('\0');
    return open_directory(path.data(), false, out, problem);
  }
  if (const char* runtime = getenv("XDG_RUNTIME_DIR"); runtime != nullptr && runtime[0] == '/') {
    path.format("{}/forkmend", runtime).append('\0');
    if (!path.truncated() && open_directory(path.data(), true, out, problem)) return true;
    path.clear();
    problem.clear();
  }
  const char* temporary = getenv("TMPDIR");
  if (temporary == nullptr || temporary[0] != '/') temporary = "/tmp";
  path.format("{}/forkmend-{}", temporary, effective_user()).append('\0');
  return open_directory(path.data(), true, out, problem);
}

// Bytes of the files in the directory.
std::int64_t bytes_in(const Descriptor& directory) {
  const Descriptor readable(open_at(directory, ".", O_RDONLY | O_DIRECTORY));
  if (!readable) return 0;
  std::int64_t total = 0;
  sys::for_each_entry(readable.number(), [&](const char* name) {
    struct stat info {};
    if (sys::call(SYS_newfstatat, readable.number(), sys::arg(name), sys::arg(&info),
                  AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISREG(info.st_mode))
      total += info.st_size;
    return true;
  });
  return total;
}

// A number that nobody outside of this process can foretell.
std::uint64_t unforeseen() {
  std::uint64_t number = 0;
  constexpr unsigned kNonblock = 1;  // GRND_NONBLOCK
  if (sys::call(SYS_getrandom, sys::arg(&number), sizeof number, kNonblock) == sizeof number)
    return number;
  // A kernel or a filter without it: what the kernel gave this program at its start, and the time.
  std::uint64_t seed[2] = {};
  if (const auto* given = reinterpret_cast<const char*>(getauxval(AT_RANDOM)))
    __builtin_memcpy(seed, given, sizeof seed);
  std::uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a, 64 bits
  for (const std::uint64_t word : {seed[0], static_cast<std::uint64_t>(now()), seed[1],
                                   static_cast<std::uint64_t>(sys::gettid())})
    for (int i = 0; i < 8; i++) hash = (hash ^ (word >> (8 * i) & 0xff)) * 0x100000001b3u;
  return hash;
}

// A file of ours alone: no link of it elsewhere, nobody else may write to it.
bool is_sound(const struct stat& info) {
  return S_ISREG(info.st_mode) && info.st_nlink == 1 && info.st_uid == effective_user() &&
         (info.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

bool recall(File& out) {
  const SpinGuard guard(Rank::report_file);
  out = made;
  return out.pid != 0;
}

// The file that another event of this process went to, if it is still there and still the same.
bool open_again(const Descriptor& directory, std::uint64_t start_ticks, Descriptor& out) {
  File file;
  if (!recall(file) || file.pid != sys::getpid() || file.start_ticks != start_ticks) return false;
  out.reset(open_at(directory, file.name, O_WRONLY | O_APPEND));
  struct stat info {};
  return out && facts(out, info) && is_sound(info) && info.st_dev == file.device &&
         info.st_ino == file.inode;
}

bool open_new(const Descriptor& directory, std::uint64_t start_ticks, Descriptor& out,
              Problem& problem) {
  if (bytes_in(directory) > kDirectoryLimit)
    return problem.append("holds more than 64 MiB: nothing more is written there"), false;
  File file{};
  const int pid = sys::getpid();
  long fd = -EEXIST;
  for (int tries = 0; fd == -EEXIST && tries < 8; tries++) {
    Text<sizeof file.name> name;
    name.format("{}-{}-{}-{:016x}.jsonl", pid, start_ticks, process::pid_namespace_inode(),
                unforeseen());
    copy_text(file.name, name.view());
    fd = open_at(directory, file.name, O_WRONLY | O_APPEND | O_CREAT | O_EXCL, 0600);
  }
  if (fd < 0) return problem.format("takes no new file (errno {})", -fd), false;
  out.reset(fd);
  struct stat info {};
  if (!facts(out, info) || !is_sound(info))
    return problem.append("does not keep owner and mode of a file: set FORKMEND_DIR"), false;
  file.device = info.st_dev;
  file.inode = info.st_ino;
  file.start_ticks = start_ticks;
  file.pid = pid;
  const SpinGuard guard(Rank::report_file);
  made.pid = 0;  // a child forked here finds none, not half of one
  std::atomic_signal_fence(std::memory_order_seq_cst);
  made = {0, file.start_ticks, file.device, file.inode, {}};
  copy_text(made.name, file.name);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  made.pid = pid;
  return true;
}

// A signal (SIGXFSZ) ends a process that writes beyond its limit.
bool is_within_limit(const Descriptor& file, std::size_t size) {
  struct {
    std::uint64_t soft, hard;
  } limit{};
  struct stat info {};
  if (sys::call(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, sys::arg(&limit)) != 0 || !facts(file, info))
    return false;
  return static_cast<std::uint64_t>(info.st_size) + size <= limit.soft;
}

// One line in a family of processes, where there is a report to miss or somebody who reads along.
void say_refused(std::string_view path, std::string_view problem, bool is_lockup) {
  if (!is_lockup && settings.log != Log::info) return;
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : problem) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  if (storm::count(hash) != 1) return;
  Message<1024> line;
  line.format("forkmend[{}]: no report file: {} {}", sys::getpid(), path.substr(0, path.find('\0')),
              problem);
  line.write();
}

}  // namespace

bool write_line(std::string_view text, bool is_lockup) {
  spin::check_none_held();
  Text<512> path;
  Problem problem;
  // Directory and file are opened for each event and closed again: servers close descriptors they
  // do not know, and the number may be somebody's connection by the next event.
  Descriptor directory, file;
  const std::uint64_t start_ticks = process::start_ticks();
  const bool open =
      find_directory(path, directory, problem) && !path.truncated() &&
      (open_again(directory, start_ticks, file) || open_new(directory, start_ticks, file, problem));
  if (open && is_within_limit(file, text.size()) &&
      sys::write_unasked(file.number(), text.data(), text.size()) == static_cast<long>(text.size()))
    return true;
  if (problem.size() != 0) say_refused(path.view(), problem.view(), is_lockup);
  return false;
}

void begin_event(Json& json, std::string_view event) {
  const Nanoseconds wall = now(CLOCK_REALTIME);
  Text<32> time;
  append_utc(time, wall);
  Text<64> boot, host;
  process::read_line("/proc/sys/kernel/random/boot_id", boot);
  process::read_line("/proc/sys/kernel/hostname", host);
  Text<256> argv0;
  Text<448> exe;
  process::argument_zero(argv0);
  process::executable(exe);
  json.open('{').field("schema", 1).field("event", event).field("time", time.view());
  json.field("mono_ns", now()).field("boot_id", boot.view()).field("host", host.view());
  json.field("pidns_inode", static_cast<std::int64_t>(process::pid_namespace_inode()));
  json.key("process").open('{').field("pid", sys::getpid());
  json.field("start_ticks", static_cast<std::int64_t>(process::start_ticks()));
  json.field("ppid", sys::getppid());
  json.field("generation", threads::generation.load());
  json.field("argv0", argv0.view()).field("exe", exe.view());
  const modules::Module* main = modules::of_executable();
  json.key("build_id");
  if (main != nullptr) {
    json.hex(main->build_id, main->build_id_size);
  } else {
    json.string("");
  }
  json.close('}');
}

}  // namespace forkmend::report_file
