// A library to preload: says which object's fork handlers libc calls, in which order.
//
// It interposes __register_atfork, which every pthread_atfork() ends in, and wraps what is
// registered. Lines go to the file that ATFORK_LOG names, as they happen:
//
//   registered 3 libopenblas.so.0        the fourth registration, by code of this object
//   prepare|parent|child 3
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <utility>

namespace {

using Handler = void (*)();

constexpr std::size_t kMost = 64;

struct Registered {
  Handler prepare, parent, child;
};
std::array<Registered, kMost> registered;
std::atomic<std::size_t> count{0};

void say(const char* what, std::size_t number, const char* object = "") {
  static const int log =
      open(getenv("ATFORK_LOG"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  char line[512];
  const int size =
      snprintf(line, sizeof line, "%s %zu%s%s\n", what, number, *object ? " " : "", object);
  if (write(log, line, static_cast<std::size_t>(size)) != size) _exit(97);
}

void call(Handler handler, const char* what, std::size_t number) {
  say(what, number);
  if (handler != nullptr) handler();
}

template <std::size_t n>
void prepare() {
  call(registered[n].prepare, "prepare", n);
}
template <std::size_t n>
void parent() {
  call(registered[n].parent, "parent", n);
}
template <std::size_t n>
void child() {
  call(registered[n].child, "child", n);
}

template <std::size_t... n>
constexpr std::array<Registered, sizeof...(n)> wrappers(std::index_sequence<n...>) {
  return {{{prepare<n>, parent<n>, child<n>}...}};
}
constexpr std::array<Registered, kMost> kWrappers = wrappers(std::make_index_sequence<kMost>());

const char* object_of(const Registered& r) {
  for (const Handler handler : {r.prepare, r.parent, r.child}) {
    Dl_info info;
    if (handler == nullptr || dladdr(reinterpret_cast<void*>(handler), &info) == 0) continue;
    const char* slash = strrchr(info.dli_fname, '/');
    return slash != nullptr ? slash + 1 : info.dli_fname;
  }
  return "?";
}

}  // namespace

extern "C" int __register_atfork(Handler prepare, Handler parent, Handler child, void* object) {
  using Register = int (*)(Handler, Handler, Handler, void*);
  static const auto real = reinterpret_cast<Register>(dlsym(RTLD_NEXT, "__register_atfork"));
  const std::size_t n = count++;
  if (n >= kMost) return real(prepare, parent, child, object);
  registered[n] = {prepare, parent, child};
  say("registered", n, object_of(registered[n]));
  return real(kWrappers[n].prepare, kWrappers[n].parent, kWrappers[n].child, object);
}
