//===- Cluster.h - what a program will run on -------------------*- C++ -*-===//
//
// A cluster is an ordered list of classes of equal nodes. Ranks are counted
// through the nodes in that order. Nothing here is per device or per node:
// 100,000 devices of one kind cost as much as one.
//
// cluster.json, whole files:
//   {"format_version": 1, "preset": "dgx-h100", "nodes": 4}
//   {"format_version": 1, "preset": "cpu", "ranks": 4}
//   {"format_version": 1,
//    "nodes": [{"gpus": {"type": "v100-32", "count": 8}},
//              {"gpus": {"type": "p100-16", "count": 8}}],
//    "network": {"bandwidth_gigabits_per_second": 50}}
//
//
// All keys:
//   format_version     1
//   preset             a node type, or a device type as a host with one card;
//     nodes            how many (1); gpus_per_node (1), on a CPU ranks (1)
//   nodes              or a list, in rank order, of
//     {type | gpus: {type, count}, count (1), title, within, network,
//      nvlink_domain (1), bridge, host, collectives: {fit}}
//   within             {level: nvlink | pcie, bandwidth, latency}: between two
//                      devices of a node, per device, one direction
//   network            {bandwidth, latency, rails (1), oversubscription (1)}:
//   of
//                      a whole node, one direction, in `rails` equal adapters.
//                      A node's own link counts before the cluster's, that
//                      before its type's
//   bridge             {gpus, bandwidth, latency}: so many devices in a row of
//   a
//                      PCIe node have NVLink
//   host               {memory_gibibytes, bandwidth_gigabytes_per_second,
//                      gpus_per_link (1)}: the node's main memory, all of it,
//                      and how many devices share one link to it (whose rate is
//                      the device type's `pcie`). Where nothing is said, that
//                      of catalogue/defaults/host.json
//   nvlink_domain      nodes in a row that share one NVLink domain
//   bandwidth, latency bandwidth_gigabytes_per_second or
//                      bandwidth_gigabits_per_second; latency_microseconds
//   reserve_gibibytes  per device, instead of the device types' own
//   price_per_device_hour
//                      dollars, instead of the device types' own
//   mtbf_hours_per_device, checkpoint_seconds, restart_seconds (0)
//                      mean time between failures of one device, and what a
//                      checkpoint and a restart cost
//   device_types       {name: as catalogue/devices/*.json, optional base, and
//                      `efficiency`: {tile, tables} as catalogue/efficiency}
//   node_types         {name: as a node, optional base}
//   source             allowed in every group of numbers
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_CLUSTER_CLUSTER_H
#define WHALE_CLUSTER_CLUSTER_H

#include "compiler/cluster/Catalogue.h"

#include <span>

namespace whale {

/// `count` equal nodes in a row.
struct NodeClass {
  NodeType type;
  int64_t count = 1;
  /// Where the class begins.
  int64_t firstNode = 0;
  int64_t firstRank = 0;
  /// Where the file says so.
  Place place;

  int64_t rankCount() const { return count * type.devicesPerNode; }
};

/// Ranks first, first + stride, ... (size of them).
struct RankGroup {
  int64_t first = 0;
  int64_t size = 1;
  int64_t stride = 1;

  auto operator<=>(const RankGroup &) const = default;
};

/// What connects the members of a group. A domain is a node, or the nodes that
/// share one NVLink domain.
struct GroupLinks {
  /// Nodes that hold members, and the fewest that one of these holds.
  int64_t nodes = 1;
  int64_t fewestPerNode = 1;
  /// The same of domains, and the most.
  int64_t domains = 1;
  int64_t mostPerDomain = 1;
  int64_t fewestPerDomain = 1;
  /// The slowest link within these domains; level Same if no domain holds two.
  Link within;
  /// The node class with that link; never null.
  const NodeClass *slowest = nullptr;
  /// That link is the class's bridge.
  bool isBridged = false;
  /// The slowest way out of one of these nodes (its total, divided by the
  /// oversubscription); empty if the group lies in one domain.
  std::optional<Link> network;
  /// Of it, the least that one adapter and one device's share of all adapters
  /// make up.
  BytesPerSecond rail, perDevice;
};

/// What failures cost a long training.
struct Reliability {
  /// Mean hours between failures of one device; nothing = not given.
  std::optional<double> mtbfHoursPerDevice;
  /// To write a checkpoint, and to start again from one.
  double checkpointSeconds = 0, restartSeconds = 0;

  bool operator==(const Reliability &) const = default;
};

class Cluster {
public:
  /// In rank order, never empty; neighbours differ.
  std::vector<NodeClass> classes;
  Reliability reliability;
  /// How collectives run over its network.
  NetworkParameters network;

  int64_t rankCount() const;
  int64_t nodeCount() const;
  /// True if all devices, nodes and links are equal: one class.
  bool isHomogeneous() const { return classes.size() == 1; }

  /// These require 0 <= rank < rankCount().
  const NodeClass &classOf(int64_t rank) const;
  const DeviceType &deviceOf(int64_t rank) const {
    return classOf(rank).type.device;
  }
  int64_t nodeOf(int64_t rank) const;
  /// True if no network lies between the two.
  bool inOneDomain(int64_t a, int64_t b) const;

  /// Between two ranks; Same if they are one. Network bandwidth is the lesser
  /// node's total, divided by the oversubscription.
  Link linkBetween(int64_t a, int64_t b) const;
  /// Requires size >= 1, stride >= 1 and all members in range. Cost: the number
  /// of node classes.
  GroupLinks linksOf(const RankGroup &group) const {
    return linksOf(std::span(&group, 1));
  }
  /// Of a group whose members lie in equal steps in each of these parts, which
  /// have no node in common.
  GroupLinks linksOf(std::span<const RankGroup> parts) const;

private:
  /// Adds what joins the members of a part of a group.
  void addPart(GroupLinks &links, const RankGroup &part) const;
  /// True if one bridge joins all devices from `first` to `last`.
  bool inOneBridge(int64_t first, int64_t last) const;
};

/// Reads cluster.json. `file` is the name in messages. Errors have places; an
/// unknown major format version has ExitCode::Unsupported.
std::optional<Cluster> parseCluster(std::string_view text,
                                    std::string_view file,
                                    const Catalogue &catalogue,
                                    Diagnostics &diags);
/// The same from a file, with the embedded catalogue.
std::optional<Cluster> readCluster(const std::string &path, Diagnostics &diags);

/// Writes the cluster with everything resolved: for `whalec cluster show` and
/// for the hash that plans pin (sources and titles are left out).
void writeCluster(const Cluster &cluster, json::Writer &writer);
void writeNodeType(const NodeType &type, json::Writer &writer);

} // namespace whale

#endif // WHALE_CLUSTER_CLUSTER_H
