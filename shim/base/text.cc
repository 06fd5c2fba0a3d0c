// The one unit that has fmt's code in it: the others check their format strings and pack arguments.
#define FMT_HEADER_ONLY
#include "shim/base/text.h"

#include <fmt/format.h>

namespace forkmend {

TextSpan& TextSpan::vformat(fmt::string_view format, fmt::format_args args) {
  advance(fmt::vformat_to_n(data_ + size_, capacity_ - size_, format, args).size);
  return *this;
}

}  // namespace forkmend
