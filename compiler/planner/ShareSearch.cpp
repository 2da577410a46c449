//===- ShareSearch.cpp - the best shares of a pipeline's replicas ---------===//
//
// Problem: units of the batch for unequal replicas that are pipelines, all cut
// at the same places.
// Objective: the smallest step of the slowest replica.
// Guarantee: no shares have a step below the bound, which is the least time in
// which all units are done where each replica has its own best cuts
// (fillByTimes with cutBound; below the best plan with treeBound, or, of
// several chunks, simulated). Where few shares can be below the best plan, all
// are tried, and the result is exact if its cuts are; else shares are moved
// unit by unit. Complexity: O(groups * log(units)) bounds of cuts, then one
// search for cuts for each shares tried.
//
//===----------------------------------------------------------------------===//

#include "compiler/planner/CutTree.h"
#include "compiler/planner/Sharing.h"

#include <algorithm>

namespace whale::planner {

static NormalForm withoutShares(NormalForm form) {
  for (StageForm &stage : form.stages)
    for (Axis &axis : stage.axes)
      axis.shares.clear();
  return form;
}

namespace {

/// Up to so many shares are all tried, with so many of their stages'
/// micro-batches.
constexpr int64_t exactShares = 128;
constexpr int64_t exactShareTasks = exactTasks / 4;
/// Of the tree of cuts of one share.
constexpr int nodesOfBound = 1000;
/// Between so many groups of replicas single units are moved.
constexpr size_t mostGroups = 16;

class ShareSearch {
public:
  ShareSearch(CostTable &table, const NormalForm &form,
              const DeviceMap &devices, const ScoreCuts &score)
      : start(form), even(withoutShares(form)), sharing(table, even, devices),
        score(score) {}

  CutResult run(Picoseconds limit) {
    CutResult best;
    best.bound = limit;
    workers = boundedBy(&ShareSearch::boundOf, limit);
    if (!mayBeat(workers, limit))
      return best;
    std::vector<TimedWorkers> tight =
        boundedBy(&ShareSearch::tightBoundOf, limit);
    if (!mayBeat(tight, limit))
      return best;
    if (!areFew(limit)) {
      auto shares = fillByTimes(sharing.units, tight, sharing.givenIn(start));
      if (!shares)
        return best;
      best.bound = provenBy(tight, *shares);
      consider(*shares, limit, best);
      if (best.candidate)
        improve(best);
      Picoseconds found = best.candidate ? best.prediction.step : limit;
      if (!areFew(found))
        return best;
      limit = found;
    }
    tryAll(limit, best);
    return best;
  }

  /// Moves units from one group of replicas to another.
  void improve(CutResult &best) {
    if (sharing.groups.size() > mostGroups)
      return;
    bool better = true;
    for (int round = 0; round < 4 && better; ++round) {
      better = false;
      for (size_t from = 0; from < sharing.groups.size(); ++from)
        for (size_t to = 0; to < sharing.groups.size(); ++to)
          better |= from != to && move(from, to, best);
    }
  }

private:
  using Bound = Picoseconds (ShareSearch::*)(const ReplicaGroup &, int64_t,
                                             Picoseconds) const;

  /// Of the whole step with a group's own best cuts, as far as it is below
  /// `limit`.
  Picoseconds boundOf(const ReplicaGroup &group, int64_t share,
                      Picoseconds limit) const {
    Picoseconds most = mostOf(limit);
    return wholeStepOf(cutBound(sharing.table, sharing.form,
                                sharing.costsOf(group, share), {}, most)
                           .step);
  }

  /// The same with more effort.
  Picoseconds tightBoundOf(const ReplicaGroup &group, int64_t share,
                           Picoseconds limit) const {
    Picoseconds most = mostOf(limit);
    ReplicaCosts costs = sharing.costsOf(group, share);
    Picoseconds step =
        cutBound(sharing.table, sharing.form, costs, {}, most).step;
    if (step < most && isChunked(sharing.form))
      step = stepOfChunks(group, share, costs, most);
    else if (step < most && hasCutTree(sharing.table, sharing.form)) {
      int nodes = nodesOfBound;
      step = std::max(
          step,
          treeBound(sharing.table, sharing.form, costs, most, nodes).step);
    }
    return wholeStepOf(step);
  }

  Picoseconds mostOf(Picoseconds limit) const {
    return mostAlone(sharing.table.hardware, rankCount(sharing.form), limit);
  }
  Picoseconds wholeStepOf(Picoseconds step) const {
    return wholeStep(sharing.table, sharing.form, step);
  }

  /// What a group takes with the best cuts of its own among those that are
  /// tried of a chunked form; `limit` where that is not faster. More samples
  /// take no less in one order of the tasks; orders that follow times are taken
  /// to do so as well.
  Picoseconds stepOfChunks(const ReplicaGroup &group, int64_t share,
                           const ReplicaCosts &costs, Picoseconds limit) const {
    ChunkBounds bounds(sharing.form, costs);
    Picoseconds least = limit;
    for (std::vector<int64_t> &cuts : chunkCuts(sharing.table, sharing.form)) {
      if (bounds.of(cuts, least) >= least ||
          !chunksMayFit(sharing.form, costs, cuts))
        continue;
      Candidate candidate{sharing.form, std::move(cuts), sharing.devices};
      Picoseconds step;
      for (const std::vector<int64_t> &replica : group.replicas)
        step =
            std::max(step, stepOfReplica(sharing.table, candidate,
                                         {replica, sharing.samplesOf(share)}));
      least = std::min(least, step);
    }
    return least;
  }

  std::vector<TimedWorkers> boundedBy(Bound bound, Picoseconds limit) const {
    return sharing.workers(
        [this, bound, limit](const ReplicaGroup &group, int64_t share) {
          return (this->*bound)(group, share, limit);
        });
  }

  /// What no shares beat. Bounds of trees that end early may fall with more
  /// units, so that these shares are not the best ones by them.
  Picoseconds provenBy(std::vector<TimedWorkers> &tight,
                       const std::vector<int64_t> &shares) {
    Picoseconds most = slowest(tight, shares);
    if (!mayBeat(tight, most))
      return most;
    auto simple = fillByTimes(sharing.units, workers, sharing.givenIn(start));
    return simple ? std::min(most, slowest(workers, *simple)) : Picoseconds();
  }

  /// Whether all units are done below a limit, by the bounds.
  bool mayBeat(std::vector<TimedWorkers> &bounded, Picoseconds limit) const {
    return canDoWithin(sharing.units, bounded, limit - Picoseconds(1),
                       sharing.givenIn(start));
  }

  bool areFew(Picoseconds limit) {
    const NormalForm &form = sharing.form;
    int64_t most =
        std::min(exactShares, exactShareTasks /
                                  static_cast<int64_t>(form.stages.size()) /
                                  form.microBatches);
    if (sharing.size > most)
      return false;
    int64_t count = 0;
    forEachShares(sharing.units, workers, limit,
                  [&](const std::vector<int64_t> &) {
                    return ++count > most ? Picoseconds() : limit;
                  });
    return count <= most;
  }

  /// All shares that may be below `limit`; the bound is theirs.
  void tryAll(Picoseconds limit, CutResult &best) {
    best.bound = limit;
    forEachShares(sharing.units, workers, limit,
                  [&](const std::vector<int64_t> &shares) {
                    limit = consider(shares, limit, best);
                    return limit;
                  });
  }

  /// Keeps the better of what it has and the best cuts with these shares;
  /// what is to be beaten then.
  Picoseconds consider(const std::vector<int64_t> &shares, Picoseconds limit,
                       CutResult &best) {
    NormalForm form = sharing.form;
    sharing.assign(form, shares);
    CutResult other = score(form, limit);
    best.bound = std::min(best.bound, other.bound);
    if (!other.candidate || other.prediction.step >= limit)
      return limit;
    other.bound = best.bound;
    best = std::move(other);
    return best.prediction.step;
  }

  /// A unit from the replica of a group that has most to that of another which
  /// has least.
  bool move(size_t from, size_t to, CutResult &best) {
    std::vector<int64_t> shares = sharing.givenIn(best.candidate->form);
    auto first = [&](size_t group) {
      return shares.begin() + sharing.groups[group].first;
    };
    auto last = [&](size_t group) {
      return first(group) + sharing.groups[group].count;
    };
    auto giver = std::max_element(first(from), last(from));
    auto taker = std::min_element(first(to), last(to));
    if (*giver <= 1)
      return false;
    --*giver, ++*taker;
    NormalForm form = openForm(best);
    sharing.assign(form, shares);
    CutResult other = score(form, best.prediction.step);
    if (!other.candidate || other.prediction.step >= best.prediction.step)
      return false;
    other.bound = best.bound;
    best = std::move(other);
    return true;
  }

  /// As it was given; and without its shares, by which groups differ.
  const NormalForm &start;
  const NormalForm even;
  Sharing sharing;
  const ScoreCuts &score;
  /// The groups, by their simple bounds.
  std::vector<TimedWorkers> workers;
};

} // namespace

CutResult bestShares(CostTable &table, const NormalForm &form,
                     const DeviceMap &devices, Picoseconds limit,
                     const ScoreCuts &score) {
  return ShareSearch(table, form, devices, score).run(limit);
}

void polishShares(CostTable &table, CutResult &result) {
  const Candidate start = *result.candidate;
  // Stages that cut the batch differently share it equally.
  if (table.hardware.pools().size() == 1 || !cutsBatchAlike(start.form) ||
      start.form.stages.front().degree(AxisKind::Replica) == 1)
    return;
  ScoreCuts score = [&](const NormalForm &form, Picoseconds limit) {
    return bestCuts(table, form, start.devices, limit);
  };
  ShareSearch(table, start.form, start.devices, score).improve(result);
}

} // namespace whale::planner
