// What is written to the terminal: colours, and text that came from elsewhere.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace forkmend::command {

// Colours on a terminal only, and never with NO_COLOR set or TERM=dumb.
class Style {
 public:
  explicit Style(bool colours) : colours_(colours) {}
  static Style of(std::FILE* stream);

  bool has_colours() const { return colours_; }

  std::string bold(std::string_view text) const { return wrap("1", text); }
  std::string dim(std::string_view text) const { return wrap("2", text); }
  std::string red(std::string_view text) const { return wrap("1;31", text); }
  std::string green(std::string_view text) const { return wrap("32", text); }
  std::string yellow(std::string_view text) const { return wrap("33", text); }

 private:
  std::string wrap(const char* code, std::string_view text) const;
  bool colours_;
};

// `text` as one line that is safe on a terminal: control characters (C1 as well) and bytes that
// are not UTF-8 appear as \xNN. Names of threads and programs are chosen by the programs reported
// on, not by the person who reads.
std::string printable(std::string_view text);

// Writes to stdout: the only way there. Whatever escapes a caller forgot to make printable are made
// so here; newlines and the sequences that Style writes, where it may, pass.
void print(std::string_view text);

// What `print` writes, for a stream with or without colours.
std::string shown(std::string_view text, bool colours);

// One line on stderr: "who: text".
void complain(std::string_view who, std::string_view text);

// Lines of at most `width` columns, broken at spaces where there are any.
std::vector<std::string> wrapped(std::string_view text, std::size_t width);

// "1 thread", "3 threads"
std::string counted(std::size_t count, std::string_view noun);

// 0.1 s, 1.2 s, 35 s, 4 min, 3 h, 2 days
std::string duration(double seconds);

}  // namespace forkmend::command
