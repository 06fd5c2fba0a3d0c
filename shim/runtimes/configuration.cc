#include "shim/runtimes/configuration.h"

#include <dirent.h>
#include <dlfcn.h>
#include <string.h>
#include <sys/stat.h>

#include <atomic>

#include "shim/base/glob.h"
#include "shim/base/lazy.h"
#include "shim/base/own_stack.h"
#include "shim/base/settings.h"
#include "shim/base/syscall.h"
#include "shim/base/text.h"
#include "shim/reporting/event.h"
#include "shim/runtimes/dynamic.h"
#include "shim/runtimes/reader.h"

namespace forkmend::configuration {
namespace {

constexpr Profile kBuiltIn[] = {
#include "builtin_profiles.inc"
};
constexpr int kBuiltInCount = sizeof kBuiltIn / sizeof kBuiltIn[0];

constexpr const char* kSystemFile = "/etc/forkmend.toml";
constexpr const char* kProfilesSetting = "FORKMEND_PROFILES";
constexpr Policy kDefaultPolicy = Policy::report;  // for threads of no profile
constexpr int kMaxLoaded = 64;      // profiles from files; one file of a site rarely has five
constexpr int kSettingText = 4096;  // text of settings that files gave, kept for the process's life

struct Loaded {
  Profile profile;
  char file[256];
  bool matched;  // a Python module
};

struct Files {
  Loaded loaded[kMaxLoaded];
  char setting_text[kSettingText];
};
Lazy<Files> files;
int loaded_count;
int setting_text_used;
std::atomic<bool> done{false};
std::atomic<bool> some_resume{false}, some_resume_by_name{false};  // as of load()

void on_profile(void*, const Profile& profile, const char* file) {
  Files* kept = files.get();
  if (kept == nullptr || loaded_count == kMaxLoaded) {
    report_setting(file, profile.name, {}, "at most 64 profiles from files");
    return;
  }
  Loaded& slot = kept->loaded[loaded_count++];
  slot.profile = profile;
  copy_text(slot.file, file);
}

void on_setting(void*, const char* name, const char* value, const char* file, int line) {
  const std::size_t size = strlen(value) + 1;
  Text<288> where;
  where.format("{}:{}", file, line);
  Files* all = files.get();
  if (all == nullptr || setting_text_used + size > kSettingText) {
    report_setting(where.view(), name, {}, "less than 4 KiB of settings in files");
    return;
  }
  char* kept = all->setting_text + setting_text_used;
  memcpy(kept, value, size);
  setting_text_used += static_cast<int>(size);
  if (!apply_setting(name, kept, SettingSource::file, where.view(), report_setting))
    report_setting(where.view(), name, {}, "a known setting; see the README");
}

void on_problem(void*, const char* file, int line, const char* text) {
  Text<512> where;
  where.append(file);
  if (line > 0) where.format(":{}", line);
  report_file_problem(where.view(), text);
}

// The reader lies beside us: same directory, so that the build tree and an installation both work.
ConfigReadFn open_reader() {
  static ConfigReadFn reader;
  if (reader != nullptr) return reader;
  Dl_info info;
  char path[512];
  if (dladdr(reinterpret_cast<void*>(&open_reader), &info) == 0) return nullptr;
  const std::string_view own(info.dli_fname);
  Text<sizeof path> text;
  text.append(own.substr(0, own.size() - base_name(own).size())).append("libforkmend-config.so");
  copy_text(path, text.view());
  void* object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (object != nullptr) reader = reinterpret_cast<ConfigReadFn>(dlsym(object, kConfigReadName));
  if (reader == nullptr)
    report_file_problem(path, "must lie beside libforkmend.so to read configuration files");
  return reader;
}

void read_file(const char* path) {
  const ConfigReadFn reader = open_reader();
  if (reader == nullptr) return;
  const ConfigSink sink{nullptr, on_profile, on_setting, on_problem};
  reader(path, &sink);
}

void read_directory(const char* path) {
  DIR* directory = opendir(path);
  if (directory == nullptr) {
    report_file_problem(path, "is no readable directory; FORKMEND_PROFILES names it");
    return;
  }
  while (const dirent* entry = readdir(directory)) {
    if (!glob_match("*.toml", entry->d_name)) continue;
    Text<512> file;
    file.format("{}/{}", path, entry->d_name).append('\0');
    if (!file.truncated()) read_file(file.data());
  }
  closedir(directory);
}

bool is_path(std::string_view item) {
  return item.find('/') != std::string_view::npos || glob_match("*.toml", item);
}

constexpr std::string_view kPythonPrefix = "python:";

// "python:MODULE": threads of this Python module, and of those below it where it is a package, come
// back; "python:GLOB" as it is written.
void add_python(std::string_view item) {
  const std::string_view module = item.substr(kPythonPrefix.size());
  Profile profile{};
  copy_text(profile.name, item);
  copy_text(profile.python[0], module);
  if (module.find_first_of("*?[") == std::string_view::npos) {
    Text<kProfilePatternSize> below;
    below.format("{}.*", module);
    if (!below.truncated()) copy_text(profile.python[1], below.view());
  }
  profile.policy = Policy::callback;
  on_profile(nullptr, profile, kProfilesSetting);
}

void read_profiles_setting() {
  bool said = false;  // one line a value
  for_each_item(settings.profiles, [&](std::string_view item) {
    if (item.front() == '-') return;
    if (item.front() == '+') item.remove_prefix(1);
    if (item.substr(0, kPythonPrefix.size()) == kPythonPrefix) {
      if (item != kPythonByEvidence) add_python(item);  // that one is built in
      return;
    }
    if (is_path(item)) {
      char path[512];
      copy_text(path, item);
      struct stat info;
      if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) return read_directory(path);
      return read_file(path);
    }
    for (const Profile& profile : kBuiltIn) {
      if (item == profile.name) return;
    }
    if (said) return;
    said = true;
    report_setting("FORKMEND_PROFILES", settings.profiles, item,
                   "+NAME or -NAME of a profile, +python:MODULE, a .toml file or a directory");
  });
}

bool disabled(const Profile& profile) {
  const std::string_view name(profile.name);
  bool off = profile.opt_in != 0;
  for_each_item(settings.profiles, [&](std::string_view item) {
    if (item.front() == '-' && item.substr(1) == name) off = true;
    if (item.front() == '+' && item.substr(1) == name) off = false;
  });
  return off;
}

template <class Matches>
Match find(Matches&& matches) {
  for (int i = loaded_count - 1; i >= 0; i--) {
    const Loaded& file = files.existing()->loaded[i];
    if (matches(file.profile) && !disabled(file.profile)) return {&file.profile, file.file};
  }
  for (const Profile& profile : kBuiltIn) {
    if (matches(profile) && !disabled(profile)) return {&profile, "built in"};
  }
  return {nullptr, "none"};
}

bool makes_anew_in_force(const Profile& p) { return makes_anew(policy_for(p.name, p.policy)); }

// Its libraries are known by their files' names, before they have created a thread.
bool makes_anew_as_built(const Profile& p) {
  return p.opt_in == 0 && p.dso[0][0] != '\0' && makes_anew(p.policy);
}

bool is_built_in(const Profile& p) { return &p >= kBuiltIn && &p < kBuiltIn + kBuiltInCount; }

bool policy_setting_makes_anew() {  // runtimes without a profile, too
  bool any = false;
  for_each_item(settings.policy, [&](std::string_view item) {
    std::string_view name;
    Policy policy;
    any |= parse_policy_item(item, name, policy) && makes_anew(policy);
  });
  return any;
}

// Before files are read, any of them may ask for it.
bool may_be_asked() {
  bool any = settings.config[0] != '\0' || policy_setting_makes_anew();
  for_each_item(settings.profiles, [&](std::string_view item) {
    if (item.front() == '-') return;
    if (item.front() == '+') item.remove_prefix(1);
    any |= item.substr(0, kPythonPrefix.size()) != kPythonPrefix;
  });
  return any;
}

void see_who_resumes() {
  const bool any = policy_setting_makes_anew() || find([](const Profile& p) {
                                                    return makes_anew_in_force(p) && !is_unasked(p);
                                                  }).profile != nullptr;
  const Match by_name =
      find([](const Profile& p) { return p.thread[0][0] != '\0' && makes_anew_in_force(p); });
  some_resume_by_name.store(by_name.profile != nullptr);
  some_resume.store(any);
}

void read_all() {
  if (sys::call(SYS_faccessat, AT_FDCWD, sys::arg(kSystemFile), 4 /* R_OK */) == 0)
    read_file(kSystemFile);
  if (settings.config[0] != '\0') read_file(settings.config);
  read_profiles_setting();
  see_who_resumes();
}

}  // namespace

void load() {
  if (done.exchange(true)) return;
  // The loader and a TOML parser need more stack than whoever creates the first thread may have.
  if (!own_stack::run_large([] { read_all(); })) read_all();
}

Match find_by_dso(const char* path) {
  return find([&](const Profile& p) { return glob_match_any(p.dso, base_name(path)); });
}

Match find_by_symbol(const modules::Module& object) {
  return find([&](const Profile& p) {
    if (p.symbol[0][0] == '\0' || disabled(p)) return false;
    const dynamic::Image image(object);
    for (const auto& symbol : p.symbol) {
      if (symbol[0] != '\0' && image.find(symbol) != nullptr) return true;
    }
    return false;
  });
}

Match find_by_thread(const char* name) {
  return find([&](const Profile& p) { return glob_match_any(p.thread, name); });
}

Match find_by_python(const char* module) {
  const Match match = find([&](const Profile& p) {
    return glob_match_any(p.python, module) && strcmp(p.name, kPythonByEvidence) != 0;
  });
  for (int i = 0; i < loaded_count; i++) {
    Loaded& file = files.existing()->loaded[i];
    if (&file.profile == match.profile) file.matched = true;
  }
  return match;
}

void say_unmatched_python() {
  for (int i = 0; i < loaded_count; i++) {
    const Loaded& file = files.existing()->loaded[i];
    if (file.matched || strcmp(file.file, kProfilesSetting) != 0) continue;
    say("{}=+{}: no Python thread of that module when threads were first lost at a fork",
        kProfilesSetting, file.profile.name);
  }
}

Match find_by_name(const char* name) {
  return find([&](const Profile& p) { return strcmp(p.name, name) == 0; });
}

bool is_unasked(const Profile& profile) {
  if (!is_built_in(profile) || !makes_anew_as_built(profile)) return false;
  bool named = false;
  for_each_item(settings.policy, [&](std::string_view item) {
    std::string_view name;
    Policy policy;
    named |= parse_policy_item(item, name, policy) && name == profile.name;
  });
  for_each_item(settings.profiles, [&](std::string_view item) {
    named |= item.front() == '+' && item.substr(1) == profile.name;
  });
  return !named;
}

bool makes_anew_unasked(const char* path) {
  for (const Profile& profile : kBuiltIn) {
    if (makes_anew_as_built(profile) && glob_match_any(profile.dso, base_name(path)))
      return is_unasked(profile) && !disabled(profile);
  }
  return false;
}

bool asked_to_make_anew() {
  if (done.load(std::memory_order_acquire)) return some_resume.load(std::memory_order_relaxed);
  return may_be_asked();
}

bool resumes_by_thread_name() { return some_resume_by_name.load(std::memory_order_relaxed); }

Policy default_policy() { return policy_for("*", kDefaultPolicy); }

Policy policy_for(std::string_view name, Policy fallback) {
  Policy policy = fallback;
  for_each_item(settings.policy, [&](std::string_view item) {
    std::string_view named;
    Policy given;
    if (parse_policy_item(item, named, given) && named == name) policy = given;
  });
  return policy;
}

}  // namespace forkmend::configuration
