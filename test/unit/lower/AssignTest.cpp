#include "passes/lower/Assign.h"

#include <catch2/catch.hpp>
#include <random>

using namespace whale::lower;

static void requireLegal(const std::vector<Lifetime> &lives,
                         const Placement &placement) {
  for (size_t i = 0; i < lives.size(); ++i) {
    REQUIRE(placement.offsets[i] % 64 == 0);
    REQUIRE(placement.offsets[i] + lives[i].bytes <= placement.bytes);
    for (size_t j = 0; j < i; ++j) {
      bool together =
          lives[i].first <= lives[j].last && lives[j].first <= lives[i].last;
      bool apart =
          placement.offsets[i] + lives[i].bytes <= placement.offsets[j] ||
          placement.offsets[j] + lives[j].bytes <= placement.offsets[i];
      REQUIRE((!together || apart));
    }
  }
}

TEST_CASE("buffers that live together do not overlap", "[assign]") {
  std::mt19937 random(1);
  for (int round = 0; round < 40; ++round) {
    std::vector<Lifetime> lives;
    for (int i = 0; i < 60; ++i) {
      int64_t first = random() % 100;
      lives.push_back(
          {first, first + int64_t(random() % 20), 1 + random() % 5000});
    }
    Placement placement = assignOffsets(lives, 64);
    requireLegal(lives, placement);
    REQUIRE(placement.bytes >= placement.peak);
    REQUIRE(placement.bytes <= placement.peak * 1.25);
  }
}

TEST_CASE("a forward-backward chain is packed at its peak", "[assign]") {
  // Residual i lives from i to 2n - i; two temporaries at each place.
  std::vector<Lifetime> lives;
  const int64_t n = 200;
  for (int64_t i = 0; i < n; ++i) {
    lives.push_back({i, 2 * n - i, 4096 + 64 * uint64_t(i % 7)});
    lives.push_back({i, i + 1, 8192});
    lives.push_back({2 * n - i, 2 * n - i + 1, 8192});
  }
  Placement placement = assignOffsets(lives, 64);
  requireLegal(lives, placement);
  REQUIRE(placement.bytes <= placement.peak * 1.05);
}
