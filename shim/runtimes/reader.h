// The C boundary between the shared object and libforkmend-config.so.
//
// Promises: the shared object needs libc alone; the parser (toml++, std::string, exceptions) lives
// in a second object that is loaded with dlopen in the first ancestor, only when there is a file to
// read, and that hides everything but this one function.
#pragma once

#include "shim/runtimes/profile.h"

namespace forkmend {

// Receives what a file says, one call per item. `line` is 1-based, 0 when unknown.
struct ConfigSink {
  void* self;
  void (*profile)(void* self, const Profile& profile, const char* file);
  void (*setting)(void* self, const char* name, const char* value, const char* file, int line);
  void (*problem)(void* self, const char* file, int line, const char* text);
};

// Reads one TOML file: profiles (one at the top level, or [[profile]] tables) and [settings].
// Never throws; a file that cannot be read is one `problem`.
using ConfigReadFn = void (*)(const char* path, const ConfigSink* sink);
inline constexpr const char* kConfigReadName = "forkmend_config_read";

}  // namespace forkmend
