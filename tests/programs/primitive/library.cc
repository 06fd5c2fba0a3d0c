// The C++ library's threads, futures and condition variables.
#include <chrono>
#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>

#include "tests/programs/primitive/primitive.h"

namespace primitive {
namespace {

std::thread* std_thread;

int std_thread_child() {
  if (named("std::thread::join")) std_thread->join();
  if (named("std::thread::detach")) std_thread->detach();
  STEP(1, !std_thread->joinable());
  std::thread fresh([] {});
  fresh.join();
  return 0;
}

std::future<int>* future;

int future_child() {
  STEP(1, future->wait_for(std::chrono::milliseconds(10)) == std::future_status::timeout);
  delete future;  // joins the thread
  auto fresh = std::async(std::launch::async, [] { return 7; });
  STEP(2, fresh.get() == 7);
  return 0;
}

std::mutex* cxx_mutex;
std::condition_variable* condition;

void waits_for_condition() {
  std::unique_lock lock(*cxx_mutex);
  announce();
  condition->wait(lock, [] { return false; });
}

int condition_child() {
  bool seen = false;
  for (int round = 0; round < 3; round++) {
    std::unique_lock lock(*cxx_mutex);
    seen = false;
    std::thread other([&] {
      std::lock_guard guard(*cxx_mutex);
      seen = true;
      condition->notify_one();
    });
    condition->wait(lock, [&] { return seen; });
    lock.unlock();
    other.join();
  }
  delete condition;
  return 0;
}

}  // namespace

int std_thread_case() {
  std_thread = new std::thread(sleeps);
  ready.wait();
  victim::wait_until_asleep(lost_tid);
  return in_child(std_thread_child);
}

int future_case() {
  future = new std::future<int>(std::async(std::launch::async, [] {
    sleeps();
    return 0;
  }));
  ready.wait();
  victim::wait_until_asleep(lost_tid);
  return in_child(future_child);
}

int condition_case() {
  cxx_mutex = new std::mutex;
  condition = new std::condition_variable;
  start(waits_for_condition);
  start(waits_for_condition);
  return in_child(condition_child);
}

}  // namespace primitive
