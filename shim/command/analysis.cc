#include "shim/command/analysis.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>

#include "shim/command/module_map.h"
#include "shim/command/unwind.h"

namespace forkmend::command {
namespace {

using nlohmann::json;

bool starts_with(std::string_view text, std::string_view start) {
  return text.substr(0, start.size()) == start;
}

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

bool is_forkmend(const std::string& module) {
  return starts_with(base_name(module), "libforkmend");
}

// Libraries that every program waits in.
bool is_system_module(const std::string& module) {
  constexpr std::array<std::string_view, 14> kStarts = {
      "libc.so", "libc-", "ld-linux", "ld-",       "libpthread", "libm.so", "libm-",
      "librt",   "libdl", "libgcc_s", "libstdc++", "libc++",     "[vdso]",  "linux-vdso"};
  const std::string name = base_name(module);
  return is_forkmend(module) || is_interpreter(module) ||
         std::any_of(kStarts.begin(), kStarts.end(),
                     [&](std::string_view start) { return starts_with(name, start); });
}

// Templates of the C++ library are compiled into the program, and so is Rust's.
bool is_library_code(const Frame& frame) {
  const std::string name = short_function(frame.function);
  return starts_with(name, "std::") || starts_with(name, "__gnu_cxx::") ||
         starts_with(name, "core::") || starts_with(name, "alloc::") || name == "_start" ||
         frame.file.find("/include/c++/") != std::string::npos ||
         starts_with(frame.file, "/rustc/");
}

bool is_standard_library(const std::string& file) {
  if (starts_with(file, "<frozen")) return true;
  if (file.find("site-packages/") != std::string::npos ||
      file.find("dist-packages/") != std::string::npos) {
    return false;
  }
  const std::size_t at = file.find("/lib/python3.");
  const std::size_t zip = file.find("/lib/python3");
  return at != std::string::npos ||
         (zip != std::string::npos && file.find(".zip/", zip) != std::string::npos);
}

// `path` relative to the directory we are in, if it lies below.
std::string below_here(const std::string& path) {
  std::error_code error;
  const std::string here = std::filesystem::current_path(error).string() + "/";
  return !error && here != "/" && starts_with(path, here) ? path.substr(here.size()) : path;
}

std::string last_components(const std::string& path, int count) {
  std::size_t at = path.size();
  for (int i = 0; i < count && at != std::string::npos && at != 0; ++i) {
    at = path.rfind('/', at - 1);
  }
  return at == std::string::npos || at == 0 ? path : path.substr(at + 1);
}

// "main orphan.cc:11", or what is known of it.
std::string described(const Frame& frame) {
  std::string out = frame.function.empty() ? "" : short_function(frame.function);
  if (!frame.file.empty()) {
    out +=
        fmt::format("{}{}:{}", out.empty() ? "" : " ", short_source_file(frame.file), frame.line);
  } else if (!frame.module.empty()) {
    out += fmt::format("{}{}", out.empty() ? "" : " in ",
                       out.empty() ? place(frame.module, frame.offset) : base_name(frame.module));
  }
  return out.empty() ? fmt::format("{:#x}", frame.ip) : out;
}

class Analyser {
 public:
  Analyser(const Event& event, const std::string& sysroot)
      : event_(event), modules_(event.modules, sysroot), symbols_(modules_) {}

  Analysis run() {
    Analysis out;
    if (event_.wait_stack) out.wait = stack(*event_.wait_stack);
    for (const LostThread& lost : event_.lost) {
      Analysis::Lost one;
      if (lost.stack) one.stack = stack(*lost.stack);
      if (lost.creator != 0) one.creator = described(symbols_.frames(lost.creator, false).front());
      if (lost.start_routine != 0) {
        one.start_routine = described(symbols_.frames(lost.start_routine, true).front());
      }
      out.lost.push_back(std::move(one));
    }
    out.callers = callers();
    if (event_.object && event_.object->addr != 0) find_object(out);
    add_notes(out);
    return out;
  }

 private:
  NamedStack stack(const StackCopy& copy) {
    NamedStack out;
    out.python = copy.python;
    out.your_python = first_python_of_yours(copy.python);
    if (copy.bytes.empty() && copy.registers.empty()) return out;
    const RawStack raw = unwind(copy, modules_);
    for (const RawFrame& one : raw.frames) {
      std::vector<Frame> frames = symbols_.frames(one);
      touched_.insert(frames.front().module);
      if (is_forkmend(frames.front().module)) continue;
      for (Frame& frame : frames) out.frames.push_back(std::move(frame));
    }
    out.ended = raw.ended;
    mark_yours(out.frames);
    // The Python frames say it better.
    if (!out.python.empty()) {
      for (Frame& frame : out.frames) frame.yours = false;
    }
    return out;
  }

  std::vector<std::string> callers() {
    std::vector<std::string> out;
    for (const Caller& caller : event_.fork_caller) {
      if (caller.addr == 0) {
        out.push_back(fmt::format("{}:{} {}", short_python_file(caller.frame.file),
                                  caller.frame.line, caller.frame.function));
        continue;
      }
      const Frame frame = symbols_.frames(caller.addr, false).front();
      if (!is_forkmend(frame.module)) out.push_back(described(frame));
    }
    return out;
  }

  void find_object(Analysis& out) {
    const Address address = event_.object->addr;
    out.object = symbols_.data(address);
    if (out.object || !event_.wait_stack) return;
    const StackCopy& copy = *event_.wait_stack;
    if (address < copy.base || address - copy.base >= copy.bytes.size()) return;
    // A frame's locals lie between its own stack pointer and that of its caller.
    const RawStack raw = unwind(copy, modules_);
    for (std::size_t i = 0; i + 1 < raw.frames.size(); ++i) {
      if (address < raw.frames[i].sp || address >= raw.frames[i + 1].sp) continue;
      out.object_frame = described(symbols_.frames(raw.frames[i].ip, raw.frames[i].exact).back());
    }
    if (out.object_frame.empty()) out.object_frame = "an outer function";
  }

  void add_notes(Analysis& out) {
    for (const Module& module : modules_.modules()) {
      if (!touched_.contains(module.loaded.path)) continue;
      if (module.state == Module::State::changed) {
        out.notes.push_back(fmt::format(
            "{} has changed since: no names, and no unwinding through it", module.host_path));
      } else if (module.state == Module::State::missing && starts_with(module.loaded.path, "/")) {
        out.notes.push_back(fmt::format("{} cannot be read: {}{}", module.host_path, module.why,
                                        "; for a container give --sysroot"));
      }
    }
    for (const std::string& what : event_.truncated) {
      out.notes.push_back(fmt::format("the report was cut: {}", what));
    }
  }

  const Event& event_;
  ModuleMap modules_;
  Symbols symbols_;
  std::set<std::string> touched_;
};

void enrich_stack(json& holder, const NamedStack& named) {
  const auto stack = holder.find("stack");
  if (stack == holder.end() || !stack->is_object()) return;
  stack->erase("bytes");
  (*stack)["frames"] = frames_json(named);
  if (!named.ended.empty()) (*stack)["ended"] = named.ended;
  if (named.your_python >= 0) {
    (*stack)["python"][static_cast<std::size_t>(named.your_python)]["yours"] = true;
  }
}

}  // namespace

Analysis analyse(const Event& event, const std::string& sysroot) {
  return Analyser(event, sysroot).run();
}

void mark_yours(std::vector<Frame>& frames) {
  for (Frame& frame : frames) {
    frame.library =
        frame.module.empty() || is_system_module(frame.module) || is_library_code(frame);
  }
  const auto yours =
      std::find_if(frames.begin(), frames.end(), [](const Frame& frame) { return !frame.library; });
  if (yours != frames.end()) yours->yours = true;
}

int first_python_of_yours(const std::vector<PythonFrame>& frames) {
  const auto yours = std::find_if(frames.begin(), frames.end(), [](const PythonFrame& frame) {
    return !is_standard_library(frame.file);
  });
  return yours == frames.end() ? -1 : static_cast<int>(yours - frames.begin());
}

bool is_interpreter(const std::string& module) {
  const std::string name = base_name(module);
  if (starts_with(name, "libpython")) return true;
  return starts_with(name, "python") &&
         name.find_first_not_of("0123456789.dmt", 6) == std::string::npos;
}

std::string short_python_file(const std::string& file) {
  for (const std::string_view packages : {"site-packages/", "dist-packages/"}) {
    const std::size_t at = file.rfind(packages);
    if (at != std::string::npos) return file.substr(at + packages.size());
  }
  const std::size_t library = file.find("/lib/python3");
  if (library != std::string::npos) {
    const std::size_t slash = file.find('/', library + 5);
    if (slash != std::string::npos) return file.substr(slash + 1);
  }
  const std::string path = below_here(file);
  return path.size() <= 40 ? path : last_components(path, 3);
}

std::string short_source_file(const std::string& file) {
  std::string path = below_here(file);
  if (path != file) return path;
  return last_components(path, path.find("..") == std::string::npos ? 2 : 1);
}

std::string place(const std::string& module, Address offset) {
  return fmt::format("{}+{:#x}", base_name(module), offset);
}

json frames_json(const NamedStack& stack) {
  json out = json::array();
  for (const Frame& frame : stack.frames) {
    json one = {{"addr", fmt::format("{:#x}", frame.ip)}};
    if (!frame.module.empty()) {
      one["module"] = frame.module;
      one["offset"] = fmt::format("{:#x}", frame.offset);
    }
    if (!frame.function.empty()) one["function"] = frame.function;
    if (!frame.file.empty()) {
      one["file"] = frame.file;
      one["line"] = frame.line;
    }
    if (frame.inlined) one["inlined"] = true;
    if (frame.guessed) one["guessed"] = true;
    if (frame.yours) one["yours"] = true;
    out.push_back(std::move(one));
  }
  return out;
}

json enriched(const Event& event, const Analysis& analysis) {
  json out = event.raw;
  if (!event.is_lockup()) return out;
  if (const auto wait = out.find("wait"); wait != out.end() && wait->is_object()) {
    enrich_stack(*wait, analysis.wait);
    const auto object = wait->find("object");
    if (object != wait->end() && object->is_object() && analysis.object) {
      const DataSymbol& symbol = *analysis.object;
      if (!symbol.name.empty()) (*object)["symbol"] = symbol.name;
      (*object)["module"] = symbol.module;
      (*object)["offset"] = fmt::format("{:#x}", symbol.in_module);
      if (!symbol.section.empty()) (*object)["section"] = symbol.section;
    }
  }
  for (std::size_t i = 0; i < analysis.lost.size(); ++i) {
    json& lost = out["lost"][i];
    const Analysis::Lost& found = analysis.lost[i];
    if (!found.creator.empty()) lost["creator_name"] = found.creator;
    if (!found.start_routine.empty()) lost["start_routine_name"] = found.start_routine;
    const auto at_fork = lost.find("at_fork");
    if (at_fork != lost.end() && at_fork->is_object() && found.stack) {
      enrich_stack(*at_fork, *found.stack);
    }
  }
  if (!analysis.callers.empty()) out["fork"]["caller_names"] = analysis.callers;
  if (!analysis.notes.empty()) out["notes"] = analysis.notes;
  return out;
}

}  // namespace forkmend::command
