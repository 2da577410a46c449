//===- Insight.h - what a plan's figures mean -------------------*- C++ -*-===//
//
// Data only, for plan.json and for people: what binds each stage, what more of
// something would give, how far predictions like this one were off, and what
// the plan costs. compiler/report computes it.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PLANNER_INSIGHT_H
#define WHALE_PLANNER_INSIGHT_H

#include "compiler/support/Json.h"
#include "compiler/support/Units.h"

#include <optional>
#include <string>
#include <vector>

namespace whale::planner {

/// Time of a step that hangs on a resource: twice what is saved where that is
/// twice as fast and all else stays (never more than there is of it).
struct ResourceTime {
  /// "arithmetic", "memory bandwidth", "nvlink", "network"...
  std::string resource;
  Picoseconds time;

  bool operator==(const ResourceTime &) const = default;
};

/// Bytes that a rank of a stage sends in a step over one link for one purpose.
struct LinkTraffic {
  /// "split axes", "between stages", "gradients".
  std::string purpose;
  /// "nvlink", "pcie", "network"..., of the slowest way that they take.
  std::string link;
  Bytes bytes;

  bool operator==(const LinkTraffic &) const = default;
};

struct StageInsight {
  std::vector<ResourceTime> resources;
  /// Waiting for other stages.
  Picoseconds idle;
  /// What most of the stage's time hangs on: a resource, or "idle".
  std::string boundBy;
  /// Of the device's memory, the part that is used.
  double memoryUsed = 0;
  std::vector<LinkTraffic> traffic;

  bool operator==(const StageInsight &) const = default;
};

/// What the step would take with more of something.
struct Marginal {
  /// "network twice as fast", "8.0 GiB more memory per device".
  std::string change;
  /// Of this same plan, and of the best plan then where it was searched.
  Picoseconds step;
  std::optional<Picoseconds> planned;
  /// The best plan then, where it is another one.
  std::string strategy;

  bool operator==(const Marginal &) const = default;
};

/// How far predictions were off for measured runs of this kind.
struct ErrorBand {
  /// "h100-sxm-80, 64 devices or more"; empty = there are no such runs.
  std::string runs;
  int64_t count = 0;
  /// |predicted / measured - 1|.
  double median = 0, p90 = 0;

  bool operator==(const ErrorBand &) const = default;
};

/// How much more memory measured runs took than predicted.
struct MemoryBand {
  /// "h100-sxm-80"; empty = there are no such runs.
  std::string runs;
  int64_t count = 0;
  /// |predicted / measured - 1|.
  double median = 0;
  /// The least part of the prediction that nine of ten runs did not need
  /// beyond it.
  double over = 0;
  /// What the cluster file keeps free for that, beyond the type's reserve.
  Bytes margin;

  bool operator==(const MemoryBand &) const = default;
};

struct Insight {
  std::vector<StageInsight> stages;
  std::vector<Marginal> marginal;
  ErrorBand band;
  MemoryBand memoryBand;

  bool operator==(const Insight &) const = default;
};

/// A training of so many tokens, with failures where their rate is known.
struct TrainingCost {
  int64_t tokens = 0, steps = 0;
  /// Without and with failures and checkpoints.
  double seconds = 0, secondsWithFailures = 0;
  /// Between failures of any device; between checkpoints. 0 = not known.
  double mtbfSeconds = 0, checkpointInterval = 0;
  std::optional<double> dollars, joules;

  bool operator==(const TrainingCost &) const = default;
};

/// The best plan on a part of the cluster.
struct SizePoint {
  int64_t devices = 0;
  /// Of each class of nodes, in the cluster's order; empty with one class.
  std::vector<int64_t> byClass;
  /// Nothing where no plan fits.
  std::optional<Picoseconds> step;
  std::optional<double> dollarsPerStep, joulesPerStep;
  bool meetsDeadline = false;

  bool operator==(const SizePoint &) const = default;
};

struct Economics {
  /// "step-time", "cost"... and the sizes that were compared for it.
  std::string objective;
  std::vector<SizePoint> sizes;
  int64_t tokensPerStep = 0;
  /// Devices that are paid for.
  int64_t devices = 0;
  double tokensPerSecond = 0;
  /// Nothing where the cluster does not say.
  std::optional<double> dollarsPerStep, joulesPerStep;
  std::optional<TrainingCost> training;

  bool operator==(const Economics &) const = default;
};

void writeInsight(json::Writer &writer, const Insight &insight);
Insight readInsight(const json::Value &json, Diagnostics &diagnostics);
void writeEconomics(json::Writer &writer, const Economics &economics);
Economics readEconomics(const json::Value &json, Diagnostics &diagnostics);

} // namespace whale::planner

#endif // WHALE_PLANNER_INSIGHT_H
