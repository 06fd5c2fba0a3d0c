// What can be done for a runtime, as settings and profile files spell it.
#pragma once

#include <cstdint>
#include <string_view>

namespace forkmend {

// What is done for a runtime. The names are those of the settings and the profile files.
enum class Policy : std::uint8_t {
  leave,     // known to heal itself: never touched, never reported
  report,    // watched and reported only
  forkall,   // each thread that stood in a wait goes on in the child when that is woken
  quiesce,   // its own pause is called before fork
  drain,     // fork waits for the safepoint
  callback,  // drain, and the runtime's own respawn function at the first enqueue
  rerun,     // drain, and its threads begin again in the child at the first enqueue
  resume,    // drain, and its threads go on in the child at the first enqueue
  eager,     // callback or resume at once, in the child: no trigger is visible
};

inline constexpr int kPolicyCount = 9;
inline constexpr const char* kPolicyNames[kPolicyCount] = {
    "leave", "report", "forkall", "quiesce", "drain", "callback", "rerun", "resume", "eager"};

// Whether a runtime's threads go on in the child.
constexpr bool resumes(Policy policy) {
  return policy == Policy::resume || policy == Policy::eager;
}

// Whether its threads are made anew in the child, on stacks that outlive them.
constexpr bool makes_anew(Policy policy) { return resumes(policy) || policy == Policy::rerun; }

inline bool parse_policy(std::string_view text, Policy& out) {
  for (int i = 0; i < kPolicyCount; i++) {
    if (text == kPolicyNames[i]) {
      out = static_cast<Policy>(i);
      return true;
    }
  }
  return false;
}

// An item of FORKMEND_POLICY: false if it is not NAME:POLICY.
inline bool parse_policy_item(std::string_view item, std::string_view& name, Policy& policy) {
  const std::size_t colon = item.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  name = item.substr(0, colon);
  return parse_policy(item.substr(colon + 1), policy);
}

}  // namespace forkmend
