// The settings: FORKMEND_* in the environment, [settings] of configuration files.
//
// Promises: read once; a value that cannot be read is one clear line, said once, and counts as not
// given: what comes next in the precedence holds, for the same setting and for all that ask whether
// it was given. Of a list the items that can be read count.
// Precedence: defaults < /etc/forkmend.toml < FORKMEND_CONFIG < environment.
// Does not: allocate, or touch the environment.
#pragma once

#include <cstdint>
#include <string_view>

#include "shim/base/clock.h"
#include "shim/base/compiler.h"

namespace forkmend {

enum class OnLockup : std::uint8_t { report, abort, exit };
enum class Log : std::uint8_t { quiet, info };
enum class Orphans : std::uint8_t { report, reset, abort };

struct Settings {
  bool off = false;
  bool inherit = true;
  OnLockup on_lockup = OnLockup::report;
  int exit_code = 0;  // with OnLockup::exit
  Log log = Log::quiet;
  Orphans orphans = Orphans::report;
  Nanoseconds drain = 1 * kSecond;       // how long fork may be held
  Nanoseconds exit = 1 * kSecond;        // how long one runtime may hold up exit
  bool drain_given = false;              // by somebody, for all runtimes
  Nanoseconds grace = 1 * kSecond;       // before a certain lockup is reported
  Nanoseconds threshold = 10 * kSecond;  // before a likely lockup is reported
  const char* profiles = "";             // FORKMEND_PROFILES
  const char* policy = "";               // FORKMEND_POLICY
  const char* only = "";                 // FORKMEND_ONLY
  const char* dir = "";                  // FORKMEND_DIR
  const char* config = "";               // FORKMEND_CONFIG
};

extern FORKMEND_HIDDEN Settings settings;

enum class SettingSource : std::uint8_t { environment, file };

// Where a bad value came from; `where` is "FORKMEND_X" or "file:line", `item` what of a list cannot
// be read (empty: the whole value).
using SettingProblem = void (*)(std::string_view where, std::string_view value,
                                std::string_view item, std::string_view expected);

// Sets one setting by its short name (lower case, without prefix: "drain_ms"). `value` must outlive
// the process when it is text (environment strings do; the caller copies those of files).
// Returns false if there is no setting of this name. What the environment has given, a file cannot
// change.
bool apply_setting(std::string_view name, const char* value, SettingSource source,
                   std::string_view where, SettingProblem problem);

// Reads every FORKMEND_* variable of `environ`.
void read_environment(char** environment, SettingProblem problem);

}  // namespace forkmend
