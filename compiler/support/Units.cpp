//===- Units.cpp ----------------------------------------------------------===//

#include "compiler/support/Units.h"
#include <cmath>

using namespace whale;

int64_t whale::roundToInt64(double value) {
  // 2^63 is exact as a double, the largest int64 is not.
  constexpr double limit = 9223372036854775808.0;
  double rounded = std::floor(value);
  if (value - rounded >= 0.5)
    rounded += 1;
  if (rounded >= limit)
    return std::numeric_limits<int64_t>::max();
  if (rounded < -limit)
    return std::numeric_limits<int64_t>::min();
  return static_cast<int64_t>(rounded);
}

static Picoseconds timeAtRate(double amount, double rate) {
  if (amount == 0)
    return Picoseconds(0);
  if (!(rate > 0))
    return Picoseconds::max();
  return Picoseconds::fromDouble(amount / rate * 1e12);
}

Picoseconds whale::operator/(Bytes amount, BytesPerSecond rate) {
  return timeAtRate(amount.asDouble(), rate.value);
}

Picoseconds whale::operator/(Flops amount, FlopsPerSecond rate) {
  return timeAtRate(amount.asDouble(), rate.value);
}
