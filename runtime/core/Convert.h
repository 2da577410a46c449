//===- Convert.h - Element types in C++ -------------------------*- C++ -*-===//
//
// Scalar conversions of the 16-bit types (round to nearest even, IEEE 754) and
// access to elements whose type is known at run time only.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_RUNTIME_CORE_CONVERT_H
#define WHALE_RUNTIME_CORE_CONVERT_H

#include "runtime/format/Format.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace whale::runtime {

/// Storage of the 16-bit types.
struct BF16 {
  uint16_t bits;
};
struct F16 {
  uint16_t bits;
};

inline float toFloat(BF16 value) {
  return std::bit_cast<float>(uint32_t(value.bits) << 16);
}

inline BF16 toBF16(float value) {
  uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffff) > 0x7f800000)
    return {static_cast<uint16_t>(bits >> 16 | 0x40)}; // NaN stays NaN
  bits += 0x7fff + ((bits >> 16) & 1);
  return {static_cast<uint16_t>(bits >> 16)};
}

inline float toFloat(F16 value) {
  uint32_t sign = uint32_t(value.bits & 0x8000) << 16;
  uint32_t rest = value.bits & 0x7fff;
  if (rest >= 0x7c00) // infinity, NaN
    return std::bit_cast<float>(sign | 0x7f800000 | (rest & 0x3ff) << 13);
  if (rest >= 0x400)
    return std::bit_cast<float>(sign | ((rest << 13) + (112u << 23)));
  float magnitude = static_cast<float>(rest) * 0x1p-24f; // subnormal
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
}

inline F16 toF16(float value) {
  uint32_t bits = std::bit_cast<uint32_t>(value);
  uint16_t sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  uint32_t rest = bits & 0x7fffffff;
  if (rest > 0x7f800000)
    return {static_cast<uint16_t>(sign | 0x7e00)};
  if (rest >= 0x477ff000) // rounds to 2^16 or more
    return {static_cast<uint16_t>(sign | 0x7c00)};
  if (rest < 0x38800000) { // below 2^-14: multiples of 2^-24
    float scaled = std::bit_cast<float>(rest) * 0x1p24f;
    return {static_cast<uint16_t>(sign |
                                  static_cast<uint32_t>(std::nearbyint(scaled)))};
  }
  rest += 0xfff + ((rest >> 13) & 1);
  return {static_cast<uint16_t>(sign | (rest - (112u << 23)) >> 13)};
}

/// Compute type of a storage type, and the conversions between them.
template <typename T> struct ElementTraits {
  using Compute = T;
  static Compute load(T value) { return value; }
  static T store(Compute value) { return value; }
};
template <> struct ElementTraits<BF16> {
  using Compute = float;
  static float load(BF16 value) { return toFloat(value); }
  static BF16 store(float value) { return toBF16(value); }
};
template <> struct ElementTraits<F16> {
  using Compute = float;
  static float load(F16 value) { return toFloat(value); }
  static F16 store(float value) { return toF16(value); }
};

/// Calls `function` with a value of the C++ type of `dtype`, which is a number.
template <typename Function>
auto dispatchDType(format::DType dtype, Function &&function) {
  using format::DType;
  switch (dtype) {
  case DType::F64:
    return function(double());
  case DType::BF16:
    return function(BF16());
  case DType::F16:
    return function(F16());
  case DType::I32:
    return function(int32_t());
  case DType::I64:
    return function(int64_t());
  case DType::I8:
    return function(int8_t());
  case DType::U8:
  case DType::I1:
    return function(uint8_t());
  case DType::F32:
  case DType::Accumulator: // no number: callers see to it
    break;
  }
  return function(float());
}

/// Element `index` of an array of `dtype` as a number.
inline double loadNumber(format::DType dtype, const void *data,
                         uint64_t index) {
  return dispatchDType(dtype, [&](auto zero) {
    using T = decltype(zero);
    return static_cast<double>(
        ElementTraits<T>::load(static_cast<const T *>(data)[index]));
  });
}

/// The inverse, rounded to the type.
inline void storeNumber(format::DType dtype, void *data, uint64_t index,
                        double value) {
  dispatchDType(dtype, [&](auto zero) {
    using T = decltype(zero);
    using Compute = typename ElementTraits<T>::Compute;
    static_cast<T *>(data)[index] =
        ElementTraits<T>::store(static_cast<Compute>(value));
  });
}

} // namespace whale::runtime

#endif // WHALE_RUNTIME_CORE_CONVERT_H
