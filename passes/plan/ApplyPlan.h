//===- ApplyPlan.h - a plan applied to a model ------------------*- C++ -*-===//
//
// One of the two crossings between IR and planner. Before: a differentiated
// model in modules. After: `@step` and `@eval`, flat (FlatStep.h). The rules:
//   stages   an op is of the stage whose paths cover its path; loose ops of
//            @main that no stage covers go with the producers of their
//            operands, without any with their first user; backward and update
//            ops go with their forward ops and variables
//   splits   a replica axis cuts the loop named `batch`, a split axis the first
//            of its dimensions that the op has; a split on the devices of a
//            replica axis takes the place of the batch where it finds a loop
//            that it can cut; a loop that the op needs whole
//            is cut after the op is expanded into primitive ones, where it can
//   ZeRO-1   ops and slots of the update of a parameter are cut along the
//            parameter's largest dimension that no split axis cuts
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PASSES_PLAN_APPLYPLAN_H
#define WHALE_PASSES_PLAN_APPLYPLAN_H

#include "compiler/planner/Strategy.h"
#include "dialects/whale/Whale.h"

#include <string>

namespace whale::plan {

struct ApplyPlanOptions {
  /// "f32", "bf16", "f64"; empty = as the training spec says.
  std::string precision;
  /// Sums are accumulators, so that every plan gives the same bits.
  bool canonical = false;
};

/// Replaces the modules of `model` by `@step` and `@eval`. Errors are reported
/// at the ops that they are about.
llvm::LogicalResult applyPlan(ModelOp model, const planner::NormalForm &form,
                              const ApplyPlanOptions &options = {});

/// The plan of one device: one stage, no axes, one micro-batch.
planner::NormalForm trivialPlan();

/// The normal form of plan.json (its `strategy`) or of a strategy file.
std::optional<planner::NormalForm> readPlan(const std::string &path,
                                            Diagnostics &diagnostics);

/// applyPlan of the trivial plan.
llvm::LogicalResult buildFlatStep(ModelOp model,
                                  const ApplyPlanOptions &options = {});

} // namespace whale::plan

#endif // WHALE_PASSES_PLAN_APPLYPLAN_H
