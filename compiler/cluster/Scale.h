//===- Scale.h - a cluster with more or less of something -------*- C++ -*-===//

#ifndef WHALE_CLUSTER_SCALE_H
#define WHALE_CLUSTER_SCALE_H

#include "compiler/cluster/Cluster.h"

namespace whale {

/// Factors on what a cluster has; 1 = as it is. Latencies and overheads stay.
struct ClusterScale {
  /// Bandwidth of links within nodes (and NVLink domains), and between nodes.
  double within = 1, network = 1;
  /// Of the devices: memory's size and bandwidth.
  double memory = 1, memoryBandwidth = 1;
  /// Speed at which kernels compute. The printed peaks stay: bounds and
  /// utilisation do not follow it, so it is for costing a given plan, not for
  /// searching.
  double arithmetic = 1;
  Bytes moreMemory;

  bool operator==(const ClusterScale &) const = default;
};

/// Requires positive factors.
Cluster scaled(Cluster cluster, const ClusterScale &scale);

/// The first `devices` devices of a cluster of one class, or more of the same
/// nodes: whole nodes, or a part of one. Nothing where the number is no
/// multiple of a node, or several nodes have no network between them.
std::optional<Cluster> withDevices(const Cluster &cluster, int64_t devices);

/// The same of each class of a cluster: so many devices in the order of its
/// classes, 0 = without the class. Neighbours may be equal then.
std::optional<Cluster> withDevices(const Cluster &cluster,
                                   const std::vector<int64_t> &byClass);

} // namespace whale

#endif // WHALE_CLUSTER_SCALE_H
