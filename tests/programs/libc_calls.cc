// Forks while other threads call, in a loop, a function of libc that takes a lock of libc's own.
// Each child calls it three times.
//
//   libc_calls FUNCTION FORKS THREADS
//
// Without a cure the child finds the lock taken by a thread that it does not have, and hangs.
#include <grp.h>
#include <iconv.h>
#include <libintl.h>
#include <locale.h>
#include <netdb.h>
#include <pwd.h>
#include <sys/socket.h>
#include <syslog.h>

#include <atomic>

#include "tests/programs/victim.h"

// Of the C++ ABI: what a static object with a destructor is registered by.
extern "C" int __cxa_atexit(void (*function)(void*), void* argument, void* dso);

namespace {

struct Function {
  const char* name;
  void (*call)();
};

void resolve() {
  addrinfo hints{};
  hints.ai_flags = AI_ADDRCONFIG;  // asks the kernel for the machine's addresses, under a lock
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo("127.0.0.1", "80", &hints, &found) == 0) freeaddrinfo(found);
}

void convert_time() {
  const time_t now = time(nullptr);
  tm broken_down;
  localtime_r(&now, &broken_down);
}

void make_locale() {
  if (locale_t made = newlocale(LC_ALL_MASK, "C.UTF-8", nullptr)) freelocale(made);
}

void translate() {
  bindtextdomain("victim", "/nonexistent");
  dgettext("victim", "text");
}

void do_nothing(void*) {}

// What is registered stays registered: not for ever.
void register_at_exit() {
  constexpr int kMost = 200'000;
  static std::atomic<int> registered;
  if (registered.load() < kMost && registered++ < kMost) __cxa_atexit(do_nothing, nullptr, nullptr);
}

constexpr Function kFunctions[] = {
    {"getaddrinfo", resolve},
    {"localtime_r", convert_time},
    {"gmtime",
     [] {
       const time_t now = time(nullptr);
       gmtime(&now);
     }},
    {"strftime",
     [] {
       const tm broken_down{};
       char text[64];
       strftime(text, sizeof text, "%c %Z", &broken_down);
     }},
    {"syslog", [] { syslog(LOG_DEBUG, "victim"); }},
    {"setenv", [] { setenv("VICTIM_VARIABLE", "value", 1); }},
    {"getpwnam", [] { getpwnam("root"); }},
    {"getgrnam", [] { getgrnam("root"); }},
    {"newlocale", make_locale},
    {"gettext", translate},
    {"random", [] { random(); }},
    {"atexit", register_at_exit},
};

const Function* find(const char* name) {
  for (const Function& function : kFunctions) {
    if (victim::is(name, function.name)) return &function;
  }
  victim::set_up_failed("no such function");
}

std::atomic<const Function*> looped;

void* call_for_ever(void*) {
  for (;;) looped.load()->call();
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 4) victim::set_up_failed("FUNCTION FORKS THREADS");
  looped = find(arguments[1]);
  looped.load()->call();
  for (int i = atoi(arguments[3]); i > 0; i--) {
    pthread_t thread;
    if (pthread_create(&thread, nullptr, call_for_ever, nullptr) != 0)
      victim::set_up_failed("thread");
  }
  for (int i = atoi(arguments[2]); i > 0; i--) {
    const pid_t child = victim::spawn([] {
      for (int call = 0; call < 3; call++) looped.load()->call();
      return 0;
    });
    if (const int code = victim::reap(child)) _exit(code);
  }
  _exit(0);
}
