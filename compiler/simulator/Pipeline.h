//===- Pipeline.h - event-driven execution of a pipeline --------*- C++ -*-===//
//
// Problem: given what each part of the model takes for one micro-batch, the
// transfers between parts and the work once per step, when does every task run,
// how long is the step, and how much memory is alive?
//
// Model
// - A stage runs its tasks one at a time in the schedule's order (a pair at
//   once); a task starts when its stage is free and its input has arrived.
// - Transfers run beside compute. Those from one stage to another follow each
//   other; so do all that name the same link, in the order in which they become
//   ready. Between two chunks of one stage nothing is sent.
// - Parameters that are gathered and gradients that are reduced over replicas
//   run beside compute, one after another on the stage's data link, if they are
//   cut into buckets: bucket i of n is needed by, and ready after, that n-th of
//   the task. Without buckets they stop the stage: gathers before the task,
//   reductions after the stage's last one.
// - While a stage sends, gathers or reduces, its compute takes `slowDown` times
//   as long.
// - At the end a stage waits for its own reductions, then for stages with which
//   it shares variables, and updates.
//
// Guarantee: exact for this model. Complexity O(tasks); with shared links
// O(tasks log tasks).
// Source: the schedules are in Schedule.h; closed forms and published tables
// are in test/unit/simulator.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_SIMULATOR_PIPELINE_H
#define WHALE_SIMULATOR_PIPELINE_H

#include "compiler/simulator/Schedule.h"

namespace whale::simulator {

/// How often parameters are gathered and gradients reduced.
enum class GatherEvery : uint8_t {
  /// Gradients after the last micro-batch, parameters before the first (data
  /// parallelism, ZeRO-1 and -2).
  Step,
  /// In every task: parameters before a forward and before a backward, the next
  /// task's while one runs; gradients after every backward (ZeRO-3).
  Task,
};

/// One part of the model; times of one micro-batch unless said.
struct Stage {
  /// `backward` is all of it; `weight` the weights' gradient's share of that.
  Picoseconds forward, backward, weight;
  /// To the next part after a forward, to the previous one after a backward.
  Picoseconds sendForward, sendBackward;
  /// Once per step, or per backward with GatherEvery::Task: gradients over the
  /// replicas. Once per step: optimizer.
  Picoseconds gradientSync, update;
  /// Once per step, or per forward and backward: parameters from the replicas.
  Picoseconds parameterGather;
  GatherEvery gatherEvery = GatherEvery::Step;
  /// Pieces in which gathers and reductions overlap with compute; 0: they do
  /// not overlap.
  int64_t buckets = 0;
  /// Links that the sends occupy, by any number; -1: a link of their own.
  int64_t forwardLink = -1, backwardLink = -1;
  /// Memory: always there; per micro-batch in flight; while a task runs.
  Bytes resident, saved, forwardTransient, backwardTransient;
  /// What of `saved` the weights' gradient needs, where it runs apart.
  Bytes weightSaved;
};

/// Gradients of variables that several parts hold.
struct SharedVariables {
  std::vector<uint32_t> stages;
  Picoseconds sync;
};

struct Problem {
  Order order = Order::OneFOneB;
  int64_t microBatches = 1;
  /// Parts of the model, in order: stages times chunks of them, or one per
  /// stage where micro-batches enter at both ends.
  std::vector<Stage> stages;
  std::vector<SharedVariables> shared;
  /// Parts per stage, for an order that leaves it open.
  int64_t chunks = 1;
  /// Most bytes of saved values per stage for automatic orders; 0: their own.
  Bytes savedLimit;
  /// Compute time while the stage communicates over that without; at least 1.
  double slowDown = 1;
  /// Time of a forward and a backward at once over the sum of both.
  double pairedTime = 1;
};

/// What ran on a stage.
struct Event {
  enum class Kind {
    Forward,
    Backward,
    BackwardInput,
    BackwardWeight,
    ParameterGather,
    GradientSync,
    SharedSync,
    Update
  };
  uint32_t stage = 0;
  Kind kind = Kind::Forward;
  int64_t microBatch = 0;
  Picoseconds start, end;
  /// Live bytes on the stage while it runs.
  Bytes memory;
  uint32_t chunk = 0;
};

/// What ran beside compute. `to` is the stage itself for gathers and
/// reductions over replicas.
struct Transfer {
  enum class Kind { Forward, Backward, ParameterGather, GradientSync };
  Kind kind = Kind::Forward;
  uint32_t from = 0, to = 0, chunk = 0;
  int64_t microBatch = 0;
  Picoseconds start, end;
};

struct StageResult {
  /// Time in forwards and backwards; time waiting before its last task.
  Picoseconds busy, bubble;
  /// Start of its first task; end of all it does.
  Picoseconds start, finish;
  /// End of its last forward or backward.
  Picoseconds computed;
  /// Of `bubble`, while the awaited input was on its way.
  Picoseconds exposedTransfer;
  /// Time that stood still for parameters, and after the last task for
  /// gradients (shared variables included).
  Picoseconds exposedGather, exposedGradients;
  /// Of `busy`, what communication added.
  Picoseconds slowed;
  Bytes peak;
  Picoseconds peakAt;
  /// Most (chunk, micro-batch) pairs with saved values at once.
  int64_t inFlight = 0;
};

struct Timeline {
  Picoseconds step;
  /// By stage.
  std::vector<StageResult> stages;
  /// By stage, in running order; only if asked for.
  std::vector<Event> events;
  /// By sending stage, in order of start; only if asked for.
  std::vector<Transfer> transfers;

  /// The longest time from a stage's first task to its last, which is what a
  /// step takes where stages need not start together.
  Picoseconds longestStage() const;
  /// Share of `longestStage` that a stage with the mean work is idle.
  double bubbleRate() const;
};

/// The spec of the problem's schedule.
ScheduleSpec specOf(const Problem &problem);
/// The rule that a problem breaks, as a message; nothing if it can be run.
std::optional<std::string> brokenRule(const Problem &problem);

/// Requires that `brokenRule` finds nothing.
Timeline simulate(const Problem &problem, bool keepEvents = false);
/// The same with a schedule that is there already, for instance `makeSchedule`
/// of `specOf(problem)`. Requires one that `checkSchedule` accepts.
Timeline simulate(const Problem &problem, const TaskLists &lists,
                  bool keepEvents = false);

} // namespace whale::simulator

#endif // WHALE_SIMULATOR_PIPELINE_H
