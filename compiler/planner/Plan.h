//===- Plan.h - the answer of the planner -----------------------*- C++ -*-===//

#ifndef WHALE_PLANNER_PLAN_H
#define WHALE_PLANNER_PLAN_H

#include "compiler/planner/BalancePaper.h"
#include "compiler/planner/Evaluate.h"
#include "compiler/planner/Insight.h"
#include "compiler/planner/Problem.h"

namespace whale::planner {

/// Version of plan.json that this writes and reads.
constexpr int64_t planFormatVersion = 1;

/// A plan that lost, and why.
struct Alternative {
  Node strategy;
  /// Picoseconds::max() where it does not fit.
  Picoseconds step;
  /// Memory of its fullest stage.
  Bytes memory;
  std::string reason;
};

/// An element type of the arithmetic that is not the model's: it changes the
/// training, and is chosen only where the user allows it.
struct PrecisionChange {
  std::string from, to;
  /// What the plan without the change is; nothing where none fits.
  std::optional<Alternative> without;
};

/// How one variable lies on a stage.
struct TensorPlacement {
  /// Path; `name.*` where all instances of a run lie alike.
  std::string path;
  unsigned stage = 0;
  std::vector<int64_t> extents;
  std::vector<std::string> dimNames;
  /// Split axes in the stage's order: (axis name, dimension).
  std::vector<std::pair<std::string, int64_t>> splits;
};

enum class Outcome {
  /// No unexplored candidate can be better.
  Optimal,
  /// Lower bounds leave a gap.
  Feasible,
  /// Nothing fits; the diagnostics say what is missing.
  Infeasible,
  /// The limit of candidates was reached: the best until then.
  LimitReached,
  /// Options::proceed ended the search: the best until then.
  Interrupted,
};
/// "optimal", "feasible", "infeasible", "limit_reached", "interrupted".
std::string_view nameOf(Outcome outcome);
std::optional<Outcome> outcomeOf(std::string_view name);

struct Plan {
  std::vector<InputHash> inputs;
  std::string modelName;
  int64_t parameters = 0;
  int64_t globalBatch = 0;
  std::optional<PrecisionChange> precision;
  /// The tree; the form follows from it.
  Node strategy;
  Candidate chosen;
  Prediction prediction;
  /// Names of device types by number, and devices that the plan leaves idle.
  std::vector<std::string> deviceTypes;
  int64_t idleDevices = 0;
  std::vector<TensorPlacement> tensors;
  std::vector<Alternative> alternatives;
  /// What binds it, and what would help; where it was asked for.
  std::optional<Insight> insight;
  /// Money and energy, where the cluster says what they cost.
  std::optional<Economics> economics;
  /// How Whale's Algorithm 1 gave out the work, where it did.
  std::optional<Balance> balance;
  /// How much faster than this plan an unexplored one could be at most, as a
  /// fraction of its step time, by lower bounds of the cost model.
  double gap = 0;
  /// Whether it also holds for plans whose stages have degrees of their own
  /// (UnlikeStages.h), as far as they are asked for.
  bool gapOfUnlike = true;
  /// The same for plans whose stages begin inside of instances (CutInside.h).
  bool gapOfInner = true;
  /// How the search ended.
  Outcome outcome = Outcome::Optimal;
  /// Candidates simulated and groups bounded away.
  int64_t simulated = 0, bounded = 0;
};

/// Recomputes all that follows from the plan's strategy and compares: devices
/// distinct and existing, cuts cover the model, shares sum to the batch at
/// multiples of the sample group, memory fits, prediction as stated.
bool verify(const Plan &plan, const Problem &problem, Diagnostics &diagnostics);

/// plan.json (docs/cost-model.md, design.md section 6).
void writePlan(json::Writer &writer, const Plan &plan);
std::optional<Plan> readPlan(const json::Value &json, Diagnostics &diagnostics);

/// Candidate::cuts from the stages' paths; empty paths = all. Errors where the
/// instances of a stage, or of its chunks, are no contiguous ranges in the
/// order of the parts, or instances are in no stage or in two.
std::optional<std::vector<int64_t>> cutsOf(const NormalForm &form,
                                           const workload::Workload &workload,
                                           Diagnostics &diagnostics);
/// Paths that name instances first..last-1: "layers.3..7", "embedding".
std::vector<std::string> pathsOf(const workload::Workload &workload,
                                 int64_t first, int64_t last);
/// Those of all that a stage holds.
std::vector<std::string> pathsOf(const workload::Workload &workload,
                                 const Candidate &candidate, int64_t stage);

} // namespace whale::planner

#endif // WHALE_PLANNER_PLAN_H
