// The profiles in force: built in, from files, narrowed and widened by settings.
//
// Promises: files are read once, in the first ancestor, before the first thread is attributed; a
// process that creates no thread reads none. A file that cannot be read is one line and is ignored.
// Does not: parse. libforkmend-config.so does, loaded only when there is a file.
#pragma once

#include <string_view>

#include "shim/reporting/modules.h"
#include "shim/runtimes/profile.h"

namespace forkmend::configuration {

struct Match {
  const Profile* profile;
  const char* origin;  // "built in" or the file
};

// Reads /etc/forkmend.toml, FORKMEND_CONFIG and the files and directories of FORKMEND_PROFILES, if
// any. Idempotent. Calls dlopen: only in a context that may allocate.
void load();

// The profile whose DSO patterns match a path; later files win over earlier ones, files over
// built-in ones. profile == nullptr where none matches.
Match find_by_dso(const char* path);
// The same for an object that defines and exports a symbol.
Match find_by_symbol(const modules::Module& object);
// The same for thread names.
Match find_by_thread(const char* name);

// The same for the modules of Python threads; FORKMEND_PROFILES=+python:MODULE is a profile as
// well. Never the one for all Python threads, which comes after all others:
// find_by_name(kPythonByEvidence).
Match find_by_python(const char* module);
// One line for each +python:MODULE that find_by_python has not found for any module so far. Once.
void say_unmatched_python();

// The profile of this name: what a runtime that registers under it declares besides.
Match find_by_name(const char* name);

// True if somebody asked for a policy that makes threads anew (FORKMEND_POLICY, FORKMEND_PROFILES,
// a file): whose kernel objects matter is then known late, or by a thread's name alone. Before the
// configuration is read, which is at the first thread: true where there are settings of it. (What
// /etc/forkmend.toml alone asks for is seen from the first thread on.)
bool asked_to_make_anew();

// True if a policy that makes threads anew is the profile's own as it was built in, and nobody
// asked for it by name (FORKMEND_POLICY, FORKMEND_PROFILES).
bool is_unasked(const Profile& profile);
// True if threads of the library in this file are made anew by such a profile. For the
// few processes that load such a library: all others must not pay for it. Async-signal-safe.
bool makes_anew_unasked(const char* path);

// True if a profile that names threads resumes them: who is meant is known only when they run.
bool resumes_by_thread_name();

// What is done for threads of no profile: FORKMEND_POLICY=*:POLICY.
Policy default_policy();

// The policy in force for a runtime called `name` (FORKMEND_POLICY), else `fallback`.
Policy policy_for(std::string_view name, Policy fallback);

}  // namespace forkmend::configuration
