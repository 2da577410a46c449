//===- Strategy.h - the strategy tree ---------------------------*- C++ -*-===//
//
// How a model is parallel, said with Whale's primitives and nothing else. What
// a person annotates, what the search finds and what plan.json holds under
// `strategy` is this one tree of plain structs beside the model.
//
// Two forms:
//   Node        the tree as written. A degree of 0, no micro-batches, no
//               schedule and no recompute mean "not said": the planner decides.
//   NormalForm  what compiles: one pipeline of stages (a single stage where
//               there is no pipeline), each with an ordered list of mesh axes.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PLANNER_STRATEGY_H
#define WHALE_PLANNER_STRATEGY_H

#include "compiler/simulator/Schedule.h"
#include "compiler/support/Diagnostics.h"
#include "compiler/support/Json.h"
#include "compiler/support/SharedVector.h"
#include "compiler/workload/Residuals.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace whale::planner {

/// Whale's primitives. `Cluster` is the root and holds what lies side by side.
enum class Primitive { Replica, Split, Stage, Pipeline, Cluster };
/// What a replica keeps only a share of (ZeRO-1, -2, -3).
enum class Shard { None, Optimizer, Gradients, Parameters };
/// What the backward part computes again instead of keeping it.
using workload::Recompute;
/// Order of the micro-batches in the stages.
using Schedule = simulator::Order;

enum class Space {
  /// What `compile` lowers.
  Default,
  /// Also what is only planned yet; such plans say so.
  Full,
};

/// Spelling in JSON and in messages: "replica", "optimizer", "full", "1f1b"...
std::string_view nameOf(Primitive primitive);
std::string_view nameOf(Shard shard);
std::string_view nameOf(Recompute recompute);
using simulator::nameOf;
/// The inverse; nothing where no such name exists.
std::optional<Primitive> primitiveOf(std::string_view name);
std::optional<Shard> shardOf(std::string_view name);
std::optional<Recompute> recomputeOf(std::string_view name);
std::optional<Schedule> scheduleOf(std::string_view name);

/// What the dims of a split call the samples, whatever the model does: beside
/// experts, rows go to them and back.
constexpr std::string_view sampleDim = "batch";

/// More micro-batches are not planned: a schedule is a list of its tasks.
constexpr int64_t mostMicroBatches = 65536;

/// What the shares of a split sum to at most: no dimension has more parts.
constexpr int64_t mostParts = 1 << 20;

/// A number of instances that means all of a stage.
constexpr int64_t allLayers = INT64_MAX;

/// Of how many instances of a stage something lies in the host's memory: the
/// first ones; of activations those first that do not recompute in full.
template <class Count> struct OffloadOf {
  /// Optimizer state and master copies, which are updated from there.
  Count optimizer{};
  /// Parameters, fetched for each task, and gradients, added up there; of no
  /// more instances than `optimizer`.
  Count parameters{};
  /// What the backward part needs, written after the forward part.
  Count activations{};

  auto operator<=>(const OffloadOf &) const = default;
};
using Offload = OffloadOf<int64_t>;
/// "4", or "all".
std::string layerCount(int64_t layers);

/// Calls `visit(name, member...)` for each kind, with that member of each of
/// `of`.
template <class F, class... Of> void forEachOffload(F visit, Of &...of) {
  visit("offload_optimizer", of.optimizer...);
  visit("offload_parameters", of.parameters...);
  visit("offload_activations", of.activations...);
}

/// One scope. Fields that a primitive does not have keep their defaults;
/// check() refuses others.
struct Node {
  Primitive primitive = Primitive::Cluster;
  /// replica, split: number of parts; 0 = not given.
  int64_t degree = 0;
  /// split: loop dimension names in order of preference. Each op inside uses
  /// the first that is one of its own; an op without any is replicated.
  std::vector<std::string> dims;
  /// split: on the devices of the nearest replicas around it, whose degrees
  /// multiply to its own (not given: of the nearest one). cluster: the replicas
  /// and splits in it share their devices.
  bool colocated = false;
  /// replica: samples of the global batch per part; split: relative widths of
  /// the parts. Empty = equal parts.
  std::vector<int64_t> shares;
  /// replica; unset = not given.
  std::optional<Shard> shard;
  /// pipeline (also of one stage: gradient accumulation); 0 = not given.
  int64_t microBatches = 0;
  /// pipeline.
  std::optional<Schedule> schedule;
  /// pipeline: rounds in which a stage's instances are dealt out, for the
  /// schedules that leave it open; 0 = not given.
  int64_t virtualStages = 0;
  /// Instance-path patterns (support/PathPattern.h) of what the scope holds,
  /// with all below; empty = all that its parent holds.
  std::vector<std::string> paths;
  /// Any scope; unset = as the parent says.
  std::optional<Recompute> recompute;
  /// Any scope; unset = as the parent says: see StageForm.
  std::optional<int64_t> recomputeLayers, selectiveLayers, gatheredLayers;
  /// Any scope; unset = as the parent says.
  OffloadOf<std::optional<int64_t>> offload;
  /// Where it was written.
  Place place;
  std::vector<Node> body;

  bool operator==(const Node &other) const;
};

//===----------------------------------------------------------------------===//
// The nesting table
//===----------------------------------------------------------------------===//

enum class Nesting {
  /// Has a meaning and compiles.
  Legal,
  /// Has a meaning; this version cannot compile it.
  NotYet,
  /// Has no meaning.
  Illegal,
};

/// One cell: may `inner` stand directly in `outer`?
struct NestingRule {
  Primitive outer, inner;
  Nesting nesting;
  /// Legal, NotYet: what it means and which mesh axes it makes. Illegal: the
  /// message.
  std::string_view text;
};

/// All 25 cells, outer primitive major, in the order of `Primitive`.
/// docs/language.md prints this table.
std::span<const NestingRule> nestingTable();
const NestingRule &nestingRule(Primitive outer, Primitive inner);

/// Appends to `diagnostics` each breach of the nesting table, fields that the
/// primitive does not have, negative or contradicting numbers. True where
/// nothing was found.
bool check(const Node &root, Diagnostics &diagnostics);

//===----------------------------------------------------------------------===//
// JSON
//===----------------------------------------------------------------------===//

/// `{"primitive": "replica", "degree": 2, ..., "body": [...]}`. Unknown keys
/// and wrong types are errors with their place; nothing is returned then.
std::optional<Node> readStrategy(const json::Value &json,
                                 Diagnostics &diagnostics);
/// Only what was said is written, keys in a fixed order.
void writeStrategy(json::Writer &writer, const Node &node);
/// The tree in the words of the primitives, on one line; what changes nothing
/// (no shard, no recompute, a pipeline of one stage and one micro-batch) is
/// left out: `replica(2){pipeline(8, 1f1b){stage{split(2, [heads])}, stage}}`.
std::string printStrategy(const Node &node);

/// The same with stages that differ in no more than what they hold written
/// once: "pipeline(8, 1f1b){4 x stage{...}}".
std::string printCompact(const Node &node);

//===----------------------------------------------------------------------===//
// Normal form
//===----------------------------------------------------------------------===//

enum class AxisKind { Replica, Split };

/// Ops that a replica axis cuts along a loop of their own instead of the
/// batch. Their batch is that of all replicas of the axis together.
struct ColocatedSplit {
  /// Preference list of loop dimensions; an op without any stays as the
  /// replica has it.
  std::vector<std::string> dims;
  /// Only ops below these paths; empty = all of the stage.
  std::vector<std::string> paths;

  bool operator==(const ColocatedSplit &) const = default;
};

/// One mesh axis of a stage.
struct Axis {
  /// "r0", "r1"... and "t0"..., numbered from the outermost within the stage.
  std::string name;
  AxisKind kind = AxisKind::Replica;
  int64_t size = 1;
  /// Split: preference list of loop dimensions.
  std::vector<std::string> dims;
  /// Per coordinate along this axis; empty = equal. Replica: samples of the
  /// global batch. Split: relative widths, without a common divisor.
  std::vector<int64_t> shares;
  Shard shard = Shard::None;
  /// Replica: splits on its devices, the first that holds an op counts.
  std::vector<ColocatedSplit> colocated;
  /// Split: only ops below these paths are cut, the others are replicated over
  /// the axis; empty = all of the stage.
  std::vector<std::string> paths;

  bool operator==(const Axis &) const = default;
};

/// StageForm's numbers of instances in a form without cuts, in the search only:
/// those that fit and take the least time.
constexpr int64_t asNeeded = -1;

struct StageForm {
  /// What the stage holds; empty = the whole model (one stage).
  std::vector<std::string> paths;
  /// Outermost first. The first `NormalForm::outerAxes` lie above the pipeline
  /// and are the same in every stage.
  SharedVector<Axis> axes;
  Recompute recompute = Recompute::None;
  /// The first so many instances of the stage recompute in full, and so many
  /// behind those selectively, whatever `recompute` says of the others.
  int64_t recomputeLayers = 0, selectiveLayers = 0;
  Offload offload;
  /// Where replicas cut the parameters (ZeRO-3), the first so many instances
  /// gather theirs once a step, for the first micro-batch, and keep them.
  int64_t gatheredLayers = 0;

  /// How an instance recomputes, by its position in the stage.
  Recompute recomputeOf(int64_t position) const {
    if (position < recomputeLayers)
      return Recompute::Full;
    return position - recomputeLayers < selectiveLayers ? Recompute::Selective
                                                        : recompute;
  }
  /// Product of the axis sizes below the pipeline.
  int64_t innerDevices(unsigned outerAxes) const;
  /// Whether a split gives its ranks parts of unequal widths.
  bool hasUnequalSplits() const;
  /// Product of the sizes of all axes of a kind.
  int64_t degree(AxisKind kind) const;
  bool operator==(const StageForm &) const = default;
};

/// What compiles. Rank numbers: outer axes are major, then stages one after
/// another, then the stage's inner axes, the last axis fastest. Example:
/// replica(2){pipeline{stage{split(2)}, stage{split(2)}}}: r*4 + stage*2 + t.
struct NormalForm {
  unsigned outerAxes = 0;
  int64_t microBatches = 1;
  /// Rounds in which the instances of a stage are dealt out (its chunks): the
  /// cuts say how many it has; with more than one round it has equal parts of
  /// them in each.
  int64_t virtualStages = 1;
  Schedule schedule = Schedule::OneFOneB;
  std::vector<StageForm> stages;

  bool operator==(const NormalForm &) const = default;
};

/// Place of a rank in the mesh of its stage.
struct Coordinates {
  unsigned stage = 0;
  /// One per axis of that stage.
  std::vector<int64_t> axes;

  bool operator==(const Coordinates &) const = default;
};

constexpr std::string_view notLoweredHint =
    "'whalec plan --space full' plans it";
/// Why `compile` cannot lower what the node itself says, if so.
std::optional<std::string> notLowered(const Node &node);

/// The normal form of a checked tree in which every degree is given. Errors
/// (with places) for what has no normal form in this version: NotYet cells,
/// degrees of 0, several scopes side by side in one stage, colocated scopes
/// that hold others. Those have ExitCode::Unsupported; a colocated split
/// without replicas of its degree around it is bad input. In the default space,
/// so has what `compile` does not lower yet: ZeRO-2 and -3, schedules but GPipe
/// and 1F1B, memory of the host, stages that cut the batch differently, splits
/// with shares.
std::optional<NormalForm> normalize(const Node &root, Diagnostics &diagnostics,
                                    Space space = Space::Default);
/// The tree of a normal form, with everything said: outer scopes, pipeline,
/// stages, inner scopes. normalize(toTree(f)) == f if the axes of a form
/// without inner axes are outer.
Node toTree(const NormalForm &form);

int64_t rankCount(const NormalForm &form);
/// Coordinates of 0 <= rank < rankCount.
Coordinates coordinatesOf(const NormalForm &form, int64_t rank);
int64_t rankOf(const NormalForm &form, const Coordinates &coordinates);
/// Whether every stage gives the samples of a micro-batch to as many replicas
/// with the same shares: a replica is a chain of ranks through all stages then.
/// Otherwise the samples change hands between stages.
bool cutsBatchAlike(const NormalForm &form);
/// First sample of the global batch and number of samples that a rank's
/// replica coordinates give it, equal shares spread over nested replica axes.
struct BatchRange {
  int64_t first = 0, count = 0;
  bool operator==(const BatchRange &) const = default;
};
BatchRange batchOf(const NormalForm &form, const Coordinates &coordinates,
                   int64_t globalBatch);

} // namespace whale::planner

#endif // WHALE_PLANNER_STRATEGY_H
