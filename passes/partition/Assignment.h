//===- Assignment.h - which axis cuts which loop of each op -----*- C++ -*-===//
//
// First half of partitioning, the same for every rank: reads the flat step's
// `split` attributes, completes them, and derives the placement of every
// operand and result from the ops' iteration spaces.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PASSES_PARTITION_ASSIGNMENT_H
#define WHALE_PASSES_PARTITION_ASSIGNMENT_H

#include "passes/partition/Placement.h"

#include "llvm/ADT/DenseMap.h"
#include <deque>
#include <optional>

namespace whale::partition {

/// When an op of the flat step runs; the order is that of a step.
enum class Phase { Prologue, Forward, Backward, Update };

std::optional<Phase> phaseOf(mlir::Operation *op);
llvm::StringRef nameOf(Phase phase);
inline Rhythm rhythmOf(Phase phase) {
  return phase == Phase::Forward || phase == Phase::Backward ? Rhythm::Micro
                                                             : Rhythm::Step;
}

/// How one op runs.
struct OpPlacement {
  Phase phase = Phase::Forward;
  unsigned graph = 0;
  /// Empty loops for ops without an iteration space.
  IterationSpace space;
  /// Per loop how it is cut.
  llvm::SmallVector<DimCut, 6> loops;
  /// What the op needs of its operands and gives as results.
  llvm::SmallVector<Placement, 4> operands, results;
};

/// A value that one mesh makes and another uses.
struct Transfer {
  mlir::Value value;
  unsigned from = 0, to = 0;
  /// As sent (whole parts, no partial sums) and as received.
  Placement source, target;
  /// When it is sent and received.
  Phase phase = Phase::Forward;
  /// Position in the order of the step: the messages' tag.
  int64_t tag = 0;
};

class Assignment {
public:
  /// `step` is a flat module; reports ops that cannot be placed as they are
  /// asked to (extents too small, batches that do not divide) at their place.
  static mlir::FailureOr<Assignment> create(ModuleDefOp step,
                                            llvm::ArrayRef<Mesh> meshes);

  const OpPlacement &of(mlir::Operation *op) const { return ops.at(op); }
  /// Where a value is made: its producer's result placement.
  const Placement &produced(mlir::Value value) const;
  /// Transfers of `value`, in the order of their first use.
  llvm::ArrayRef<Transfer> transfers(mlir::Value value) const;
  /// All transfers, by tag.
  const std::deque<Transfer> &allTransfers() const { return transferList; }
  const Mesh &mesh(unsigned graph) const { return meshes[graph]; }
  llvm::ArrayRef<Mesh> allMeshes() const { return meshes; }

  /// Visits the placements of a TaskGraph's ops, in no particular order.
  void forEach(unsigned graph,
               llvm::function_ref<void(const OpPlacement &)> visit) const {
    for (const auto &entry : ops)
      if (entry.second.graph == graph)
        visit(entry.second);
  }

  /// Whether every mesh can make `op`'s value by itself (constants, inputs).
  static bool isMadeAnywhere(mlir::Operation *op);

private:
  friend class AssignmentBuilder;
  llvm::ArrayRef<Mesh> meshes;
  llvm::DenseMap<mlir::Operation *, OpPlacement> ops;
  llvm::DenseMap<mlir::Value, llvm::SmallVector<Transfer, 1>> byValue;
  std::deque<Transfer> transferList;
};

} // namespace whale::partition

#endif // WHALE_PASSES_PARTITION_ASSIGNMENT_H
