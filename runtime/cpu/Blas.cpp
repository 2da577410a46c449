//===- Blas.cpp -----------------------------------------------------------===//

#include "runtime/cpu/Blas.h"

#include "runtime/cpu/VectorKernels.h"

#include <algorithm>
#include <climits>
#include <dlfcn.h>
#include <vector>

namespace whale::runtime {

namespace {

/// Values of cblas.h.
constexpr int rowMajor = 101, noTrans = 111, trans = 112;

//===----------------------------------------------------------------------===//
// Own kernel: pack panels of A and B, multiply tiles held in registers
// (K. Goto, R. van de Geijn, "Anatomy of high-performance matrix
// multiplication", ACM TOMS 34, 2008).
//===----------------------------------------------------------------------===//

constexpr int64_t blockRows = 96, blockCols = 512, blockDepth = 256;

/// dst = rows x depth of op(A) in slices of tileRows, zero-filled.
template <typename T>
void packA(bool transA, const T *a, int64_t lda, int64_t rows, int64_t depth,
           T *dst) {
  for (int64_t i0 = 0; i0 < rows; i0 += tileRows)
    for (int64_t p = 0; p < depth; ++p)
      for (int64_t i = i0; i < i0 + tileRows; ++i)
        *dst++ = i >= rows ? T(0) : transA ? a[p * lda + i] : a[i * lda + p];
}

/// dst = depth x cols of op(B) in slices of tileCols, zero-filled.
template <typename T>
void packB(bool transB, const T *b, int64_t ldb, int64_t depth, int64_t cols,
           T *dst) {
  for (int64_t j0 = 0; j0 < cols; j0 += tileCols<T>)
    for (int64_t p = 0; p < depth; ++p)
      for (int64_t j = j0; j < j0 + tileCols<T>; ++j)
        *dst++ = j >= cols ? T(0) : transB ? b[j * ldb + p] : b[p * ldb + j];
}

template <typename T>
void addTile(const T *tile, int64_t rows, int64_t cols, T alpha, T *c,
             int64_t ldc) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < cols; ++j)
      c[i * ldc + j] += alpha * tile[i * tileCols<T> + j];
}

template <typename T>
void scaleResult(int64_t m, int64_t n, T beta, T *c, int64_t ldc) {
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j)
      c[i * ldc + j] = beta == 0 ? T(0) : beta * c[i * ldc + j];
}

template <typename T>
void ownGemm(bool transA, bool transB, int64_t m, int64_t n, int64_t k, T alpha,
             const T *a, int64_t lda, const T *b, int64_t ldb, T beta, T *c,
             int64_t ldc) {
  if (beta != 1)
    scaleResult(m, n, beta, c, ldc);
  std::vector<T> packedA(blockRows * blockDepth);
  std::vector<T> packedB(blockCols * blockDepth);
  T tile[tileRows * tileCols<T>];
  const VectorKernelsOf<T> &kernels = vectorKernels().of<T>();
  for (int64_t p0 = 0; p0 < k; p0 += blockDepth) {
    int64_t depth = std::min(blockDepth, k - p0);
    for (int64_t j0 = 0; j0 < n; j0 += blockCols) {
      int64_t cols = std::min(blockCols, n - j0);
      packB(transB, transB ? b + j0 * ldb + p0 : b + p0 * ldb + j0, ldb, depth,
            cols, packedB.data());
      for (int64_t i0 = 0; i0 < m; i0 += blockRows) {
        int64_t rows = std::min(blockRows, m - i0);
        packA(transA, transA ? a + p0 * lda + i0 : a + i0 * lda + p0, lda,
              rows, depth, packedA.data());
        for (int64_t j = 0; j < cols; j += tileCols<T>)
          for (int64_t i = 0; i < rows; i += tileRows) {
            kernels.multiplyTile(depth, packedA.data() + i * depth,
                                 packedB.data() + j * depth, tile);
            addTile(tile, std::min(tileRows, rows - i),
                    std::min(tileCols<T>, cols - j), alpha,
                    c + (i0 + i) * ldc + j0 + j, ldc);
          }
      }
    }
  }
}

bool fitsInt(std::initializer_list<int64_t> values) {
  return std::max(values) <= INT_MAX;
}

/// A leading dimension that the library accepts for one-row matrices as well.
int leading(int64_t ld, int64_t cols) {
  return static_cast<int>(std::max<int64_t>({ld, cols, 1}));
}

} // namespace

const VectorKernels &vectorKernels() {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    return vectorKernelsV4;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("bmi2"))
    return vectorKernelsV3;
  return vectorKernelsBase;
}

std::unique_ptr<Blas> Blas::open(bool useLibrary, int threads) {
  std::unique_ptr<Blas> blas(new Blas());
  if (!useLibrary)
    return blas;
  void *handle = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
  if (!handle)
    handle = dlopen("libopenblas.so", RTLD_NOW | RTLD_LOCAL);
  if (!handle)
    return blas;
  auto sgemm = reinterpret_cast<Sgemm>(dlsym(handle, "cblas_sgemm"));
  auto dgemm = reinterpret_cast<Dgemm>(dlsym(handle, "cblas_dgemm"));
  auto setThreads = reinterpret_cast<void (*)(int)>(
      dlsym(handle, "openblas_set_num_threads"));
  if (!sgemm || !dgemm) {
    dlclose(handle);
    return blas;
  }
  if (setThreads)
    setThreads(threads);
  blas->Handle = handle;
  blas->SingleGemm = sgemm;
  blas->DoubleGemm = dgemm;
  return blas;
}

// The library keeps worker threads and is never unloaded.
Blas::~Blas() = default;

void Blas::gemm(bool transA, bool transB, int64_t m, int64_t n, int64_t k,
                float alpha, const float *a, int64_t lda, const float *b,
                int64_t ldb, float beta, float *c, int64_t ldc) const {
  if (m == 0 || n == 0)
    return;
  if (!SingleGemm || k == 0 || !fitsInt({m, n, k, lda, ldb, ldc}))
    return ownGemm(transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c,
                   ldc);
  SingleGemm(rowMajor, transA ? trans : noTrans, transB ? trans : noTrans,
             static_cast<int>(m), static_cast<int>(n), static_cast<int>(k),
             alpha, a, leading(lda, transA ? m : k), b,
             leading(ldb, transB ? k : n), beta, c, leading(ldc, n));
}

void Blas::gemm(bool transA, bool transB, int64_t m, int64_t n, int64_t k,
                double alpha, const double *a, int64_t lda, const double *b,
                int64_t ldb, double beta, double *c, int64_t ldc) const {
  if (m == 0 || n == 0)
    return;
  if (!DoubleGemm || k == 0 || !fitsInt({m, n, k, lda, ldb, ldc}))
    return ownGemm(transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c,
                   ldc);
  DoubleGemm(rowMajor, transA ? trans : noTrans, transB ? trans : noTrans,
             static_cast<int>(m), static_cast<int>(n), static_cast<int>(k),
             alpha, a, leading(lda, transA ? m : k), b,
             leading(ldb, transB ? k : n), beta, c, leading(ldc, n));
}

} // namespace whale::runtime
