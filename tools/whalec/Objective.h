//===- Objective.h - plans for other aims than the fastest step -*- C++ -*-===//
//
// Problem: a cluster of equal nodes; how many of its devices, and which plan on
// them, meet the objective?
//   step-time, tokens  the fastest step (with a given batch also the most
//                      tokens a second), on the whole cluster
//   cost, energy       the least money or energy a step, or for the training
//   gpus               the fewest devices that meet the deadline
// Method: a search on each of a list of sizes. cost, energy: sizes 1, 2, 3, 4,
// 6, 8, 12... of a node and of nodes, and the whole; all are tried, since
// neither is monotone. gpus: bisection over all sizes, which needs that more
// devices are never slower; that holds up to the searches' gaps, since a plan
// may leave devices idle.
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
