#include "shim/runtimes/profile_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <initializer_list>
#include <optional>

// toml++ asserts where a file is wrong in ways that it has not thought of ("[" at the end of a
// line), and an assertion would end the program that reads its configuration. Ours throws; with
// NDEBUG toml++ would go on as if nothing were wrong.
namespace forkmend {
struct ParserGaveUp {};
[[noreturn]] inline void give_up() { throw ParserGaveUp(); }
}  // namespace forkmend
#undef NDEBUG
#define TOML_ASSERT(expression) \
  (static_cast<bool>(expression) ? static_cast<void>(0) : ::forkmend::give_up())
// Arrays and inline tables within one another: it recurses. A profile has four.
#define TOML_MAX_NESTED_VALUES 8
#include <toml++/impl/forward_declarations.h>
// What toml++ tells the compiler can never be is, too: its test for white space has no answer for
// most characters beyond ASCII (the answer is no), and elsewhere we had better stop.
#undef TOML_UNREACHABLE
#define TOML_UNREACHABLE return false
#include <toml++/impl/unicode.h>
#undef TOML_UNREACHABLE
#define TOML_UNREACHABLE ::forkmend::give_up()
#include <toml++/toml.h>

namespace forkmend {
namespace {

constexpr std::size_t kMostProfiles = 256;  // of one file; the shared object keeps 64 of all
constexpr std::size_t kMostProblems = 20;   // told of one file
constexpr std::size_t kShown = 80;          // of a name that a problem quotes
// Each dot of a key is a table within a table, and the parser takes those down by recursion. In
// one line: a list of file names or versions has a few dozen.
constexpr std::ptrdiff_t kMostDots = 100;

std::string quoted(std::string_view text) {
  std::string shown(text.substr(0, kShown));
  if (text.size() > kShown) shown += "...";
  return "\"" + shown + "\"";
}

std::string joined(const std::vector<std::string>& items, const char* separator) {
  std::string out;
  for (const std::string& item : items) {
    if (!out.empty()) out += separator;
    out += item;
  }
  return out;
}

std::string policy_names() {
  return joined(std::vector<std::string>(kPolicyNames, kPolicyNames + kPolicyCount), ", ");
}

const char* type_name(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "an array";
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::floating_point:
      return "a fraction";
    case toml::node_type::boolean:
      return "true or false";
    default:
      return "a date or time";
  }
}

int line_of(const toml::node& node) { return static_cast<int>(node.source().begin.line); }
int line_of(const toml::key& key) { return static_cast<int>(key.source().begin.line); }

// A name ends up in lists such as FORKMEND_PROFILES=+a,-b and FORKMEND_POLICY=a:report, so that
// the separators of those lists cannot be part of it.
bool is_profile_name(std::string_view name) {
  const auto alnum = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  return !name.empty() && alnum(name.front()) && std::all_of(name.begin(), name.end(), [&](char c) {
    return alnum(c) || c == '.' || c == '_' || c == '-';
  });
}

bool is_setting_name(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

// A NUL or a newline would cut or split what the shared object and the report make of the text.
bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

constexpr long kLongestDrainMs = 60'000;  // a fork that takes longer is taken for a hang

class Reader {
 public:
  explicit Reader(ProfileFile& out) : out_(out) {}

  void document(const toml::table& root) {
    const bool single = std::any_of(root.begin(), root.end(), [](const auto& entry) {
      return entry.first != "profile" && entry.first != "settings";
    });
    if (const toml::node* settings = root.get("settings")) read_settings(*settings);
    if (const toml::node* list = root.get("profile")) {
      read_list(*list);
      if (single) {
        for (const auto& [key, node] : root) {
          if (key == "profile" || key == "settings") continue;
          problem(line_of(key), quoted(key.str()) +
                                    " stands outside of the [[profile]] tables: move it into one");
        }
      }
    } else if (single) {
      read_profile(root, true, 1);
    }
    std::stable_sort(out_.problems.begin(), out_.problems.end(),
                     [](const auto& a, const auto& b) { return a.line < b.line; });
    if (problems_ > kMostProblems) {
      out_.problems.push_back(
          {out_.file, 0,
           std::to_string(problems_ - kMostProblems) + " more problems: correct these first"});
    }
  }

 private:
  // What is left out is counted; the file is refused all the same.
  void problem(int line, std::string text) {
    if (++problems_ <= kMostProblems) out_.problems.push_back({out_.file, line, std::move(text)});
  }

  void wrong_type(const toml::node& node, std::string_view what, const char* wanted) {
    problem(line_of(node), std::string(what) + " is " + type_name(node) + ": " + wanted);
  }

  // A section's table, its keys looked through; null, and told, if it is none.
  const toml::table* section(const toml::node& node, const std::string& name, const char* wanted,
                             std::initializer_list<std::string_view> known) {
    const toml::table* table = node.as_table();
    if (table == nullptr) {
      wrong_type(node, name, wanted);
    } else {
      unknown_keys(*table, ("[" + name + "]").c_str(), known);
    }
    return table;
  }

  void unknown_keys(const toml::table& table, const char* where,
                    std::initializer_list<std::string_view> known) {
    for (const auto& [key, node] : table) {
      if (std::find(known.begin(), known.end(), key.str()) != known.end()) continue;
      std::vector<std::string> names(known.begin(), known.end());
      problem(line_of(key), "unknown key " + quoted(key.str()) + " in " + where +
                                ": remove it, or use one of " + joined(names, ", "));
    }
  }

  // The string at `node`, if it is one that fits a field of `size` bytes.
  std::optional<std::string> text(const toml::node& node, std::string_view what, std::size_t size) {
    const auto* value = node.as_string();
    if (value == nullptr) {
      wrong_type(node, what, "write a string in quotes");
      return std::nullopt;
    }
    const std::string& string = value->get();
    if (string.size() >= size) {
      problem(line_of(node), std::string(what) + " has " + std::to_string(string.size()) +
                                 " bytes: shorten it to " + std::to_string(size - 1));
      return std::nullopt;
    }
    if (has_control(string)) {
      problem(line_of(node), std::string(what) + " contains a control character: remove it");
      return std::nullopt;
    }
    return string;
  }

  template <std::size_t Size>
  void copy(char (&field)[Size], std::string_view string) {
    std::memset(field, 0, Size);
    std::memcpy(field, string.data(), std::min(string.size(), Size - 1));
  }

  template <std::size_t Size>
  void text_into(char (&field)[Size], const toml::node* node, std::string_view what) {
    if (node == nullptr) return;
    if (const auto string = text(*node, what, Size)) copy(field, *string);
  }

  void flag_into(std::uint8_t& field, const toml::node* node, std::string_view what) {
    if (node == nullptr) return;
    if (const auto* flag = node->as_boolean()) {
      field = flag->get() ? 1 : 0;
    } else {
      wrong_type(*node, what, "write true or false, without quotes");
    }
  }

  template <class Number>
  void number_into(Number& field, const toml::node* node, const std::string& what,
                   const char* wanted, std::int64_t least, std::int64_t most) {
    if (node == nullptr) return;
    const auto* number = node->as_integer();
    if (number == nullptr) {
      wrong_type(*node, what, wanted);
    } else if (number->get() < least || number->get() > most) {
      problem(line_of(*node), what + " is out of range: use " + std::to_string(least) + " to " +
                                  std::to_string(most));
    } else {
      field = static_cast<Number>(number->get());
    }
  }

  template <std::size_t Count, std::size_t Size>
  std::size_t patterns_into(char (&field)[Count][Size], const toml::node* node,
                            const std::string& what, bool file_name) {
    if (node == nullptr) return 0;
    const toml::array* array = node->as_array();
    if (array == nullptr) {
      wrong_type(*node, what, "write an array of strings in quotes, such as [\"libx*.so\"]");
      return 1;  // said already: not "empty" as well
    }
    if (array->size() > Count) {
      problem(line_of(*node), what + " has " + std::to_string(array->size()) +
                                  " patterns: use at most " + std::to_string(Count));
      return array->size();
    }
    std::size_t count = 0;
    for (const toml::node& item : *array) {
      const auto pattern = text(item, "a pattern of " + what, Size);
      if (!pattern) continue;
      if (pattern->empty()) {
        problem(line_of(item), what + " has an empty pattern: remove it");
      } else if (file_name && pattern->find('/') != std::string::npos) {
        problem(line_of(item), "the pattern " + quoted(*pattern) +
                                   " can never match: write the file's name without directories");
      } else {
        copy(field[count], *pattern);
      }
      ++count;
    }
    return array->empty() ? 0 : std::max<std::size_t>(count, 1);
  }

  void read_match(Profile& profile, const toml::node* node, int line) {
    const char* const wanted =
        "add a [match] table with dso = [\"file name*.so\"], thread = [\"name\"], python = "
        "[\"module\"] or symbol = [\"exported name\"]";
    if (node == nullptr) {
      problem(line, std::string("nothing to match: ") + wanted);
      return;
    }
    const toml::table* match =
        section(*node, "match", wanted, {"dso", "thread", "python", "symbol"});
    if (match == nullptr) return;
    const std::size_t dsos = patterns_into(profile.dso, match->get("dso"), "match.dso", true);
    const std::size_t threads =
        patterns_into(profile.thread, match->get("thread"), "match.thread", false);
    const std::size_t modules =
        patterns_into(profile.python, match->get("python"), "match.python", false);
    const std::size_t symbols =
        patterns_into(profile.symbol, match->get("symbol"), "match.symbol", false);
    if (dsos + threads + modules + symbols == 0)
      problem(line_of(*node), std::string("[match] is empty: ") + wanted);
  }

  void read_python(Profile& profile, const toml::node* node) {
    if (node == nullptr) return;
    const toml::table* python = section(
        *node, "python", "write a [python] table with enqueue = [...]", {"enqueue", "pending"});
    if (python == nullptr) return;
    patterns_into(profile.python_enqueue, python->get("enqueue"), "python.enqueue", false);
    patterns_into(profile.python_pending, python->get("pending"), "python.pending", false);
  }

  // Exact names: a function that is not meant would bring threads back that nobody needs.
  void read_enqueue(Profile& profile, const toml::node* node) {
    if (node == nullptr) return;
    const toml::table* enqueue =
        section(*node, "enqueue", "write an [enqueue] table with symbol = [\"function\"]",
                {"symbol", "dso"});
    if (enqueue == nullptr) return;
    const std::size_t symbols =
        patterns_into(profile.enqueue_symbol, enqueue->get("symbol"), "enqueue.symbol", false);
    const std::size_t dsos =
        patterns_into(profile.enqueue_dso, enqueue->get("dso"), "enqueue.dso", true);
    if (symbols == 0)
      problem(line_of(*node), "[enqueue] names no function: add symbol = [\"function\"]");
    if (dsos == 0 && profile.dso[0][0] == '\0') {
      problem(
          line_of(*node),
          "[enqueue] names no library: add dso = [\"file name*.so\"], the one that defines them");
    }
    for (const auto& symbol : profile.enqueue_symbol) {
      const std::string_view name(symbol);
      if (name.find_first_of("@*?[( ") == std::string_view::npos) continue;
      problem(line_of(*node), "the symbol " + quoted(name) +
                                  " can never match: write it as `nm -D` prints it, without the "
                                  "version");
    }
  }

  void read_measured(Profile& profile, const toml::node* node) {
    if (node == nullptr) return;
    const toml::array* array = node->as_array();
    if (array == nullptr) {
      wrong_type(*node, "measured", "write an array of versions in quotes, such as [\"1.2.3\"]");
      return;
    }
    std::vector<std::string> versions;
    for (const toml::node& item : *array) {
      if (auto version = text(item, "a version of measured", kProfileMeasuredSize)) {
        versions.push_back(std::move(*version));
      }
    }
    const std::string all = joined(versions, ", ");
    if (all.size() >= kProfileMeasuredSize) {
      problem(line_of(*node), "measured has " + std::to_string(all.size()) +
                                  " bytes when joined: name fewer versions, " +
                                  std::to_string(kProfileMeasuredSize - 1) + " bytes at most");
      return;
    }
    copy(profile.measured, all);
  }

  void read_profile(const toml::table& table, bool top_level, int line) {
    const std::size_t problems_before = problems_;
    Profile profile{};
    int name_line = line;
    if (top_level) {
      unknown_keys(
          table, "the profile",
          {"name", "policy", "settle", "asks_first", "callers", "drain_ms", "signal", "opt_in",
           "measured", "reason", "match", "enqueue", "python", "fix", "profile", "settings"});
    } else {
      unknown_keys(table, "[[profile]]",
                   {"name", "policy", "settle", "asks_first", "callers", "drain_ms", "signal",
                    "opt_in", "measured", "reason", "match", "enqueue", "python", "fix"});
    }

    if (const toml::node* node = table.get("name")) {
      name_line = line_of(*node);
      if (const auto name = text(*node, "name", kProfileNameSize)) {
        if (is_profile_name(*name) || *name == kPythonByEvidence) {
          copy(profile.name, *name);
          check_duplicate(profile.name, name_line);
        } else {
          problem(name_line, "the name " + quoted(*name) +
                                 " cannot be used in FORKMEND_PROFILES: use letters, digits, "
                                 "\".\", \"_\" and \"-\", and start with a letter or a digit");
        }
      }
    } else {
      problem(line, "the profile has no name: add name = \"...\"");
    }

    if (const toml::node* node = table.get("policy")) {
      if (const auto policy = text(*node, "policy", kProfileNoteSize)) {
        const auto* const end = kPolicyNames + kPolicyCount;
        const auto* const found =
            std::find_if(kPolicyNames, end, [&](const char* name) { return *policy == name; });
        if (found == end) {
          problem(line_of(*node),
                  "unknown policy " + quoted(*policy) + ": use one of " + policy_names());
        } else {
          profile.policy = static_cast<Policy>(found - kPolicyNames);
        }
      }
    } else {
      problem(name_line,
              "the profile has no policy: add policy = \"...\", one of " + policy_names());
    }

    flag_into(profile.settle, table.get("settle"), "settle");
    flag_into(profile.asks_first, table.get("asks_first"), "asks_first");
    flag_into(profile.callers, table.get("callers"), "callers");
    flag_into(profile.opt_in, table.get("opt_in"), "opt_in");

    number_into(profile.drain_ms, table.get("drain_ms"), "drain_ms",
                "write a number of milliseconds", 1, kLongestDrainMs);
    number_into(profile.signal, table.get("signal"), "signal",
                "write the number of a real-time signal", kFirstFreeSignal, kLastFreeSignal);

    read_measured(profile, table.get("measured"));
    text_into(profile.reason, table.get("reason"), "reason");
    // One that has functions of its own may be for a runtime that registers under its name.
    if (table.get("match") != nullptr || table.get("enqueue") == nullptr)
      read_match(profile, table.get("match"), name_line);
    read_enqueue(profile, table.get("enqueue"));
    read_python(profile, table.get("python"));
    if (const toml::node* node = table.get("fix")) {
      const char* const wanted = "write a [fix] table with now = \"...\" and code = \"...\"";
      if (const toml::table* fix = section(*node, "fix", wanted, {"now", "code"})) {
        text_into(profile.fix_now, fix->get("now"), "fix.now");
        text_into(profile.fix_code, fix->get("code"), "fix.code");
      }
    }

    if (problems_ != problems_before) return;
    out_.profiles.push_back(profile);
    out_.profile_lines.push_back(name_line);
  }

  void check_duplicate(const char* name, int line) {
    for (std::size_t i = 0; i < out_.profiles.size(); ++i) {
      if (std::strcmp(out_.profiles[i].name, name) != 0) continue;
      problem(line, "a second profile " + quoted(name) + ", the first is in line " +
                        std::to_string(out_.profile_lines[i]) + ": rename or remove one");
    }
  }

  void read_list(const toml::node& node) {
    const toml::array* list = node.as_array();
    if (list == nullptr) {
      wrong_type(node, "profile", "write [[profile]], with two brackets");
      return;
    }
    if (list->size() > kMostProfiles) {
      problem(line_of((*list)[kMostProfiles]), "the file has " + std::to_string(list->size()) +
                                                   " profiles: use at most " +
                                                   std::to_string(kMostProfiles));
      return;
    }
    for (const toml::node& item : *list) {
      if (const toml::table* table = item.as_table()) {
        read_profile(*table, false, line_of(item));
      } else {
        wrong_type(item, "an item of profile", "write [[profile]] tables");
      }
    }
  }

  // The spelling that the environment variable of the same setting has.
  std::optional<std::string> scalar(const toml::node& node) {
    if (const auto* string = node.as_string()) return string->get();
    if (const auto* integer = node.as_integer()) return std::to_string(integer->get());
    if (const auto* boolean = node.as_boolean()) return boolean->get() ? "1" : "0";
    return std::nullopt;
  }

  void read_settings(const toml::node& node) {
    const toml::table* table = node.as_table();
    if (table == nullptr) {
      wrong_type(node, "settings", "write a [settings] table");
      return;
    }
    for (const auto& [key, value] : *table) {
      const std::string name(key.str());
      if (!is_setting_name(name)) {
        problem(line_of(key), quoted(name) +
                                  " is no setting's name: write it in lower case and without the "
                                  "prefix, such as drain_ms for FORKMEND_DRAIN_MS");
        continue;
      }
      std::optional<std::string> text = scalar(value);
      if (const toml::array* array = value.as_array()) {
        std::vector<std::string> items;
        for (const toml::node& item : *array) {
          if (auto one = scalar(item)) items.push_back(std::move(*one));
        }
        if (items.size() == array->size()) text = joined(items, ",");
      }
      if (!text) {
        wrong_type(value, name, "write a string, an integer, true or false, or an array of these");
      } else if (has_control(*text)) {
        problem(line_of(value), name + " contains a control character: remove it");
      } else {
        out_.settings.push_back({name, std::move(*text), line_of(key)});
      }
    }
    std::stable_sort(out_.settings.begin(), out_.settings.end(),
                     [](const auto& a, const auto& b) { return a.line < b.line; });
  }

  ProfileFile& out_;
  std::size_t problems_ = 0;
};

// The parser's own descriptions, on one line and without its quotes of control characters.
std::string one_line(std::string_view text) {
  std::string out;
  for (const char c : text) out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  return out;
}

std::string read_whole(int fd, std::string& out) {
  struct stat status {};
  if (fstat(fd, &status) != 0) return std::strerror(errno);
  if (S_ISDIR(status.st_mode)) return "is a directory";
  if (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode)) return "is a device";
  if (!S_ISREG(status.st_mode)) return "is no regular file";
  char buffer[4096];
  for (;;) {
    const ssize_t got = read(fd, buffer, sizeof buffer);
    if (got == 0) return {};
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::strerror(errno);
    out.append(buffer, static_cast<std::size_t>(got));
    if (out.size() > kProfileFileMax) {
      return "is larger than " + std::to_string(kProfileFileMax >> 10) + " KiB";
    }
  }
}

// The end of line `number` (1-based) of `text`, its newline included.
std::size_t end_of_line(std::string_view text, int number) {
  std::size_t end = 0;
  for (int line = 0; line < number && end < text.size(); ++line) {
    const std::size_t newline = text.find('\n', end);
    end = newline == std::string_view::npos ? text.size() : newline + 1;
  }
  return end;
}

int count_lines(std::string_view text) {
  return static_cast<int>(std::count(text.begin(), text.end(), '\n')) + 1;
}

bool parser_gives_up(std::string_view text) {
  try {
    static_cast<void>(toml::parse(text));
  } catch (const ParserGaveUp&) {
    return true;
  } catch (const toml::parse_error&) {
  }
  return false;
}

// The parser gave up without saying where: the first line with which it does.
int line_of_giving_up(std::string_view text) {
  int before = 0;
  int with = count_lines(text);
  while (with - before > 1) {
    const int middle = before + (with - before) / 2;
    (parser_gives_up(text.substr(0, end_of_line(text, middle))) ? with : before) = middle;
  }
  return with;
}

// The first line with more dots than the parser is given; 0: none.
int line_of_many_dots(std::string_view text) {
  for (int line = 1; !text.empty(); ++line) {
    const std::string_view one = text.substr(0, end_of_line(text, 1));
    if (std::count(one.begin(), one.end(), '.') > kMostDots) return line;
    text.remove_prefix(one.size());
  }
  return 0;
}

}  // namespace

std::string ProfileProblem::message() const {
  if (line <= 0) return file + ": " + text;
  return file + ":" + std::to_string(line) + ": " + text;
}

ProfileFile parse_profile_file(std::string_view text, const std::string& file) {
  ProfileFile out;
  out.file = file;
  if (const int line = line_of_many_dots(text); line != 0) {
    out.problems.push_back(
        {file, line,
         "more than " + std::to_string(kMostDots) + " dots in one line: break it, or correct it"});
    return out;
  }
  try {
    Reader(out).document(toml::parse(text, file));
  } catch (const toml::parse_error& error) {
    out.problems.push_back({file, static_cast<int>(error.source().begin.line),
                            "not TOML: " + one_line(error.description()) + ": correct this line"});
  } catch (const ParserGaveUp&) {
    out.problems.push_back(
        {file, line_of_giving_up(text), "not TOML: the parser cannot read on: correct this line"});
  }
  return out;
}

ProfileFile read_profile_file(const std::string& path) {
  std::string text;
  std::string failure;
  // Not blocking: a fifo given by mistake must not stop the program that reads its configuration;
  // nor does a terminal become its controlling one.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) {
    failure = std::strerror(errno);
  } else {
    failure = read_whole(fd, text);
    close(fd);
  }
  if (failure.empty()) return parse_profile_file(text, path);
  ProfileFile out;
  out.file = path;
  out.problems.push_back({path, 0, "cannot be read: " + failure + ": give a readable TOML file"});
  return out;
}

}  // namespace forkmend
