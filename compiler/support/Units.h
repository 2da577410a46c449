//===- Units.h - quantities that cannot be mixed up -------------*- C++ -*-===//
//
// Times, sizes and work are integers, so that sums do not depend on their
// order and comparisons are exact on every machine. Arithmetic sticks at the
// largest value instead of wrapping (see CheckedMath.h).
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_SUPPORT_UNITS_H
#define WHALE_SUPPORT_UNITS_H

#include "compiler/support/CheckedMath.h"
#include <compare>
#include <cstdint>

namespace whale {

/// An integer amount of `Tag`, saturating at int64's limits.
template <class Tag> class Quantity {
public:
  constexpr Quantity() = default;
  constexpr explicit Quantity(int64_t value) : amount(value) {}

  static constexpr Quantity max() {
    return Quantity(std::numeric_limits<int64_t>::max());
  }
  /// Nearest whole amount, clamped to the range.
  static Quantity fromDouble(double value) {
    return Quantity(roundToInt64(value));
  }

  constexpr int64_t value() const { return amount; }
  constexpr double asDouble() const { return static_cast<double>(amount); }
  /// True for a value at the limit: "at least this much".
  constexpr bool isSaturated() const { return amount == max().amount; }

  constexpr auto operator<=>(const Quantity &) const = default;

  friend constexpr Quantity operator+(Quantity a, Quantity b) {
    return Quantity(saturatingAdd(a.amount, b.amount));
  }
  friend constexpr Quantity operator-(Quantity a, Quantity b) {
    return Quantity(saturatingSubtract(a.amount, b.amount));
  }
  friend constexpr Quantity operator*(Quantity a, int64_t factor) {
    return Quantity(saturatingMultiply(a.amount, factor));
  }
  friend constexpr Quantity operator*(int64_t factor, Quantity a) {
    return a * factor;
  }
  /// One of so many equal parts, rounded up; as ceilDivide() of numbers.
  friend constexpr Quantity ceilDivide(Quantity a, int64_t parts) {
    return Quantity(whale::ceilDivide(a.amount, parts));
  }
  constexpr Quantity &operator+=(Quantity other) {
    return *this = *this + other;
  }
  constexpr Quantity &operator-=(Quantity other) {
    return *this = *this - other;
  }

  /// The amount times a real factor (an efficiency, an overlap), rounded.
  Quantity scaled(double factor) const {
    return fromDouble(asDouble() * factor);
  }

private:
  int64_t amount = 0;
};

/// Work. A step of the largest models is near 1e20 operations, above int64, so
/// this one counts in int128; it does not saturate in practice.
class Flops {
public:
  __extension__ using Int128 = __int128;

  constexpr Flops() = default;
  constexpr explicit Flops(int64_t value) : amount(value) {}

  constexpr Int128 value() const { return amount; }
  constexpr double asDouble() const { return static_cast<double>(amount); }

  friend constexpr bool operator==(Flops a, Flops b) {
    return a.amount == b.amount;
  }
  friend constexpr std::strong_ordering operator<=>(Flops a, Flops b) {
    return a.amount < b.amount   ? std::strong_ordering::less
           : a.amount > b.amount ? std::strong_ordering::greater
                                 : std::strong_ordering::equal;
  }
  friend constexpr Flops operator+(Flops a, Flops b) {
    return make(saturatingAdd(a.amount, b.amount));
  }
  friend constexpr Flops operator*(Flops a, int64_t factor) {
    return make(saturatingMultiplyWide(a.amount, factor));
  }
  friend constexpr Flops operator*(int64_t factor, Flops a) {
    return a * factor;
  }
  constexpr Flops &operator+=(Flops other) { return *this = *this + other; }

private:
  static constexpr Int128 saturatingMultiplyWide(Int128 a, Int128 b) {
    return saturatingMultiply(a, b);
  }
  static constexpr Flops make(Int128 value) {
    Flops result;
    result.amount = value;
    return result;
  }

  Int128 amount = 0;
};

struct PicosecondsTag;
struct BytesTag;

/// A duration or an instant of simulated time; the limit is 106 days.
using Picoseconds = Quantity<PicosecondsTag>;
/// A size in memory or on a wire.
using Bytes = Quantity<BytesTag>;

inline Picoseconds picosecondsFromSeconds(double seconds) {
  return Picoseconds::fromDouble(seconds * 1e12);
}
constexpr double toSeconds(Picoseconds time) { return time.asDouble() / 1e12; }

/// A rate; positive wherever one is given. Real, since it is only divided by.
struct BytesPerSecond {
  double value = 0;
  auto operator<=>(const BytesPerSecond &) const = default;
};
struct FlopsPerSecond {
  double value = 0;
  auto operator<=>(const FlopsPerSecond &) const = default;
};

/// Time to move or compute an amount at a rate, rounded to the nearest
/// picosecond. A rate that is not positive gives `Picoseconds::max()` for any
/// amount but zero.
Picoseconds operator/(Bytes amount, BytesPerSecond rate);
Picoseconds operator/(Flops amount, FlopsPerSecond rate);

namespace literals {
constexpr Bytes operator""_B(unsigned long long v) {
  return Bytes(static_cast<int64_t>(v));
}
constexpr Bytes operator""_KiB(unsigned long long v) {
  return Bytes(static_cast<int64_t>(v)) * (int64_t(1) << 10);
}
constexpr Bytes operator""_MiB(unsigned long long v) {
  return Bytes(static_cast<int64_t>(v)) * (int64_t(1) << 20);
}
constexpr Bytes operator""_GiB(unsigned long long v) {
  return Bytes(static_cast<int64_t>(v)) * (int64_t(1) << 30);
}
constexpr Picoseconds operator""_us(unsigned long long v) {
  return Picoseconds(static_cast<int64_t>(v)) * 1'000'000;
}
} // namespace literals

} // namespace whale

#endif // WHALE_SUPPORT_UNITS_H
