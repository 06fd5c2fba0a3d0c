// shim/reporting/json: read back by somebody else's parser.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "shim/base/printable.h"
#include "shim/reporting/json.h"

using namespace forkmend;

TEST_CASE("JSON can be read back, whatever the strings hold") {
  std::string all;
  for (int c = 0; c < 256; c++) all.push_back(static_cast<char>(c));
  const std::string strings[] = {"",
                                 "plain",
                                 "quote \" and \\ and /",
                                 all,
                                 "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
                                 "\xc3",
                                 "\xe2\x82",
                                 "\xf0\x9f\x98",
                                 "\xff\xfe",
                                 "\xc0\x80",
                                 "tail\xc3",
                                 "\xc2\x9b"};
  for (const std::string& string : strings) {
    Text<8192> text;
    Json json(text);
    json.open('{').field("s", std::string_view(string)).field("n", -5).field_bool("b", true);
    json.key("list").open('[').number(1).string("two").null().open('{').close('}').close(']');
    json.field_address("a", reinterpret_cast<void*>(0xbeef))
        .key("h")
        .hex(reinterpret_cast<const std::uint8_t*>("\x01\xfe"), 2);
    json.close('}');
    CHECK_FALSE(text.truncated());
    for (std::string_view rest = text.view(); !rest.empty();) {
      const std::size_t length = printable_length(rest);
      REQUIRE(length > 0);  // safe on a terminal as well
      rest.remove_prefix(length);
    }
    const auto read = nlohmann::json::parse(text.view());
    CHECK(read["n"] == -5);
    CHECK(read["b"] == true);
    CHECK(read["list"].size() == 4);
    CHECK(read["a"] == "0xbeef");
    CHECK(read["h"] == "01fe");
    if (string == strings[1] || string == strings[2] || string == strings[4])
      CHECK(read["s"] == string);
  }
}
