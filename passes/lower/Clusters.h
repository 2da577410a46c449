//===- Clusters.h - which ops become one kernel -----------------*- C++ -*-===//
//
// Problem:   group elementwise, broadcast, reduce and index ops of a program
//            into kernels, so that values stay in registers and in cache.
// Objective: few passes over memory; one kernel for a norm, a softmax, a
//            cross-entropy, a parameter's update, with what surrounds them.
// Guarantee: legal and deterministic (op order decides); greedy, so heuristic.
// Complexity: near linear: per op its producers' clusters and their users.
//
// A cluster has a domain (the shape that its ops run over) and `rowDims`, the
// trailing dimensions that its row reductions sum away. Values of a cluster
// are of the domain's shape, or of the outer dimensions' shape (one per row).
// Other reductions end in memory and are read by other kernels only.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PASSES_LOWER_CLUSTERS_H
#define WHALE_PASSES_LOWER_CLUSTERS_H

#include "dialects/rank/Rank.h"

namespace whale::lower {

/// The phases of a program, in their order.
enum class Phase { Prologue, Forward, Backward, Update };
constexpr unsigned kNumPhases = 4;
/// "prologue", ...
llvm::StringRef nameOf(Phase phase);
/// Phase of an op: its `phase` attribute (default forward); rank.accumulate
/// runs in the phase of the value that it adds up.
Phase phaseOf(mlir::Operation *op);

/// Where the elements of a value lie in a cluster's domain: per dimension of
/// the value the domain dimension that indexes it (-1: none) and an offset.
struct IndexMap {
  llvm::SmallVector<int, 6> dims;
  llvm::SmallVector<int64_t, 6> offsets;

  void add(int dim, int64_t offset = 0) {
    dims.push_back(dim);
    offsets.push_back(offset);
  }
  bool operator==(const IndexMap &other) const = default;
};

/// How a reduction is done in a cluster.
enum class ReduceForm {
  Row,        ///< over exactly the row dimensions: a value per row, in cluster
  Accumulate, ///< any other: summed up in memory, complete after the kernel
};

struct Cluster {
  /// Members in program order, without virtual ops.
  llvm::SmallVector<mlir::Operation *> ops;
  llvm::SmallVector<int64_t> domain;
  unsigned rowDims = 0;
  Phase phase = Phase::Forward;
  /// Order index of the op at whose place the kernel is launched.
  unsigned position = 0;

  unsigned outerRank() const { return domain.size() - rowDims; }
  llvm::ArrayRef<int64_t> outer() const {
    return llvm::ArrayRef(domain).drop_back(rowDims);
  }
};

/// Whether an op can be part of a cluster.
bool isFusible(mlir::Operation *op);
/// Whether an op is computed anew in each kernel that uses it (constants,
/// indices, broadcasts, casts of values in memory) and has a buffer only where
/// something else than a kernel reads it.
bool isVirtual(mlir::Operation *op);
/// Shape that an op runs over: of a reduction's operand, else of its result.
llvm::ArrayRef<int64_t> domainOf(mlir::Operation *op);
/// Form of a reduction that runs over a whole domain of `rowDims` row
/// dimensions; 0 = not fixed yet.
ReduceForm reduceForm(whale::ReduceOp op, unsigned rowDims);
/// Whether a reduction may be of row form at all: over trailing dimensions.
bool reducesTrailing(whale::ReduceOp op);

/// Right-aligned map of a value of `shape` that is read where an op of
/// `domain` runs with map `map` (NumPy broadcasting).
IndexMap alignMap(llvm::ArrayRef<int64_t> shape, llvm::ArrayRef<int64_t> domain,
                  const IndexMap &map);
/// 0, 1, ..., rank - 1.
IndexMap identityMap(unsigned rank);
/// Map with which an op of map `map` reads its operand `index`.
IndexMap operandMap(mlir::Operation *op, unsigned index, const IndexMap &map);

/// Clusters of a block, sorted by position. Virtual ops that need a buffer
/// (`needsBuffer`) get clusters of their own.
class Clusters {
public:
  /// `order` is the block's ops in order; `isLeft` says of a fusible op that
  /// it is lowered otherwise (an accumulate that a contraction does).
  Clusters(llvm::ArrayRef<mlir::Operation *> order,
           llvm::function_ref<bool(mlir::Operation *)> isLeft);

  llvm::ArrayRef<Cluster *> sorted() const { return result; }
  /// The cluster that holds `op`, null for others and for virtual ops.
  Cluster *of(mlir::Operation *op) const { return clusterOf.lookup(op); }

private:
  using Set = llvm::SmallVector<Cluster *, 4>;
  void place(mlir::Operation *op);
  void candidates(mlir::Operation *op, Set &found) const;
  bool fits(mlir::Operation *op, const Set &merged,
            llvm::ArrayRef<int64_t> domain, unsigned rowDims) const;
  bool checkOperand(mlir::Value value, const IndexMap &map, const Set &merged,
                    llvm::ArrayRef<int64_t> domain, unsigned rowDims) const;
  bool isRowLevel(mlir::Value value, llvm::ArrayRef<int64_t> domain,
                  unsigned rowDims) const;
  std::optional<unsigned> positionFor(mlir::Operation *op,
                                      const Set &merged) const;
  unsigned latestOf(const Set &merged, mlir::Operation *op) const;
  unsigned earliestOf(const Set &merged, mlir::Operation *op) const;
  unsigned positionOf(mlir::Operation *op) const;
  /// What a cluster of `op` and a set would be.
  struct Merged {
    llvm::SmallVector<int64_t> domain;
    unsigned rowDims = 0, position = 0;
  };
  bool readsTooMuch(mlir::Operation *op, const Set &set,
                    llvm::ArrayRef<int64_t> domain) const;
  bool joinAll(mlir::Operation *op, const Set &set, Merged &merged) const;
  std::optional<Merged> plan(mlir::Operation *op, const Set &set) const;
  void merge(mlir::Operation *op, const Set &set, const Merged &merged);
  void collectUsers(mlir::Operation *op,
                    llvm::SmallVectorImpl<mlir::Operation *> &users) const;

  llvm::SmallVector<mlir::Operation *> order;
  llvm::DenseMap<mlir::Operation *, unsigned> indexOf;
  llvm::DenseMap<mlir::Operation *, Cluster *> clusterOf;
  /// Last cluster that reads a value of memory: for siblings.
  llvm::DenseMap<mlir::Value, Cluster *> lastReader;
  std::vector<std::unique_ptr<Cluster>> owned;
  llvm::SmallVector<Cluster *> result;
};

/// Calls `visit(value, map)` for the values that `op` reads from outside of
/// virtual ops: members' results and values in memory.
void forEachLeaf(mlir::Operation *op, const IndexMap &map,
                 llvm::function_ref<void(mlir::Value, const IndexMap &)> visit);

} // namespace whale::lower

#endif // WHALE_PASSES_LOWER_CLUSTERS_H
