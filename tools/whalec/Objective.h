//===- Objective.h - plans for other aims than the fastest step -*- C++ -*-===//
//
// Problem: how many of a cluster's devices, of which classes of nodes, and
// which plan on them, meet the objective?
//   step-time, tokens  the fastest step (with a given batch also the most
//                      tokens a second), on the whole cluster
//   cost, energy       the least money or energy a step, or for the training
//   gpus               the fewest devices that meet the deadline
// Method: a search on each of a list of parts (compiler/cluster/Parts.h). Of
// one class of nodes, cost and energy are tried at all sizes of the list, since
// neither is monotone; of several, a local search ends where one class one size
// up or down is no better, so a better mix may be missed. gpus bisects, which
// needs that more devices are never slower; that holds up to the searches'
// gaps, since a plan may leave devices idle.
// Guaranteed: the plan holds on the whole cluster, with the step that the cost
// model gives there, and no part that was tried (`sizes` in plan.json) is
// better by the cost model's memory. A part is left out where its plan has a
// block of devices across classes, which the whole cluster may have no room for
// in a row.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_TOOLS_WHALEC_OBJECTIVE_H
#define WHALE_TOOLS_WHALEC_OBJECTIVE_H

#include "tools/whalec/Planning.h"

#include "compiler/planner/Search.h"

#include <CLI/CLI.hpp>

namespace whale::cli {

struct Goal {
  /// "step-time", "tokens", "cost", "energy", "gpus".
  std::string objective = "step-time";
  /// Of the training where `tokens` is given, else of a step: "30d", "900ms".
  std::string deadline;
  std::optional<int64_t> tokens;
};

/// `--objective`, `--deadline`, `--tokens`.
void addGoal(CLI::App &command, Goal &goal);

/// "90s", "1.5h" in seconds; units ms, s, min, h, d. Reports what is no
/// duration.
std::optional<double> readDuration(std::string_view text,
                                   Diagnostics &diagnostics);

/// The best plan for the goal, with its economics; its memory is measured as by
/// solveMeasured. Where none meets the goal, an error with
/// ExitCode::Infeasible.
planner::Answer solveGoal(const Planning &question, const Goal &goal,
                          Diagnostics &diagnostics);

} // namespace whale::cli

#endif // WHALE_TOOLS_WHALEC_OBJECTIVE_H
