// What the cases of the program `primitive` share: which one it is, the thread that will be lost,
// the child, and the cases themselves, one file a kind of primitive.
#pragma once

#include <pthread.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include <string_view>

#include "forkmend/forkmend.h"
#include "tests/programs/victim.h"

namespace primitive {

inline const char* name;   // of the primitive
inline const char* state;  // at the fork

inline bool named(std::string_view text) { return name == text; }
inline bool starts(std::string_view text) {
  return std::string_view(name).substr(0, text.size()) == text;
}
inline bool in(std::string_view text) { return state == text; }
inline bool has_ending(std::string_view text, std::string_view ending) {
  return text.size() >= ending.size() && text.substr(text.size() - ending.size()) == ending;
}
inline bool ends_in(std::string_view ending) { return has_ending(name, ending); }
inline bool ends_in_state(std::string_view ending) { return has_ending(state, ending); }

// The first condition that does not hold ends the child with its number.
#define STEP(number, condition)      \
  do {                               \
    if (!(condition)) return number; \
  } while (false)

inline forkmend_runtime* runtime;

// The thread that will be lost.
inline victim::Event ready;
inline pid_t lost_tid;
inline pthread_t lost;

// In the thread that will be lost, right before it does what it is found in.
inline void announce() {
  lost_tid = gettid();
  ready.raise();
}

inline void (*routine)();

inline void* run_routine(void*) {
  if (runtime != nullptr) forkmend_adopt_thread(runtime);
  routine();
  return nullptr;
}

inline int run_routine_c11(void*) {
  routine();
  return 0;
}

// Starts a thread, and returns when it sleeps in what it was started for.
inline void start(void (*what)(), const pthread_attr_t* attributes = nullptr) {
  routine = what;
  if (starts("thrd")) {
    if (thrd_create(&lost, run_routine_c11, nullptr) != thrd_success)
      victim::set_up_failed("thrd_create");
  } else if (pthread_create(&lost, attributes, run_routine, nullptr) != 0) {
    victim::set_up_failed("pthread_create");
  }
  if (in("starting")) return;
  ready.wait();
  victim::wait_until_asleep(lost_tid);
}

// A thread of the child's own.
inline bool run_thread(pthread_t& thread, void* (*body)(void*), void* argument = nullptr) {
  return pthread_create(&thread, nullptr, body, argument) == 0;
}

inline void sleeps() {
  announce();
  victim::sleep_for_ever();
}

inline int in_child(int (*body)()) {
  const pid_t child = victim::spawn([&] {
    victim::step("acts");
    return body();
  });
  return victim::reap(child);
}

inline timespec in_seconds(clockid_t clock, int seconds) {
  timespec time;
  clock_gettime(clock, &time);
  time.tv_sec += seconds;
  return time;
}

// The cases: each returns the exit code of its child.
int lock_case();
int grandchild_case();
int shared_case();
int join_case();
int handle_case();
int reused_case();
int cond_case();
int barrier_case();
int std_thread_case();
int future_case();
int condition_case();
int counting_case();  // where <semaphore> is there
int initialiser_case();
int loader_case();
int loader_own_case();

}  // namespace primitive
