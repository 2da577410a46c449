#include "compiler/support/Json.h"
#include <catch2/catch.hpp>

using namespace whale;
using json::Writer;

TEST_CASE("objects and arrays are laid out line by line or inline") {
  Writer w;
  w.beginObject();
  w.field("name", "x").field("count", 3).field("flag", true);
  w.field("dims", std::vector<int64_t>{1, 2});
  w.key("empty").beginObject().endObject();
  w.key("list").beginArray();
  w.beginObject(Writer::Layout::Inline);
  w.field("a", 1).key("b").beginArray().value(2.0).endArray();
  w.endObject().null().endArray();
  w.endObject();
  CHECK(w.take() == R"({
  "name": "x",
  "count": 3,
  "flag": true,
  "dims": [1, 2],
  "empty": {},
  "list": [
    {"a": 1, "b": [2.0]},
    null
  ]
}
)");
}

TEST_CASE("doubles are short, exact and stay doubles") {
  Writer w;
  w.value(std::vector<double>{0.1, 1.0, -0.0, 1e300, 5e-324, 1.0 / 3, 123456.0,
                              1e21});
  CHECK(w.take() == "[0.1, 1.0, -0.0, 1e+300, 5e-324, 0.3333333333333333, "
                    "123456.0, 1e+21]\n");
}

TEST_CASE("strings are escaped, also broken ones") {
  Writer w;
  w.value("\"\\\n\t\x01\x7f\xc3\xa9 \xff");
  CHECK(w.take() ==
        "\"\\\"\\\\\\\\n\\\\u{09}\\\\u{01}\\\\u{7f}\xc3\xa9 \\\\xff\"\n");
  Writer good;
  good.value("\"\\\n\t\x01\x7f\xc3\xa9");
  CHECK(good.take() == "\"\\\"\\\\\\n\\t\\u0001\\u007f\xc3\xa9\"\n");
}

TEST_CASE("what is written reads back the same and writes the same bytes") {
  const char *text = R"({
  "z": [
    1,
    -9223372036854775808,
    0.30000000000000004,
    "caf\u00e9 \"q\" \\ \u0001",
    null,
    false
  ],
  "a": {
    "": {}
  }
}
)";
  Diagnostics diags;
  auto write = [&](std::string_view from) {
    auto value = json::parse(from, "f", diags);
    REQUIRE(value);
    return Writer().value(*value).take();
  };
  std::string once = write(text);
  CHECK(write(once) == once);
  CHECK(once.find("0.30000000000000004") != std::string::npos);
  CHECK(once.find("\"z\"") < once.find("\"a\""));
}
