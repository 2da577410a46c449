//===- FlatStep.h - attributes of the flat step -----------------*- C++ -*-===//
//
// A flat step is a `whale.module` whose single block holds all ops of a
// training step (or evaluation) at the shapes of the global batch, in execution
// order; it runs as it stands as a one-device step. Discardable attributes say
// the rest. On each op:
//   path    unique; backward ops end in `#d`, recompute clones in `#recompute`
//   phase   prologue (once per step, before the micro-batches), forward,
//           backward (once per micro-batch), update (once per step, after them)
//   graph   index of the TaskGraph (pipeline stage)
//   split   [[axis, loop]...]: mesh axes of that stage that cut a loop of the
//           op's iteration space, in the order of the axes; an op without
//           iteration space (variable, input, assign) counts its tensor's
//           dimensions as loops. Absent axes: replicated over them.
//   colocated  [[axis, loop]...]: replica axes that cut this loop of the op
//           instead of its batch, which is that of all their replicas
// On the module: meshes, micro_batches, schedule, global_batch, and `canonical`
// where sums are accumulators (Canonical.h).
// A value of phase forward or backward that is used in phase update is summed
// over the micro-batches on the way.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PASSES_PLAN_FLATSTEP_H
#define WHALE_PASSES_PLAN_FLATSTEP_H

#include "dialects/whale/Whale.h"

namespace whale::plan {

constexpr llvm::StringLiteral pathAttr = "path", phaseAttr = "phase",
                              graphAttr = "graph", splitAttr = "split",
                              colocatedAttr = "colocated",
                              variablePathAttr = "variable_path",
                              canonicalAttr = "canonical";
/// Only while the plan is applied: the top-level item that an op is of (an
/// instance "layers.3"; runs of loose ops of @main between instances are
/// "main.0", "main.1"... in forward order), the parameter that an update op is
/// about, and the path of the op that an op was expanded from.
constexpr llvm::StringLiteral itemAttr = "item", parameterAttr = "parameter",
                              originAttr = "origin";

enum class Phase { Prologue, Forward, Backward, Update };

llvm::StringRef nameOf(Phase phase);
Phase phaseOf(mlir::Operation *op);
void setPhase(mlir::Operation *op, Phase phase);

llvm::StringRef pathOf(mlir::Operation *op);
void setPath(mlir::Operation *op, const llvm::Twine &path);

/// 0 where it is not set yet.
int64_t graphOf(mlir::Operation *op);
void setGraph(mlir::Operation *op, int64_t graph);

llvm::StringRef itemOf(mlir::Operation *op);
/// Forward path that an op's decision comes from: without `#d`, `#recompute`...
llvm::StringRef basePath(llvm::StringRef path);
/// Path of the variable, slots included.
llvm::StringRef variablePath(VariableOp op);

/// The block that holds the step.
inline mlir::Block &blockOf(ModuleDefOp module) {
  return module.getBody().front();
}

/// Erases ops without effect whose results are not used.
void eraseDeadOps(ModuleDefOp module);
/// Replaces `op` by what `expand` builds before it, one value per result. The
/// new ops get the attributes of `op`, and paths `<path>.<ordinal>`.
void expandInPlace(
    mlir::Operation *op,
    llvm::function_ref<llvm::SmallVector<mlir::Value>(mlir::OpBuilder &)>
        expand);

} // namespace whale::plan

#endif // WHALE_PASSES_PLAN_FLATSTEP_H
