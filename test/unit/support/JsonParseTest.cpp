#include "compiler/support/Json.h"
#include <catch2/catch.hpp>
#include <clocale>

using namespace whale;
using json::parse;
using json::Value;

static std::string errorOf(std::string_view text, json::Limits limits = {}) {
  Diagnostics diags;
  CHECK_FALSE(parse(text, "f", diags, limits));
  CHECK(diags.errorCount() == 1);
  return diags.str();
}

static Value valueOf(std::string_view text) {
  Diagnostics diags;
  auto value = parse(text, "f", diags);
  INFO(diags.str());
  REQUIRE(value);
  return *value;
}

TEST_CASE("every kind of value is read") {
  Value v = valueOf(R"({"n": null, "b": true, "i": -7, "d": 1.5, "s": "a\u00e9",
                        "a": [1, []], "o": {}})");
  CHECK(v.find("n")->isNull());
  CHECK(v.find("b")->asBool());
  CHECK(v.find("i")->asInteger() == -7);
  CHECK(v.find("d")->asNumber() == 1.5);
  CHECK(v.find("s")->asString() == "a\xc3\xa9");
  CHECK(v.find("a")->elements()[1].elements().empty());
  CHECK(v.find("o")->members().empty());
  CHECK(v.find("missing") == nullptr);
  CHECK(v.find("i")->asNumber() == -7.0);
}

TEST_CASE("keys and values know their places") {
  Value v = valueOf("{\n  \"a\" : [ 10,\n\t-2.5e1 , true,\"x\\\"]y\", {} ],\n"
                    "  \"b\":null}");
  auto at = [](const Place &place) { return place.str(); };
  CHECK(at(v.place()) == "f:1:1");
  CHECK(at(v.members()[0].keyPlace) == "f:2:3");
  const Value &a = v.members()[0].value;
  CHECK(at(a.place()) == "f:2:9");
  CHECK(at(a.elements()[0].place()) == "f:2:11");
  CHECK(at(a.elements()[1].place()) == "f:3:2");
  CHECK(at(a.elements()[2].place()) == "f:3:11");
  CHECK(at(a.elements()[3].place()) == "f:3:16");
  CHECK(at(a.elements()[4].place()) == "f:3:25");
  CHECK(at(v.members()[1].keyPlace) == "f:4:3");
  CHECK(at(v.members()[1].value.place()) == "f:4:7");
}

TEST_CASE("a value at the top may be a scalar, after a byte order mark") {
  CHECK(valueOf(" 3 ").asInteger() == 3);
  CHECK(valueOf("\xEF\xBB\xBF\"x\"").asString() == "x");
}

TEST_CASE("whole numbers are exact to the limits of int64") {
  CHECK(valueOf("9223372036854775807").asInteger() ==
        std::numeric_limits<int64_t>::max());
  CHECK(valueOf("-9223372036854775808").asInteger() ==
        std::numeric_limits<int64_t>::min());
  for (const char *tooLarge :
       {"9223372036854775808", "-9223372036854775809", "18446744073709551615",
        "18446744073709551616", "100000000000000000000000000000000"})
    CHECK(errorOf(tooLarge) == std::string("f:1:1: error: whole number ") +
                                   tooLarge + " does not fit 64 bits\n");
}

TEST_CASE("doubles are correctly rounded in any locale") {
  const char *before = std::setlocale(LC_ALL, nullptr);
  std::string saved = before ? before : "C";
  std::setlocale(LC_ALL, "de_DE.UTF-8");
  CHECK(valueOf("0.1").asNumber() == 0.1);
  CHECK(valueOf("2.2250738585072014e-308").asNumber() ==
        2.2250738585072014e-308);
  std::setlocale(LC_ALL, saved.c_str());
  CHECK(errorOf("[1.0, 1e999]") ==
        "f:1:7: error: number 1e999 is out of the range of a double\n");
}

TEST_CASE("duplicate keys are refused with both places") {
  CHECK(errorOf("{\"a\": 1,\n \"b\": {\"a\": 2},\n \"a\": 3}") ==
        "f:3:2: error: duplicate key 'a'\n"
        "f:1:2: note: first given here\n");
}

TEST_CASE("depth is limited, whatever the depth") {
  std::string fits = std::string(64, '[') + std::string(64, ']');
  CHECK(valueOf(fits).isArray());
  CHECK(errorOf(std::string(65, '[') + std::string(65, ']')) ==
        "f:1:65: error: nested deeper than 64 levels\n");
  CHECK(errorOf(std::string(100'000, '[')) ==
        "f:1:65: error: nested deeper than 64 levels\n");
  std::string objects;
  for (int i = 0; i < 100'000; ++i)
    objects += "{\"a\":";
  CHECK(errorOf(objects) == "f:1:321: error: nested deeper than 64 levels\n");
}

TEST_CASE("size, values and strings are limited") {
  json::Limits limits;
  limits.bytes = 10;
  CHECK(errorOf("[1, 2, 3, 4]", limits) ==
        "f: error: JSON text is longer than 10 B\n");
  limits = {};
  limits.values = 3;
  CHECK(errorOf("[1, 2, 3]", limits) == "f:1:8: error: more than 3 values\n");
  limits = {};
  limits.stringBytes = 3;
  CHECK(errorOf("[\"abc\", \"abcd\"]", limits) ==
        "f:1:9: error: string is longer than 3 B\n");
  CHECK(errorOf("{\"abcd\": 1}", limits) ==
        "f:1:2: error: string is longer than 3 B\n");
}

TEST_CASE("what is no JSON is refused at its place") {
  auto placeOf = [](std::string_view text) {
    std::string message = errorOf(text);
    return message.substr(0, message.find(": error: "));
  };
  CHECK(placeOf("") == "f:1:1");
  CHECK(placeOf("{\n  \"a\": NaN}") == "f:2:8");
  CHECK(placeOf("[Infinity]") == "f:1:2");
  CHECK(placeOf("{\"a\": 1,}") == "f:1:9");
  CHECK(placeOf("[1 2]") == "f:1:4");
  CHECK(placeOf("[1] 2") == "f:1:5");
  CHECK(placeOf("// c\n1") == "f:1:1");
  CHECK(placeOf("[\n\n\"a\x01\"]") == "f:3:3");
  CHECK(placeOf("[\"\xff\"]") == "f:1:3");
  CHECK(placeOf("[\"\xed\xa0\x80\"]") == "f:1:4");
  CHECK(placeOf("\"\\ud800\"") == "f:1:8");
  CHECK(placeOf("{\"a\"") == "f:1:5");
  CHECK(errorOf("{\"a\": 1,}").find("json.exception") == std::string::npos);
}

TEST_CASE("every prefix and every single-byte change ends in a value or a "
          "placed error") {
  std::string text = "{\"k\": [1, -2.5e3, \"s\\u00e9\\n\", {\"t\": true}, "
                     "null]}\n";
  auto check = [](const std::string &input) {
    Diagnostics diags;
    auto value = parse(input, "f", diags);
    CHECK(value.has_value() == !diags.hasErrors());
    if (!value)
      CHECK(diags.str().substr(0, 2) == "f:");
  };
  for (size_t i = 0; i < text.size() - 1; ++i)
    check(text.substr(0, i));
  for (size_t i = 0; i < text.size(); ++i)
    for (int byte = 0; byte < 256; ++byte) {
      std::string changed = text;
      changed[i] = static_cast<char>(byte);
      check(changed);
    }
}
