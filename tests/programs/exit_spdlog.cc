// spdlog's asynchronous logger at exit: 1,000 lines are in its queue when main returns, and its
// worker is alive while static objects are destroyed. Its own static destructor ends the worker.
//
//   exit_spdlog FILE        what is in FILE afterwards, and the exit code 7, are the same with the
//                           shim, whatever policy the worker's runtime has
//   exit_spdlog FILE fork   a forked child leaves as well; it has no worker
#include <spdlog/async.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>

#include "tests/programs/victim.h"

int main(int, char** arguments) {
  spdlog::init_thread_pool(8192, 1);
  auto logger = spdlog::basic_logger_mt<spdlog::async_factory>("log", arguments[1], true);
  logger->set_pattern("%v");
  spdlog::set_default_logger(logger);
  if (victim::is(arguments[2], "fork")) {
    const pid_t child = fork();
    if (child == 0) exit(7);
    if (const int code = victim::reap(child); code != 7) return code;
  }
  for (int number = 0; number < 1000; number++) logger->info("line {}", number);
  return 7;
}
