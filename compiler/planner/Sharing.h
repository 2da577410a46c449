//===- Sharing.h - replicas whose shares are a choice -----------*- C++ -*-===//
//
// The batch of a form in whole units, and what replicas take with so many.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PLANNER_SHARING_H
#define WHALE_PLANNER_SHARING_H

#include "compiler/planner/Search.h"
#include "compiler/planner/Shares.h"

namespace whale::planner {

/// All arguments must outlive it.
class Sharing {
public:
  /// Requires a replica axis.
  Sharing(CostTable &table, const NormalForm &form, const DeviceMap &devices);

  /// Whether the batch is so many whole units.
  bool isWhole() const { return table.workload.globalBatch % unit == 0; }
  /// Whether other shares may be better than the same for all.
  bool isChoice() const { return groups.size() > 1; }

  /// Of each replica at a coordinate with so many units.
  int64_t samplesOf(int64_t share) const { return share * unit / within; }
  /// What a replica takes whose coordinate along the outermost axis has so many
  /// units.
  FormCosts at(const std::vector<int64_t> &replica, int64_t share) const {
    return FormCosts(table, form, devices, replica, samplesOf(share));
  }
  /// The same of each kind of replica in a group.
  ReplicaCosts costsOf(const ReplicaGroup &group, int64_t share) const;
  /// The groups as workers whose time is `time(group, units)`.
  std::vector<TimedWorkers>
  workers(std::function<Picoseconds(const ReplicaGroup &, int64_t)> time) const;

  /// Units of each coordinate along the outermost axis of a form like this one.
  std::vector<int64_t> givenIn(const NormalForm &form) const;
  /// Gives them to that axis of every stage; what is inside shares equally.
  void assign(NormalForm &form, std::vector<int64_t> shares) const;

  CostTable &table;
  const NormalForm &form;
  const DeviceMap &devices;
  /// Coordinates along the outermost replica axis, those with equal devices
  /// together.
  std::vector<ReplicaGroup> groups;
  /// Of the outermost replica axis.
  int64_t size = 1;
  /// Samples of a unit: one of each micro-batch and coupled group for each
  /// replica at a coordinate. Units of the batch.
  int64_t unit = 1, units = 1;

private:
  /// Replicas at one coordinate.
  int64_t within = 1;
};

/// Unequal devices beyond which shares of pipelines stay as setShares gives
/// them, and the gap is that at these shares; and with which a dive goes on
/// after its first plans.
constexpr int64_t fewMixedDevices = 64;

/// Of a form that has its shares: costs of the replicas with these, then of
/// each group of replicas with a unit more than its smallest share, if other
/// shares may be better: with any others, one group has no less than that.
std::vector<ReplicaCosts> anyShares(CostTable &table, const NormalForm &form,
                                    const DeviceMap &devices);
/// What a form's instances take on one micro-batch of the replica that takes
/// longest.
SpreadCosts spreadCosts(CostTable &table, const NormalForm &form,
                        const ReplicaCosts &costs, bool tails);
/// The same for any shares: one of these counts.
std::vector<SpreadCosts> spreadsOf(CostTable &table, const NormalForm &form,
                                   const DeviceMap &devices);
/// What no cuts with any other shares beat: `known`, or `limit` where that is
/// known to be one; max where there are none.
Picoseconds boundOfOthers(CostTable &table, const NormalForm &form,
                          const DeviceMap &devices, Picoseconds known,
                          Picoseconds limit);

/// The best cuts of a form with its shares, if they are below a limit.
using ScoreCuts =
    std::function<CutResult(const NormalForm &form, Picoseconds limit)>;

/// The best shares and cuts of a form that has some shares, if they are below
/// `limit`; the bound is that of all shares.
CutResult bestShares(CostTable &table, const NormalForm &form,
                     const DeviceMap &devices, Picoseconds limit,
                     const ScoreCuts &score);

} // namespace whale::planner

#endif // WHALE_PLANNER_SHARING_H
