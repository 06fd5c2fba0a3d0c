#include "shim/python/stack.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <charconv>

#include "shim/base/signals.h"
#include "shim/base/spinlock.h"
#include "shim/base/syscall.h"
#include "shim/base/text.h"
#include "shim/python/capi.h"
#include "shim/python/frames.h"
#include "shim/python/signals.h"
#include "shim/reporting/event.h"

namespace forkmend::python::stack {
namespace {

// faulthandler writes at most 100 frames; a report with more than 64 is not read to its end.
constexpr int kMostFrames = 64;
constexpr int kHashedFrames = 5;  // REPORT, "Storms"
// Two threads that find themselves stuck at the same moment; a dump takes a fraction of a
// millisecond.
constexpr Nanoseconds kPatience = 100 * kMillisecond;
// The descriptor number is the highest the program may use, but not above this: the kernel's table
// grows to it for the moment of a report, 8 bytes a place.
constexpr unsigned long kHighestDescriptor = 65535;

std::atomic<void (*)(int)> writer{nullptr};  // faulthandler's, as registered
int descriptor = -1;
// Of the file that is open at `descriptor` now. In a child of a fork in the middle of a dump it is
// left over from the thread that was at it. Rank::python_stack.
std::uint64_t open_inode;

int choose_descriptor() {
  struct {
    unsigned long soft, hard;
  } limit{};
  if (sys::call(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, sys::arg(&limit)) != 0 || limit.soft == 0)
    return -1;
  const unsigned long last = limit.soft - 1;
  return static_cast<int>(last < kHighestDescriptor ? last : kHighestDescriptor);
}

bool call_register(int signal) {
  const Reference module(
      api.PyImport_ImportModuleLevel("faulthandler", nullptr, nullptr, nullptr, 0));
  if (!module) return false;
  const Reference function(api.PyObject_GetAttrString(module.get(), "register"));
  const Reference arguments(api.Py_BuildValue("(ii)", signal, descriptor));
  const Reference keywords(api.Py_BuildValue("{s:i,s:i}", "all_threads", 0, "chain", 0));
  if (!function || !arguments || !keywords) return false;
  const Reference result(api.PyObject_Call(function.get(), arguments.get(), keywords.get()));
  return static_cast<bool>(result);
}

// What is wrong, or null.
const char* try_to_register() {
  const int signal = signals::reserved_signal();
  sys::KernelSigaction action{};
  if (!sys::read_action(signal, action) || action.handler != SIG_DFL)
    return "the program has a handler of its own on the reserved signal";
  descriptor = choose_descriptor();
  if (descriptor < 0) return "no descriptor may be opened";
  // From 3.9 on register() gives the thread an alternate signal stack. One that is there already
  // may be needed by whoever set it.
  stack_t alternate{};
  const bool had_one = sys::call(SYS_sigaltstack, 0, sys::arg(&alternate)) == 0 &&
                       (alternate.ss_flags & SS_DISABLE) == 0;
  const bool done = call_register(signal);
  if (had_one) sys::call(SYS_sigaltstack, sys::arg(&alternate), 0);
  if (!done) return "faulthandler.register() raised";
  if (!sys::read_action(signal, action) || !action.has_function() ||
      (action.flags & SA_SIGINFO) != 0)
    return "faulthandler.register() installed no plain handler";
  writer.store(action.handler, std::memory_order_release);
  return nullptr;
}

// A file in memory at the number that faulthandler writes to, if the program does not use it.
class Sink {
 public:
  Sink() {
    if (open_inode != 0) close_left_over();
    const long file = sys::call(SYS_memfd_create, sys::arg("forkmend"), MFD_CLOEXEC);
    if (file < 0) return;
    const long at = sys::call(SYS_fcntl, file, F_DUPFD_CLOEXEC, descriptor);
    sys::close(static_cast<int>(file));
    if (at == descriptor) {
      open_ = true;
      open_inode = inode();
    } else if (at >= 0) {
      sys::close(static_cast<int>(at));
    }
  }
  ~Sink() {
    if (!open_) return;
    sys::close(descriptor);
    open_inode = 0;
  }
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;

  explicit operator bool() const { return open_; }
  template <std::size_t Size>
  std::size_t read(char (&text)[Size]) const {
    const long n = sys::call(SYS_pread64, descriptor, sys::arg(text), Size, 0);
    return n > 0 ? static_cast<std::size_t>(n) : 0;
  }

 private:
  static std::uint64_t inode() {
    struct stat info {};
    const long failed =
        sys::call(SYS_newfstatat, descriptor, sys::arg(""), sys::arg(&info), AT_EMPTY_PATH);
    return failed == 0 ? info.st_ino : 0;
  }
  static void close_left_over() {
    if (inode() == open_inode) sys::close(descriptor);
    open_inode = 0;
  }

  bool open_ = false;
};

// faulthandler's function takes no lock, allocates nothing, and writes into memory.
template <std::size_t Size>
std::size_t dump(char (&text)[Size]) {
  if (!registered()) return 0;
  const Turn turn(Rank::python_stack, kPatience);
  if (!turn) return 0;
  const Sink sink;
  if (!sink) return 0;
  writer.load(std::memory_order_acquire)(signals::reserved_signal());
  return sink.read(text);
}

struct Frame {
  std::string_view file, function;
  int line = 0;
};

// `  File "FILE", line LINE in FUNCTION`; faulthandler escapes what is not ASCII, but not quotes.
bool parse(std::string_view line, Frame& out) {
  constexpr std::string_view kFile = "  File \"", kLine = "\", line ", kIn = " in ";
  if (line.substr(0, kFile.size()) != kFile) return false;
  line.remove_prefix(kFile.size());
  const std::size_t quote = line.rfind(kLine);
  if (quote == std::string_view::npos) return false;
  out.file = line.substr(0, quote);
  line.remove_prefix(quote + kLine.size());
  const std::size_t in = line.find(kIn);
  if (in == std::string_view::npos) return false;
  out.function = line.substr(in + kIn.size());
  out.line = 0;  // "???" where it is not known
  std::from_chars(line.data(), line.data() + in, out.line);
  return true;
}

// Calls `each` with every whole line.
template <class Each>
void for_each_line(std::string_view all, Each&& each) {
  for (std::size_t end; (end = all.find('\n')) != std::string_view::npos;) {
    each(all.substr(0, end));
    all.remove_prefix(end + 1);
  }
}

// FNV-1a, 64 bits.
void add(std::uint64_t& hash, std::string_view bytes) {
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
}

// Calls `each` with every frame that is read.
template <class Each>
void for_each_frame(const Frames& frames, Each&& each) {
  int count = 0;
  for_each_line({frames.text, frames.size}, [&](std::string_view line) {
    Frame frame;
    if (count == kMostFrames || !parse(line, frame)) return;
    each(frame, count++);
  });
}

}  // namespace

void prepare() {
  static std::atomic<bool> tried{false};
  if (tried.load(std::memory_order_relaxed) || tried.exchange(true)) return;
  if (const char* problem = try_to_register()) {
    api.PyErr_Clear();
    report_off("python stacks", problem);
  }
}

bool registered() {
  void (*expected)(int) = writer.load(std::memory_order_acquire);
  sys::KernelSigaction action{};
  return expected != nullptr && sys::read_action(signals::reserved_signal(), action) &&
         action.handler == expected && (action.flags & SA_SIGINFO) == 0;
}

void read(Frames& out) {
  out.size = dump(out.text);
  out.hash = 0xcbf29ce484222325u;
  out.innermost.clear();
  for_each_frame(out, [&](const Frame& frame, int place) {
    if (place < kHashedFrames) {
      add(out.hash, frame.file);
      add(out.hash, frame.function);
    }
    if (out.innermost.size() == 0 && !frames::is_standard_library(frame.file))
      out.innermost.format("{}:{} {}", frame.file, frame.line, frame.function);
  });
}

void write(Json& json, const Frames& frames) {
  json.open('[');
  for_each_frame(frames, [&](const Frame& frame, int) {
    json.open('{').field("file", frame.file).field("line", frame.line);
    json.field("function", frame.function).close('}');
  });
  json.close(']');
}

}  // namespace forkmend::python::stack
