//===- Problem.h - what is asked of the planner -----------------*- C++ -*-===//

#ifndef WHALE_PLANNER_PROBLEM_H
#define WHALE_PLANNER_PROBLEM_H

#include "compiler/cost/Hardware.h"
#include "compiler/planner/Strategy.h"

#include <functional>

namespace whale::planner {

/// How the VirtualDevices of a pipeline's TaskGraphs lie on the ranks (Whale's
/// layouts).
enum class Layout {
  /// A model replica is a row of neighbours: its stages one after another.
  Row,
  /// The replicas of a stage are neighbours, which sum its gradients.
  Column,
};
/// "row", "column".
std::string_view nameOf(Layout layout);

/// Decisions that the user has fixed (`--pin tp=8,pp=4`). Unset = free.
struct Pins {
  std::optional<int64_t> tensor, pipeline, data, microBatches;
  /// Ranks over which a sequence is cut, and replicas over which experts are,
  /// or the vocabulary or classes.
  std::optional<int64_t> context, experts, vocabulary;
  std::optional<int64_t> virtualStages;
  /// 0: state on every replica; 1: optimizer state cut over them; 2: gradients
  /// too; 3: parameters too.
  std::optional<int64_t> zero;
  /// Whether the tensor split cuts the sequence where it cuts nothing else.
  std::optional<bool> sequence;
  /// Alone it also says that no layers recompute in another way.
  std::optional<Recompute> recompute;
  /// Of each stage.
  std::optional<int64_t> recomputeLayers, selectiveLayers;
  /// As StageForm's: of each stage.
  std::optional<int64_t> offloadOptimizer, offloadParameters,
      offloadActivations;
  std::optional<Schedule> schedule;
  std::optional<Layout> layout;

  bool operator==(const Pins &) const = default;
};

/// Calls `visit(name, member)` for each pin, in the order in which they are
/// printed.
template <class F> void forEachPin(F visit) {
  visit("tp", &Pins::tensor);
  visit("pp", &Pins::pipeline);
  visit("dp", &Pins::data);
  visit("cp", &Pins::context);
  visit("ep", &Pins::experts);
  visit("vocabulary", &Pins::vocabulary);
  visit("micro_batches", &Pins::microBatches);
  visit("vp", &Pins::virtualStages);
  visit("sp", &Pins::sequence);
  visit("zero", &Pins::zero);
  visit("recompute", &Pins::recompute);
  visit("recompute_layers", &Pins::recomputeLayers);
  visit("selective_layers", &Pins::selectiveLayers);
  visit("offload_optimizer", &Pins::offloadOptimizer);
  visit("offload_parameters", &Pins::offloadParameters);
  visit("offload_activations", &Pins::offloadActivations);
  visit("schedule", &Pins::schedule);
  visit("layout", &Pins::layout);
}

/// Reads "tp=8,pp=4,dp=2,micro_batches=8,zero=1,recompute=full,schedule=1f1b".
std::optional<Pins> readPins(std::string_view text, Diagnostics &diagnostics);
/// The same text again; "" for none.
std::string printPins(const Pins &pins);

/// A name and a hash of an input: "model", "cluster", "options"...
struct InputHash {
  std::string name, sha256;

  bool operator==(const InputHash &) const = default;
};

/// How far a search is.
struct Progress {
  /// Candidates simulated, and parts of the space that were seen.
  int64_t simulated = 0, groups = 0;
  /// Step time of the best plan so far.
  std::optional<Picoseconds> best;
};

struct Options {
  Pins pins;
  /// Scopes that were written; empty body = nothing was said.
  Node strategy;
  Space space = Space::Default;
  unsigned threads = 1;
  /// Runner-up plans to keep.
  size_t alternatives = 8;
  /// Whether an error names the pins without which there would be a plan.
  bool freesPins = true;
  /// Stages of the plan that is found may begin inside of instances
  /// (CutInside.h).
  bool cutInside = false;
  /// The search ends where nothing can be faster by more than this fraction of
  /// the step.
  double tolerance = 0;
  /// Only plans whose step is below this are asked for; where none is, the
  /// answer is none, without a message.
  std::optional<Picoseconds> below;
  /// Most candidates to simulate; more give outcome LimitReached.
  size_t candidateLimit = 20000;
  /// Told now and then, always from one thread; false ends the search with the
  /// best so far and outcome Interrupted. May be empty.
  std::function<bool(const Progress &)> proceed;
  std::vector<InputHash> inputs;
};

/// Workload and hardware must outlive it.
struct Problem {
  const workload::Workload &workload;
  const cost::Hardware &hardware;
  Options options;
};

/// Whether the question makes sense: the workload is consistent, there are
/// devices, pins are positive, the strategy obeys the nesting table.
bool check(const Problem &problem, Diagnostics &diagnostics);

} // namespace whale::planner

#endif // WHALE_PLANNER_PROBLEM_H
