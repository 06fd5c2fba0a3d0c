// libforkmend-config.so: reads a configuration file on behalf of the shared object.
//
// Promises: exports forkmend_config_read and nothing else, and never throws: whatever goes wrong,
// lack of memory included, is one problem. The file's strings are valid during the calls only.
#include <new>

#include "shim/runtimes/profile_file.h"
#include "shim/runtimes/reader.h"

namespace forkmend {
namespace {

void deliver(const char* path, const ConfigSink& sink) {
  const ProfileFile file = read_profile_file(path);
  for (const Profile& profile : file.profiles) sink.profile(sink.self, profile, path);
  for (const ProfileSetting& setting : file.settings) {
    sink.setting(sink.self, setting.name.c_str(), setting.value.c_str(), path, setting.line);
  }
  for (const ProfileProblem& problem : file.problems) {
    sink.problem(sink.self, path, problem.line, problem.text.c_str());
  }
}

}  // namespace
}  // namespace forkmend

extern "C" __attribute__((visibility("default"))) void forkmend_config_read(
    const char* path, const forkmend::ConfigSink* sink) {
  try {
    forkmend::deliver(path, *sink);
  } catch (const std::bad_alloc&) {
    sink->problem(sink->self, path, 0, "cannot be read: out of memory");
  } catch (...) {
    sink->problem(sink->self, path, 0, "cannot be read: the reader failed");
  }
}
