#include "shim/runtimes/runtime.h"

#include "shim/base/armed.h"
#include "shim/base/glob.h"
#include "shim/base/settings.h"
#include "shim/base/spinlock.h"
#include "shim/base/text.h"
#include "shim/exiting/exit.h"
#include "shim/reporting/event.h"
#include "shim/reviving/by_signal.h"
#include "shim/reviving/declared.h"
#include "shim/reviving/quiesce.h"
#include "shim/reviving/resume.h"
#include "shim/runtimes/configuration.h"
#include "shim/runtimes/interpreters.h"

namespace forkmend::runtimes {

FORKMEND_SAME_PAGE std::atomic<int> registered_threads{0};

namespace {

constinit Runtime table[kMaxRuntimes]{};
FORKMEND_SAME_PAGE std::atomic<int> used{0};
// The runtime of each module, once it created a thread. Index: modules::index_of.
std::atomic<Runtime*> by_module[modules::kMaxModules];

void clear(Runtime& r) {
  r.handle.lost = 0;
  r.dso = nullptr;
  r.profile = nullptr;
  r.profile_origin = "none";
  r.policy = Policy::report;
  r.settle = false;
  r.signal = 0;
  r.unasked = false;
  r.drain = settings.drain;
  r.from_api = false;
  r.live.store(0);
  r.misses.store(0);
  r.enqueued.store(0);
  r.pause = nullptr;
  r.callbacks = {};
  r.user = nullptr;
  r.reviving.store(0);
  r.failures.store(0);
  r.resumable.store(false);
  r.put_off.store(false);
  r.objects_rebuilt = false;
  r.images = nullptr;
}

// In use when it is whole: a child may be forked at any moment of this.
Runtime* take_slot(std::string_view name) {
  SpinGuard guard(Rank::runtimes);
  for (int i = 0; i < kMaxRuntimes; i++) {
    Runtime& r = table[i];
    if (r.in_use.load(std::memory_order_relaxed)) continue;
    clear(r);
    copy_text(r.name, name);
    r.in_use.store(true, std::memory_order_release);
    if (i >= used.load(std::memory_order_relaxed)) used.store(i + 1, std::memory_order_release);
    return &r;
  }
  return nullptr;
}

Runtime* make(std::string_view name) {
  Runtime* r = take_slot(name);
  if (r == nullptr) {
    static std::atomic<bool> said{false};
    if (!said.exchange(true)) report_off("runtimes", "more than 256 libraries create threads");
  }
  return r;
}

Runtime* for_profile(const configuration::Match& match, const modules::Module* module) {
  const bool known = match.profile != nullptr;
  Runtime* r = make(known ? std::string_view(match.profile->name) : base_name(module->path));
  if (r == nullptr) return nullptr;
  r->dso = module;
  r->profile = match.profile;
  r->profile_origin = match.origin;
  r->policy = configuration::policy_for(
      r->name, known ? match.profile->policy : configuration::default_policy());
  if (r->policy == Policy::forkall && interpreters::is_one(*module)) r->policy = Policy::report;
  r->settle = known && match.profile->settle != 0;
  r->unasked = known && configuration::is_unasked(*match.profile);
  if (known && r->policy != Policy::leave) declared::declare(*match.profile);
  if (known && resumes(r->policy) && match.profile->signal != 0) by_signal::prepare(*r);
  if (r->policy == Policy::quiesce) reviving::prepare_quiesce(*r);
  // Longer only for what comes of it.
  if (known && match.profile->drain_ms != 0 && !settings.drain_given &&
      (r->policy == Policy::rerun || (resumes(r->policy) && resume::possible_here())))
    r->drain = match.profile->drain_ms * kMillisecond;
  if (known && settings.log == Log::info)
    say("recognised {}: threads of {}, policy {}", r->name, module->path,
        kPolicyNames[static_cast<int>(r->policy)]);
  return r;
}

// The first registered thread may come while the last one leaves: what is set last must hold.
void update_busy() {
  bool any;
  do {
    any = registered_threads.load() > 0;
    set_busy(Busy::registered_threads, any);
  } while ((registered_threads.load() > 0) != any);
}

}  // namespace

int highest() { return used.load(std::memory_order_acquire); }
Runtime& at(int index) { return table[index]; }

Runtime* attribute(const void* caller, const void* start_symbol) {
  const modules::Module* module = modules::find_or_refresh(start_symbol);
  if (module == nullptr) module = modules::find_or_refresh(caller);
  if (module == nullptr) return nullptr;  // code without an object: a JIT compiler's
  std::atomic<Runtime*>& slot = by_module[modules::index_of(*module)];
  Runtime* r = slot.load(std::memory_order_acquire);
  if (r != nullptr) return r;
  configuration::load();
  configuration::Match match = configuration::find_by_dso(module->path);
  if (match.profile == nullptr) match = configuration::find_by_symbol(*module);
  r = for_profile(match, module);
  Runtime* expected = nullptr;
  if (r != nullptr && !slot.compare_exchange_strong(expected, r)) {
    r->in_use.store(false);  // another thread was first
    return expected;
  }
  return r;
}

Runtime* attribute_by_name(const Thread& t, const char* name) {
  if (t.runtime == nullptr || t.runtime->profile != nullptr || t.runtime->from_api) return nullptr;
  const configuration::Match match = configuration::find_by_thread(name);
  if (match.profile == nullptr) return nullptr;
  for (int i = 0; i < highest(); i++) {
    if (table[i].in_use && table[i].profile == match.profile && table[i].dso == t.runtime->dso)
      return &table[i];
  }
  return for_profile(match, t.runtime->dso);
}

Runtime* of_python(const configuration::Match& match, const char* module) {
  if (Runtime* known = named(match.profile->name)) return known;
  Runtime* r = make(match.profile->name);
  if (r == nullptr) return nullptr;
  r->profile = match.profile;
  r->profile_origin = match.origin;
  r->policy = configuration::policy_for(r->name, match.profile->policy);
  if (settings.log == Log::info)
    say("recognised {}: Python threads of {}, policy {}", r->name, module,
        kPolicyNames[static_cast<int>(r->policy)]);
  return r;
}

Runtime* named(std::string_view name) {
  for (int i = 0; i < highest(); i++) {
    if (table[i].in_use && name == table[i].name) return &table[i];
  }
  return nullptr;
}

Runtime* add(const char* name, const void* caller) {
  configuration::load();
  Runtime* r = make(name == nullptr || name[0] == '\0' ? "unnamed" : name);
  if (r == nullptr) return nullptr;
  r->dso = modules::find_or_refresh(caller);
  r->from_api = true;
  r->profile_origin = "API";
  r->policy = configuration::policy_for(r->name, Policy::callback);
  const Profile* profile = configuration::find_by_name(r->name).profile;
  if (profile != nullptr) declared::declare(*profile);
  return r;
}

void remove(Runtime* r) { r->in_use.store(false, std::memory_order_release); }

void enter(Thread& t, Runtime* r) {
  t.runtime = r;
  if (r == nullptr) return;
  r->live.fetch_add(1, std::memory_order_relaxed);
  if (!has_gate(r->policy)) return;
  t.registered = true;
  exiting::schedule(*r);
  registered_threads.fetch_add(1);
  update_busy();
}

void leave(Thread& t) {
  // Whoever takes it out of the record books it out: its owner may remove it as the thread ends.
  if (Runtime* r = t.runtime.exchange(nullptr)) r->live.fetch_sub(1, std::memory_order_relaxed);
  if (t.registered.load(std::memory_order_relaxed) && t.registered.exchange(false)) {
    registered_threads.fetch_sub(1);
    update_busy();
  }
}

Runtime* of_caller(const void* caller) {
  const modules::Module* module = modules::find(caller);
  return module == nullptr ? nullptr : by_module[modules::index_of(*module)].load();
}

void after_fork_child(const ChildEntry&) {
  Thread* self = threads::self();
  for (int i = 0; i < highest(); i++) {
    Runtime& r = table[i];
    if (!r.in_use.load(std::memory_order_relaxed)) continue;
    const int own = self != nullptr && self->runtime == &r ? 1 : 0;
    if (r.live.load(std::memory_order_relaxed) > own) r.handle.lost = 1;
    r.live.store(own, std::memory_order_relaxed);
    r.enqueued.store(0, std::memory_order_relaxed);
    r.reviving.store(0, std::memory_order_relaxed);
    if (r.failures.load(std::memory_order_relaxed) != 0) r.failures.store(0);
  }
  registered_threads.store(self != nullptr && self->registered ? 1 : 0, std::memory_order_relaxed);
}

}  // namespace forkmend::runtimes
