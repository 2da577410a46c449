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
  Cluster result = cluster;
  NodeClass &nodes = result.classes.front();
  int64_t perNode = nodes.type.devicesPerNode;
  if (!cluster.isHomogeneous() || devices < 1 ||
      (devices > perNode && devices % perNode != 0))
    return std::nullopt;
  nodes.count = devices > perNode ? devices / perNode : 1;
  nodes.type.devicesPerNode = std::min(devices, perNode);
  if (nodes.count > nodes.type.nvlinkDomain && !nodes.type.network)
    return std::nullopt;
  return result;
}

} // namespace whale
