// Repetitions against exhaustive search.

#include "passes/fold/Repeats.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <map>
#include <random>

using namespace whale::fold;

/// By the definition, for every period.
static std::vector<Repeat> exhaustive(const std::vector<unsigned> &tokens) {
  std::vector<Repeat> found;
  std::map<std::pair<size_t, size_t>, size_t> count;
  for (size_t period = 1; 2 * period <= tokens.size(); ++period)
    for (size_t begin = 0; begin + period < tokens.size();) {
      size_t i = begin;
      while (i + period < tokens.size() && tokens[i] == tokens[i + period])
        ++i;
      size_t end = i + period;
      if (end - begin >= 2 * period &&
          count[{begin, end}]++ < periodsPerInterval)
        found.push_back({begin, end, period});
      begin = i + 1;
    }
  std::sort(found.begin(), found.end(), savesMore);
  return found;
}

TEST_CASE("repetitions are those of the definition") {
  std::mt19937_64 random(7);
  for (int round = 0; round < 3000; ++round) {
    size_t size = random() % 40;
    unsigned letters = 1 + random() % 3;
    std::vector<unsigned> tokens(size);
    for (unsigned &token : tokens)
      token = random() % letters;
    CHECK(findRepeats(tokens) == exhaustive(tokens));
  }
}

TEST_CASE("the most is saved first") {
  // x (ab)(ab)(ab) y
  std::vector<unsigned> tokens = {9, 1, 2, 1, 2, 1, 2, 8};
  std::vector<Repeat> found = findRepeats(tokens);
  REQUIRE(found.size() == 1);
  CHECK(found[0] == Repeat{1, 7, 2});
  CHECK(found[0].saved() == 4);
  CHECK(findRepeats({}).empty());
  CHECK(findRepeats({1u}).empty());
}

TEST_CASE("repetitions are found in near linear time") {
  // 40,000 tokens; by definition this would be 8e8 comparisons.
  std::vector<unsigned> tokens;
  for (unsigned block = 0; block < 1000; ++block)
    for (unsigned i = 0; i < 40; ++i)
      tokens.push_back(i * i % 17);
  std::vector<Repeat> found = findRepeats(tokens);
  REQUIRE(!found.empty());
  CHECK(found[0].begin == 0);
  CHECK(found[0].end == tokens.size());
  CHECK(found[0].period == 40);
}
