// JSON into a text of fixed size.
//
// Promises: no allocation; strings are escaped, control characters (C1 as well) among them, and
// what is not UTF-8 is replaced, so that a line can be read and printed whatever a path or a thread
// name holds. Does not: check that objects and arrays are
// balanced (the tests do).
#pragma once

#include <cstdint>
#include <string_view>

#include "shim/base/text.h"

namespace forkmend {

class Json {
 public:
  explicit Json(TextSpan& out) : out_(out) {}

  Json& open(char bracket) {
    separate();
    out_.append(bracket);
    first_ = true;
    return *this;
  }
  Json& close(char bracket) {
    out_.append(bracket);
    first_ = false;
    return *this;
  }
  // The key of the next value.
  Json& key(std::string_view name) {
    separate();
    quote(name);
    out_.append(':');
    first_ = true;
    return *this;
  }
  Json& string(std::string_view text) {
    separate();
    quote(text);
    return *this;
  }
  Json& number(std::int64_t n) {
    separate();
    out_.format("{}", n);
    return *this;
  }
  Json& address(std::uint64_t a) {
    separate();
    out_.format("\"{:#x}\"", a);
    return *this;
  }
  Json& boolean(bool b) {
    separate();
    out_.append(b ? "true" : "false");
    return *this;
  }
  Json& null() {
    separate();
    out_.append("null");
    return *this;
  }
  Json& hex(const std::uint8_t* bytes, std::size_t size);
  Json& base64(const std::uint8_t* bytes, std::size_t size);

  Json& field(std::string_view name, std::string_view text) { return key(name).string(text); }
  Json& field(std::string_view name, const char* text) {
    return key(name).string(std::string_view(text));
  }
  Json& field(std::string_view name, std::int64_t n) { return key(name).number(n); }
  Json& field_address(std::string_view name, const void* a) {
    return key(name).address(reinterpret_cast<std::uintptr_t>(a));
  }
  Json& field_bool(std::string_view name, bool b) { return key(name).boolean(b); }

 private:
  void separate() {
    if (!first_) out_.append(',');
    first_ = false;
  }
  void quote(std::string_view text);

  TextSpan& out_;
  bool first_ = true;
};

}  // namespace forkmend
