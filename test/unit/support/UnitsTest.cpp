#include "compiler/support/Units.h"
#include <catch2/catch.hpp>
#include <vector>

using namespace whale;
using namespace whale::literals;

static constexpr int64_t low = std::numeric_limits<int64_t>::min();
static constexpr int64_t high = std::numeric_limits<int64_t>::max();

// Oracle: the same operation in 128 bits.
TEST_CASE("checked and saturating arithmetic agree with 128-bit arithmetic") {
  __extension__ using Wide = __int128;
  std::vector<int64_t> values = {
      low, low + 1, -3037000500, -2,         -1,       0,        1,
      2,   3,       3037000499,  3037000500, high / 2, high - 1, high};
  auto clamp = [](Wide exact) {
    return exact > high  ? high
           : exact < low ? low
                         : static_cast<int64_t>(exact);
  };
  auto fits = [](Wide exact) { return low <= exact && exact <= high; };
  for (int64_t a : values)
    for (int64_t b : values) {
      Wide sum = Wide(a) + b, difference = Wide(a) - b, product = Wide(a) * b;
      CHECK(saturatingAdd(a, b) == clamp(sum));
      CHECK(saturatingSubtract(a, b) == clamp(difference));
      CHECK(saturatingMultiply(a, b) == clamp(product));
      CHECK(checkedAdd(a, b).has_value() == fits(sum));
      CHECK(checkedSubtract(a, b).has_value() == fits(difference));
      CHECK(checkedMultiply(a, b).has_value() == fits(product));
      if (fits(product))
        CHECK(checkedMultiply(a, b) == clamp(product));
    }
}

TEST_CASE("products and rounded-up quotients") {
  CHECK(checkedProduct(std::vector<int64_t>{}) == 1);
  CHECK(checkedProduct(std::vector<int64_t>{3, 4, 5}) == 60);
  CHECK_FALSE(checkedProduct(std::vector<int64_t>{high, 2, 0}));
  CHECK(ceilDivide(0, 3) == 0);
  CHECK(ceilDivide(7, 3) == 3);
  CHECK(ceilDivide(high, 1) == high);
  CHECK(ceilDivide(high, high - 1) == 2);
}

TEST_CASE("rounding is half up and clamps") {
  CHECK(roundToInt64(2.5) == 3);
  CHECK(roundToInt64(-2.5) == -2);
  CHECK(roundToInt64(0.49999999999999994) == 0);
  CHECK(roundToInt64(1e300) == high);
  CHECK(roundToInt64(-1e300) == low);
  CHECK(roundToInt64(9007199254740993.0) == 9007199254740992);
}

TEST_CASE("quantities saturate instead of wrapping") {
  CHECK((Bytes::max() + 1_B).isSaturated());
  CHECK((Bytes::max() * 2).isSaturated());
  CHECK_FALSE((4_GiB * 16).isSaturated());
  CHECK((2_KiB - 3_KiB).value() == -1024);
  CHECK(3 * 2_KiB == 6_KiB);
  CHECK((10_us).scaled(0.25) == Picoseconds(2'500'000));
}

TEST_CASE("work counts beyond 64 bits") {
  Flops step = Flops(6) * 1'000'000'000'000 * 100'000'000;
  CHECK(step.asDouble() == 6e20);
  CHECK(step + step > step);
  CHECK(Flops(high) * high * high > Flops(high));
}

TEST_CASE("amount over rate is time") {
  CHECK(Bytes(3) / BytesPerSecond{1e9} == Picoseconds(3000));
  CHECK(1_GiB / BytesPerSecond{double(1 << 30)} == Picoseconds(int64_t(1e12)));
  CHECK((1_B / BytesPerSecond{0}).isSaturated());
  CHECK(0_B / BytesPerSecond{0} == Picoseconds(0));
  CHECK(Flops(989'000) / FlopsPerSecond{989e12} == Picoseconds(1000));
  CHECK(toSeconds(picosecondsFromSeconds(1.5)) == 1.5);
}
