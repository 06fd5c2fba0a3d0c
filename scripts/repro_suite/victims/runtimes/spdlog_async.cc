// spdlog's asynchronous logger: a queue and a thread that writes.
//
//   log        the child logs ten lines and waits until they are written
//   full       the child logs more than the queue holds, with the policy that blocks
//   shutdown   the child logs and calls spdlog::shutdown()
//   exit       the child logs and calls exit(): what it logged is written
//
// --busy: the queue is half full at the fork. Those lines belong to the parent, and are in both
// memories: only what the child itself logged is counted.
#include <spdlog/async.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include <mutex>

#include "fork_loop.h"

namespace {

constexpr int kLines = 10;
constexpr int kQueue = 64;
constexpr int kMoreThanQueue = 200;
constexpr int kBacklog = kQueue / 2;

struct Written {
  std::atomic<int> lines;
};
Written* written;

class Counting : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    if (message.payload.size() == 5 && std::memcmp(message.payload.data(), "child", 5) == 0)
      written->lines++;
    else
      victim::pause_ms(0);
  }
  void flush_() override {}
};

void log(int lines) {
  for (int i = 0; i < lines; i++) spdlog::get("async")->info("child");
}

// Lost lines never come: no event tells that, so it is waited for as long as a person would.
bool wait_until_written(int lines) {
  for (int i = 0; i < 700 && written->lines < lines; i++) victim::pause_ms(2);
  return written->lines == lines;
}

}  // namespace

int main(int count, char** arguments) {
  const victim::Options options = victim::parse(count, arguments);
  written = victim::shared<Written>();
  spdlog::init_thread_pool(kQueue, 1);
  auto logger = std::make_shared<spdlog::async_logger>(
      "async", std::make_shared<Counting>(), spdlog::thread_pool(),
      spdlog::async_overflow_policy::block);
  spdlog::register_logger(logger);
  logger.reset();
  spdlog::get("async")->info("the thread runs");
  int expected = kLines;
  int (*child)() = nullptr;
  if (options.operation == "log") {
    child = []() -> int {
      log(kLines);
      return wait_until_written(kLines) ? victim::kOk : victim::kLost;
    };
  } else if (options.operation == "full") {
    expected = kMoreThanQueue;
    child = []() -> int {
      log(kMoreThanQueue);
      return wait_until_written(kMoreThanQueue) ? victim::kOk : victim::kLost;
    };
  } else if (options.operation == "shutdown") {
    child = []() -> int {
      log(kLines);
      spdlog::shutdown();
      return written->lines == kLines ? victim::kOk : victim::kLost;
    };
  } else if (options.operation == "exit") {
    child = []() -> int {
      log(kLines);
      std::exit(0);
    };
  } else {
    victim::usage("log, full, shutdown, exit");
  }
  return victim::fork_loop(
      options,
      [&] {
        written->lines = 0;
        if (options.busy)
          for (int i = 0; i < kBacklog; i++) spdlog::get("async")->info("parent");
      },
      child,
      [] {
        spdlog::get("async")->info("parent");
        return 0;
      },
      [&](int status) {
        if (status != 0) return status;
        if (written->lines < expected) return static_cast<int>(victim::kLost);
        return written->lines > expected ? static_cast<int>(victim::kTwice) : 0;
      });
}
