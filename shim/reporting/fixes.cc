#include "shim/reporting/fixes.h"

#include <string.h>

#include "shim/base/settings.h"
#include "shim/runtimes/runtime.h"

namespace forkmend::fixes {
namespace {

struct Fix {
  const char* kind;
  const char* setting;  // null: a change of the program
  const char* text;
  const char* risk;
};

template <class Each>
void for_each_fix(const Judgement& judgement, Each&& each) {
  const bool orphan = strcmp(judgement.cause, "orphaned-lock") == 0;
  if (orphan && settings.orphans == Orphans::report)
    each(Fix{"now", "FORKMEND_ORPHANS=reset", "open it", "what it guards may be half written"});
  const bool half_run = strcmp(judgement.cause, "half-run-initialiser") == 0;
  if (half_run && settings.orphans == Orphans::report)
    each(Fix{"now", "FORKMEND_ORPHANS=reset", "run it anew",
             "what the lost thread had made of the object is left behind"});
  const Profile* profile = judgement.runtime != nullptr ? judgement.runtime->profile : nullptr;
  if (profile != nullptr && judgement.runtime->policy < profile->policy)
    each(Fix{"now", "FORKMEND_POLICY", profile->fix_now, "fork waits for its threads"});
  Text<160> python;
  if (profile == nullptr && judgement.python_module.size() != 0) {
    python.format("FORKMEND_PROFILES=+python:{}", judgement.python_module.view()).append('\0');
    each(Fix{"now", python.data(), "start that thread again in each child",
             "what it does, it does in every child"});
  }
  if (settings.on_lockup == OnLockup::report)
    each(Fix{"now", "FORKMEND_ON_LOCKUP=abort",
             "core + SIGABRT; the supervisor restarts the process",
             "what the process had in memory is lost"});
  if (profile != nullptr && profile->fix_code[0] != '\0') {
    each(Fix{"code", nullptr, profile->fix_code, nullptr});
  } else if (orphan) {
    each(Fix{"code", nullptr,
             "take the lock in pthread_atfork's prepare handler, release it in parent and child",
             nullptr});
  } else if (half_run) {
    each(Fix{"code", nullptr, "call the function once before the first fork", nullptr});
  } else if (strcmp(judgement.cause, "libc-lock") == 0) {
    each(Fix{"code", nullptr, "keep the thread out of that function while the process forks",
             nullptr});
  } else {
    each(Fix{"code", nullptr,
             "start the thread on first use, or again in pthread_atfork's child handler", nullptr});
  }
}

}  // namespace

void write(Json& json, const Judgement& judgement) {
  json.key("fixes").open('[');
  for_each_fix(judgement, [&](const Fix& fix) {
    json.open('{').field("kind", fix.kind).key("setting");
    if (fix.setting != nullptr) {
      json.string(fix.setting);
    } else {
      json.null();
    }
    json.field("text", fix.text).key("risk");
    if (fix.risk != nullptr) {
      json.string(fix.risk);
    } else {
      json.null();
    }
    json.close('}');
  });
  json.close(']');
}

void append(MessageSpan& out, const Judgement& judgement) {
  const char* last = "";
  for_each_fix(judgement, [&](const Fix& fix) {
    const char* label = fix.setting != nullptr ? "FIX NOW" : "FIX CODE";
    out.format("\n{:10}", strcmp(label, last) == 0 ? "" : label);
    last = label;
    if (fix.setting != nullptr) out.format("{:26} ", fix.setting);
    out.append(fix.text);
    if (fix.risk != nullptr) out.format("; {}", fix.risk);
  });
}

}  // namespace forkmend::fixes
