// The unwinder over a copy of this program's own stack, taken as the shared object takes it:
// callee-saved registers and raw bytes, deep below functions of the program and of libc.
#include "shim/command/unwind.h"

#include <doctest/doctest.h>
#include <elf.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <random>
#include <string>
#include <thread>

#include "shim/command/analysis.h"
#include "shim/command/elf_image.h"
#include "shim/command/symbols.h"

using namespace forkmend::command;

namespace {

StackCopy captured;

int add_module(dl_phdr_info* info, std::size_t, void* out) {
  LoadedModule module;
  module.path = info->dlpi_name;
  if (module.path.empty()) {
    char self[4096];
    const ssize_t size = readlink("/proc/self/exe", self, sizeof self);
    module.path.assign(self, static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  }
  module.bias = info->dlpi_addr;
  module.lo = UINT64_MAX;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& header = info->dlpi_phdr[i];
    if (header.p_type != PT_LOAD) continue;
    module.lo = std::min<Address>(module.lo, module.bias + header.p_vaddr);
    module.hi = std::max<Address>(module.hi, module.bias + header.p_vaddr + header.p_memsz);
  }
  std::string why;
  if (const auto image = ElfImage::open(module.path, why)) module.build_id = image->build_id();
  static_cast<std::vector<LoadedModule>*>(out)->push_back(std::move(module));
  return 0;
}

std::vector<LoadedModule> loaded_modules() {
  std::vector<LoadedModule> out;
  dl_iterate_phdr(add_module, &out);
  return out;
}

// Not memcpy: a sanitizer would find the redzones of the frames that are copied.
__attribute__((no_sanitize("address"))) void copy_raw(std::uint8_t* to, Address from,
                                                      std::size_t size) {
  const auto* const bytes = reinterpret_cast<const volatile std::uint8_t*>(from);
  for (std::size_t i = 0; i < size; ++i) to[i] = bytes[i];
}

// What the shared object does in an interposer. Not inlined: the unwinding starts in here.
__attribute__((noinline)) int capture() {
  Address values[8] = {};
  const char* names[8] = {"ip", "sp", "bp", "bx", "r12", "r13", "r14", "r15"};
#if defined(__x86_64__)
  asm volatile(
      "lea 0(%%rip), %%rax\n mov %%rax, 0(%0)\n mov %%rsp, 8(%0)\n mov %%rbp, 16(%0)\n"
      "mov %%rbx, 24(%0)\n mov %%r12, 32(%0)\n mov %%r13, 40(%0)\n mov %%r14, 48(%0)\n"
      "mov %%r15, 56(%0)\n"
      :
      : "r"(values)
      : "rax", "memory");
#endif
  pthread_attr_t attributes;
  void* base = nullptr;
  std::size_t size = 0;
  pthread_getattr_np(pthread_self(), &attributes);
  pthread_attr_getstack(&attributes, &base, &size);
  pthread_attr_destroy(&attributes);
  const Address top = reinterpret_cast<Address>(base) + size;
  captured = {};
  for (int i = 0; i < 8; ++i) captured.registers.emplace_back(names[i], values[i]);
  captured.base = values[1];
  captured.bytes.resize(std::min<std::size_t>(top - values[1], 64 * 1024));
  copy_raw(captured.bytes.data(), values[1], captured.bytes.size());
  return static_cast<int>(captured.bytes.size());
}

// Five functions of ours, each with a frame that differs, and libc's qsort between the last two.
volatile int sink = 0;
__attribute__((noinline)) int unwind_one(int x) {
  volatile int keep = x;
  sink = capture();
  return keep;
}
__attribute__((noinline)) int unwind_two(int x) {
  volatile char wide[3000];
  wide[x] = 1;
  return unwind_one(x + 1) + wide[x];
}
int compare(const void* a, const void* b) {
  static thread_local bool inside = false;
  if (!inside) {
    inside = true;
    sink = unwind_two(1);
    inside = false;
  }
  return *static_cast<const int*>(a) - *static_cast<const int*>(b);
}
__attribute__((noinline)) int unwind_four(int x) {
  int numbers[4] = {x, 3, 2, 1};
  std::qsort(numbers, 4, sizeof *numbers, compare);
  return numbers[0] + sink;
}
__attribute__((noinline)) int unwind_five(int x) {
  volatile int keep = unwind_four(x);
  return keep + 1;
}

// The names of the frames that are ours, in their order.
std::vector<std::string> names(const StackCopy& stack, RawStack* raw_out = nullptr) {
  ModuleMap modules(loaded_modules(), "");
  Symbols symbols(modules);
  const RawStack raw = unwind(stack, modules);
  std::vector<std::string> out;
  for (const RawFrame& one : raw.frames) {
    for (const Frame& frame : symbols.frames(one)) {
      std::string name = short_function(frame.function);
      name = name.substr(name.rfind(':') + 1);
      if (name == "capture" || name.find("unwind_") == 0 || name == "compare" ||
          name.find("qsort") != std::string::npos || name == "on_signal" || name == "main" ||
          name == "start_thread" || name == "<signal handler>") {
        // libc's qsort is one function or several, one inside the other.
        if (name.find("qsort") == std::string::npos) {
          out.push_back(name);
        } else if (out.empty() || out.back() != "qsort") {
          out.push_back("qsort");
        }
      }
    }
  }
  if (raw_out != nullptr) *raw_out = raw;
  return out;
}

const std::vector<std::string> kChain = {"capture", "unwind_one",  "unwind_two", "compare",
                                         "qsort",   "unwind_four", "unwind_five"};

std::vector<std::string> first(const std::vector<std::string>& all, std::size_t count) {
  return {all.begin(), all.begin() + static_cast<std::ptrdiff_t>(std::min(count, all.size()))};
}

// One string, so that a failure shows it.
std::string joined(const std::vector<std::string>& items) {
  std::string out;
  for (const std::string& item : items) out += (out.empty() ? "" : " < ") + item;
  return out;
}

void on_signal(int) { sink = unwind_five(9); }

}  // namespace

#if defined(__x86_64__)

TEST_CASE("through the program and libc to the end of the main thread") {
  sink = unwind_five(4);
  RawStack raw;
  const auto all = names(captured, &raw);
  CHECK(joined(first(all, kChain.size())) == joined(kChain));
  CHECK(all.back() == "main");
  CHECK(raw.ended == "");
  CHECK(std::none_of(raw.frames.begin(), raw.frames.end(),
                     [](const RawFrame& frame) { return frame.guessed; }));
}

TEST_CASE("to the end of another thread") {
  std::thread([] { sink = unwind_five(4); }).join();
  RawStack raw;
  const auto all = names(captured, &raw);
  CHECK(joined(first(all, kChain.size())) == joined(kChain));
  CHECK(all.back() == "start_thread");
  CHECK(raw.ended == "");
}

TEST_CASE("through a signal handler that interrupted a wait") {
  struct sigaction action {};
  action.sa_handler = on_signal;
  struct sigaction old {};
  REQUIRE(sigaction(SIGUSR2, &action, &old) == 0);
  raise(SIGUSR2);
  sigaction(SIGUSR2, &old, nullptr);
  RawStack raw;
  const auto all = names(captured, &raw);
  auto wanted = kChain;
  wanted.push_back("on_signal");
  wanted.push_back("<signal handler>");
  CHECK(joined(first(all, wanted.size())) == joined(wanted));
  CHECK(all.back() == "main");
  CHECK(raw.ended == "");
}

TEST_CASE("a copy that was cut gives the frames that it holds, and says so") {
  sink = unwind_five(4);
  StackCopy copy = captured;
  copy.bytes.resize(4000);  // within the wide frame of unwind_two
  RawStack raw;
  const auto all = names(copy, &raw);
  CHECK(joined(first(all, 3)) == joined(first(kChain, 3)));
  CHECK(raw.ended == "the copy of the stack ends here");
}

TEST_CASE("a file of another build is not used") {
  sink = unwind_five(4);
  auto loaded = loaded_modules();
  loaded.front().build_id = "0123456789";
  ModuleMap modules(loaded, "");
  StackCopy copy = captured;
  for (auto& [name, value] : copy.registers) {
    if (name == "bp") value = 0;  // nothing to guess from
  }
  const RawStack raw = unwind(copy, modules);
  CHECK(raw.frames.size() == 1);
  CHECK(raw.ended == loaded.front().path + " is another build than the one that ran");
  Symbols symbols(modules);
  const Frame frame = symbols.frames(raw.frames[0]).front();
  CHECK(frame.function == "");
  CHECK(frame.module == loaded.front().path);
  CHECK(frame.offset == raw.frames[0].ip - loaded.front().bias);
}

TEST_CASE("a file that is gone is said to be") {
  sink = unwind_five(4);
  ModuleMap modules(loaded_modules(), "/nonexistent");
  const RawStack raw = unwind(captured, modules);
  CHECK(raw.ended.find("cannot be read: No such file or directory") != std::string::npos);
}

TEST_CASE("damaged bytes and registers end somewhere, always") {
  sink = unwind_five(4);
  const StackCopy good = captured;
  const auto loaded = loaded_modules();
  ModuleMap modules(loaded, "");
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    StackCopy copy = good;
    for (int i = 0; i < 40; ++i) {
      copy.bytes[random() % std::min<std::size_t>(copy.bytes.size(), 6000)] ^=
          static_cast<std::uint8_t>(1 + random() % 255);
    }
    if (round % 3 == 0) copy.registers[random() % copy.registers.size()].second ^= random();
    if (round % 5 == 0) copy.base += random() % 64;
    CHECK(unwind(copy, modules).frames.size() <= kMaxFrames);
  }
}

#endif

TEST_CASE("no registers, no frames") {
  ModuleMap modules({}, "");
  const RawStack raw = unwind(StackCopy{}, modules);
  CHECK(raw.frames.empty());
  CHECK(raw.ended == "no registers were captured");
}

TEST_CASE("a data symbol by its address") {
  static int forkmend_test_registry[16];
  sink = forkmend_test_registry[1];
  ModuleMap modules(loaded_modules(), "");
  Symbols symbols(modules);
  const auto symbol = symbols.data(reinterpret_cast<Address>(&forkmend_test_registry[2]));
  REQUIRE(symbol);
  CHECK(symbol->name.find("forkmend_test_registry") != std::string::npos);
  CHECK(symbol->offset == 2 * sizeof(int));
  CHECK(symbol->section == ".bss");
  int local = 0;
  CHECK_FALSE(symbols.data(reinterpret_cast<Address>(&local)));
}

TEST_CASE("functions for people") {
  CHECK(short_function("main") == "main");
  CHECK(short_function("app::Service::handle(int) [clone .isra.0]") == "app::Service::handle");
  CHECK(short_function("int typed<double>(double)") == "typed<>");
  CHECK(short_function("(anonymous namespace)::f(int)") == "(anonymous namespace)::f");
  CHECK(short_function("a::{lambda(int)#1}::operator()(int) const") == "a::{lambda#1}::operator()");
  CHECK(short_function("std::vector<std::pair<int, int>, std::less<int> >::push_back(int)") ==
        "std::vector<>::push_back");
  CHECK(short_function("<signal handler>") == "<signal handler>");
  CHECK(demangled("_ZN4core3ops8function6FnOnce9call_once17h0123456789abcdefE") ==
        "core::ops::function::FnOnce::call_once");
  CHECK(demangled("pthread_create@@GLIBC_2.34") == "pthread_create");
}

TEST_CASE("whose Python frames are whose") {
  const auto index = [](const std::vector<std::string>& files) {
    std::vector<PythonFrame> frames;
    frames.reserve(files.size());
    for (const std::string& file : files) frames.push_back({file, 1, "f"});
    return first_python_of_yours(frames);
  };
  CHECK(index({"/usr/lib/python3.11/threading.py", "/usr/lib/python3.11/queue.py", "/app/a.py"}) ==
        2);
  CHECK(index({"<frozen importlib._bootstrap>", "<string>"}) == 1);
  CHECK(index({"/usr/lib/python3.11/queue.py", "/v/lib/python3.11/site-packages/g/a.py"}) == 1);
  CHECK(index({"/usr/lib/python3/dist-packages/g/a.py"}) == 0);
  CHECK(index({"/usr/lib/python311.zip/queue.py"}) == -1);
  CHECK(index({}) == -1);
  CHECK(short_python_file("/usr/lib/python3.11/queue.py") == "queue.py");
  CHECK(short_python_file("/v/lib/python3.11/site-packages/gunicorn/arbiter.py") ==
        "gunicorn/arbiter.py");
  CHECK(short_python_file("/app/metrics.py") == "/app/metrics.py");
}

TEST_CASE("whose native frames are whose") {
  const auto frame = [](const char* module, const char* function, const char* file = "") {
    Frame out;
    out.module = module;
    out.function = function;
    out.file = file;
    return out;
  };
  std::vector<Frame> frames = {
      frame("/lib/x86_64-linux-gnu/libc.so.6", "__futex_wait"),
      frame("/usr/bin/server", "std::condition_variable::wait(std::unique_lock<std::mutex>&)"),
      frame("/usr/bin/server", "operator()", "/usr/include/c++/12/bits/std_thread.h"),
      frame("/usr/bin/server", "app::flush()"),
      frame("/usr/bin/server", "main"),
  };
  mark_yours(frames);
  CHECK(frames[3].yours);
  CHECK_FALSE(frames[4].yours);
  std::vector<Frame> python = {frame("/usr/bin/python3.11", "Py_RunMain")};
  mark_yours(python);
  CHECK_FALSE(python[0].yours);
}
