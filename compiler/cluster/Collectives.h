//===- Collectives.h - what was measured of collectives ---------*- C++ -*-===//
//
// Data only: the parameters by which compiler/cost/CollectiveModel computes
// times. Within a domain (a node, or the nodes of one NVLink domain) they are
// fitted per link type; between domains a few global parameters stand for all
// networks.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_CLUSTER_COLLECTIVES_H
#define WHALE_CLUSTER_COLLECTIVES_H

#include "compiler/support/Units.h"
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace whale {

/// How two devices are connected, from the nearest.
enum class LinkLevel { Same, NvLink, SharedMemory, Pcie, Network };
std::string_view linkLevelName(LinkLevel level);

/// A connection, one direction.
struct Link {
  LinkLevel level = LinkLevel::Same;
  /// Within a node: of one device. Network: of a whole node, shared by its
  /// devices.
  BytesPerSecond bandwidth;
  /// Of one message, besides its transfer.
  Picoseconds latency;
};

enum class CollectiveKind {
  AllReduce,
  AllGather,
  ReduceScatter,
  AllToAll,
  Broadcast,
  SendReceive,
};
constexpr size_t collectiveKindCount = 6;
/// "all_reduce", ..., "send_recv".
std::string_view collectiveName(CollectiveKind kind);
std::optional<CollectiveKind> collectiveFromName(std::string_view name);

/// How a collective is done.
///   Ring          every rank sends to its neighbour, through all ranks
///   Tree          a chain within each domain, a double binary tree between
///   Hierarchical  scattered within each domain, reduced between, gathered
///   Nvls          summed in the NVLink switch; between domains a tree
///   Direct        every pair by itself
enum class CollectiveAlgorithm { Ring, Tree, Hierarchical, Nvls, Direct };
/// "ring", "tree", "hierarchical", "nvls", "direct".
std::string_view algorithmName(CollectiveAlgorithm algorithm);
std::optional<CollectiveAlgorithm> algorithmFromName(std::string_view name);

/// How NCCL moves data: 4-byte stores with flags (LL), 128-byte stores with
/// flags (LL128), or plain copies with synchronisation (Simple).
enum class CollectiveProtocol { LL, LL128, Simple };
constexpr size_t collectiveProtocolCount = 3;
/// "ll", "ll128", "simple".
std::string_view protocolName(CollectiveProtocol protocol);
std::optional<CollectiveProtocol> protocolFromName(std::string_view name);

/// One way to do a collective of p ranks within a domain, fitted by
/// tools/fit/fit_collectives.py:
///   start + step * steps(p) + root * sqrt(n) + n * (moved(p) * wire + local)
/// n: the whole buffer (nccl-tests' size): the gathered one of an all-gather,
/// the one before a reduce-scatter, one rank's whole send buffer of an
/// all-to-all. Seconds, and seconds per byte or per root of a byte; 0 where a
/// part costs nothing.
struct CollectiveFit {
  CollectiveKind kind = CollectiveKind::AllReduce;
  CollectiveAlgorithm algorithm = CollectiveAlgorithm::Ring;
  CollectiveProtocol protocol = CollectiveProtocol::Simple;
  /// Holds for this group size only; empty: for any.
  std::optional<int64_t> ranks;
  double start = 0, step = 0, root = 0, wire = 0, local = 0;
};

/// Parts of the formula above. For a broadcast those of a pipelined ring.
double collectiveSteps(CollectiveKind kind, CollectiveAlgorithm algorithm,
                       int64_t ranks);
/// Per byte of the buffer, over the busiest link.
double collectiveMoved(CollectiveKind kind, CollectiveAlgorithm algorithm,
                       int64_t ranks);

/// All fits of one link type: catalogue/collectives/<name>.json.
struct CollectiveFits {
  std::string name;
  std::string source;
  /// What it was measured over.
  Link link;
  std::vector<CollectiveFit> fits;

  /// True if there is a fit for any group size.
  bool hasGeneral(CollectiveKind kind) const;
  /// The same over another link: rates follow its bandwidth, starts and steps
  /// its latency. An assumption.
  CollectiveFits scaledTo(const Link &other) const;
};

/// Collectives between domains: catalogue/defaults/network.json.
struct NetworkParameters {
  /// Of one message, where a cluster gives none.
  Picoseconds latency;
  /// Of the adapters' bandwidth, what a collective reaches ...
  double efficiency = 1;
  /// ... one pair of devices, ...
  double sendEfficiency = 1;
  /// ... and an all-to-all.
  double allToAllEfficiency = 1;
  /// Of its neighbours' links, what a tree reaches.
  double treeEfficiency = 1;
  /// Sends of one rank that are under way at a time.
  int64_t parallelSends = 1;
  struct Protocol {
    /// A step over the network, in multiples of the latency.
    double ringHop = 1, treeHop = 1;
    /// Share of the bandwidth that is data.
    double bandwidth = 1;
  };
  std::array<Protocol, collectiveProtocolCount> protocols;

  const Protocol &of(CollectiveProtocol protocol) const {
    return protocols[static_cast<size_t>(protocol)];
  }
};

} // namespace whale

#endif // WHALE_CLUSTER_COLLECTIVES_H
