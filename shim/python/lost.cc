#include "shim/python/lost.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include <atomic>

#include "shim/base/clock.h"
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
    forkmend_python_evidence[], forkmend_python_sections[], forkmend_python_explain[];
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
constexpr Source kWatch = {"<forkmend>/watch.py", forkmend_python_watch};
// What watch.py loads when it is needed, by the name between the slash and the dot.
constexpr Source kParts[] = {{"<forkmend>/sections.py", forkmend_python_sections},
                             {"<forkmend>/reach.py", forkmend_python_reach},
                             {"<forkmend>/locks.py", forkmend_python_locks},
                             {"<forkmend>/queues.py", forkmend_python_queues},
                             {"<forkmend>/clients.py", forkmend_python_clients},
                             {"<forkmend>/cure.py", forkmend_python_cure},
                             {"<forkmend>/evidence.py", forkmend_python_evidence},
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
// Of the name of the profile for all Python threads: that one, unless it is switched off.
PyObject* recognise(PyObject*, PyObject* arguments) {
  const char* module = nullptr;
  if (!api.PyArg_ParseTuple(arguments, "s", &module)) return nullptr;
  configuration::load();
  const bool any = strcmp(module, kPythonByEvidence) == 0;
  const configuration::Match match =
      any ? configuration::find_by_name(module) : configuration::find_by_python(module);
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

// _say_unmatched(): patterns of the setting that no thread has matched.
PyObject* say_unmatched(PyObject*, PyObject*) {
  configuration::say_unmatched_python();
  return none();
}

// _all_waits(): {kernel thread id: address of the semaphore that a thread of this process waits
// for}. They may run on: compare the addresses, never follow them.
PyObject* all_waits(PyObject*, PyObject*) {
  PyObject* waits = api.PyDict_New();
  threads::for_each_live([&](Thread& t) {
    if (t.wait.call.load(std::memory_order_relaxed) != WaitCall::sem_wait) return true;
    const Reference tid(api.Py_BuildValue("i", t.tid.load(std::memory_order_relaxed)));
    const Reference at(api.Py_BuildValue("k", reinterpret_cast<unsigned long>(t.wait.object)));
    return waits != nullptr && tid && at && api.PyDict_SetItem(waits, tid.get(), at.get()) == 0;
  });
  return waits;
}

// The first words of a PyObject in a build with the GIL (CPython 3.8 to 3.14, Include/object.h);
// what follows is the object's own.
struct Words {
  unsigned long count;
  void* type;
  unsigned long first;
};

// _first_word(object): of a lock of _thread (until 3.13) and of a SimpleQueue (until 3.12) that is
// the address of its semaphore. Only for objects that are larger than their head.
PyObject* first_word(PyObject*, PyObject* arguments) {
  PyObject* object = nullptr;
  if (!api.PyArg_ParseTuple(arguments, "O", &object)) return nullptr;
  return api.Py_BuildValue("k", reinterpret_cast<const Words*>(object)->first);
}

// _set_type(object, from, to): 1 if the object, of type `from`, is now of type `to`. Both have the
// same layout (the caller sees to it); `counted` says which of them an instance holds a reference
// to. What `object.__class__ = to` does, for types that the interpreter does not let be changed.
PyObject* set_type(PyObject*, PyObject* arguments) {
  PyObject *object = nullptr, *from = nullptr, *to = nullptr;
  int from_counted = 0, to_counted = 0;
  if (!api.PyArg_ParseTuple(arguments, "OOOii", &object, &from, &to, &from_counted, &to_counted))
    return nullptr;
  auto* words = reinterpret_cast<Words*>(object);
  if (words->type != from) return api.Py_BuildValue("i", 0);
  if (to_counted != 0) api.Py_IncRef(to);
  words->type = to;
  if (from_counted != 0) api.Py_DecRef(from);
  return api.Py_BuildValue("i", 1);
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

// _connected_by(fd, inode): the kernel id of the thread that connected this socket in an ancestor,
// -1 if that was in this process, 0 if it is not known.
PyObject* connected_by(PyObject*, PyObject* arguments) {
  int fd = -1;
  unsigned long inode = 0;
  if (!api.PyArg_ParseTuple(arguments, "ik", &fd, &inode)) return nullptr;
  return api.Py_BuildValue("i", sockets::connected_by(fd, inode));
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

// A buffered stream of _io (CPython 3.8 to 3.13, Modules/_io/bufferedio.c) and an RLock of _thread
// (Modules/_threadmodule.c): the lock, which is the address of a semaphore, stands right before the
// identity of the thread that holds it. A Lock has its references there, which are never that.
struct BufferLock {
  void* lock;
  unsigned long owner;
};
BufferLock& buffer_lock(PyObject* stream, long owner_at) {
  return *reinterpret_cast<BufferLock*>(reinterpret_cast<char*>(stream) + owner_at -
                                        offsetof(BufferLock, owner));
}

bool is_address(const void* lock) {
  const auto at = reinterpret_cast<std::uintptr_t>(lock);
  return at > 0xffff && at % alignof(void*) == 0;
}

// PyThread_acquire_lock_timed, 0 us: at once.
bool try_to_take(void* lock, long long us) {
  return api.PyThread_acquire_lock_timed(lock, us, 0) == 1;
}

// _find_lock(stream, size, identity), with the lock held by the caller: where the owner stands, or
// 0.
PyObject* find_lock(PyObject*, PyObject* arguments) {
  PyObject* stream = nullptr;
  long size = 0, found = 0;
  unsigned long identity = 0;
  if (!api.PyArg_ParseTuple(arguments, "Olk", &stream, &size, &identity)) return nullptr;
  const long first = static_cast<long>(sizeof(Words));
  for (long at = first; at + static_cast<long>(sizeof identity) <= size;
       at += static_cast<long>(sizeof identity)) {
    const BufferLock& candidate = buffer_lock(stream, at);
    if (candidate.owner != identity || !is_address(candidate.lock)) continue;
    if (found != 0) return api.Py_BuildValue("l", 0L);  // two places: not this layout
    found = at;
  }
  if (found != 0 &&
      (api.PyThread_acquire_lock_timed == nullptr || api.PyThread_release_lock == nullptr ||
       try_to_take(buffer_lock(stream, found).lock, 0)))
    found = 0;
  return api.Py_BuildValue("l", found);
}

// _is_free(stream, place), with the lock held by nobody: 1 if that is what is seen.
PyObject* is_free(PyObject*, PyObject* arguments) {
  PyObject* stream = nullptr;
  long at = 0;
  if (!api.PyArg_ParseTuple(arguments, "Ol", &stream, &at)) return nullptr;
  const BufferLock& lock = buffer_lock(stream, at);
  const bool free = lock.owner == 0 && is_address(lock.lock) && try_to_take(lock.lock, 0);
  if (free) api.PyThread_release_lock(lock.lock);
  return api.Py_BuildValue("i", free ? 1 : 0);
}

// _open_lock(stream, place), in a child: a lost thread has it.
PyObject* open_lock(PyObject*, PyObject* arguments) {
  PyObject* stream = nullptr;
  long at = 0;
  if (!api.PyArg_ParseTuple(arguments, "Ol", &stream, &at)) return nullptr;
  BufferLock& place = buffer_lock(stream, at);
  place.owner = 0;
  try_to_take(place.lock, 0);  // it may be free by a hair: a semaphore must not be raised twice
  api.PyThread_release_lock(place.lock);
  return none();
}

// --- inner locks that the forking thread holds over the fork
// --------------------------------------

// Held from hold() to release(), and no Python code runs in between in this thread: a handler of a
// signal, which the interpreter runs between two steps of such code, may want one of them, and so
// may the warning that 3.12 writes after a fork. Taken and given as what they are to the machine, a
// semaphore each: release() runs inside of fork.
constexpr int kMostHeld = 1024;
struct Holding {
  PyObject* items;    // list of (lock or stream, place of its owner, may wait)
  PyObject* results;  // list: what came of each
};
FORKMEND_TLS Holding holding;
void* held[kMostHeld];
int held_count;
std::atomic<int> holder{0};                                           // the thread whose they are
constexpr long kLate = -1, kNotNeeded = 0, kTaken = 1, kAwaited = 2;  // 2: taken, and others wait
constexpr Nanoseconds kMostWait =
    200 * kMillisecond;                             // a line's write to a busy terminal ends in it
constexpr Nanoseconds kPause = 200 * kMicrosecond;  // between two tries at a lock of Python's

struct Item {
  PyObject* object = nullptr;
  long place = 0;
  int may_wait = 0;
  bool read(PyObject* items, ssize_t i) {
    return api.PyArg_ParseTuple(api.PyList_GetItem(items, i), "Oli", &object, &place, &may_wait) !=
           0;
  }
};

// Others may run meanwhile: whoever has a lock needs the interpreter to leave it.
template <class Wait>
void without_interpreter(Wait&& wait) {
  PyThreadState* self = api.PyEval_SaveThread();
  wait();
  api.PyEval_RestoreThread(self);
}

bool is_awaited(const void* lock) {
  bool found = false;
  threads::for_each_live([&](Thread& t) {
    found =
        t.wait.call.load(std::memory_order_relaxed) == WaitCall::sem_wait && t.wait.object == lock;
    return !found;
  });
  return found;
}

long take(const Item& item, Nanoseconds until) {
  const BufferLock& place = buffer_lock(item.object, item.place);
  void* lock = place.lock;
  if (!is_address(lock)) return kNotNeeded;
  if (place.owner != 0 && place.owner == reinterpret_cast<unsigned long>(pthread_self()))
    return kNotNeeded;
  bool taken = try_to_take(lock, 0);
  const Nanoseconds left = until - now();
  if (!taken && item.may_wait != 0 && left > 0) {
    without_interpreter([&] { taken = try_to_take(lock, left / kMicrosecond); });
    // Another one may be on its way into the same wait, where it is seen.
    const timespec pause = to_timespec(kPause);
    if (taken) sys::call(SYS_nanosleep, sys::arg(&pause));
  }
  return !taken ? kLate : is_awaited(lock) ? kAwaited : kTaken;
}

void forget_holding() {
  if (holding.items != nullptr) api.Py_DecRef(holding.items);
  if (holding.results != nullptr) api.Py_DecRef(holding.results);
  holding = {};
}

bool run(const Source& source) {
  const Reference code(api.Py_CompileString(source.text, source.name, kFileInput));
  const Reference done(code ? api.PyEval_EvalCode(code.get(), space, space) : nullptr);
  if (!done) report_exception(source.name);
  return static_cast<bool>(done);
}

// _load("cure"): a part that not every process needs.
PyObject* load_part(PyObject*, PyObject* arguments) {
  const char* part = nullptr;
  if (!api.PyArg_ParseTuple(arguments, "s", &part)) return nullptr;
  Text<64> name;
  name.format("<forkmend>/{}.py", part);
  bool done = false;
  for (const Source& source : kParts) done |= name.view() == source.name && run(source);
  return api.Py_BuildValue("i", done ? 1 : 0);
}

PyMethodDef functions[] = {{"_recognise", recognise, kWithArguments, nullptr},
                           {"_say_unmatched", say_unmatched, kWithArguments, nullptr},
                           {"_all_waits", all_waits, kWithArguments, nullptr},
                           {"_first_word", first_word, kWithArguments, nullptr},
                           {"_set_type", set_type, kWithArguments, nullptr},
                           {"_profile", profile_name, kWithArguments, nullptr},
                           {"_say", say_text, kWithArguments, nullptr},
                           {"_problem", note_problem, kWithArguments, nullptr},
                           {"_failed", note_failure, kWithArguments, nullptr},
                           {"_stream_inode", stream_inode, kWithArguments, nullptr},
                           {"_connected_by", connected_by, kWithArguments, nullptr},
                           {"_dead_end", dead_end, kWithArguments, nullptr},
                           {"_find_lock", find_lock, kWithArguments, nullptr},
                           {"_is_free", is_free, kWithArguments, nullptr},
                           {"_open_lock", open_lock, kWithArguments, nullptr},
                           {"_open_rlock", open_rlock, kWithArguments, nullptr},
                           {"_load", load_part, kWithArguments, nullptr}};

bool fill_space() {
  const Reference name(api.Py_BuildValue("s", "forkmend"));
  const Reference verbose(api.Py_BuildValue("i", settings.log == Log::info ? 1 : 0));
  api.PyDict_SetItemString(space, "__builtins__", api.PyEval_GetBuiltins());
  api.PyDict_SetItemString(space, "__name__", name.get());
  api.PyDict_SetItemString(space, "_verbose", verbose.get());
  const Reference wait(api.Py_BuildValue("i", settings.drain != 0 ? 1 : 0));
  api.PyDict_SetItemString(space, "_may_wait", wait.get());
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
  broken = space == nullptr || !fill_space() || !run(kWatch);
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
  forget_holding();
  if (!load()) return;
  const Reference result(call("before"));
  int code = 0;
  PyObject *items = nullptr, *results = nullptr;
  if (!result || !api.PyArg_ParseTuple(result.get(), "iOO", &code, &items, &results)) return;
  to_cure = code == 2;
  api.Py_IncRef(items);
  api.Py_IncRef(results);
  holding = {items, results};
}

void hold() {
  int nobody = 0;
  if (holding.items == nullptr || !holder.compare_exchange_strong(nobody, sys::gettid())) return;
  const Nanoseconds until = now() + (settings.drain < kMostWait ? settings.drain : kMostWait);
  for (ssize_t i = 0; i < api.PyList_Size(holding.items) && held_count < kMostHeld; i++) {
    Item item;
    const long answer = item.read(holding.items, i) ? take(item, until) : kNotNeeded;
    if (answer >= kTaken) held[held_count++] = buffer_lock(item.object, item.place).lock;
    const Reference value(api.Py_BuildValue("l", answer));
    if (value) api.PyList_Append(holding.results, value.get());
  }
  api.PyErr_Clear();
}

void release() {
  if (FORKMEND_LIKELY(holder.load(std::memory_order_relaxed) == 0) || holding.items == nullptr)
    return;
  for (int i = 0; i < held_count; i++) api.PyThread_release_lock(held[i]);
  held_count = 0;
  holder.store(0);
}

void after_in_parent() {
  forget_holding();
  if (space != nullptr && !broken) const Reference result(call("after_in_parent"));
}

void after_in_child() {
  forget_holding();
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
