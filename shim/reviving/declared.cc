#include "shim/reviving/declared.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <errno.h>
#include <string.h>

#include <initializer_list>

#include "shim/base/armed.h"
#include "shim/base/glob.h"
#include "shim/base/settings.h"
#include "shim/base/spinlock.h"
#include "shim/base/text.h"
#include "shim/forking/protocol.h"
#include "shim/reporting/event.h"
#include "shim/reporting/modules.h"
#include "shim/reviving/trigger.h"
#include "shim/runtimes/dynamic.h"
#include "shim/runtimes/runtime.h"

// Of stubs.S, and for it.
extern "C" {
FORKMEND_HIDDEN extern char forkmend_declared_stubs[];
FORKMEND_HIDDEN void* forkmend_declared_real[forkmend::declared::kMaxStubs];
FORKMEND_HIDDEN unsigned forkmend_declared_saves_vectors;
FORKMEND_HIDDEN void forkmend_declared_called(int index, const void* caller);
}

namespace forkmend::declared {
namespace {

#if defined(__x86_64__)
constexpr std::size_t kStubSize = 32;
#else
constexpr std::size_t kStubSize = 64;
#endif

constexpr int kMaxProfiles = 16;  // profiles in force that declare something; built-in ones: none

struct Declaration {
  const Profile* profile;
  const modules::Module* library;  // the one of its libraries that is loaded, or null
  bool told;                       // that it has no such function
};
struct Stub {
  const Profile* profile;
  const char* symbol;
  int definitions;  // objects that define a function of this name, as of the last scan
};

Declaration declarations[kMaxProfiles];
std::atomic<int> declared{0};
Stub stubs[kMaxStubs];
std::atomic<int> stub_count{0};
int slots;                 // changed by the scan under way
bool unbound;              // it found a slot that is not bound yet: the loader may bind it after us
bool too_many;             // it found more functions than there are stubs
bool stored;               // it could write to every table
std::uint64_t loads_seen;  // as of the last scan
std::atomic<bool> stale{true};

void* stub_at(int index) {
  return forkmend_declared_stubs + kStubSize * static_cast<unsigned>(index);
}

// Whether stubs.S can keep the registers that arguments are in.
#if defined(__x86_64__)
bool can_keep_registers() {
  unsigned a, b, c, d;
  __cpuid(1, a, b, c, d);
  constexpr unsigned kOsxsave = 1u << 27;
  if ((c & kOsxsave) == 0) return true;  // no vector registers but those that FXSAVE keeps
  unsigned end = 0;
  for (const unsigned component : {2u, 3u, 5u, 6u, 7u}) {
    __cpuid_count(0xd, component, a, b, c, d);  // size, offset
    if (a != 0 && a + b > end) end = a + b;
  }
  forkmend_declared_saves_vectors = 1;
  constexpr unsigned kArea = 2752;  // also in stubs.S
  return end <= kArea;
}
#else
bool can_keep_registers() { return true; }
#endif

bool defines(const Profile& p, const modules::Module& library) {
  const std::string_view name = base_name(library.path);
  return p.enqueue_dso[0][0] != '\0' ? glob_match_any(p.enqueue_dso, name)
                                     : glob_match_any(p.dso, name);
}

// --- the runtimes --------------------------------------------------------------------------------

bool is_of(const Runtime& r, const Profile& p) {
  return r.profile == &p || (r.from_api && strcmp(r.name, p.name) == 0);
}

// Whether a call could still bring threads back, or be evidence of work handed over.
bool awaits(const Runtime& r) {
  if (r.resumable.load(std::memory_order_relaxed)) return true;
  if (__atomic_load_n(&r.handle.lost, __ATOMIC_RELAXED) == 0) return false;
  if (r.policy == Policy::leave) return false;
  const bool respawns = r.policy == Policy::callback && r.callbacks.respawn != nullptr;
  return respawns || r.enqueued.load(std::memory_order_relaxed) == 0;
}

bool any_awaits() {
  const int count = declared.load(std::memory_order_acquire);
  for (int i = 0; i < runtimes::highest(); i++) {
    const Runtime& r = runtimes::at(i);
    if (!r.in_use.load(std::memory_order_relaxed) || !awaits(r)) continue;
    for (int d = 0; d < count; d++) {
      if (is_of(r, *declarations[d].profile)) return true;
    }
  }
  return false;
}

void disarm_if_done() { armed_page.no_enqueue.store(any_awaits() ? 0 : 1); }

// --- the slots -----------------------------------------------------------------------------------

bool has_stub(const Profile& profile, const char* symbol) {
  for (int i = 0; i < stub_count.load(std::memory_order_relaxed); i++) {
    if (stubs[i].profile == &profile && stubs[i].symbol == symbol) return true;
  }
  return false;
}

void add_stub(const Profile& profile, const char* symbol, void* real) {
  const int count = stub_count.load(std::memory_order_relaxed);
  for (int i = 0; i < count; i++) {
    if (forkmend_declared_real[i] == real && strcmp(stubs[i].symbol, symbol) == 0) return;
  }
  too_many |= count == kMaxStubs;
  if (too_many) return;
  stubs[count] = {&profile, symbol, 0};
  forkmend_declared_real[count] = real;
  stub_count.store(count + 1, std::memory_order_release);
}

template <class Visit>
void for_each_symbol(const Profile& profile, Visit&& visit) {
  for (const auto& symbol : profile.enqueue_symbol) {
    if (symbol[0] != '\0') visit(symbol);
  }
}

void find_definitions(const modules::Module& module, void*) {
  const int count = declared.load(std::memory_order_relaxed);
  for (int i = 0; i < count; i++) {
    Declaration& d = declarations[i];
    if (!defines(*d.profile, module)) continue;
    d.library = &module;
    const dynamic::Image image(module);
    for_each_symbol(*d.profile, [&](const char* symbol) {
      if (void* real = image.find(symbol)) add_stub(*d.profile, symbol, real);
    });
  }
}

void count_definitions(const modules::Module& module, void*) {
  const dynamic::Image image(module);
  for (int i = 0; i < stub_count.load(std::memory_order_relaxed); i++) {
    if (image.find(stubs[i].symbol) != nullptr) stubs[i].definitions++;
  }
}

// The stub that a slot is to lead to, or null. A lazy slot that is not bound yet leads back into
// its own object: whom it will be bound to is known where only one object defines the name.
void* stub_for(const modules::Module& module, const char* name, std::uintptr_t value, bool lazy) {
  for (int i = 0; i < stub_count.load(std::memory_order_relaxed); i++) {
    if (strcmp(name, stubs[i].symbol) != 0) continue;
    if (value == reinterpret_cast<std::uintptr_t>(forkmend_declared_real[i])) return stub_at(i);
    const bool not_relocated = value < module.bias;  // an object that is just being loaded
    const bool not_bound =
        lazy && value - module.lo < module.hi - module.lo && stubs[i].definitions == 1;
    unbound |= not_relocated || not_bound;
    if (not_bound) return stub_at(i);
  }
  return nullptr;
}

void patch(const modules::Module& module, void*) {
  const dynamic::Image image(module);
  const auto visit = [&](void** slot, const char* name, bool lazy) {
    const auto value = reinterpret_cast<std::uintptr_t>(__atomic_load_n(slot, __ATOMIC_RELAXED));
    void* stub = stub_for(module, name, value, lazy);
    if (stub == nullptr) return;
    if (image.store(slot, stub)) {
      slots++;
    } else {
      stored = false;
    }
  };
  image.for_each_slot(visit, true);
}

// What went wrong, each once; not inside of the loader's list.
void tell() {
  static bool told_store = false, told_many = false;
  constexpr const char* kFeature = "declared enqueue symbols";
  if (!stored && !told_store) report_off(kFeature, "mprotect of a global offset table failed");
  if (too_many && !told_many) report_off(kFeature, "more than 64 functions in one process");
  told_store |= !stored;
  told_many |= too_many;
  for (int i = 0; i < declared.load(std::memory_order_relaxed); i++) {
    Declaration& d = declarations[i];
    if (d.library == nullptr || d.told) continue;
    for_each_symbol(*d.profile, [&](const char* symbol) {
      if (d.told || too_many || has_stub(*d.profile, symbol)) return;
      d.told = true;
      Text<320> reason;
      reason.format("profile {}: {} exports no function {}; `nm -D` prints what it exports",
                    d.profile->name, base_name(d.library->path), symbol);
      report_off(kFeature, reason.view());
    });
  }
  if (slots > 0 && settings.log == Log::info)
    say("declared enqueue symbols: {} functions, {} new places that call them",
        stub_count.load(std::memory_order_relaxed), slots);
}

void scan() {
  const Turn turn(Rank::declared_scan);
  if (!turn) return;  // another thread is at it
  stale.store(false);
  slots = 0;
  unbound = too_many = false;
  stored = true;
  bool whole = modules::for_each_loaded(find_definitions, nullptr);
  if (whole && stub_count.load(std::memory_order_relaxed) > 0) {
    for (Stub& stub : stubs) stub.definitions = 0;
    whole = modules::for_each_loaded(count_definitions, nullptr) &&
            modules::for_each_loaded(patch, nullptr);
  }
  loads_seen = modules::loads();
  if (!whole || unbound) stale.store(true);  // again at the next fork
  if (whole) tell();
}

}  // namespace

void declare(const Profile& profile) {
  if (profile.enqueue_symbol[0][0] == '\0') return;
  if (!can_keep_registers())
    return report_off("declared enqueue symbols", "this machine has registers of unknown size");
  {
    SpinGuard guard(Rank::declarations);
    const int count = declared.load(std::memory_order_relaxed);
    for (int i = 0; i < count; i++) {
      if (declarations[i].profile == &profile) return;
    }
    if (count < kMaxProfiles) {
      declarations[count] = {&profile, nullptr, false};
      declared.store(count + 1, std::memory_order_release);
    }
  }
  disarm_if_done();
  stale.store(true);
  scan();
}

void before_fork() {
  if (declared.load(std::memory_order_relaxed) == 0) return;
  if (stale.load() || loads_seen != modules::loads()) scan();
}

void after_fork_child(const ChildEntry&) {
  if (declared.load(std::memory_order_relaxed) == 0) return;
  if (spin::was_held_at_fork(Rank::declared_scan)) stale.store(true);
  disarm_if_done();
}

}  // namespace forkmend::declared

// A declared function was called while something may be lost; all that its caller gave it is kept
// by stubs.S. In any thread, in a signal handler, in a vfork child.
void forkmend_declared_called(int index, const void* caller) {
  using namespace forkmend;
  const int error = errno;
  if (child_unannounced()) forking::notice_child();
  const declared::Stub& stub = declared::stubs[index];
  if (forking::is_this_process()) {
    runtimes::for_each([&](Runtime& r) {
      if (declared::is_of(r, *stub.profile) && declared::awaits(r))
        trigger::on_enqueue(r, forkmend_declared_real[index], caller);
    });
    declared::disarm_if_done();
  }
  errno = error;
}
