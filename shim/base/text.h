// Text of fixed size, formatted in place with fmt.
//
// Promises: no allocation, no locale, no exception: what does not fit is cut and `truncated` says
// so. Usable on the signal path (format strings are ours and are checked at compile time).
#pragma once

#include <fmt/core.h>

#include <cstddef>
#include <string_view>

namespace forkmend {

// Appends to a buffer that somebody else owns.
class TextSpan {
 public:
  TextSpan(char* data, std::size_t capacity) : data_(data), capacity_(capacity) {}

  template <class... Args>
  TextSpan& format(fmt::format_string<Args...> format, Args&&... args) {
    return vformat(format, fmt::make_format_args(args...));
  }
  // The formatting itself, compiled once (text.cc) and not in each unit that has something to say.
  TextSpan& vformat(fmt::string_view format, fmt::format_args args);
  TextSpan& append(std::string_view text) {
    const std::size_t n = text.size() < capacity_ - size_ ? text.size() : capacity_ - size_;
    for (std::size_t i = 0; i < n; i++) data_[size_ + i] = text[i];
    advance(text.size());
    return *this;
  }
  TextSpan& append(char c) { return append(std::string_view(&c, 1)); }
  void clear() {
    size_ = 0;
    truncated_ = false;
  }
  // Cuts back to an earlier size(), e.g. to drop a trailing comma.
  void resize(std::size_t size) {
    if (size < size_) size_ = size;
  }
  // Ends the text with a newline, over its last character where it was cut.
  void end_line() {
    if (size_ == capacity_ && size_ > 0) size_--;
    append('\n');
  }
  const char* data() const { return data_; }
  char* end() { return data_ + size_; }
  std::size_t size() const { return size_; }
  std::size_t room() const { return capacity_ - size_; }
  bool truncated() const { return truncated_; }
  std::string_view view() const { return {data_, size_}; }

 private:
  void advance(std::size_t n) {
    if (n > capacity_ - size_) {
      truncated_ = true;
      n = capacity_ - size_;
    }
    size_ += n;
  }
  char* data_;
  std::size_t capacity_;
  std::size_t size_ = 0;
  bool truncated_ = false;
};

template <std::size_t Capacity>
class Text : public TextSpan {
 public:
  Text() : TextSpan(buffer_, Capacity) {}
  Text(const Text&) = delete;
  Text& operator=(const Text&) = delete;

 private:
  char buffer_[Capacity];
};

// A fixed-size C string: copies, cuts, terminates.
template <std::size_t Size>
void copy_text(char (&to)[Size], std::string_view from) {
  const std::size_t n = from.size() < Size - 1 ? from.size() : Size - 1;
  for (std::size_t i = 0; i < n; i++) to[i] = from[i];
  to[n] = '\0';
}

}  // namespace forkmend
