//===- StageMemory.h - what compile needs of a plan's devices ---*- C++ -*-===//
//
// The planner searches with a model of memory; what it found is then measured:
// the phases of `compile` run dry (no kernel is compiled) and buffer assignment
// itself says how large the arenas are, so that a plan's memory and its
// programs' memory are one number.
//
// Problem:   the arena of the fullest rank of each stage of a plan.
// Method:    stages that differ in nothing but their number (the same instances
//            of a chain's inside, axes, neighbours' axes, recompute) are
//            lowered once, in a model whose chains have only the instances of
//            the stages that are left. They differ in the micro-batches in
//            flight: lowered with the most, the fewest above one, and one;
//            between them the area is a straight line.
// Guarantee: the arena of compile itself where no stage was left out, else an
//            estimate, to which `leftOutPercent` of the area are added.
// Complexity: that of compile without kernels for the stages that differ.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PASSES_STAGEMEMORY_H
#define WHALE_PASSES_STAGEMEMORY_H

#include "compiler/planner/Evaluate.h"
#include "passes/Pipelines.h"

#include <functional>
#include <map>

namespace whale {

/// Allowance for stages that were not lowered themselves, in percent of their
/// area; measured: below 0.1 % on 48 stages of gpt3-175b.
constexpr int64_t leftOutPercent = 1;

/// What the ranks of a stage need; no reserve. `layout` is what alignment and
/// gaps between buffers take, and leftOutPercent.
struct StageMemory {
  /// Of its fullest rank, and of the fullest on each type of device.
  planner::MemoryParts parts;
  std::map<unsigned, planner::MemoryParts> byType;
};

struct StageMemoryOptions {
  plan::ApplyPlanOptions apply;
  /// Type of the device that a rank is on; null: all are of type 0, and stages
  /// may be left out.
  std::function<unsigned(int64_t rank)> typeOf;
};

/// Memory of each stage. `model` is differentiated (phases up to
/// lastModelPhase) and stays as it is; its batch is that of the workload.
/// Fails, with errors at ops, where compile would.
llvm::FailureOr<std::vector<StageMemory>>
stageMemory(mlir::ModuleOp model, const workload::Workload &workload,
            const planner::Candidate &candidate,
            const StageMemoryOptions &options = {});

/// Ops that stageMemory would lower: what its time follows.
int64_t loweredOps(const workload::Workload &workload,
                   const planner::Candidate &candidate,
                   const StageMemoryOptions &options = {});

} // namespace whale

#endif // WHALE_PASSES_STAGEMEMORY_H
