//===- VectorKernels.h - Inner loops, one set per instruction set -*- C++ -*-===//
//
// VectorKernels.cpp is compiled once for each level of x86-64 and the best set
// that the processor runs is taken at start. It must not use inline functions
// of other headers: the linker could keep the copy for the wrong processor.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_RUNTIME_CPU_VECTORKERNELS_H
#define WHALE_RUNTIME_CPU_VECTORKERNELS_H

#include <cstdint>

namespace whale::runtime {

/// Rows of a tile of the own matrix product.
inline constexpr int64_t tileRows = 6;
/// Columns of it: 128 bytes.
template <typename T> inline constexpr int64_t tileCols = 128 / sizeof(T);

/// The loops for one type. Sums run over 16 lanes and then in lane order, so
/// that they do not depend on the width of a register.
template <typename T> struct VectorKernelsOf {
  /// tile[i][j] = sum over p < depth of a[p][i] * b[p][j].
  void (*multiplyTile)(int64_t depth, const T *a, const T *b, T *tile);
  /// Largest of n values; -inf when n is 0.
  T (*largest)(const T *x, int64_t n);
  /// x[i] = exp(x[i] - shift); returns the sum. Relative error <= 1e-6.
  T (*expSum)(T *x, int64_t n, T shift);
  /// Sum of x[i] * y[i].
  T (*dot)(const T *x, const T *y, int64_t n);
  /// dp[i] = p[i] * (dp[i] - delta).
  void (*softmaxGradient)(const T *p, T *dp, int64_t n, T delta);
  /// y[i] += x[i].
  void (*add)(const T *x, T *y, int64_t n);
  /// x[i] *= factor.
  void (*scale)(T *x, int64_t n, T factor);
};

struct VectorKernels {
  VectorKernelsOf<float> f32;
  VectorKernelsOf<double> f64;

  template <typename T> const VectorKernelsOf<T> &of() const;
};
template <>
inline const VectorKernelsOf<float> &VectorKernels::of<float>() const {
  return f32;
}
template <>
inline const VectorKernelsOf<double> &VectorKernels::of<double>() const {
  return f64;
}

/// The set for this processor.
const VectorKernels &vectorKernels();

extern const VectorKernels vectorKernelsBase; ///< any x86-64
extern const VectorKernels vectorKernelsV3;   ///< AVX2, FMA
extern const VectorKernels vectorKernelsV4;   ///< AVX-512

} // namespace whale::runtime

#endif // WHALE_RUNTIME_CPU_VECTORKERNELS_H
