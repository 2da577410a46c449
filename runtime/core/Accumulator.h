//===- Accumulator.h - Sums that do not depend on their order ---*- C++ -*-===//
//
// Problem:   add doubles so that any order and grouping gives equal bits.
// Method:    every double is a whole multiple of 2^-1074, that is, up to three
//            neighbouring digits of base 2^32 on one fixed grid. A sum keeps
//            the digits of a window of three, below the highest digit that any
//            term has, each in 64 bits without carrying. What is below the
//            window is dropped, term by term. Both the window (a maximum) and
//            the kept digits (sums of integers) are the same for every order.
//            A binned sum as of Demmel and Nguyen, "Parallel Reproducible
//            Summation", IEEE Transactions on Computers 64(7), 2015, with
//            integers for bins.
// Guarantee: associative and commutative, exactly. |sum - exact| < terms *
//            2^-64 * the largest |term|. No overflow up to 2^31 - 1 terms.
//            Infinities and NaN are flags.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_RUNTIME_CORE_ACCUMULATOR_H
#define WHALE_RUNTIME_CORE_ACCUMULATOR_H

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace whale::runtime {

/// An element of type DType::Accumulator. All bytes 0 = the empty sum.
class Accumulator {
public:
  void add(double term) {
    const uint64_t bits = std::bit_cast<uint64_t>(term);
    const int exponent = static_cast<int>(bits >> 52 & 0x7ff);
    const int64_t sign = static_cast<int64_t>(bits) >> 63; // 0 or -1
    uint64_t mantissa = bits & ((uint64_t(1) << 52) - 1);
    if (exponent == 0x7ff) {
      Special |= mantissa != 0 ? NotANumber : sign != 0 ? Below : Above;
      return;
    }
    // The term is mantissa * 2^position of the grid.
    const int position = exponent == 0 ? 0 : exponent - 1;
    if (exponent != 0)
      mantissa |= uint64_t(1) << 52;
    raise((position + std::bit_width(mantissa) - 1) / 32);
    const int shift = position - 32 * bottom();
    if (shift <= -53)
      return;
    const Wide digits = shift >= 0 ? static_cast<Wide>(mantissa) << shift
                                   : static_cast<Wide>(mantissa >> -shift);
    for (int32_t i = 0; i < Digits; ++i) {
      const auto digit = static_cast<int64_t>(digits >> 32 * i & 0xffffffff);
      Sums[i] += (digit ^ sign) - sign;
    }
  }

  void add(const Accumulator &other) {
    raise(other.Top);
    const int32_t shift = Top - other.Top;
    for (int32_t i = shift; i < Digits; ++i)
      Sums[i - shift] += other.Sums[i];
    Special |= other.Special;
  }

  /// The sum as a float or double, to nearest, ties to even; +0 where the terms
  /// cancel. (Results below the smallest normal number are rounded twice.)
  template <typename T> T rounded() const {
    using Limits = std::numeric_limits<T>;
    if (Special != 0)
      return Special == Above   ? Limits::infinity()
             : Special == Below ? -Limits::infinity()
                                : Limits::quiet_NaN();
    // |Sums[i]| < 2^63, and 2^31 terms of digits below 2^32 make the whole less
    // than 2^127.
    const SignedWide whole = (static_cast<SignedWide>(Sums[2]) << 64) +
                             (static_cast<SignedWide>(Sums[1]) << 32) + Sums[0];
    return std::ldexp(static_cast<T>(whole), 32 * bottom() - GridBits);
  }

private:
  using Wide = unsigned __int128;
  using SignedWide = __int128;
  static constexpr int32_t Digits = 3;
  /// The grid's unit is 2^-1074, the smallest double.
  static constexpr int GridBits = 1074;
  enum : uint32_t { Above = 1, Below = 2, NotANumber = 4 };

  int32_t bottom() const { return Top - (Digits - 1); }

  /// Moves the window up; digits below it are dropped.
  void raise(int32_t top) {
    if (top <= Top)
      return;
    const int32_t shift = top - Top;
    for (int32_t i = 0; i < Digits; ++i)
      Sums[i] = i + shift < Digits ? Sums[i + shift] : 0;
    Top = top;
  }

  int64_t Sums[Digits] = {};
  int32_t Top = 0; ///< highest digit of the window
  uint32_t Special = 0;
};
static_assert(sizeof(Accumulator) == 32);

} // namespace whale::runtime

#endif // WHALE_RUNTIME_CORE_ACCUMULATOR_H
