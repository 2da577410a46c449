//===- Collectives.h - measured collectives within one node -----*- C++ -*-===//

#ifndef WHALE_CLUSTER_COLLECTIVES_H
#define WHALE_CLUSTER_COLLECTIVES_H

#include "compiler/support/Units.h"
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace whale {

enum class CollectiveKind {
  AllReduce,
  AllGather,
  ReduceScatter,
  AllToAll,
  Broadcast,
  SendReceive,
};
/// "all_reduce", ..., "send_recv".
std::string_view collectiveName(CollectiveKind kind);
std::optional<CollectiveKind> collectiveFromName(std::string_view name);

/// Time of one collective over a group within a node, fitted by
/// tools/fit/fit_collectives.py:
///   latency + secondsPerRootByte * sqrt(bytes) + bytes / bandwidth
struct CollectiveFit {
  CollectiveKind kind = CollectiveKind::AllReduce;
  int64_t ranks = 0;
  Picoseconds latency;
  double secondsPerRootByte = 0;
  BytesPerSecond bandwidth;
  /// Mean relative error of the fit on its own rows.
  double meanError = 0;

  /// `bytes`: the whole buffer (nccl-tests' size): the gathered one of an
  /// all-gather, the one before a reduce-scatter, one rank's whole send buffer
  /// of an all-to-all.
  Picoseconds time(Bytes bytes) const;
};

/// All fits of one node type: catalogue/collectives/<name>.json.
struct CollectiveFits {
  std::string name;
  std::string source;
  std::vector<CollectiveFit> fits;

  /// The fit of exactly this group size; null if it was not measured.
  const CollectiveFit *find(CollectiveKind kind, int64_t ranks) const;
};

} // namespace whale

#endif // WHALE_CLUSTER_COLLECTIVES_H
