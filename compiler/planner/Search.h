//===- Search.h - finding a plan --------------------------------*- C++ -*-===//
//
// Problem: choose the degrees of replica, split and pipeline, sequence and
// context parallelism, their order, over which replicas experts, vocabulary and
// state are cut, the number of micro-batches, ZeRO, recompute, the schedule and
// its virtual stages, the cuts between stages, and on unequal devices the
// shares and which devices form a stage. Objective: the smallest simulated step
// time that fits in memory; ties go to fewer changes of the model (no
// recompute, no sharding, fewer stages, smaller split), then to the plan that
// was enumerated first.
//
// Method: best-first branch and bound, in steps of one queue. A shape (degrees,
// micro-batches, what is cut) has a bound from the costs of its classes; its
// placements (recompute, sharding, order) one from the schedule that would be
// best for them, those of one recompute and order together; each schedule of a
// placement one from spread out stages (Bound.h), if its memory could suffice;
// then from the best cuts among those that fit. What is
// still the most promising then is simulated. A fixed number is taken from the
// queue at a time, so that threads do not change the outcome, until no bound is
// below the best plan. In the end cuts of what was simulated and may be faster
// are polished, and searched by a tree of their own (CutTree.h). Then stages
// that differ are looked for (UnlikeStages.h) and, if asked, cuts inside of
// instances (CutInside.h).
// Guarantee: the reported gap is the distance to the smallest bound that is
// left; Plan::gapOfUnlike and gapOfInner say whether it holds for these, too. A
// variant is exact if it has one stage or its cuts are few enough to be tried
// all (exactPartitions); otherwise its own bound counts. Complexity: O(shapes *
// classes) + O(variants tried * stages * log); shapes grow with the divisors of
// the number of devices, not with it.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PLANNER_SEARCH_H
#define WHALE_PLANNER_SEARCH_H

#include "compiler/planner/Bound.h"
#include "compiler/planner/Plan.h"
#include "compiler/planner/Tables.h"

namespace whale::planner {

/// Up to this many partitions of a group are all simulated.
constexpr int64_t exactPartitions = 128;
/// And up to so many stages' micro-batches in all of them.
constexpr int64_t exactTasks = 1'000'000;

/// The preference list for the model's `split` scopes: dimension names that
/// together cut the most work for the least communication. Greedy over the
/// names that variables have, each start without one of them tried.
std::vector<std::string> splitDims(const workload::Workload &workload);

/// Choices of one candidate before its cuts and devices are known.
struct Choice {
  int64_t data = 1, tensor = 1, context = 1, pipeline = 1, microBatches = 1;
  /// Neighbouring replicas that form an axis of their own: experts or a table
  /// are cut over them, or they alone cut the state.
  int64_t group = 1;
  /// Experts cut over the devices of a group; and whether rows go to them and
  /// back, instead of every device gathering all rows.
  bool experts = false, routed = false;
  /// Cut over the devices of a group, with the samples of all of them.
  Table table = Table::None;
  /// The tensor split cuts the sequence where it cuts nothing else.
  bool sequence = false;
  Shard shard = Shard::None;
  /// State is cut within a group only, and every group has all of it.
  bool hybrid = false;
  Recompute recompute = Recompute::None;
  /// As StageForm's: of each stage.
  int64_t recomputeLayers = 0, selectiveLayers = 0;
  Offload offload;
  int64_t gatheredLayers = 0;
  Schedule schedule = Schedule::OneFOneB;
  int64_t virtualStages = 1;
  /// Replicas inside the stages, so that they are neighbours.
  bool pipelineOutside = false;

  auto operator<=>(const Choice &) const = default;

  /// Whether something is cut over the devices of a group instead of along the
  /// batch.
  bool colocates() const { return experts || table != Table::None; }
  /// Whether some instances recompute in a way of their own.
  bool hasLayers() const {
    return recomputeLayers != 0 || selectiveLayers != 0;
  }
  int64_t ranks() const {
    return saturatingMultiply(saturatingMultiply(data, tensor),
                              saturatingMultiply(context, pipeline));
  }
};

struct Answer {
  Outcome outcome = Outcome::Infeasible;
  /// Set unless infeasible.
  std::optional<Plan> plan;
  /// What the plan is of where its stages begin inside of instances; else the
  /// problem's.
  std::optional<workload::Workload> inside = {};

  const workload::Workload &workloadOf(const Problem &problem) const {
    return inside ? *inside : problem.workload;
  }
};

/// What a search leaves to the next one, of a problem that is like its own.
struct Experience {
  /// What it found: the next one tries the same first, at its own size.
  std::optional<Choice> found;
  /// Of a micro-batch of that, on a replica.
  int64_t samples = 0;
  /// Its costs; to be kept only for what ClassCosts may be used for.
  std::shared_ptr<ClassCosts> costs = std::make_shared<ClassCosts>();
};

/// Answers a problem that passed check(). Where nothing fits, an error with
/// ExitCode::Infeasible says which device and part is short by how much and
/// what would help, or which pins cannot hold together. Experience makes it
/// faster, and decides between plans that are within the tolerance or equal.
Answer solve(const Problem &problem, Diagnostics &diagnostics);
Answer solve(const Problem &problem, Diagnostics &diagnostics,
             Experience &experience);

/// Few devices, samples and instances: there the search also tries what pays
/// for tiny models only (idle devices) or for stages that differ much.
bool isSmall(const workload::Workload &workload,
             const cost::Hardware &hardware);

/// The normal form of a choice; stages without paths yet.
NormalForm formOf(const Choice &choice, const std::vector<std::string> &dims);

/// All shapes that the problem allows, in a fixed order: choices that differ in
/// degrees, micro-batches and what is cut, and have the defaults for the rest.
std::vector<Choice> enumerate(const Problem &problem);

/// The same of one stage that has so many devices.
std::vector<Choice> enumerateStage(const Problem &problem, int64_t devices);

/// A choice with every recompute, sharding and order, those without recompute
/// and sharding first; with every schedule; and with both.
std::vector<Choice> placements(const Problem &problem, const Choice &shape);
std::vector<Choice> scheduled(const Problem &problem, const Choice &placed);
std::vector<Choice> variants(const Problem &problem, const Choice &shape);
/// scheduled(), looked up once for each number of stages and micro-batches, of
/// which alone it depends; safe for several threads.
class ScheduleTable {
public:
  explicit ScheduleTable(const Problem &problem) : problem(problem) {}

  std::vector<Choice> of(const Choice &placed);

private:
  const Problem &problem;
  std::mutex mutex;
  std::map<std::pair<int64_t, int64_t>, std::vector<Choice>> known;
};
/// What lies in the host's memory: as pinned, or as little as is needed where
/// that is planned at all and devices are searched one layer at a time.
Offload offloadOf(const Problem &problem);
/// Leaves a placement what its schedule lets it have: where stages have several
/// chunks, nothing lies in the host's memory, and no single layers recompute or
/// stay gathered;
/// elsewhere one mode for all may be a case of that. False where the two do not
/// go together.
bool settle(const Problem &problem, Choice &choice);

/// Bytes of parameters, gradients and optimizer state that the fullest rank has
/// at least, whatever the variant of a shape; without costs of classes.
class LeastState {
public:
  explicit LeastState(const Problem &problem);

  /// Whether some device has room for them.
  bool mayFit(const Choice &shape) const;
  /// The same with the sharding that a choice has.
  bool mayFitPlaced(const Choice &placed) const;

private:
  /// With what `most` says cut over so many replicas.
  Bytes onOneRank(const Choice &choice, Shard most, int64_t replicas) const;
  bool hasRoom(Bytes least) const;

  const Problem &problem;
  /// Whether the host's memory may hold some of them.
  bool offloads;
  /// Of the whole model.
  double parameters = 0, gradients = 0, optimizer = 0;
};

/// A time that no candidate with this form on these devices beats, whatever its
/// cuts; max where none fits.
Picoseconds lowerBound(CostTable &table, const NormalForm &form,
                       const DeviceMap &devices);

/// The best cuts for a form on devices, or nothing where none fits.
struct CutResult {
  std::optional<Candidate> candidate;
  Prediction prediction;
  /// No cuts are faster than this; max where none fits.
  Picoseconds bound;
  /// What the form left to memory, if anything.
  std::optional<Relief> openRelief;
};
/// The candidate's form with these open again.
NormalForm openForm(const CutResult &result);
/// Simulates only what has a bound below `limit`. `bound` is cutBound() of the
/// form, if that is known.
CutResult bestCuts(CostTable &table, const NormalForm &form,
                   const DeviceMap &devices,
                   Picoseconds limit = Picoseconds::max(),
                   std::optional<CutBound> bound = std::nullopt);
/// The same with cuts that are given.
CutResult givenCuts(CostTable &table, const NormalForm &form,
                    const DeviceMap &devices, const std::vector<int64_t> &cuts);
/// A better bound of a result with a candidate, as far as it is below `limit`,
/// and better cuts if there are some: looks at `nodes` sets of cuts at most,
/// and takes off those that it looked at (CutTree.h).
void tightenCuts(CostTable &table, CutResult &result, Picoseconds limit,
                 int &nodes);
/// Moves instances between stages, in the end single ones, on large problems
/// between neighbours only, as long as that helps.
void polishCuts(CostTable &table, CutResult &result);
/// The same form with balanced stages, whether it fits or not; nothing where
/// the model has fewer instances than stages.
std::optional<CutResult> balancedCuts(CostTable &table, const NormalForm &form,
                                      const DeviceMap &devices);

/// Gives unequal replicas (devices of several types, or a batch that the
/// replicas do not divide) their shares: the best ones for one stage, for
/// pipelines a start (SetShares.cpp). False where no shares fit. Unless
/// `fitting`, memory is no matter, nor what is done once in a step, for bounds
/// of all variants of a shape.
bool setShares(CostTable &table, NormalForm &form, const DeviceMap &devices,
               bool fitting = true);
/// Moves single units of unequal shares between groups of replicas as long as
/// that helps.
void polishShares(CostTable &table, CutResult &result);

} // namespace whale::planner

#endif // WHALE_PLANNER_SEARCH_H
