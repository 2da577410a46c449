//===- Blas.h - Matrix products on the CPU ----------------------*- C++ -*-===//
//
// OpenBLAS opened at run time, or our own blocked kernel when it is not there
// or not wanted.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_RUNTIME_CPU_BLAS_H
#define WHALE_RUNTIME_CPU_BLAS_H

#include <cstdint>
#include <memory>
#include <string>

namespace whale::runtime {

/// C[m, n] = alpha * op(A)[m, k] op(B)[k, n] + beta * C; row-major; leading
/// dimensions as in cblas_sgemm.
class Blas {
public:
  /// OpenBLAS with `threads` threads. Without the library, or when `useLibrary`
  /// is false, the own kernel (one thread).
  static std::unique_ptr<Blas> open(bool useLibrary, int threads);
  ~Blas();

  /// "OpenBLAS" or "own".
  std::string name() const { return Handle ? "OpenBLAS" : "own"; }

  void gemm(bool transA, bool transB, int64_t m, int64_t n, int64_t k,
            float alpha, const float *a, int64_t lda, const float *b,
            int64_t ldb, float beta, float *c, int64_t ldc) const;
  void gemm(bool transA, bool transB, int64_t m, int64_t n, int64_t k,
            double alpha, const double *a, int64_t lda, const double *b,
            int64_t ldb, double beta, double *c, int64_t ldc) const;

private:
  Blas() = default;

  // cblas.h of OpenBLAS built with 32-bit integers (Debian's default).
  using Sgemm = void (*)(int, int, int, int, int, int, float, const float *,
                         int, const float *, int, float, float *, int);
  using Dgemm = void (*)(int, int, int, int, int, int, double, const double *,
                         int, const double *, int, double, double *, int);
  void *Handle = nullptr;
  Sgemm SingleGemm = nullptr;
  Dgemm DoubleGemm = nullptr;
};

} // namespace whale::runtime

#endif // WHALE_RUNTIME_CPU_BLAS_H
