//===- VectorKernels.cpp --------------------------------------------------===//
//
// Compiled with WHALE_VECTOR_KERNELS naming the table to define.
//
//===----------------------------------------------------------------------===//

#include "runtime/cpu/VectorKernels.h"

namespace whale::runtime {

namespace {

constexpr int64_t lanes = 16;

template <typename T>
void multiplyTile(int64_t depth, const T *__restrict a, const T *__restrict b,
                  T *__restrict tile) {
  // Vectors of 64 bytes stay in registers; where those are narrower the
  // compiler splits them.
  typedef T Vector __attribute__((vector_size(64), aligned(sizeof(T))));
  constexpr int64_t width = 64 / sizeof(T);
  Vector sum[tileRows][2] = {};
  for (int64_t p = 0; p < depth; ++p) {
    const Vector b0 = *reinterpret_cast<const Vector *>(b + 2 * width * p);
    const Vector b1 =
        *reinterpret_cast<const Vector *>(b + 2 * width * p + width);
    for (int64_t i = 0; i < tileRows; ++i) {
      sum[i][0] += a[p * tileRows + i] * b0;
      sum[i][1] += a[p * tileRows + i] * b1;
    }
  }
  for (int64_t i = 0; i < tileRows; ++i)
    for (int64_t j = 0; j < 2; ++j)
      *reinterpret_cast<Vector *>(tile + (2 * i + j) * width) = sum[i][j];
}

template <typename T> T largest(const T *x, int64_t n) {
  T lane[lanes];
  for (int64_t j = 0; j < lanes; ++j)
    lane[j] = -T(__builtin_inf());
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (int64_t j = 0; j < lanes; ++j)
      lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
  T result = -T(__builtin_inf());
  for (; i < n; ++i)
    result = x[i] > result ? x[i] : result;
  for (int64_t j = 0; j < lanes; ++j)
    result = lane[j] > result ? lane[j] : result;
  return result;
}

template <typename T> T sumLanes(const T *lane) {
  T sum = 0;
  for (int64_t j = 0; j < lanes; ++j)
    sum += lane[j];
  return sum;
}

/// exp(x) = 2^n * exp(r), n = round(x / ln 2), |r| <= ln 2 / 2, by the Taylor
/// polynomial of degree 7: the rest is below 0.3466^8 / 8! = 5.2e-9. Below -87
/// (and for -inf) the result is 0; the caller never asks above 0.
inline float exponential(float x) {
  constexpr float log2e = 1.442695041f;
  constexpr float ln2High = 0.693359375f, ln2Low = -2.12194440e-4f;
  constexpr float round = 12582912.0f; // 1.5 * 2^23: adding it rounds
  float clamped = x < -87.0f ? -87.0f : x > 88.0f ? 88.0f : x;
  float n = (clamped * log2e + round) - round;
  float r = clamped - n * ln2High;
  r = r - n * ln2Low;
  float p = 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  int32_t exponent = (static_cast<int32_t>(n) + 127) << 23;
  float power;
  __builtin_memcpy(&power, &exponent, sizeof power);
  float result = p * power;
  return x < -87.0f ? 0.0f : result;
}

inline double exponential(double x) { return __builtin_exp(x); }

template <typename T> T expSum(T *x, int64_t n, T shift) {
  T lane[lanes] = {};
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (int64_t j = 0; j < lanes; ++j) {
      T value = exponential(x[i + j] - shift);
      x[i + j] = value;
      lane[j] += value;
    }
  for (int64_t j = 0; i < n; ++i, ++j) {
    x[i] = exponential(x[i] - shift);
    lane[j] += x[i];
  }
  return sumLanes(lane);
}

template <typename T> T dot(const T *x, const T *y, int64_t n) {
  T lane[lanes] = {};
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (int64_t j = 0; j < lanes; ++j)
      lane[j] += x[i + j] * y[i + j];
  for (int64_t j = 0; i < n; ++i, ++j)
    lane[j] += x[i] * y[i];
  return sumLanes(lane);
}

template <typename T>
void softmaxGradient(const T *__restrict p, T *__restrict dp, int64_t n,
                     T delta) {
  for (int64_t i = 0; i < n; ++i)
    dp[i] = p[i] * (dp[i] - delta);
}

template <typename T>
void add(const T *__restrict x, T *__restrict y, int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    y[i] += x[i];
}

template <typename T> void scale(T *x, int64_t n, T factor) {
  for (int64_t i = 0; i < n; ++i)
    x[i] *= factor;
}

template <typename T>
constexpr VectorKernelsOf<T> all = {
    multiplyTile<T>, largest<T>, expSum<T>, dot<T>,
    softmaxGradient<T>, add<T>, scale<T>};

} // namespace

const VectorKernels WHALE_VECTOR_KERNELS = {all<float>, all<double>};

} // namespace whale::runtime
