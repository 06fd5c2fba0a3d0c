// libuv's thread pool, which is rebuilt in a child by libuv's own fork handler: must stay so.
//
//   work   the child makes a loop of its own and queues work
#include <uv.h>

#include "fork_loop.h"

namespace {

constexpr int kRequests = 20;
std::atomic<int> worked;

int work() {
  worked = 0;
  uv_loop_t loop;
  uv_work_t requests[kRequests];
  if (uv_loop_init(&loop) != 0) return victim::kFirst;
  for (uv_work_t& request : requests) {
    uv_queue_work(
        &loop, &request, [](uv_work_t*) { worked++; }, [](uv_work_t*, int) {});
  }
  if (uv_run(&loop, UV_RUN_DEFAULT) != 0) return victim::kSecond;
  return uv_loop_close(&loop) == 0 && worked == kRequests ? victim::kOk : victim::kThird;
}

}  // namespace

int main(int count, char** arguments) {
  const victim::Options options = victim::parse(count, arguments);
  if (options.operation != "work") victim::usage("work");
  work();
  return victim::fork_loop(
      options, [] {}, work, work, victim::as_it_is);
}
