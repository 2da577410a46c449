//===- Parts.h - which part of a cluster is best ----------------*- C++ -*-===//
//
// Problem: how many devices of each class of a cluster to use, where trying a
// part out costs a search of a second?
// Method, for what is least: each class alone at 1, 2, 3, 4, 6, 8, 12... devices
// of a node and then nodes, and all of it; whole classes together, all sets of
// at most four of at most eight classes, and the whole; from the best of either,
// one class one of these sizes up or down as long as that helps. One class is tried
// at all of them; of several the end is a local optimum.
// For the fewest devices: each class alone, and all classes shrunk alike, by
// bisection over whole nodes and parts of one, which needs that more devices
// are never worse; then, from each of these and from the whole, one class is
// bisected at a time as long as that helps.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_CLUSTER_PARTS_H
#define WHALE_CLUSTER_PARTS_H

#include "compiler/cluster/Cluster.h"

#include <functional>

namespace whale {

/// Devices of each class of a cluster; 0 = without the class.
using DevicesByClass = std::vector<int64_t>;

DevicesByClass wholeOf(const Cluster &cluster);

/// What is to be small, of a part; nothing where it will not do. Among equal
/// values fewer devices win. Asked for more than once of some parts.
using PartValue = std::function<std::optional<double>(const DevicesByClass &)>;

/// The best part that was found, by a fixed order of questions; nothing where
/// none that was tried will do.
std::optional<DevicesByClass> leastPart(const Cluster &cluster,
                                        const PartValue &value);
/// The same of the parts with the fewest devices; their value counts where they
/// have as many.
std::optional<DevicesByClass> smallestPart(const Cluster &cluster,
                                           const PartValue &value);

} // namespace whale

#endif // WHALE_CLUSTER_PARTS_H
