//===- Bound.h - what no cuts of a form can beat ----------------*- C++ -*-===//
//
// Problem: a lower bound of the step time over all ways to cut a model into
// stages, and cuts that come near it.
//
// Bounds by single stages are in BoundRows.h; no plan is faster than the
// largest of them.
//
// spreadBound: stages cut anywhere, so that all bounds are met at once. What a
// limit lets the stages hold is a concave function of it, whose root Newton's
// steps near from below; and one stage holds no less than its whole instances.
// O(p) a step. On unequal devices what a stage holds takes as long as on its
// own, and what those around it hold as long as on the fastest.
// evenBound: whole instances, of which each kind of stages takes its own time,
// with gradients and update, in any order of the stages; but for as many stages
// as there are other instances, each has one of the longest run; and one, as if
// all were the fastest, has the longest of the other instances beside its own.
// cutBound:
// whole instances, memory and the end of the step, by bisection over the step;
// for a limit, filling the stages from the last one as far as it goes is
// feasible if anything is (each bound grows with what a stage holds and not
// with what the stages behind it hold more); where a stage can hold nothing of
// what is left to it, all places where stages may begin are looked at.
// O(p log(instances) log(1/5e-5)), or O(p instances) instead of O(p
// log(instances)). On unequal devices every way to give the instances to blocks
// of like stages is looked at, those behind first, as far as a block can hold
// its own within the best limit so far; then all sums of times are known.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PLANNER_BOUND_H
#define WHALE_PLANNER_BOUND_H

#include "compiler/planner/BoundRows.h"
#include "compiler/planner/Evaluate.h"

#include <cmath>
#include <memory>
#include <unordered_map>

namespace whale::planner {

/// One for each class of replicas.
using ReplicaCosts = std::vector<std::unique_ptr<FormCosts>>;
ReplicaCosts replicaCosts(CostTable &table, const NormalForm &form,
                          const DeviceMap &devices);

/// Whether instances first..last-1 fit a stage of every class.
bool fits(const ReplicaCosts &costs, unsigned stage, int64_t first,
          int64_t last);
/// Of each way to fit as much as the fullest replica needs.
Relief mostRelief(const ReplicaCosts &costs, unsigned stage, int64_t first,
                  int64_t last);

/// Messages between neighbouring stages, summed up, as between equal layers.
class Messages {
public:
  Messages() = default;
  Messages(CostTable &table, const FormCosts &costs, int64_t stages);

  /// Those between stages `from` .. `to`, of which `free` cost nothing; where
  /// `atEnds`, some may also be at places where less is sent.
  double least(const Region &weights, int64_t from, int64_t to, int64_t free,
               bool atEnds) const;

  /// Less is sent at a few places only near both ends of the model: then the
  /// first stage ends at `head` or before, or the last begins at `tail` or
  /// after it. False: it may be anywhere.
  bool onlyAtEnds() const { return head >= 0; }
  int64_t headEnd() const { return head; }
  int64_t tailStart() const { return tail; }

private:
  void findFewer(const workload::Workload &workload, const FormCosts &costs,
                 int64_t usual);

  /// Up to each stage; and the largest one.
  std::vector<double> there, back;
  double mostThere = 0, mostBack = 0;
  /// Places at which less is sent.
  int64_t fewer = 0, head = 0, tail = INT64_MAX;
};

/// What a model takes on one micro-batch, whatever its cuts.
struct SpreadCosts {
  struct Run {
    /// Of an instance.
    Parts each;
    int64_t count = 0;
  };
  std::vector<Run> runs;
  /// Where devices differ, or tails are asked for: stages that are alike.
  struct Kind {
    /// Of an instance of each run.
    std::vector<Parts> each;
    /// Gradients and update, for each second of the longest run's instances
    /// that a stage holds (by `runs`).
    double tail = 0;
  };
  std::vector<Kind> kinds;
  /// By stage; empty where there are none.
  std::vector<size_t> kindOf;
  /// Whether parts of the model are cut in every way (isSmall()).
  bool isSmall = false;
  /// Of all instances; and of those before and after the ends of `messages`.
  Parts all;
  double head = 0, tail = 0;
  /// Of the first stage, whatever else it holds: gradients of variables that
  /// the first instance shares with others.
  double ties = 0;
  Messages messages;
};
/// With `tails` where the costs are those of one variant, not of all of a
/// shape.
SpreadCosts spreadCosts(CostTable &table, const NormalForm &form,
                        const FormCosts &costs, bool tails);

/// A bound that is a hair less, for the rounding of doubles; what is beyond
/// every time is max.
inline Picoseconds hairBelow(double time) {
  return Picoseconds::fromDouble(std::floor(time * (1 - 1e-9)));
}

/// The parts of an instance's times.
Parts partsOf(Picoseconds forward, Picoseconds backward, Picoseconds weight);

/// Stages without idle time, of whole instances, with their tails, for any
/// schedule that has each micro-batch in every stage and any order of stages;
/// without `wholeStep`.
Picoseconds evenBound(const SpreadCosts &costs, int64_t stages,
                      int64_t microBatches);
/// The bound without `wholeStep`; `alive` as in CostTable.
Picoseconds spreadBound(const SpreadCosts &costs, const PipelineShape &shape,
                        const std::vector<int64_t> &alive);

/// spreadBound() of schedules with several chunks a stage (ChunkBound.cpp).
Picoseconds chunkedSpread(const SpreadCosts &costs, const PipelineShape &shape);
/// The cuts of such a form that are tried.
std::vector<std::vector<int64_t>> chunkCuts(const CostTable &table,
                                            const NormalForm &form);
/// What parts of the model take, remembered: cuts have many of them in common.
/// All arguments must outlive it.
class ChunkBounds {
public:
  ChunkBounds(const NormalForm &form, const ReplicaCosts &costs);

  /// Of these cuts, whether they fit or not, without `wholeStep`; where that is
  /// not below `limit`, something that is not either.
  Picoseconds of(const std::vector<int64_t> &cuts,
                 Picoseconds limit = Picoseconds::max());

  struct Part {
    Picoseconds forward, backward, weight, sendForward, sendBackward;
  };

private:
  const Part &partOf(size_t replicaClass, int64_t part,
                     const std::vector<int64_t> &cuts);

  const NormalForm &form;
  const ReplicaCosts &costs;
  simulator::Layout layout;
  /// By stage (CostTable::alive).
  std::vector<int64_t> alive;
  /// By class of replicas: by part, its first and its last instance.
  std::vector<std::unordered_map<uint64_t, Part>> known;
};
/// False where some stage has too little memory for these cuts whatever the
/// schedule does with its parts.
bool chunksMayFit(const NormalForm &form, const ReplicaCosts &costs,
                  const std::vector<int64_t> &cuts);

struct CutBound {
  /// Without `wholeStep`; max where nothing fits.
  Picoseconds step;
  /// Of the stages; empty where nothing fits, or nothing below the limit.
  std::vector<int64_t> cuts;
};
/// Requires several stages. `known` is a bound that is known already; nothing
/// that is not below `limit` is looked for (both without `wholeStep`).
CutBound cutBound(CostTable &table, const NormalForm &form,
                  const ReplicaCosts &costs, Picoseconds known = {},
                  Picoseconds limit = Picoseconds::max());
/// What of memory is looked at: nothing; what no relief makes fit
/// (ReliefBound.cpp), which is known sooner; or all.
enum class Memory { Free, Relaxed, Exact };
/// Whether cutBound() may be below `limit`, which is known much sooner; `memory`
/// is Relaxed or Exact, of several chunks as if it were Exact.
bool mayCutBelow(CostTable &table, const NormalForm &form,
                 const ReplicaCosts &costs, Picoseconds limit, Memory memory);
/// The bound of given cuts without `wholeStep`; max where they do not fit. For
/// asking often: all arguments must outlive it.
std::function<Picoseconds(const std::vector<int64_t> &)>
boundOfCuts(CostTable &table, const NormalForm &form,
            const ReplicaCosts &costs);
/// Calls `visit` for all cuts that fit and whose bound is below `limit`, which
/// it returns for those that follow.
void forEachCuts(
    CostTable &table, const NormalForm &form, const ReplicaCosts &costs,
    Picoseconds limit,
    const std::function<Picoseconds(const std::vector<int64_t> &)> &visit);

class CutCosts;
/// Instances first..last-1 that each stage may hold.
using CutSpace = std::vector<std::vector<Range>>;
/// Returns what cuts must be faster than from then on.
using VisitSpace =
    std::function<Picoseconds(const CutSpace &, const CutCosts &)>;
/// Calls `visit` for each way to give the instances to blocks of like stages
/// (cutBound) that may have cuts whose bounds by single stages are below
/// `limit`, with what the stages may hold then.
void forEachSpace(CostTable &table, const NormalForm &form,
                  const ReplicaCosts &costs, Picoseconds limit,
                  const VisitSpace &visit);

} // namespace whale::planner

#endif // WHALE_PLANNER_BOUND_H
