#include "shim/python/bridge.h"

#include <string.h>

#include <atomic>

#include "shim/base/compiler.h"
#include "shim/base/own_stack.h"
#include "shim/base/signals.h"
#include "shim/python/at_exit.h"
#include "shim/python/audit.h"
#include "shim/python/capi.h"
#include "shim/python/hooks.h"
#include "shim/python/lost.h"
#include "shim/python/signals.h"
#include "shim/python/sockets.h"
#include "shim/python/stack.h"
#include "shim/reporting/event.h"
#include "shim/reporting/modules.h"

namespace forkmend::python {
namespace {

std::atomic<bool> hooked{false};  // the audit hook is in, and the API is there
enum class Stage : std::uint8_t { waiting, watching, done };
std::atomic<Stage> stage{Stage::waiting};  // what the audit hook still has to do
std::atomic<bool> installed{false};

// With the GIL, in the main interpreter: at-fork hooks belong to an interpreter, and
// subinterpreters may not fork.
FORKMEND_COLD void enter() {
  // First of all: what follows may raise events of its own.
  const Stage next = audit::allocator_changed() ? Stage::watching : Stage::done;
  if (stage.exchange(next) != Stage::waiting) return;
  const ErrorKeeper error;
  if (hooks::register_at_fork() && at_exit::install()) {
    installed.store(true, std::memory_order_release);
  } else {
    api.PyErr_Clear();
    report_off("python", "os.register_at_fork() or atexit.register() failed");
  }
}

FORKMEND_COLD void on_early_event(const char* event) {
  if (stage.load(std::memory_order_relaxed) == Stage::watching) {
    if (strcmp(event, audit::kClearing) == 0) audit::keep_entry();
  } else if (api.Py_IsInitialized() && api.current_interpreter() == api.PyInterpreterState_Main()) {
    enter();
  }
}

// Called for every audit event of the process's life. The first one in a started interpreter comes
// before site and the program are imported, so that our hooks are the first to be registered.
// Events before that have no interpreter to speak of.
int on_event(const char* event, PyObject* arguments, void*) {
  if (FORKMEND_UNLIKELY(stage.load(std::memory_order_relaxed) != Stage::done))
    on_early_event(event);
  if (event[0] == 's' && FORKMEND_UNLIKELY(strcmp(event, "socket.connect") == 0))
    sockets::note_connect(arguments);
  return 0;
}

}  // namespace

void install() {
  if (!audit::available() || !resolve() || !audit::add(on_event)) return;
  hooked.store(true, std::memory_order_release);
}

bool present() { return installed.load(std::memory_order_acquire); }

bool is_interpreters(const void* address) {
  if (!hooked.load(std::memory_order_relaxed) || !api.Py_IsInitialized()) return false;
  static std::atomic<const modules::Module*> interpreter{nullptr};
  const modules::Module* module = interpreter.load(std::memory_order_relaxed);
  if (module == nullptr) {
    module = modules::find(reinterpret_cast<const void*>(api.PyEval_SaveThread));
    interpreter.store(module, std::memory_order_relaxed);
  }
  const auto at = reinterpret_cast<std::uintptr_t>(address);
  return module != nullptr && at >= module->lo && at < module->hi;
}

bool is_inside(const void* caller) {
  if (!hooked.load(std::memory_order_relaxed) || !api.Py_IsInitialized()) return false;
  if (is_interpreters(caller)) return true;
  // From the first subinterpreter on PyGILState_Check() says yes to everybody.
  return api.PyGILState_GetThisThreadState() != nullptr && api.PyGILState_Check();
}

unsigned long reserved_signals() {
  if (!present()) return 0;
  unsigned long result = 0;
  if (stack::registered()) result |= sys::signal_bit(signals::reserved_signal());
  if (signals::interrupt_is_pythons()) result |= sys::signal_bit(SIGINT);
  return result;
}

bool explain_wait(Judgement& out) {
  lost::Explanation explanation;
  bool known = false;
  // The interpreter measures the stack it runs on: it gets the thread's own.
  own_stack::run_on_callers([&] { known = lost::explain(explanation); });
  if (!known) return false;
  out.verdict = Verdict::certain;
  out.cause = "lost-consumer";
  for (const char* cause : {"lost-workers", "join-of-lost-thread"}) {
    if (explanation.cause.view() == cause) out.cause = cause;
  }
  out.runtime = explanation.runtime;
  threads::for_each_lost([&](Thread& t) {
    if (t.tid.load() == explanation.tid) out.culprit = &t;
    return out.culprit == nullptr;
  });
  out.add(out.cause).append(explanation.text.view());
  out.python_module.append(explanation.module.view());
  return true;
}

void read_frames(Frames& out) { stack::read(out); }
void write_frames(Json& json, const Frames& frames) { stack::write(json, frames); }

}  // namespace forkmend::python
