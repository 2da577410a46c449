//===- AccumulatorTest.cpp - Sums that do not depend on their order -------===//

#include "runtime/core/Accumulator.h"
#include "runtime/comm/Reduce.h"
#include "runtime/format/Random.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>

using namespace whale::runtime;
using whale::format::DType;
using whale::format::Reduction;

namespace {

using Values = std::vector<double>;

Accumulator sumOf(const Values &values) {
  Accumulator sum;
  for (double value : values)
    sum.add(value);
  return sum;
}

bool isSame(const Accumulator &a, const Accumulator &b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

/// Of both signs, with exponents spread over `spread` powers of two.
Values randomValues(size_t count, unsigned seed, int spread) {
  std::mt19937 random(seed);
  Values out(count);
  for (double &value : out)
    value = std::ldexp(double(int32_t(random())) / 3,
                       int(random() % unsigned(spread + 1)) - spread / 2);
  return out;
}

} // namespace

TEST_CASE("any order and any grouping give the same bits") {
  for (int spread : {0, 20, 100, 1900}) {
    Values values = randomValues(500, 7, spread);
    const Accumulator expected = sumOf(values);
    std::mt19937 random(1);
    for (int round = 0; round < 50; ++round) {
      std::shuffle(values.begin(), values.end(), random);
      Accumulator parts[7];
      for (double value : values)
        parts[random() % 7].add(value);
      // ((0 + 1) + (2 + 3)) + ..., in a random order of the parts.
      std::shuffle(std::begin(parts), std::end(parts), random);
      parts[0].add(parts[1]);
      parts[2].add(parts[3]);
      parts[2].add(parts[0]);
      for (int i : {4, 5, 6})
        parts[2].add(parts[i]);
      REQUIRE(isSame(parts[2], expected));
    }
  }
}

TEST_CASE("sums are the exact ones, rounded, where 65 bits hold them") {
  std::mt19937_64 random(3);
  for (int round = 0; round < 200; ++round) {
    // Multiples of 2^-20 below 2^20: the sum is a whole number.
    Values values(100);
    int64_t whole = 0;
    for (double &value : values) {
      int64_t number = int64_t(random() % (1ull << 41)) - (1ll << 40);
      whole += number;
      value = std::ldexp(double(number), -20);
    }
    REQUIRE(sumOf(values).rounded<double>() == std::ldexp(double(whole), -20));
    REQUIRE(sumOf(values).rounded<float>() ==
            std::ldexp(static_cast<float>(whole), -20));
  }
}

TEST_CASE("what is lost is below terms * 2^-64 of the largest term") {
  for (int spread : {60, 200}) {
    Values values = randomValues(64, 5, spread);
    double largest = 0;
    long double exact = 0; // 64 bits, from small to large: error below 2^-63
    std::sort(values.begin(), values.end(),
              [](double a, double b) { return std::abs(a) < std::abs(b); });
    for (double value : values) {
      exact += value;
      largest = std::max(largest, std::abs(value));
    }
    const double sum = sumOf(values).rounded<double>();
    CHECK(std::abs(double(sum - exact)) <=
          std::abs(sum) * 0x1p-53 + 64 * largest * 0x1p-62);
  }
}

TEST_CASE("edges of the accumulator") {
  const double infinity = std::numeric_limits<double>::infinity();
  const double tiny = std::numeric_limits<double>::denorm_min();
  const double huge = std::numeric_limits<double>::max();
  CHECK(sumOf({}).rounded<double>() == 0);
  // Terms that cancel leave +0, and what was beside them.
  CHECK(!std::signbit(sumOf({-0.0}).rounded<double>()));
  CHECK(!std::signbit(sumOf({1, -1}).rounded<double>()));
  CHECK(sumOf({1, 0x1p-60, -1}).rounded<double>() == 0x1p-60);
  CHECK(sumOf({tiny, tiny}).rounded<double>() == 2 * tiny);
  CHECK(sumOf({huge, huge, -huge}).rounded<double>() == huge);
  CHECK(sumOf({huge, huge}).rounded<double>() == infinity);
  CHECK(sumOf({1e39}).rounded<float>() == INFINITY);
  CHECK(sumOf({-infinity, 1}).rounded<double>() == -infinity);
  CHECK(std::isnan(sumOf({-infinity, infinity}).rounded<double>()));
  CHECK(std::isnan(sumOf({NAN, infinity}).rounded<double>()));
  // Just above the middle of two floats; by way of a double it would be in the
  // middle, and go down.
  CHECK(sumOf({1, 0x1p-24, 0x1p-60}).rounded<float>() == 1 + 0x1p-23f);
  CHECK(sumOf({1, 0x1p-24}).rounded<float>() == 1);
}

TEST_CASE("ranks sum accumulators, not what they round to") {
  // 1 + 2^-53 + 2^-53: rounded on each rank, the small terms are lost.
  const Accumulator parts[] = {sumOf({1}), sumOf({0x1p-53}), sumOf({0x1p-53})};
  Accumulator sum, other;
  std::vector<const void *> inputs = {&parts[0], &parts[1], &parts[2]};
  reduceRange(DType::Accumulator, Reduction::Sum, inputs, 0, 1, {&sum}, 0);
  std::rotate(inputs.begin(), inputs.begin() + 1, inputs.end());
  reduceRange(DType::Accumulator, Reduction::Sum, inputs, 0, 1, {&other}, 0);
  CHECK(isSame(sum, other));
  CHECK(sum.rounded<double>() == 1 + 0x1p-52);
}

TEST_CASE("the larger of two zeros does not depend on their order") {
  const double zeros[] = {-0.0, 0.0};
  for (Reduction reduction : {Reduction::Max, Reduction::Min}) {
    double first = 1, second = 1;
    reduceRange(DType::F64, reduction, {&zeros[0], &zeros[1]}, 0, 1, {&first},
                0);
    reduceRange(DType::F64, reduction, {&zeros[1], &zeros[0]}, 0, 1, {&second},
                0);
    CHECK(std::signbit(first) == (reduction == Reduction::Min));
    CHECK(std::signbit(first) == std::signbit(second));
  }
}
