// What a person reads on stderr: the only way there.
//
// Promises: line breaks and all else that a terminal obeys come from our own format strings alone;
// what is put into a message (names, paths, values: whatever is text) is shown as
// base/printable.h has it. It is no TextSpan, so that nothing gets past this. One write() a
// message, without stdio, locale or libc lock; what does not fit is cut.
#pragma once

#include <fmt/core.h>

#include <cstddef>
#include <string_view>
#include <type_traits>

#include "shim/base/printable.h"
#include "shim/base/stderr.h"
#include "shim/base/text.h"

namespace forkmend {

// Text that is not ours, inside of a message.
struct Foreign {
  std::string_view text;
};

// As what an argument of type T is formatted: text of whatever kind as Foreign.
template <class T>
using MessageArgument =
    std::conditional_t<std::is_convertible_v<const std::remove_reference_t<T>&, std::string_view>,
                       Foreign, std::remove_cv_t<std::remove_reference_t<T>>>;

// Appends to a buffer that somebody else owns.
class MessageSpan {
 public:
  MessageSpan(char* data, std::size_t capacity) : text_(data, capacity) {}

  template <class... Args>
  MessageSpan& format(fmt::format_string<MessageArgument<Args>...> format, const Args&... args) {
    return format_arguments(format, MessageArgument<Args>{args}...);
  }
  MessageSpan& append(std::string_view text) {
    for_each_printable(text, [this](std::string_view piece) { text_.append(piece); });
    return *this;
  }
  std::string_view view() const { return text_.view(); }
  // Ends the line and writes the message to stderr.
  void write() {
    text_.end_line();
    write_to_stderr(text_.view());
  }

 private:
  template <class... Arguments>
  MessageSpan& format_arguments(fmt::string_view format, const Arguments&... arguments) {
    text_.vformat(format, fmt::make_format_args(arguments...));
    return *this;
  }

  TextSpan text_;
};

template <std::size_t Capacity>
class Message : public MessageSpan {
 public:
  Message() : MessageSpan(buffer_, Capacity) {}
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;

 private:
  char buffer_[Capacity];
};

}  // namespace forkmend

// "{}", or "{:N}": blanks behind it up to N characters. (fmt's own formatter of text is not used:
// it would bring fmt's code into every unit that has something to say.)
template <>
struct fmt::formatter<forkmend::Foreign> {
  constexpr auto parse(fmt::format_parse_context& context) -> fmt::format_parse_context::iterator {
    auto at = context.begin();
    for (; at != context.end() && *at >= '0' && *at <= '9'; ++at)
      width = width * 10 + static_cast<std::size_t>(*at - '0');
    return at;  // whatever stands there but the closing brace does not compile
  }
  auto format(const forkmend::Foreign& foreign, fmt::format_context& context) const
      -> fmt::format_context::iterator;

  std::size_t width = 0;
};
