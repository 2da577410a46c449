//===- Plans.h - What CUDA and NCCL are asked to do -------------*- C++ -*-===//
//
// Instructions broken down into calls of cublasLt, cudaMemcpy2D and NCCL, as
// plain structs: no CUDA header, so that every build has and tests them.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_RUNTIME_CUDA_PLANS_H
#define WHALE_RUNTIME_CUDA_PLANS_H

#include "runtime/core/Communicator.h"

#include <array>
#include <optional>

namespace whale::runtime {

//===----------------------------------------------------------------------===//
// Matrix products
//===----------------------------------------------------------------------===//

/// A matrix as cublasLt sees it: column-major, rows x cols as stored.
struct ColumnMajor {
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t leading = 0;     ///< elements between columns
  int64_t batchStride = 0; ///< elements between products of a batch
  bool transposed = false; ///< the operation applied to it

  bool operator==(const ColumnMajor &) const = default;
};

/// A row-major product read as column-major, where every stored matrix is its
/// own transpose: C^T = opB(B)^T * opA(A)^T. `first` is the contraction's B,
/// `second` its A. One call multiplies `batch` products; the calls start at
/// each of `starts` (elements from A, B and C), in this order.
struct GemmPlan {
  ColumnMajor first, second, result;
  int64_t batch = 1;
  std::vector<std::array<int64_t, 3>> starts;
};

/// Contractions that would need more calls than this are refused.
inline constexpr int64_t maxGemmCalls = 4096;

/// Batch dimensions that follow each other in memory are merged; the largest
/// one over which C moves becomes the batch of a call, the others are calls.
/// Nothing to do (an extent of 0) gives no starts. Unsupported beyond
/// maxGemmCalls.
Result<GemmPlan> planGemm(const format::ContractT &contract);

//===----------------------------------------------------------------------===//
// Copies and fills
//===----------------------------------------------------------------------===//

/// Rows of `width` bytes, `height` of them, once per start (bytes from source
/// and destination, after the instruction's own offsets).
struct CopyPlan {
  uint64_t width = 0;
  uint64_t height = 1;
  uint64_t srcPitch = 0; ///< bytes between rows
  uint64_t dstPitch = 0;
  std::vector<std::array<int64_t, 2>> starts;
};

inline constexpr int64_t maxCopyCalls = 4096;

/// Unsupported when it takes more than maxCopyCalls calls, as a transposition
/// does: that is a kernel's work.
Result<CopyPlan> planCopy(const format::CopyT &copy);

/// The bytes of `value` in the operand's type: 1, 2, 4 or 8 of them, reduced
/// to the shortest pattern that repeats (0.0 of any type is one byte 0).
std::string fillPattern(const format::FillT &fill);

//===----------------------------------------------------------------------===//
// Collectives
//===----------------------------------------------------------------------===//

/// ncclDataType_t of a type. NCCL computes 16-bit reductions in its own way:
/// their last bit may differ from the CPU's.
int ncclTypeOf(format::DType dtype);
/// ncclRedOp_t of a reduction.
int ncclOperationOf(format::Reduction reduction);

enum class NcclCall {
  AllReduce,
  AllGather,
  ReduceScatter,
  Broadcast,
  Reduce,
  Send,
  Receive
};

/// One call of NCCL on a communicator; offsets in elements from the
/// collective's input and output.
struct NcclStep {
  NcclCall call = NcclCall::AllReduce;
  uint64_t input = 0;
  uint64_t output = 0;
  uint64_t count = 0; ///< as the call counts: of its smaller side
  uint32_t peer = 0;  ///< root, or the other end

  bool operator==(const NcclStep &) const = default;
};

/// The calls that member `me` of `size` makes, in one NCCL group. Equal shares
/// are one call; uneven gathers are a broadcast per member, uneven
/// reduce-scatters a reduce per member, all-to-all sends and receives.
std::vector<NcclStep> planCollective(const CollectiveCall &call, uint32_t me,
                                     uint32_t size);

/// Communicators are split off the world's; one split makes any number of them
/// that share no rank. Gives the communicators (indices) of each split: greedy
/// in their order, so every rank finds the same.
std::vector<std::vector<uint32_t>>
planSplits(const std::vector<std::vector<uint32_t>> &communicators);

} // namespace whale::runtime

#endif // WHALE_RUNTIME_CUDA_PLANS_H
