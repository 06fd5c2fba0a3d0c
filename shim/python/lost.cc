#include "shim/python/lost.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include <atomic>

#include "shim/base/compiler.h"
#include "shim/base/settings.h"
#include "shim/base/syscall.h"
#include "shim/python/bridge.h"
#include "shim/python/handlers.h"
#include "shim/python/sockets.h"
#include "shim/reporting/event.h"
#include "shim/runtimes/configuration.h"
#include "shim/runtimes/runtime.h"
#include "shim/threads/thread.h"

extern "C" {
// bridge/sources.S
extern const char forkmend_python_watch[], forkmend_python_reach[], forkmend_python_locks[],
    forkmend_python_queues[], forkmend_python_clients[], forkmend_python_cure[],
    forkmend_python_explain[];
}

namespace forkmend::python::lost {
namespace {

PyObject* space;         // the namespace of the Python part; null until it is loaded
bool broken;             // it could not be loaded: said once
bool to_cure;            // this fork loses threads of a registered runtime
std::atomic<bool> said;  // a problem was said

struct Source {
  const char* name;
  const char* text;
};
constexpr Source kWatch[] = {{"<forkmend>/watch.py", forkmend_python_watch}};
constexpr Source kCure[] = {{"<forkmend>/reach.py", forkmend_python_reach},
                            {"<forkmend>/locks.py", forkmend_python_locks},
                            {"<forkmend>/queues.py", forkmend_python_queues},
                            {"<forkmend>/clients.py", forkmend_python_clients},
                            {"<forkmend>/cure.py", forkmend_python_cure}};
constexpr Source kExplain[] = {{"<forkmend>/reach.py", forkmend_python_reach},
                               {"<forkmend>/clients.py", forkmend_python_clients},
                               {"<forkmend>/explain.py", forkmend_python_explain}};

PyObject* none() { return api.Py_BuildValue(""); }

// The text of the exception that is set, which is cleared.
void take_exception(TextSpan& out) {
  PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;
  api.PyErr_Fetch(&type, &value, &traceback);
  const Reference kept_type(type), kept_value(value), kept_traceback(traceback);
  const Reference name(type != nullptr ? api.PyObject_GetAttrString(type, "__name__") : nullptr);
  ssize_t size = 0;
  const char* text = name ? api.PyUnicode_AsUTF8AndSize(name.get(), &size) : nullptr;
  out.append(text != nullptr ? std::string_view(text, static_cast<std::size_t>(size)) : "error");
  PyObject* repr = api.PyDict_GetItemString(api.PyEval_GetBuiltins(), "repr");
  if (value != nullptr && repr != nullptr) {
    const Reference arguments(api.Py_BuildValue("(O)", value));
    const Reference shown(arguments ? api.PyObject_Call(repr, arguments.get(), nullptr) : nullptr);
    text = shown ? api.PyUnicode_AsUTF8AndSize(shown.get(), &size) : nullptr;
    if (text != nullptr)
      out.append(' ').append(std::string_view(text, static_cast<std::size_t>(size)));
  }
  api.PyErr_Clear();
}

void report_problem(std::string_view what) {
  if (!said.exchange(true)) report_off("python threads", what);
}

void report_exception(std::string_view where) {
  Text<256> text;
  text.append(where).append(": ");
  take_exception(text);
  report_problem(text.view());
}

// --- what the Python part calls ------------------------------------------------------------------

// The names of a profile's field as a list of str; a new reference, null after an exception.
PyObject* list_of(const char (&names)[kProfilePythonNames][kProfilePatternSize]) {
  PyObject* list = api.Py_BuildValue("[]");
  for (const auto& name : names) {
    if (list == nullptr || name[0] == '\0') break;
    const Reference item(api.Py_BuildValue("s", name));
    if (item) api.PyList_Append(list, item.get());
  }
  return list;
}

// _recognise(module): (name, policy, enqueue methods, pending attributes) of the runtime, or None.
PyObject* recognise(PyObject*, PyObject* arguments) {
  const char* module = nullptr;
  if (!api.PyArg_ParseTuple(arguments, "s", &module)) return nullptr;
  configuration::load();
  const configuration::Match match = configuration::find_by_python(module);
  if (match.profile == nullptr) return none();
  const Runtime* r = runtimes::of_python(match, module);
  if (r == nullptr) return none();
  return api.Py_BuildValue("(ssNN)", r->name, kPolicyNames[static_cast<int>(r->policy)],
                           list_of(match.profile->python_enqueue),
                           list_of(match.profile->python_pending));
}

// _profile(module): the name of the profile that names this module, or None.
PyObject* profile_name(PyObject*, PyObject* arguments) {
  const char* module = nullptr;
  if (!api.PyArg_ParseTuple(arguments, "s", &module)) return nullptr;
  const configuration::Match match = configuration::find_by_python(module);
  return match.profile != nullptr ? api.Py_BuildValue("s", match.profile->name) : none();
}

// _say(text), for FORKMEND_LOG=info.
PyObject* say_text(PyObject*, PyObject* arguments) {
  const char* text = nullptr;
  if (!api.PyArg_ParseTuple(arguments, "s", &text)) return nullptr;
  if (settings.log == Log::info) say("{}", text);
  return none();
}

// _problem(text): something could not be done, and the child is as it would be without the shim.
PyObject* note_problem(PyObject*, PyObject* arguments) {
  const char* text = nullptr;
  if (!api.PyArg_ParseTuple(arguments, "s", &text)) return nullptr;
  report_problem(text);
  return none();
}

// _failed(runtime, text): its threads could not be started; tried again later.
PyObject* note_failure(PyObject*, PyObject* arguments) {
  const char *name = nullptr, *text = nullptr;
  if (!api.PyArg_ParseTuple(arguments, "ss", &name, &text)) return nullptr;
  if (settings.log == Log::info) say("{}: {}", name, text);
  if (Runtime* r = runtimes::named(name)) report_respawn_failed(*r, EAGAIN);
  return none();
}

// _stream_inode(fd): the inode of a connected TCP socket, else 0.
PyObject* stream_inode(PyObject*, PyObject* arguments) {
  int fd = -1;
  if (!api.PyArg_ParseTuple(arguments, "i", &fd)) return nullptr;
  return api.Py_BuildValue("k", sockets::stream_inode(fd));
}

// _dead_end([(fd, inode), ...], [kernel thread id, ...]): how many connections were cut.
PyObject* dead_end(PyObject*, PyObject* arguments) {
  PyObject *found = nullptr, *threads = nullptr;
  if (!api.PyArg_ParseTuple(arguments, "OO", &found, &threads)) return nullptr;
  long count = 0;
  for (ssize_t i = 0; i < api.PyList_Size(found); i++) {
    int fd = -1;
    unsigned long inode = 0;
    if (!api.PyArg_ParseTuple(api.PyList_GetItem(found, i), "ik", &fd, &inode)) return nullptr;
    count += sockets::cut(fd, inode) ? 1 : 0;
  }
  for (ssize_t i = 0; i < api.PyList_Size(threads); i++)
    count +=
        sockets::cut_of_thread(static_cast<int>(api.PyLong_AsLong(api.PyList_GetItem(threads, i))));
  return api.Py_BuildValue("l", count);
}

// _open_rlock(lock, owner, count), for 3.8, whose RLock has no way to be opened by anybody but its
// owner. The words of the object are looked at before they are believed.
PyObject* open_rlock(PyObject*, PyObject* arguments) {
  struct RLock {  // CPython 3.8, Modules/_threadmodule.c
    void* head[2];
    void* lock;
    unsigned long owner, count;
  };
  PyObject* object = nullptr;
  unsigned long owner = 0, count = 0;
  if (!api.PyArg_ParseTuple(arguments, "Okk", &object, &owner, &count)) return nullptr;
  auto* lock = reinterpret_cast<RLock*>(object);
  if (lock->owner != owner || lock->count != count || api.PyThread_release_lock == nullptr)
    return api.Py_BuildValue("i", 0);
  lock->owner = lock->count = 0;
  api.PyThread_release_lock(lock->lock);
  return api.Py_BuildValue("i", 1);
}

bool run(const Source& source) {
  const Reference code(api.Py_CompileString(source.text, source.name, kFileInput));
  const Reference done(code ? api.PyEval_EvalCode(code.get(), space, space) : nullptr);
  if (!done) report_exception(source.name);
  return static_cast<bool>(done);
}

template <std::size_t Count>
bool run_all(const Source (&sources)[Count]) {
  for (const Source& source : sources) {
    if (!run(source)) return false;
  }
  return true;
}

// _load("cure"): the parts that a process without registered runtimes does not need.
PyObject* load_part(PyObject*, PyObject* arguments) {
  const char* part = nullptr;
  if (!api.PyArg_ParseTuple(arguments, "s", &part)) return nullptr;
  const bool done = strcmp(part, "cure") == 0 ? run_all(kCure) : run_all(kExplain);
  return api.Py_BuildValue("i", done ? 1 : 0);
}

PyMethodDef functions[] = {{"_recognise", recognise, kWithArguments, nullptr},
                           {"_profile", profile_name, kWithArguments, nullptr},
                           {"_say", say_text, kWithArguments, nullptr},
                           {"_problem", note_problem, kWithArguments, nullptr},
                           {"_failed", note_failure, kWithArguments, nullptr},
                           {"_stream_inode", stream_inode, kWithArguments, nullptr},
                           {"_dead_end", dead_end, kWithArguments, nullptr},
                           {"_open_rlock", open_rlock, kWithArguments, nullptr},
                           {"_load", load_part, kWithArguments, nullptr}};

bool fill_space() {
  const Reference name(api.Py_BuildValue("s", "forkmend"));
  const Reference verbose(api.Py_BuildValue("i", settings.log == Log::info ? 1 : 0));
  api.PyDict_SetItemString(space, "__builtins__", api.PyEval_GetBuiltins());
  api.PyDict_SetItemString(space, "__name__", name.get());
  api.PyDict_SetItemString(space, "_verbose", verbose.get());
  for (PyMethodDef& definition : functions) {
    const Reference function(api.PyCFunction_NewEx(&definition, nullptr, nullptr));
    if (!function || api.PyDict_SetItemString(space, definition.name, function.get()) != 0)
      return false;
  }
  return true;
}

bool load() {
  if (space != nullptr || broken) return !broken;
  space = api.PyDict_New();
  broken = space == nullptr || !fill_space() || !run_all(kWatch);
  return !broken;
}

// Calls a function of the Python part. The result is null after an exception, which was reported.
PyObject* call(const char* name, PyObject* argument = nullptr) {
  PyObject* function = api.PyDict_GetItemString(space, name);
  const Reference arguments(argument != nullptr ? api.Py_BuildValue("(O)", argument)
                                                : api.Py_BuildValue("()"));
  PyObject* result = function != nullptr && arguments
                         ? api.PyObject_Call(function, arguments.get(), nullptr)
                         : nullptr;
  if (result == nullptr) report_exception(name);
  return result;
}

}  // namespace

void before() {
  to_cure = false;
  if (!load()) return;
  const Reference result(call("before"));
  to_cure = result && api.PyLong_AsLong(result.get()) == 2;
}

void after_in_parent() {
  if (space != nullptr && !broken) const Reference result(call("after_in_parent"));
}

void after_in_child() {
  if (space != nullptr && !broken) const Reference result(call("after_in_child"));
}

bool has_threads_to_cure() { return to_cure; }

bool explain(Explanation& out) {
  // Not where the thread holds the GIL (its wait is an extension's own affair), nor in a thread
  // that the interpreter does not know.
  if (!present() || broken || !api.Py_IsInitialized() || api.finalizing() ||
      api.PyGILState_GetThisThreadState() == nullptr || api.PyGILState_Check())
    return false;
  const int state = api.PyGILState_Ensure();
  bool known = false;
  if (!handlers::run_due()) {
    threads::self()->watch.interrupted = true;
  } else {
    const ErrorKeeper error;
    PyObject* frame = api.PyEval_GetFrame();  // borrowed
    const Reference answer(frame != nullptr && load() ? call("explain_wait", frame) : nullptr);
    const char *cause = nullptr, *text = nullptr, *name = nullptr, *module = nullptr;
    if (answer &&
        api.PyArg_ParseTuple(answer.get(), "ssiss", &cause, &text, &out.tid, &name, &module)) {
      out.cause.append(cause);
      out.text.append(text);
      out.module.append(module);
      out.runtime = name[0] != '\0' ? runtimes::named(name) : nullptr;
      known = cause[0] != '\0';
    }
    api.PyErr_Clear();
  }
  api.PyGILState_Release(state);
  return known;
}

}  // namespace forkmend::python::lost
