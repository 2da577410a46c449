//===- Placement.h - where a value is on a mesh -----------------*- C++ -*-===//
//
// The placement algebra: for each dimension the axes that cut it, with exact
// boundaries, and the axes over which the whole is still a partial sum.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PASSES_PARTITION_PLACEMENT_H
#define WHALE_PASSES_PARTITION_PLACEMENT_H

#include "dialects/whale/Whale.h"
#include "passes/partition/Mesh.h"

#include <optional>

namespace whale::partition {

/// How one tensor dimension is cut. Boundaries lie at multiples of extent /
/// basis elements, `basis` being the extent of the loop that is cut (it is the
/// dimension's outermost loop).
struct DimCut {
  int64_t basis = 0;
  /// Cut by the replica axes of the mesh together, in samples.
  bool batch = false;
  /// Batch: the replica axes that do not cut it.
  AxisMask joined = 0;
  /// Then cut evenly by these axes, one after another.
  llvm::SmallVector<unsigned, 1> axes;

  bool empty() const { return !batch && axes.empty(); }
  /// The replica axes that cut it.
  AxisMask batchAxes(const Mesh &mesh) const {
    return batch ? mesh.replicaMask() & ~joined : 0;
  }
  /// All axes that cut it.
  AxisMask axisMask(const Mesh &mesh) const;
  /// Whether `finer` cuts parts of this one further, or is the same.
  bool isPrefixOf(const DimCut &finer, const Mesh &mesh) const;
  /// The cut without the axes of `last`, the parts of whose group lie one after
  /// another; nothing where these are not its innermost axes in their order.
  std::optional<DimCut> without(AxisMask last, const Mesh &mesh) const;
  /// Innermost axes of which to gather parts first on the way to a prefix of
  /// `goal`.
  AxisMask gatheredFirst(const DimCut &goal, const Mesh &mesh) const;
  /// Equal boundaries on every rank.
  bool operator==(const DimCut &other) const;
};

/// When a value exists.
enum class Rhythm {
  /// Once per step. Batch cuts are those of the rank's whole share.
  Step,
  /// Once per micro-batch; batch cuts are those of the micro-batch.
  Micro,
};

struct Placement {
  /// TaskGraph whose mesh this is about.
  unsigned graph = 0;
  Rhythm rhythm = Rhythm::Step;
  llvm::SmallVector<DimCut, 4> dims;
  /// Axes over which the value is a partial result, and how parts combine.
  AxisMask partial = 0;
  ReductionKind reduction = ReductionKind::sum;
  /// Micro rhythm: the whole is the combination over the micro-batches too.
  bool partialMicro = false;

  /// Whole on every rank.
  static Placement replicated(unsigned graph, Rhythm rhythm, int64_t rank);
  /// Whether both put every element at the same place (partial sets aside).
  bool sameCuts(const Placement &other) const;
  bool isPartial() const { return partial != 0 || partialMicro; }
  bool operator==(const Placement &other) const;
};

/// Box of a tensor that the rank at `position` holds; micro rhythm: of
/// micro-batch 0.
llvm::SmallVector<Range> boxOf(const Mesh &mesh, size_t position,
                               const Placement &placement,
                               llvm::ArrayRef<int64_t> shape);
/// Elements by which the box's dimension `dim` moves from one micro-batch to
/// the next.
int64_t microStrideOf(const Mesh &mesh, size_t position,
                      const Placement &placement, unsigned dim, int64_t extent);

/// "[batch, t0, -] partial r0", for messages and traces.
std::string describe(const Placement &placement, const Mesh &mesh);

} // namespace whale::partition

#endif // WHALE_PASSES_PARTITION_PLACEMENT_H
