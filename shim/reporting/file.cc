#include "shim/reporting/file.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "shim/base/directory.h"
#include "shim/base/settings.h"
#include "shim/base/syscall.h"
#include "shim/reporting/modules.h"
#include "shim/reporting/process.h"
#include "shim/reporting/utc.h"
#include "shim/threads/thread.h"

namespace forkmend::report_file {
namespace {

// A directory may hold this much in all; a storm of reports must not fill a disk.
constexpr std::int64_t kDirectoryLimit = std::int64_t{64} << 20;

int named_by;         // pid: a child writes a file of its own
char file_path[640];  // empty: nowhere to write

// Makes the directory if need be; true if it is ours and can be used.
bool usable(const char* path, bool ours_alone) {
  sys::call(SYS_mkdirat, AT_FDCWD, sys::arg(path), 0700);
  struct stat info {};
  if (sys::call(SYS_newfstatat, AT_FDCWD, sys::arg(path), sys::arg(&info), AT_SYMLINK_NOFOLLOW) !=
      0)
    return false;
  if (!S_ISDIR(info.st_mode)) return false;
  if (ours_alone && info.st_uid != static_cast<uid_t>(sys::call(SYS_geteuid))) return false;
  return sys::call(SYS_faccessat, AT_FDCWD, sys::arg(path), 2 /* W_OK */) == 0;
}

bool find_directory(Text<512>& out) {
  if (settings.dir[0] != '\0') {
    out.append(settings.dir).append('\0');
    return usable(out.data(), false);
  }
  if (const char* runtime = getenv("XDG_RUNTIME_DIR"); runtime != nullptr && runtime[0] == '/') {
    out.format("{}/forkmend", runtime).append('\0');
    if (usable(out.data(), true)) return true;
    out.clear();
  }
  const char* temporary = getenv("TMPDIR");
  if (temporary == nullptr || temporary[0] != '/') temporary = "/tmp";
  out.format("{}/forkmend-{}", temporary, sys::call(SYS_geteuid)).append('\0');
  return usable(out.data(), true);
}

// Bytes of the files in the directory.
std::int64_t bytes_in(const char* path) {
  const long fd = sys::open(path, O_RDONLY | O_DIRECTORY);
  if (fd < 0) return 0;
  std::int64_t total = 0;
  sys::for_each_entry(static_cast<int>(fd), [&](const char* name) {
    struct stat info {};
    if (sys::call(SYS_newfstatat, fd, sys::arg(name), sys::arg(&info), AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISREG(info.st_mode))
      total += info.st_size;
    return true;
  });
  sys::close(static_cast<int>(fd));
  return total;
}

bool choose_path() {
  const int pid = sys::getpid();
  if (named_by == pid) return file_path[0] != '\0';
  named_by = pid;
  file_path[0] = '\0';
  Text<512> directory;
  if (!find_directory(directory) || directory.truncated()) return false;
  const char* folder = directory.data();
  if (bytes_in(folder) > kDirectoryLimit) {
    static const char kFull[] =
        "forkmend: the report directory holds more than 64 MiB: nothing more is written there\n";
    sys::write(2, kFull, sizeof kFull - 1);
    return false;
  }
  Text<sizeof file_path> path;
  path.format("{}/{}-{}-{}.jsonl", folder, pid, process::start_ticks(),
              process::pid_namespace_inode());
  if (path.truncated()) return false;
  copy_text(file_path, path.view());
  return true;
}

}  // namespace

bool write_line(std::string_view line) {
  if (!choose_path()) return false;
  // Opened for each event and closed again: servers close descriptors they do not know, and the
  // number may be somebody's connection by the next event.
  const long fd = sys::open(file_path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600);
  if (fd < 0) return false;
  const long written = sys::write(static_cast<int>(fd), line.data(), line.size());
  sys::close(static_cast<int>(fd));
  return written == static_cast<long>(line.size());
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
