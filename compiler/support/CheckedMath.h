//===- CheckedMath.h - integer arithmetic that cannot wrap ------*- C++ -*-===//
//
// Sizes come from files that anybody may have written, so every product of
// sizes goes through here. Two kinds: `checked*` gives nothing on overflow (for
// input), `saturating*` sticks at the largest value (for costs, where "too
// large to write down" compares as it should).
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_SUPPORT_CHECKEDMATH_H
#define WHALE_SUPPORT_CHECKEDMATH_H

#include <cstdint>
#include <limits>
#include <optional>
#include <span>

namespace whale {

inline std::optional<int64_t> checkedAdd(int64_t a, int64_t b) {
  int64_t result;
  if (__builtin_add_overflow(a, b, &result))
    return std::nullopt;
  return result;
}

inline std::optional<int64_t> checkedSubtract(int64_t a, int64_t b) {
  int64_t result;
  if (__builtin_sub_overflow(a, b, &result))
    return std::nullopt;
  return result;
}

inline std::optional<int64_t> checkedMultiply(int64_t a, int64_t b) {
  int64_t result;
  if (__builtin_mul_overflow(a, b, &result))
    return std::nullopt;
  return result;
}

/// Product of all factors, 1 for none. A factor 0 gives 0 only if no product
/// before it overflowed.
inline std::optional<int64_t> checkedProduct(std::span<const int64_t> factors) {
  int64_t product = 1;
  for (int64_t factor : factors)
    if (__builtin_mul_overflow(product, factor, &product))
      return std::nullopt;
  return product;
}

/// a / b rounded up. Requires a >= 0 and b > 0.
constexpr int64_t ceilDivide(int64_t a, int64_t b) {
  return a / b + (a % b != 0);
}

/// a + b, or the limit of T in the direction of the true sum.
template <class T> constexpr T saturatingAdd(T a, T b) {
  T result{};
  if (!__builtin_add_overflow(a, b, &result))
    return result;
  return b < 0 ? std::numeric_limits<T>::min() : std::numeric_limits<T>::max();
}

/// a - b, or the limit of T in the direction of the true difference.
template <class T> constexpr T saturatingSubtract(T a, T b) {
  T result{};
  if (!__builtin_sub_overflow(a, b, &result))
    return result;
  return b < 0 ? std::numeric_limits<T>::max() : std::numeric_limits<T>::min();
}

/// a * b, or the limit of T in the direction of the true product.
template <class T> constexpr T saturatingMultiply(T a, T b) {
  T result{};
  if (!__builtin_mul_overflow(a, b, &result))
    return result;
  return (a < 0) != (b < 0) ? std::numeric_limits<T>::min()
                            : std::numeric_limits<T>::max();
}

/// `value` (not NaN) rounded half up to int64, clamped to its range. Uses
/// IEEE basic operations only, so it is the same on every machine.
int64_t roundToInt64(double value);

} // namespace whale

#endif // WHALE_SUPPORT_CHECKEDMATH_H
