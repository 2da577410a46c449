//===- IterationSpace.h - the one description of an op ----------*- C++ -*-===//
//
// Every compute op declares its loop dimensions once, and how each operand and
// result dimension maps to them. Whether an op may be split, what it costs,
// which results become partial sums and which collectives that needs all
// follow from this; there is no second table of rules.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_DIALECT_ITERATIONSPACE_H
#define WHALE_DIALECT_ITERATIONSPACE_H

#include "mlir/IR/Operation.h"
#include "llvm/ADT/SmallVector.h"
#include <cstdint>
#include <optional>
#include <string>

namespace whale {

enum class ReductionKind : uint32_t;

/// What splitting a loop dimension means.
enum class LoopKind {
  /// Independent iterations. A result that lacks the dimension is a partial
  /// `reduction` over the shards (a summed dimension is just that).
  Parallel,
  /// As Parallel, but the op reads the global index (iota, dropout, vocabulary
  /// of an embedding): a shard needs its offset.
  Indexed,
  /// A shard needs neighbours' elements (convolution, pooling).
  Window,
  /// Iterations in order (scan).
  Sequential,
  /// Cannot be split by this op as it stands (softmax's row, an FFT's line);
  /// `ExpandableOpInterface` may help.
  Whole,
};

/// One loop dimension of an op.
struct LoopDim {
  /// Name that `split(dim)` may use: the op's own (einsum), or empty where it
  /// is inherited from the operands (analysis DimensionNames).
  std::string name;
  /// Iterations.
  int64_t extent = 1;
  LoopKind kind = LoopKind::Parallel;
  /// How results that lack this dimension combine over its shards.
  ReductionKind reduction = static_cast<ReductionKind>(0);
  /// Shards begin at multiples of this many iterations (samples coupled in
  /// groups of n).
  int64_t multiple = 1;
};

/// How one tensor's dimensions map to loops.
struct Access {
  /// Per tensor dimension the loops that make it up, outermost first (more
  /// than one for a factored dimension, as in a reshape); empty = the whole
  /// extent is used in every iteration (or repeated: a broadcast 1).
  llvm::SmallVector<llvm::SmallVector<unsigned, 2>, 4> dims;

  /// Position of the tensor dimension whose outermost loop is `loop`.
  std::optional<unsigned> dimOf(unsigned loop) const;
  /// Whether any dimension uses `loop`.
  bool uses(unsigned loop) const;
};

/// In which operands an op is linear, so that partial sums may pass through it
/// instead of being summed before it.
enum class Linearity {
  None,
  /// In all operands together (add, cast, reshape, a sum).
  Joint,
  /// In the first operand, the others fixed (division, a table).
  First,
  /// In the last operand, the others fixed (scattered updates).
  Last,
  /// In each operand, the others fixed (a product).
  Each,
};

/// Loops, accesses and the work of one iteration.
struct IterationSpace {
  llvm::SmallVector<LoopDim, 6> loops;
  /// One per operand and one per result, in order.
  llvm::SmallVector<Access, 4> operands, results;
  /// FLOPs of one point of the whole space (multiply and add count 2).
  int64_t flopsPerPoint = 1;
  /// Share of the points that are really computed (causal attention: near
  /// 1/2), as a fraction of two integers.
  int64_t usedNumerator = 1, usedDenominator = 1;
  Linearity linearity = Linearity::None;

  /// FLOPs of the whole op; saturates at INT64_MAX.
  int64_t flops() const;
};

/// Builder of a space whose tensors' dimensions are single loops:
///   SpaceBuilder b; auto i = b.loop("batch", 8); b.operand({i, b.whole()})...
class SpaceBuilder {
public:
  static constexpr unsigned Whole = ~0u;
  /// Adds a loop and gives its index.
  unsigned loop(int64_t extent, LoopKind kind = LoopKind::Parallel,
                llvm::StringRef name = "");
  /// Adds the next operand's (result's) access; `Whole` = not mapped.
  SpaceBuilder &operand(llvm::ArrayRef<unsigned> dims);
  SpaceBuilder &result(llvm::ArrayRef<unsigned> dims);
  SpaceBuilder &flops(int64_t perPoint);
  SpaceBuilder &linear(Linearity linearity);
  IterationSpace take() { return std::move(space); }

  IterationSpace space;
};

/// One loop per result dimension; operands broadcast at the right as in NumPy.
IterationSpace elementwiseSpace(mlir::Operation *op,
                                LoopKind kind = LoopKind::Parallel);

} // namespace whale

#endif // WHALE_DIALECT_ITERATIONSPACE_H
