#include "shim/base/message.h"

auto fmt::formatter<forkmend::Foreign>::format(const forkmend::Foreign& foreign,
                                               fmt::format_context& context) const
    -> fmt::format_context::iterator {
  auto out = context.out();
  std::size_t size = 0;
  forkmend::for_each_printable(foreign.text, [&](std::string_view piece) {
    for (const char c : piece) *out++ = c;
    size += piece.size();
  });
  for (; size < width; size++) *out++ = ' ';
  return out;
}
