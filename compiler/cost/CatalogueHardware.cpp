//===- CatalogueHardware.cpp - a cluster file as hardware -----------------===//

#include "compiler/cost/CatalogueHardware.h"

#include <algorithm>

namespace whale::cost {

using workload::OpKind;

namespace {

bool isProduct(OpKind kind) {
  return kind == OpKind::Contraction || kind == OpKind::Convolution ||
         kind == OpKind::Attention;
}

BytesPerSecond divided(BytesPerSecond rate, int64_t parts) {
  return {rate.value / static_cast<double>(parts)};
}

} // namespace

CatalogueHardware::CatalogueHardware(const Cluster &cluster)
    : cluster(cluster) {
  if (cluster.classes.front().type.device.kind == DeviceType::Kind::Gpu)
    execution.parameters = defaultParameters();
  for (unsigned i = 0; i < cluster.classes.size(); ++i) {
    const NodeClass &nodes = cluster.classes[i];
    poolList.push_back(
        {i, nodes.firstRank, nodes.rankCount(), nodes.type.devicesPerNode});
  }
}

std::string CatalogueHardware::typeName(unsigned type) const {
  return device(type).name;
}
Bytes CatalogueHardware::capacity(unsigned type) const {
  return device(type).memory;
}
Bytes CatalogueHardware::reserve(unsigned type) const {
  return device(type).reserve;
}
FlopsPerSecond CatalogueHardware::peak(unsigned type,
                                       std::string_view name) const {
  return device(type).peak(precisionFromName(name).value_or(Precision::F32));
}

/// The format that a kernel computes in: only products of weights are in 8 or
/// fewer bits.
static Precision kernelPrecision(const OpWork &work) {
  Precision precision =
      precisionFromName(work.precision).value_or(Precision::F32);
  return precision == Precision::FP8 && work.kind != OpKind::Contraction
             ? Precision::BF16
             : precision;
}

/// Fraction of peak that a kernel's arithmetic reaches.
double CatalogueHardware::efficiency(const DeviceType &on, const OpWork &work,
                                     Precision precision) const {
  const Parameters &p = execution.parameters;
  if (work.kind == OpKind::Contraction && work.m > 0)
    return p.matmulSustained *
           matmulEfficiency(on, precision,
                            saturatingMultiply(work.batch, work.m), work.n,
                            work.k)
               .value;
  if (work.kind == OpKind::Attention && execution.stack.fusedAttention)
    return work.backward ? p.attentionBackward : p.attentionForward;
  return unknownEfficiency;
}

/// Memory traffic of attention whose scores lie in memory, in passes over them.
/// Forward: the product writes them, softmax reads and writes them, dropout
/// too (and a mask of 1 byte), the product with the values reads them. Backward:
/// both products' gradients, dropout and softmax. Source of the passes:
/// Korthikanti et al. 2022 (arXiv 2205.05198), section 4.1, for what is kept.
static constexpr double scorePasses = 6.5, scorePassesBackward = 9.5;

Picoseconds CatalogueHardware::opTime(unsigned type, const OpWork &work) const {
  const DeviceType &on = device(type);
  Precision precision = kernelPrecision(work);
  // Elementwise arithmetic runs on the vector units, at float32.
  FlopsPerSecond peak =
      on.peak(isProduct(work.kind) ? precision : Precision::F32);
  Picoseconds compute =
      work.flops / FlopsPerSecond{peak.value * efficiency(on, work, precision)};
  BytesPerSecond bandwidth{on.memoryBandwidth.value *
                           on.achievableMemoryFraction *
                           execution.parameters.memorySustained};
  Picoseconds memory = work.bytes / bandwidth;
  Picoseconds launch = work.fused ? Picoseconds() : on.launchOverhead;
  if (work.kind == OpKind::Attention && !execution.stack.fusedAttention) {
    double passes = work.backward ? scorePassesBackward : scorePasses;
    Bytes scores = Bytes::fromDouble(work.scores * passes * 2);
    // Products do not skip what is masked.
    compute = compute.scaled(1 / work.used);
    return compute + memory + scores / bandwidth + launch * 6;
  }
  return std::max(compute, memory) + launch;
}

Picoseconds CatalogueHardware::withinNode(const Group &group, int64_t size,
                                          CollectiveKind kind, Bytes bytes,
                                          const Link &link) const {
  if (size <= 1 || bytes == Bytes())
    return Picoseconds();
  if (const CollectiveFit *fit = collectiveFit(
          cluster, kind, RankGroup{group.first, size, group.stride}))
    return fit->time(bytes);
  return ringTime(kind, size, bytes, link.latency, link.bandwidth);
}

Picoseconds CatalogueHardware::hierarchical(const Group &group,
                                            CollectiveKind kind, Bytes bytes,
                                            const GroupLinks &links) const {
  int64_t inside = links.mostPerNode;
  BytesPerSecond network = divided(
      links.network->bandwidth, saturatingMultiply(inside, group.concurrent));
  Bytes share(ceilDivide(bytes.value(), inside));
  Picoseconds between =
      ringTime(kind, links.nodes, share, links.network->latency, network);
  if (kind == CollectiveKind::AllToAll)
    // Every rank sends its own data out of the node.
    between =
        ringTime(kind, links.nodes, bytes, links.network->latency, network);
  auto within = [&](CollectiveKind part) {
    return withinNode(group, inside, part, bytes, links.within);
  };
  if (kind == CollectiveKind::AllReduce)
    return within(CollectiveKind::ReduceScatter) + between +
           within(CollectiveKind::AllGather);
  return within(kind) + between;
}

Picoseconds CatalogueHardware::collectiveTime(const Group &group,
                                              CollectiveKind kind,
                                              Bytes bytes) const {
  if (group.size <= 1 || bytes == Bytes())
    return Picoseconds();
  GroupLinks links = cluster.linksOf({group.first, group.size, group.stride});
  if (!links.network)
    return withinNode(group, group.size, kind, bytes, links.within);
  BytesPerSecond bandwidth =
      divided(links.network->bandwidth, group.concurrent);
  if (links.mostPerNode > 1)
    bandwidth = std::min(bandwidth, links.within.bandwidth);
  Picoseconds flat =
      ringTime(kind, group.size, bytes, links.network->latency, bandwidth);
  if (kind == CollectiveKind::AllToAll)
    return hierarchical(group, kind, bytes, links);
  return std::min(flat, hierarchical(group, kind, bytes, links));
}

Picoseconds CatalogueHardware::sendTime(int64_t from, int64_t to,
                                        int64_t concurrent, Bytes bytes) const {
  Link link = cluster.linkBetween(from, to);
  if (link.level == LinkLevel::Same || bytes == Bytes())
    return Picoseconds();
  if (link.level != LinkLevel::Network) {
    RankGroup pair{std::min(from, to), 2, std::abs(to - from)};
    if (const CollectiveFit *fit =
            collectiveFit(cluster, CollectiveKind::SendReceive, pair))
      return fit->time(bytes);
    return link.latency + bytes / link.bandwidth;
  }
  return link.latency + bytes / divided(link.bandwidth, concurrent);
}

} // namespace whale::cost
