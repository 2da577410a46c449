//===- Scale.cpp - a cluster with more or less of something ---------------===//

#include "compiler/cluster/Scale.h"

namespace whale {

/// The fits over links of `factor` times the bandwidth.
static std::shared_ptr<const CollectiveFits>
scaledFits(const std::shared_ptr<const CollectiveFits> &fits, double factor) {
  if (!fits || factor == 1)
    return fits;
  Link link = fits->link;
  link.bandwidth.value *= factor;
  return std::make_shared<const CollectiveFits>(fits->scaledTo(link));
}

static void scaleDevice(DeviceType &device, const ClusterScale &scale) {
  device.memory = device.memory.scaled(scale.memory) + scale.moreMemory;
  device.memoryBandwidth.value *= scale.memoryBandwidth;
  // The one factor of a kernel's arithmetic that nothing else depends on.
  device.sustainedFraction *= scale.arithmetic;
}

Cluster scaled(Cluster cluster, const ClusterScale &scale) {
  for (NodeClass &nodes : cluster.classes) {
    NodeType &type = nodes.type;
    scaleDevice(type.device, scale);
    type.within.bandwidth.value *= scale.within;
    if (type.bridge)
      type.bridge->bandwidth.value *= scale.within;
    type.collectives = scaledFits(type.collectives, scale.within);
    type.bridgeCollectives = scaledFits(type.bridgeCollectives, scale.within);
    if (type.network)
      type.network->bandwidth.value *= scale.network;
  }
  return cluster;
}

std::optional<Cluster> withDevices(const Cluster &cluster, int64_t devices) {
  if (!cluster.isHomogeneous())
    return std::nullopt;
  return withDevices(cluster, std::vector<int64_t>{devices});
}

std::optional<Cluster> withDevices(const Cluster &cluster,
                                   const std::vector<int64_t> &byClass) {
  Cluster result = cluster;
  result.classes.clear();
  int64_t firstNode = 0, firstRank = 0;
  for (size_t c = 0; c < byClass.size(); ++c) {
    int64_t devices = byClass[c];
    NodeClass nodes = cluster.classes[c];
    int64_t perNode = nodes.type.devicesPerNode;
    if (devices < 0 || (devices > perNode && devices % perNode != 0))
      return std::nullopt;
    if (devices == 0)
      continue;
    nodes.count = devices > perNode ? devices / perNode : 1;
    nodes.type.devicesPerNode = std::min(devices, perNode);
    nodes.firstNode = firstNode;
    nodes.firstRank = firstRank;
    firstNode += nodes.count;
    firstRank += devices;
    result.classes.push_back(std::move(nodes));
  }
  if (result.classes.empty())
    return std::nullopt;
  for (const NodeClass &nodes : result.classes)
    if (!nodes.type.network &&
        (result.classes.size() > 1 || nodes.count > nodes.type.nvlinkDomain))
      return std::nullopt;
  return result;
}

} // namespace whale
