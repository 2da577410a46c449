//===- MlirTextTest.cpp - what the parser may not see ---------------------===//

#include "compiler/support/MlirText.h"

#include <catch2/catch.hpp>
#include <string>

using namespace whale;

/// The messages about a text; empty where it passes.
static std::string scan(std::string_view text,
                        const MlirTextLimits &limits = {}) {
  Diagnostics diagnostics;
  bool passed = checkMlirText(text, "m", diagnostics, limits);
  CHECK(passed == !diagnostics.hasErrors());
  return diagnostics.str();
}

static std::string repeat(std::string_view piece, size_t times) {
  std::string out;
  for (size_t i = 0; i < times; ++i)
    out += piece;
  return out;
}

TEST_CASE("ordinary text passes") {
  CHECK(scan("") == "");
  CHECK(scan("whale.model @m {\n"
             "  whale.module @main(%x: tensor<4x8xf32>) -> tensor<4xf32> {\n"
             "    // ) ] } > and a \" in a comment\n"
             "    %0 = whale.einsum \"a b -> a ) ] \\\" } >\" %x {s = 1.0e-2}\n"
             "  }\n}\n") == "");
}

TEST_CASE("brackets nest 256 levels and no more") {
  auto nested = [](size_t depth) {
    return "#a = " + repeat("[", depth) + repeat("]", depth) + "\n";
  };
  CHECK(scan(nested(256)) == "");
  CHECK(scan(nested(257)) ==
        "m:1:262: error: brackets are nested deeper than 256 levels\n");
  CHECK(scan(repeat("[", 100'000)).find("deeper than 256") !=
        std::string::npos);
}

TEST_CASE("all kinds of brackets count") {
  for (const char *opener : {"(", "[", "{", "tuple<", "module { "})
    CHECK(scan(repeat(opener, 300)).find("deeper than 256") !=
          std::string::npos);
  CHECK(scan(repeat("() -> ", 300) + "()") == "");
}

TEST_CASE("brackets match") {
  CHECK(scan("a {\n  (]\n}") == "m:2:4: error: ']' closes nothing\n"
                                "m:2:3: note: '(' is open here\n");
  CHECK(scan(")") == "m:1:1: error: ')' closes nothing\n");
  CHECK(scan("a\n {") == "m:2:2: error: '{' is never closed\n");
}

TEST_CASE("strings end on their line") {
  CHECK(scan("\"abc\n\"") ==
        "m:1:1: error: string has no closing '\"' on its line\n");
  CHECK(scan("\"abc\\") ==
        "m:1:1: error: string has no closing '\"' on its line\n");
  CHECK(scan("\"a\\\"b\"") == "");
}

TEST_CASE("tensors have at most 2^48 elements") {
  CHECK(scan("tensor<281474976710656xf32>") == "");
  CHECK(scan("tensor<16777216x16777216xf32>") == "");
  const char *message = "m:1:3: error: tensor has more than 2^48 elements\n";
  CHECK(scan("  tensor<281474976710657xf32>") == message);
  CHECK(scan("  tensor<16777217x16777216xf32>") == message);
  CHECK(scan("  tensor < 16777217 x 16777216 x f32>") == message);
  CHECK(scan("  tensor<9223372036854775807x9223372036854775807xf32>") ==
        message);
  CHECK(scan("  tensor<99999999999999999999999999xf32>") == message);
  CHECK(scan("  tensor<0x9223372036854775807xf32>") == message);
}

TEST_CASE("aliases count with what they stand for") {
  std::string doubling = "#a0 = [1]\n";
  for (int i = 1; i < 64; ++i)
    doubling += "#a" + std::to_string(i) + " = [#a" + std::to_string(i - 1) +
                ", #a" + std::to_string(i - 1) + "]\n";
  CHECK(scan(doubling).find("alias stands for more than 1000000 tokens") !=
        std::string::npos);
  std::string chain = "!a0 = i1\n";
  for (int i = 1; i < 300; ++i)
    chain += "!a" + std::to_string(i) + " = tuple<!a" + std::to_string(i - 1) +
             ">\n";
  CHECK(scan(chain).find("deeper than 256") != std::string::npos);
}

TEST_CASE("ops behind an alias are not part of it") {
  MlirTextLimits limits;
  limits.aliasTokens = 10;
  CHECK(scan("#a = [1]\nwhale.model @m {" + repeat("x ", 50) + "}", limits) ==
        "");
  CHECK(scan("#a =\n [" + repeat("1, ", 50) + "]", limits) != "");
}

TEST_CASE("bytes that are not text") {
  CHECK(scan(std::string_view("ab\n\0c", 5)) ==
        "m:2:1: error: file has a zero byte\n");
  CHECK(scan("a \xff b") == "m: error: file is not UTF-8 text\n");
  CHECK(scan("ML\xefR\x06") ==
        "m: error: MLIR bytecode is not read, give text\n");
  MlirTextLimits limits;
  limits.bytes = 4;
  CHECK(scan("12345", limits) ==
        "m: error: file is longer than the limit of 4 B\n");
}

TEST_CASE("parts of MLIR that models do not have") {
  CHECK(scan("{-# a #-}") ==
        "m:1:1: error: embedded resources are not part of a model\n");
  CHECK(scan("a affine_map<() -> ()>") ==
        "m:1:3: error: 'affine_map' is not part of a model\n");
}
