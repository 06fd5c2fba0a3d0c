// Settings: the environment is read, or one line says what is wrong, and nothing that a terminal
// obeys reaches stderr.
//
// The input is the environment, one variable a line (FORKMEND_ is put before what has no '=' in
// front); then the lists are used as a process with threads uses them.
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "shim/base/glob.h"
#include "shim/base/settings.h"
#include "shim/reporting/event.h"
#include "shim/runtimes/configuration.h"
#include "tests/fuzz/fuzz.h"

using namespace forkmend;

namespace {

// Stderr while it lives; what was written there at the end.
class Stderr {
 public:
  Stderr() {
    fuzz::require(ftruncate(file_, 0) == 0 && lseek(file_, 0, SEEK_SET) == 0 && dup2(file_, 2) == 2,
                  "the fuzzer's own file");
  }
  std::string end() {
    dup2(kept_, 2);
    std::string out(static_cast<std::size_t>(lseek(file_, 0, SEEK_END)), '\0');
    fuzz::require(pread(file_, out.data(), out.size(), 0) == static_cast<ssize_t>(out.size()),
                  "the fuzzer's own file");
    return out;
  }

 private:
  static inline const int kept_ = dup(2);
  static inline const int file_ = memfd_create("stderr", 0);
};

bool sane(const Settings& s) {
  constexpr Nanoseconds kHour = 3600 * kSecond;
  return s.drain >= 0 && s.drain <= kHour && s.exit >= 0 && s.exit <= kHour && s.grace >= 0 &&
         s.grace <= kHour && s.threshold >= 0 && s.threshold <= kHour && s.exit_code >= 0 &&
         s.exit_code <= 255;
}

void use_lists(const std::string& text) {
  const Profile* some = configuration::find_by_thread(text.c_str()).profile;
  if (some != nullptr) configuration::is_unasked(*some);
  configuration::find_by_dso(text.c_str());
  configuration::find_by_python(text.c_str());
  configuration::find_by_name(text.c_str());
  configuration::asked_to_make_anew();
  configuration::makes_anew_unasked(text.c_str());
  const Policy policy = configuration::policy_for(text, Policy::report);
  fuzz::require(static_cast<int>(policy) < kPolicyCount, "a known policy");
  for_each_item(settings.only, [&](std::string_view item) { glob_match(item, text); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  settings = Settings{};
  std::vector<std::string> variables;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    std::string one(rest.substr(0, end));
    if (one.compare(0, 8, "FORKMEND") != 0) one.insert(0, "FORKMEND_");
    variables.push_back(one.c_str());  // an environment has no NUL
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  std::vector<char*> environment;
  for (std::string& one : variables) environment.push_back(one.data());
  environment.push_back(nullptr);

  Stderr captured;
  read_environment(environment.data(), report_setting);
  for (const std::string& one : variables) {
    if (settings.log == Log::info) say("{} and \"{:10}\"", one, one.c_str());
    use_lists(one);
  }
  const std::string said = captured.end();
  fuzz::require_printable(said);
  fuzz::require(
      static_cast<std::size_t>(std::count(said.begin(), said.end(), '\n')) <= 2 * variables.size(),
      "one line a setting");
  fuzz::require(sane(settings), "numbers within their limits");
  settings = Settings{};
  return 0;
}
