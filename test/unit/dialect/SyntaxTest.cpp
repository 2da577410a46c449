// Numbers in the text: the shortest decimal that reads back, and names in a
// flat model.

#include "dialects/whale/Syntax.h"
#include "passes/fold/FlatNames.h"

#include "llvm/ADT/bit.h"

#include <catch2/catch.hpp>

#include <cmath>
#include <cstdlib>
#include <random>

using namespace whale;
using namespace whale::fold;

TEST_CASE("reals have the author's text") {
  CHECK(realText(0.02) == "0.02");
  CHECK(realText(1e-6) == "1.0e-6");
  CHECK(realText(1e20) == "1.0e20");
  CHECK(realText(1.5e-10) == "1.5e-10");
  CHECK(realText(1) == "1.0");
  CHECK(realText(-0.0) == "-0.0");
  CHECK(realText(0.1 + 0.2) == "0.30000000000000004");
  CHECK(realText(INFINITY) == "0x7FF0000000000000");
  CHECK(realText(-INFINITY) == "0xFFF0000000000000");
}

TEST_CASE("every double reads back, and its text is a real of MLIR's") {
  std::mt19937_64 random(1);
  for (int i = 0; i < 100000; ++i) {
    double value = llvm::bit_cast<double>(random());
    if (!std::isfinite(value))
      continue;
    std::string text = realText(value);
    CHECK(std::strtod(text.c_str(), nullptr) == value);
    size_t point = text.find('.');
    REQUIRE(point != std::string::npos);
    CHECK(isdigit(text[point - 1]));
    CHECK(isdigit(text[point + 1]));
    CHECK(text.size() <= 25);
  }
}

static std::string localOf(const std::string &a, const std::string &b) {
  LocalName name = localName(a, b);
  return name.chain + "|" + name.local;
}

TEST_CASE("names in a block from flat names") {
  CHECK(localOf("layers.0.fc.weight", "layers.1.fc.weight") ==
        "layers|fc.weight");
  CHECK(localOf("model.h9.w", "model.h10.w") == "model.h|w");
  // The first number that differs is the block's.
  CHECK(localOf("a.0.b.0.w", "a.0.b.1.w") == "a.0.b|w");
  CHECK(localOf("fc0", "fc1") == "|fc");
  CHECK(localOf("fc.0", "fc.1") == "|fc");
  CHECK(localOf("0", "1") == "|0");
  // No number in common.
  CHECK(localOf("first", "second") == "|first");
  CHECK(localOf("a.0.w", "a.0.w.1") == "|a.0.w");
  CHECK(localOf("a.w", "a.0") == "|a.w");
}

TEST_CASE("a chain's name leaves those of its steps free") {
  std::set<std::string> taken = {"layers.3", "layers_1", "x.y"};
  CHECK(uniqueChainName(taken, "layers") == "layers_2");
  CHECK(uniqueChainName(taken, "x") == "x");
  CHECK(uniqueChainName(taken, "x") == "x_1");
  CHECK(uniqueName(taken, "x.y") == "x.y_1");
  CHECK(uniqueName(taken, "z") == "z");
}
