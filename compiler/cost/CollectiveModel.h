//===- CollectiveModel.h - time of a collective -----------------*- C++ -*-===//
//
// Problem: n bytes, a group of devices spread over domains (nodes, or racks
// that share one NVLink domain) -> the time, and the way it is reached.
// Method: the model by which NCCL chooses (NVIDIA/nccl src/graph/tuning.cc):
// each algorithm and protocol costs latencies and bytes over the busiest link;
// the least time wins. Within a domain the parameters are fitted per link type,
// between domains they are Cluster::network (compiler/cluster/Collectives.h).
// Guarantee: none, an estimate; monotone in bytes, and in every rate.
// Complexity: the number of node classes plus of fits; a few hundred ns.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_COST_COLLECTIVEMODEL_H
#define WHALE_COST_COLLECTIVEMODEL_H

#include "compiler/cluster/Cluster.h"
#include "compiler/cost/Hardware.h"

namespace whale::cost {

/// A collective's time and the way it is done.
struct CollectiveEstimate {
  Picoseconds time;
  CollectiveAlgorithm algorithm = CollectiveAlgorithm::Ring;
  CollectiveProtocol protocol = CollectiveProtocol::Simple;
  /// Not all members lie in one domain.
  bool crossesNetwork = false;
};

/// Pure functions of a cluster, which must outlive it.
class CollectiveModel {
public:
  explicit CollectiveModel(const Cluster &cluster) : cluster(cluster) {}

  /// `bytes` as in CollectiveFit: the whole buffer. Zero time for one rank or
  /// no bytes; `Picoseconds::max()` where the times' range ends.
  CollectiveEstimate collective(const Group &group, CollectiveKind kind,
                                Bytes bytes) const;
  /// An all-to-all of rows: `collective`, where each copy of a row travels by
  /// itself. Else a row goes once to each domain, to the member at the same
  /// place there, which forwards it once to each of its domain's members with
  /// any of its experts; both at the same time (DeepEP, HybridEP).
  CollectiveEstimate exchange(const Group &group,
                              const RowExchange &rows) const;
  /// From one device to another, while `concurrent` pairs of the same nodes
  /// send.
  CollectiveEstimate send(int64_t from, int64_t to, int64_t concurrent,
                          Bytes bytes) const;

private:
  const Cluster &cluster;
};

} // namespace whale::cost

#endif // WHALE_COST_COLLECTIVEMODEL_H
