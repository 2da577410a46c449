#include "compiler/support/PathPattern.h"
#include <catch2/catch.hpp>

using namespace whale;

static PathPattern pattern(std::string_view text) {
  Diagnostics diags;
  auto parsed = PathPattern::parse(text, {}, diags);
  INFO(diags.str());
  REQUIRE(parsed);
  return *parsed;
}

static bool matches(std::string_view text, std::string_view path) {
  return pattern(text).matches(path);
}

TEST_CASE("a star stays within one segment") {
  CHECK(matches("layers.*/moe/experts", "layers.3/moe/experts"));
  CHECK(matches("layers.*/moe/experts", "layers./moe/experts"));
  CHECK_FALSE(matches("layers.*/experts", "layers.3/moe/experts"));
  CHECK_FALSE(matches("layers.*", "layers.3/attn"));
  CHECK(matches("*", "a"));
  CHECK_FALSE(matches("*", "a/b"));
  CHECK(matches("a*b*c", "aXbYbZc"));
  CHECK_FALSE(matches("a*b*c", "aXbYbZ"));
}

TEST_CASE("a range holds whole numbers only") {
  for (int i = 0; i < 30; ++i) {
    std::string path = "layers." + std::to_string(i);
    CHECK(matches("layers.2..11", path) == (2 <= i && i <= 11));
  }
  CHECK_FALSE(matches("layers.1..3", "layers.01"));
  CHECK_FALSE(matches("layers.1..3", "layers.+1"));
  CHECK_FALSE(matches("layers.1..3", "layers."));
  CHECK(matches("layers.0..0", "layers.0"));
  CHECK(matches("l.*1..3", "l.x2"));
  // "12" is one number: neither its '1' nor its '2' is in range.
  CHECK_FALSE(matches("l.*1..3", "l.12"));
  CHECK_FALSE(matches("l.1..3*", "l.12"));
  CHECK(matches("a0..9b/c", "a7b/c"));
  CHECK_FALSE(matches("a.0..9", "a.99999999999999999999999999"));
}

TEST_CASE("two stars cross segments, also none") {
  CHECK(matches("**", "a/b/c"));
  CHECK(matches("**/attn", "attn"));
  CHECK(matches("**/attn", "x/y/attn"));
  CHECK_FALSE(matches("**/attn", "x/attn/y"));
  CHECK(matches("a/**/b", "a/b"));
  CHECK(matches("a/**/b", "a/x/y/b"));
  CHECK(matches("a/**", "a"));
  CHECK(matches("a/**", "a/b"));
  CHECK(matches("a/**/**/b/**", "a/b/c"));
}

TEST_CASE("a scope covers what lies below it") {
  PathPattern scope = pattern("layers.0..1/attn");
  CHECK(scope.covers("layers.0/attn"));
  CHECK(scope.covers("layers.1/attn/q"));
  CHECK_FALSE(scope.covers("layers.0"));
  CHECK_FALSE(scope.covers("layers.0/attn2"));
  CHECK_FALSE(scope.covers("layers.2/attn/q"));
  CHECK_FALSE(scope.matches("layers.1/attn/q"));
}

TEST_CASE("other characters stand for themselves") {
  CHECK(matches("a.b[1]+?", "a.b[1]+?"));
  CHECK_FALSE(matches("a.b", "aXb"));
  CHECK(matches("a..b", "a..b"));
  CHECK(matches("1..x", "1..x"));
}

TEST_CASE("wrong patterns are refused with the place") {
  auto errorOf = [](std::string_view text) {
    Diagnostics diags;
    CHECK_FALSE(PathPattern::parse(text, Place("s.json", 3, 4), diags));
    return diags.str();
  };
  CHECK(errorOf("a//b") ==
        "s.json:3:4: error: empty segment in pattern 'a//b'\n");
  CHECK(errorOf("") == "s.json:3:4: error: empty segment in pattern ''\n");
  CHECK(errorOf("a**/b") ==
        "s.json:3:4: error: '**' must be a whole segment, found 'a**'\n");
  CHECK(errorOf("l.5..2") == "s.json:3:4: error: range '5..2' is empty\n");
  CHECK(errorOf("l.0..99999999999999999999") ==
        "s.json:3:4: error: range '0..99999999999999999999' is too large\n");
}

TEST_CASE("a hostile pattern takes no exponential time") {
  std::string stars, doubleStars, path(2000, 'a');
  for (int i = 0; i < 100; ++i) {
    stars += "*a";
    doubleStars += "**/a/";
  }
  CHECK_FALSE(matches(stars + "b", path));
  std::string deep = "a";
  for (int i = 0; i < 500; ++i)
    deep += "/a";
  CHECK_FALSE(matches(doubleStars + "b", deep));
}
