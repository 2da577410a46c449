//===- Pipeline.h - event-driven execution of a pipeline --------*- C++ -*-===//
//
// Problem: given each stage's forward and backward time of one micro-batch, the
// transfer times between neighbours and the work at the end of the step, when
// does every task run, how long is the step, and how much memory is alive?
//
// Model: a stage runs its tasks one at a time in the schedule's fixed order, a
// task starts when its stage is free and its input has arrived. Transfers run
// beside compute; those between two neighbours in one direction follow each
// other. After its last backward a stage synchronises its gradients, waits for
// stages with which it shares variables, and updates.
//
// Guarantee: exact for this model. Complexity O(stages * micro-batches).
// Source: GPipe (Huang et al., NeurIPS'19), 1F1B with flush (Narayanan et al.,
// PipeDream SOSP'19 and SC'21); closed forms are in test/unit/simulator.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_SIMULATOR_PIPELINE_H
#define WHALE_SIMULATOR_PIPELINE_H

#include "compiler/support/Units.h"

#include <cstdint>
#include <vector>

namespace whale::simulator {

enum class Order {
  /// All forwards, then all backwards, both in the micro-batches' order.
  GPipe,
  /// min(M, S - s) forwards, then backward and forward in turn.
  OneFOneB,
};

struct Task {
  bool backward = false;
  int64_t microBatch = 0;

  bool operator==(const Task &) const = default;
};

/// The tasks of stage `stage` of `stages` in the order in which they run;
/// passes/schedule emits this order too.
std::vector<Task> stageOrder(Order order, int64_t stages, int64_t stage,
                             int64_t microBatches);

/// Micro-batches whose saved values are alive at once: M, or min(M, S - s).
int64_t inFlight(Order order, int64_t stages, int64_t stage,
                 int64_t microBatches);

/// One stage; times of one micro-batch unless said.
struct Stage {
  Picoseconds forward, backward;
  /// To the next stage after a forward, to the previous one after a backward.
  Picoseconds sendForward, sendBackward;
  /// Once per step: gradients over the replicas, optimizer.
  Picoseconds gradientSync, update;
  /// Memory: always there; per micro-batch in flight; while a task runs.
  Bytes resident, saved, forwardTransient, backwardTransient;
};

/// Gradients of variables that several stages hold.
struct SharedVariables {
  std::vector<uint32_t> stages;
  Picoseconds sync;
};

struct Problem {
  Order order = Order::OneFOneB;
  int64_t microBatches = 1;
  std::vector<Stage> stages;
  std::vector<SharedVariables> shared;
};

struct Event {
  enum class Kind { Forward, Backward, GradientSync, SharedSync, Update };
  uint32_t stage = 0;
  Kind kind = Kind::Forward;
  int64_t microBatch = 0;
  Picoseconds start, end;
  /// Live bytes on the stage while it runs.
  Bytes memory;
};

struct StageResult {
  /// Time in forwards and backwards; time waiting before its last backward.
  Picoseconds busy, bubble;
  Picoseconds finish;
  Bytes peak;
  int64_t inFlight = 0;
};

struct Timeline {
  Picoseconds step;
  std::vector<StageResult> stages;
  /// By stage, in running order; only if asked for.
  std::vector<Event> events;
};

/// Requires at least one stage and one micro-batch.
Timeline simulate(const Problem &problem, bool keepEvents = false);

} // namespace whale::simulator

#endif // WHALE_SIMULATOR_PIPELINE_H
