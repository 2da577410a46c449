//===- Devices.h - which device a rank of a form gets -----------*- C++ -*-===//

#ifndef WHALE_PLANNER_DEVICES_H
#define WHALE_PLANNER_DEVICES_H

#include "compiler/cost/Hardware.h"
#include "compiler/planner/Strategy.h"

namespace whale::planner {

/// Rank -> device. Devices are counted through the cluster's nodes.
struct DeviceMap {
  enum class Kind {
    /// Device = rank.
    Identity,
    /// Each combination of outer coordinates has a block of devices.
    ByOuter,
    /// Each stage has a block of devices, outer coordinates major.
    ByStage,
    /// Each rank by itself.
    ByRank,
  } kind = Kind::Identity;
  /// First device of each block.
  std::vector<int64_t> first;

  int64_t deviceOf(const NormalForm &form,
                   const Coordinates &coordinates) const;
  bool operator==(const DeviceMap &) const = default;
};

/// The maps that planning tries for a form: the identity on equal devices; on
/// unequal ones blocks that lie in one pool each, by replica for each set of
/// pools, and by stage for each order of each set (at most 64 orders). Where
/// there are none, ranks take pool after pool, on few devices in every order,
/// unless stages cut the batch differently.
/// Empty where the devices do not suffice. Fast and large pools come first, so
/// that the order in which the cluster lists them does not matter.
/// Deterministic, so that a pasted strategy finds its map again.
std::vector<DeviceMap> deviceMaps(const NormalForm &form,
                                  const cost::Hardware &hardware);

/// A map on a part of a cluster as one on all of it, where the part's p-th pool
/// begins at device `begins[p]`. Nothing where a block lies in several pools.
std::optional<DeviceMap> onWhole(const NormalForm &form, const DeviceMap &map,
                                 const cost::Hardware &part,
                                 const std::vector<int64_t> &begins);

/// Where the replica with these coordinates (one per replica axis, outermost
/// first; missing ones are 0) lies.
struct ReplicaPlace {
  /// The device of the first rank of each stage.
  std::vector<int64_t> stages;
  /// Whether each of the map's blocks in which it lies is in one pool, so that
  /// stages differ no more than by their pools.
  bool inPools = false;
};
ReplicaPlace placeOf(const NormalForm &form, const DeviceMap &map,
                     const std::vector<int64_t> &replica,
                     const cost::Hardware &hardware);

/// The coordinates of the first rank of a stage of a replica; of replica axes
/// that are not given, those with the most samples.
Coordinates coordinatesIn(const NormalForm &form, unsigned stage,
                          const std::vector<int64_t> &replica);

/// Those of all its ranks, the first one first: they differ along the splits.
std::vector<Coordinates> ranksIn(const NormalForm &form, unsigned stage,
                                 const std::vector<int64_t> &replica);
/// The same where these lie in several pools or have parts of unequal widths,
/// else nothing: the ranks of a stage of a replica that may differ.
std::vector<Coordinates> unlikeRanks(const NormalForm &form,
                                     const DeviceMap &map,
                                     const ReplicaPlace &place, unsigned stage,
                                     const std::vector<int64_t> &replica,
                                     const cost::Hardware &hardware);

/// Sets how many such groups share a node where the group leaves it.
void shareNode(cost::Group &group, const cost::Pool &pool);

/// Devices of an axis' group through `coordinates`: those in each pool, which
/// are taken to lie in equal steps there.
cost::Group axisGroup(const NormalForm &form, const DeviceMap &map,
                      Coordinates coordinates, unsigned axis,
                      const cost::Hardware &hardware);

} // namespace whale::planner

#endif // WHALE_PLANNER_DEVICES_H
