// Events: what the shim has to say short of a lockup, on stderr or in the report file.
//
// Promises: one write() a line or block, without stdio, locale or libc lock. Nothing on stderr of a
// process that has not locked up, but for a setting that cannot be read (said once) and, with
// FORKMEND_LOG=info, what was recognised, drained, reset and revived. Made on a stack of the shim's
// own: a few hundred bytes of the caller's are enough. Threads may do it side by side.
// Does not: run on child entry or in a signal handler.
#pragma once

#include <string_view>

#include "shim/base/clock.h"
#include "shim/base/message.h"
#include "shim/base/own_stack.h"
#include "shim/base/syscall.h"
#include "shim/base/text.h"

namespace forkmend {

struct Runtime;
struct Thread;

// A line on stderr: "forkmend[PID]: ...". For FORKMEND_LOG=info; the caller tests the setting.
template <class... Args>
void say(fmt::format_string<MessageArgument<Args>...> format, const Args&... args) {
  own_stack::run([&] {
    Message<1024> line;
    line.format("forkmend[{}]: ", sys::getpid()).format(format, args...).write();
  });
}

// A setting that cannot be read, or an item of one: where, its whole value, the item (or empty),
// what is expected. On stderr, unless the process that started this one has the same environment
// and has said it already.
void report_setting(std::string_view where, std::string_view value, std::string_view item,
                    std::string_view expected);

// A configuration file, or a line of it, that cannot be used: said in the same way.
void report_file_problem(std::string_view where, std::string_view text);

// A feature is off in this process, and why. One line in the report file.
void report_off(std::string_view feature, std::string_view reason);

// A runtime missed the deadline of a fork: who, and what the thread was doing.
void report_drain_missed(const Runtime& runtime, Nanoseconds waited, Nanoseconds allowed);

// A parked thread of a process that exits had what the exiting thread waits for: `action` is what
// was done about it, to the object of that kind.
struct Thread;
void report_exit_freed(const Thread& parked, const void* object, std::string_view kind,
                       std::string_view action);

// A runtime did not stop in time when the process exited: `step` is "stop" (its callback did not
// return) or "join" (its threads did not end).
void report_stop_missed(const Runtime& runtime, std::string_view step, Nanoseconds waited,
                        Nanoseconds allowed);

// The respawn callback failed with an errno value; the next enqueue tries again.
void report_respawn_failed(Runtime& runtime, int error);

// A runtime's threads cannot be resumed in this process: whose thread stands in the way, and why.
void report_not_resumed(const Runtime& runtime, const Thread* thread, std::string_view reason);

}  // namespace forkmend
