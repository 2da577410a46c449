//===- Sharding.h - a class of modules on one rank of a mesh ----*- C++ -*-===//
//
// Applies a stage's split axes and the micro-batch to the ops of one class:
// local extents, the placement of every value, and the collectives that the
// accesses ask for. There is no table of rules: a loop that is cut makes the
// results that lack it partial sums, and an operand that lacks it is needed
// whole.
//
// Rules, the same as passes/plan/ApplyPlan's:
//  - an op uses on an axis the first dim of the axis' list that names one of
//    its loops, if that loop can be cut, is outermost in every access and has
//    an iteration for each piece that all axes make of it; otherwise it is
//    replicated over the axis, or refused where the list has no other dim
//    (shortLoop); unequal parts (Widths) count as so many as the smallest one
//    makes;
//  - a part that is no whole number is the next larger one;
//  - a variable lies as its first forward use wants it, and so does an argument
//    of a class: with `sequence` among the dims of a tensor split (sequence
//    parallelism) the stream between layers is cut;
//  - a result lies as it is made, but partial sums are summed there, onto the
//    shards of the first argument where it has these extents; gradients of
//    arguments and results lie as these;
//  - on an axis that cuts experts and the batch (or SplitAxis::rows), an op in
//    which each row meets one expert has its experts cut and the rows sent to
//    them, evenly: rows go there and come back by all-to-all, elementwise ops
//    between stay there;
//  - a replica axis with colocated splits cuts ops that these do not cut along
//    the batch; so lie arguments and results of a class;
//  - partial sums are summed before their first use, unless all uses of the
//    value in that direction let them pass (Linearity).
//
// Complexity O(ops * accesses * axes).
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_COST_SHARDING_H
#define WHALE_COST_SHARDING_H

#include "compiler/cluster/Collectives.h"
#include "compiler/support/CheckedMath.h"
#include "compiler/support/Units.h"
#include "compiler/workload/Workload.h"

#include <memory>
#include <optional>
#include <span>

namespace whale::cost {

/// Relative widths of unequal parts: of this rank's, of the smallest and the
/// largest, and of all together.
struct Widths {
  int64_t own = 1, least = 1, most = 1, sum = 1;

  auto operator<=>(const Widths &) const = default;
};

/// One split axis, or replica axis with colocated splits, as an op sees it.
struct SplitAxis {
  int64_t size = 1;
  /// Preference list of loop dimension names.
  std::vector<std::string> dims;
  /// Optimizer state of variables that lie whole over the axis is cut over it.
  bool shardsState = false;
  /// Per op of the class whether the split holds it; empty = all.
  std::vector<bool> holds = {};
  /// A replica axis: ops without a dim are cut along the batch.
  bool replica = false;
  /// Those of `dims` that an op must be cut along if it has them.
  std::vector<std::string> required = {};
  /// The dimension along which rows are cut that go to their experts; empty:
  /// the batch, where it is the last of `dims` behind others.
  std::string rows = {};
  /// Rows at the rank with the most of them, over the mean.
  double fullest = 1;
  /// Unset: all parts are equal.
  std::optional<Widths> widths = {};

  /// What this rank has of an extent.
  int64_t partOf(int64_t extent) const {
    return widths ? shareOf(extent, widths->own) : ceilDivide(extent, size);
  }
  /// Into how many pieces an extent is cut, if all are as the smallest.
  int64_t pieces() const {
    return widths ? ceilDivide(widths->sum, widths->least) : size;
  }

  auto operator<=>(const SplitAxis &) const = default;

private:
  int64_t shareOf(int64_t extent, int64_t width) const {
    return ceilDivide(saturatingMultiply(extent, width), widths->sum);
  }
};

/// What one rank gets of a class; of rows with experts, the fullest one.
struct LocalMesh {
  /// Outermost first.
  std::vector<SplitAxis> axes;
  /// Samples of one micro-batch on this rank; with replica axes, on those of
  /// all their replicas together.
  int64_t samples = 1;

  auto operator<=>(const LocalMesh &) const = default;
};

/// Where a value is along one axis.
struct Placement {
  /// Routed: cut along `dim` (the batch), but each rank has the rows that its
  /// experts want instead of its own.
  enum class Kind : uint8_t { Whole, Cut, Partial, Routed } kind = Kind::Whole;
  /// Cut, Routed: dimension of the value.
  uint8_t dim = 0;

  bool operator==(const Placement &) const = default;
};

/// A collective over one axis.
struct Transfer {
  CollectiveKind kind = CollectiveKind::AllReduce;
  uint32_t axis = 0;
  /// All-reduce: bytes of the value on each rank. All-gather, reduce-scatter,
  /// all-to-all: bytes of the larger side on each rank; of unequal parts, as if
  /// all were as the largest.
  Bytes bytes;
  /// Runs before this op (== number of ops: at the end of the class).
  uint32_t beforeOp = 0;
  uint32_t value = 0;
  workload::Phase phase = workload::Phase::Forward;
  /// Gradients of variables: once per step after accumulation, not per
  /// micro-batch.
  bool oncePerStep = false;
  /// The copy that it makes, or -1.
  int32_t copy = -1;
  /// Further buffers while it runs: parts that are cut along another dimension
  /// than the first are not contiguous in the whole, and a partial sum that is
  /// scattered is as large as the whole.
  Bytes staging;
  /// An all-to-all of rows with their experts.
  bool ofRows = false;
};

/// A value in another placement beside its own: gathered, exchanged or sliced.
/// It is made once, for its first user, and the backward part reads what the
/// forward part made.
struct Copy {
  uint32_t value = 0;
  Bytes bytes;
  /// The op that it is made for.
  uint32_t firstUser = 0;
  /// A backward op reads it.
  bool inBackward = false;
};

struct LocalOp {
  /// Per loop; of equal parts the largest.
  std::vector<int64_t> extents;
  /// Per axis the loop that is cut, or -1.
  std::vector<int32_t> loops;
  /// Per axis: rows go to the experts' ranks (LocalMesh). Its experts and its
  /// batch are both cut there.
  std::vector<bool> routed;
  /// Product of the sizes of the axes with `routed`.
  int64_t routedParts = 1;
  /// Per operand the copy that is read, or -1: the value itself.
  std::vector<int32_t> copies;
};

/// A class on one rank: of equal parts the one with the largest.
struct ShardedClass {
  std::vector<LocalOp> ops;
  std::vector<Transfer> transfers;
  std::vector<Copy> copies;
  /// Per value, one micro-batch.
  std::vector<Bytes> valueBytes;
  /// Per value and axis.
  std::vector<std::vector<Placement>> placements;
  /// Per variable: elements of the largest shard, and its extents.
  std::vector<int64_t> variableElements;
  /// The share of them whose optimizer state this rank holds
  /// (SplitAxis::shardsState).
  std::vector<int64_t> ownedElements;
  std::vector<std::vector<int64_t>> variableExtents;
};

/// `module` must have passed workload::check.
ShardedClass shard(const workload::Workload &workload,
                   const workload::ModuleClass &module, const LocalMesh &mesh);

/// A class on meshes that differ in nothing but their samples: where values
/// are, what is cut and what is exchanged is found once.
class Rescaled {
public:
  /// The first two must outlive it.
  Rescaled(const workload::Workload &workload,
           const workload::ModuleClass &module, LocalMesh mesh);
  ~Rescaled();

  /// As shard() gave it for the mesh of the constructor.
  const ShardedClass &sharded() const;
  /// From then on sharded() is what shard() gives for so many samples, but for
  /// the extents of ops that are not in `ops`. False, and of no use, where one
  /// of these is cut along other loops than before: they must hold one of each
  /// kind.
  bool scale(int64_t samples, std::span<const uint32_t> ops);

private:
  struct Impl;
  std::unique_ptr<Impl> impl;
};

/// A loop that an axis must cut and that has fewer iterations than pieces.
struct ShortLoop {
  uint32_t op = 0, loop = 0;
  int64_t pieces = 1;
};
/// The first of a class; what `compile` refuses then.
std::optional<ShortLoop> shortLoop(const workload::Workload &workload,
                                   const workload::ModuleClass &module,
                                   const LocalMesh &mesh);

} // namespace whale::cost

#endif // WHALE_COST_SHARDING_H
