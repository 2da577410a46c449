//===- Cluster.cpp --------------------------------------------------------===//

#include "compiler/cluster/Cluster.h"
#include <algorithm>
#include <cassert>

using namespace whale;

int64_t Cluster::rankCount() const {
  return classes.back().firstRank + classes.back().rankCount();
}

int64_t Cluster::nodeCount() const {
  return classes.back().firstNode + classes.back().count;
}

const NodeClass &Cluster::classOf(int64_t rank) const {
  assert(0 <= rank && rank < rankCount());
  auto next = std::upper_bound(
      classes.begin(), classes.end(), rank,
      [](int64_t r, const NodeClass &c) { return r < c.firstRank; });
  return *std::prev(next);
}

static int64_t nodeInClass(const NodeClass &nodes, int64_t rank) {
  return (rank - nodes.firstRank) / nodes.type.devicesPerNode;
}

int64_t Cluster::nodeOf(int64_t rank) const {
  const NodeClass &nodes = classOf(rank);
  return nodes.firstNode + nodeInClass(nodes, rank);
}

/// The slower of two links, each number by itself.
static Link slower(const Link &a, const Link &b) {
  return {std::max(a.level, b.level), std::min(a.bandwidth, b.bandwidth),
          std::max(a.latency, b.latency)};
}

bool Cluster::inOneDomain(int64_t a, int64_t b) const {
  const NodeClass &nodes = classOf(a);
  int64_t size = nodes.type.devicesPerDomain();
  return &nodes == &classOf(b) &&
         (a - nodes.firstRank) / size == (b - nodes.firstRank) / size;
}

bool Cluster::inOneBridge(int64_t first, int64_t last) const {
  const NodeClass &nodes = classOf(first);
  if (!nodes.type.bridge || nodeOf(first) != nodeOf(last))
    return false;
  int64_t perNode = nodes.type.devicesPerNode, size = nodes.type.bridgeSize;
  auto bridgeOf = [&](int64_t rank) {
    return (rank - nodes.firstRank) % perNode / size;
  };
  return bridgeOf(first) == bridgeOf(last);
}

/// The way out of a node. parseCluster demands one where there are two domains.
static Link networkOf(const NodeClass &nodes) {
  Link link = nodes.type.network.value_or(Link{LinkLevel::Network, {}, {}});
  link.bandwidth.value /= nodes.type.oversubscription;
  return link;
}

Link Cluster::linkBetween(int64_t a, int64_t b) const {
  if (a == b)
    return {};
  const NodeClass &classA = classOf(a), &classB = classOf(b);
  if (inOneBridge(a, b))
    return *classA.type.bridge;
  if (inOneDomain(a, b))
    return classA.type.within;
  return slower(networkOf(classA), networkOf(classB));
}

namespace {
/// How the members of a group that lie in one class fill its nodes, or its
/// domains.
struct ClassShare {
  int64_t blocks, most, fewest;
};
} // namespace

/// Members are `first + i * stride`, counted from the class's first rank. A
/// stride of at least the block's size puts each member into a block of its
/// own; a smaller one leaves no block between the first and the last out.
static ClassShare shareOf(int64_t perBlock, int64_t first, int64_t size,
                          int64_t stride) {
  if (stride >= perBlock)
    return {size, 1, 1};
  int64_t last = first + (size - 1) * stride;
  int64_t firstBlock = first / perBlock, lastBlock = last / perBlock;
  if (firstBlock == lastBlock)
    return {1, size, size};
  auto membersBefore = [&](int64_t block) {
    int64_t begin = block * perBlock;
    return begin <= first ? 0 : ceilDivide(begin - first, stride);
  };
  int64_t inFirst = membersBefore(firstBlock + 1);
  int64_t inLast = size - membersBefore(lastBlock);
  ClassShare share{lastBlock - firstBlock + 1, std::max(inFirst, inLast),
                   std::min(inFirst, inLast)};
  // Full blocks between hold floor or ceil of perBlock / stride; which of both
  // occurs repeats with a period of at most `stride` blocks.
  int64_t between = std::min(lastBlock - firstBlock - 1, stride);
  for (int64_t block = firstBlock + 1; block <= firstBlock + between; ++block) {
    int64_t members = membersBefore(block + 1) - membersBefore(block);
    share.most = std::max(share.most, members);
    share.fewest = std::min(share.fewest, members);
  }
  return share;
}

/// Adds the part of a group that lies in one class.
static void addClass(GroupLinks &links, const NodeClass &nodes,
                     const ClassShare &byNode, const ClassShare &byDomain) {
  bool isFirst = links.nodes == 0;
  const NodeType &type = nodes.type;
  links.nodes += byNode.blocks;
  links.domains += byDomain.blocks;
  links.mostPerDomain = std::max(links.mostPerDomain, byDomain.most);
  if (isFirst || byNode.fewest < links.fewestPerNode)
    links.fewestPerNode = byNode.fewest;
  if (isFirst || byDomain.fewest < links.fewestPerDomain)
    links.fewestPerDomain = byDomain.fewest;
  bool isLinked = byDomain.most > 1,
       wasLinked = links.within.level != LinkLevel::Same;
  if (!links.slowest || (isLinked && !wasLinked) ||
      (isLinked && type.within.bandwidth < links.within.bandwidth))
    links.slowest = &nodes;
  if (isLinked)
    links.within = wasLinked ? slower(links.within, type.within) : type.within;
  Link out = networkOf(nodes);
  BytesPerSecond rail{out.bandwidth.value / static_cast<double>(type.rails)};
  BytesPerSecond perDevice{out.bandwidth.value /
                           static_cast<double>(type.devicesPerNode)};
  links.network = isFirst ? out : slower(*links.network, out);
  links.rail = isFirst ? rail : std::min(links.rail, rail);
  links.perDevice = isFirst ? perDevice : std::min(links.perDevice, perDevice);
}

void Cluster::addPart(GroupLinks &links, const RankGroup &group) const {
  assert(group.size >= 1 && group.stride >= 1 && group.first >= 0 &&
         group.first + (group.size - 1) * group.stride < rankCount());
  for (int64_t done = 0; done < group.size;) {
    int64_t first = group.first + done * group.stride;
    const NodeClass &nodes = classOf(first);
    int64_t end = nodes.firstRank + nodes.rankCount();
    int64_t size =
        std::min(ceilDivide(end - first, group.stride), group.size - done);
    auto share = [&](int64_t perBlock) {
      return shareOf(perBlock, first - nodes.firstRank, size, group.stride);
    };
    addClass(links, nodes, share(nodes.type.devicesPerNode),
             share(nodes.type.devicesPerDomain()));
    done += size;
  }
}

GroupLinks Cluster::linksOf(std::span<const RankGroup> parts) const {
  GroupLinks links;
  links.nodes = links.domains = 0;
  for (const RankGroup &part : parts)
    addPart(links, part);
  if (links.domains == 1)
    links.network.reset();
  const RankGroup &group = parts.front();
  int64_t last = group.first + (group.size - 1) * group.stride;
  if (parts.size() == 1 && group.size > 1 && inOneBridge(group.first, last)) {
    links.within = *links.slowest->type.bridge;
    links.isBridged = true;
  }
  return links;
}

static void writeLink(std::string_view key, const Link &link,
                      json::Writer &writer) {
  writer.key(key).beginObject(json::Writer::Layout::Inline);
  writer.field("level", linkLevelName(link.level));
  writer.field("bytes_per_second", link.bandwidth.value);
  writer.field("latency_picoseconds", link.latency.value());
  writer.endObject();
}

static void writeTables(const EfficiencyCurves &curves, json::Writer &writer) {
  writer.key("efficiency").beginObject();
  writer.field("tile", curves.tile);
  for (const MatmulTable &table : curves.tables) {
    writer.key(precisionName(table.precision)).beginObject();
    writer.field("flops_per_second", table.peak.value);
    writer.field("m", table.grid[0]).field("n", table.grid[1]);
    writer.field("k", table.grid[2]).field("seconds", table.seconds);
    writer.endObject();
  }
  writer.endObject();
}

static void writeDevice(const DeviceType &type, json::Writer &writer) {
  writer.key("device").beginObject();
  writer.field("name", type.name);
  writer.field("kind", type.kind == DeviceType::Kind::Gpu ? "gpu" : "cpu");
  writer.key("flops_per_second").beginObject(json::Writer::Layout::Inline);
  for (size_t i = 0; i < precisionCount; ++i)
    if (type.peaks[i])
      writer.field(precisionName(static_cast<Precision>(i)),
                   type.peaks[i]->value);
  writer.endObject();
  if (type.sustainedFraction != 1)
    writer.field("sustained_fraction", type.sustainedFraction);
  if (type.portableFraction != 1)
    writer.field("portable_fraction", type.portableFraction);
  writer.field("memory_bytes", type.memory.value());
  writer.field("reserve_bytes", type.reserve.value());
  writer.field("memory_bytes_per_second", type.memoryBandwidth.value);
  writer.field("achievable_memory_fraction", type.achievableMemoryFraction);
  if (type.fastLink)
    writeLink("fast_link", *type.fastLink, writer);
  if (type.hostLink)
    writeLink("host_link", *type.hostLink, writer);
  writer.field("launch_overhead_picoseconds", type.launchOverhead.value());
  writer.field("efficiency_of", type.curves ? type.curves->type : "");
  if (type.curves && type.curves->isOwn)
    writeTables(*type.curves, writer);
  if (type.relativeEfficiency != 1)
    writer.field("relative_efficiency", type.relativeEfficiency);
  if (type.powerWatts)
    writer.field("power_watts", *type.powerWatts);
  if (type.dollarsPerHour)
    writer.field("dollars_per_hour", *type.dollarsPerHour);
  writer.endObject();
}

void whale::writeNodeType(const NodeType &type, json::Writer &writer) {
  writer.beginObject();
  writer.field("name", type.name);
  writer.field("devices", type.devicesPerNode);
  writeDevice(type.device, writer);
  writeLink("within", type.within, writer);
  if (type.bridge) {
    writer.field("bridge_size", type.bridgeSize);
    writeLink("bridge", *type.bridge, writer);
  }
  if (type.nvlinkDomain > 1)
    writer.field("nvlink_domain", type.nvlinkDomain);
  if (type.network) {
    writeLink("network", *type.network, writer);
    writer.field("rails", type.rails);
    writer.field("oversubscription", type.oversubscription);
  }
  if (type.host) {
    writer.key("host").beginObject(json::Writer::Layout::Inline);
    writer.field("memory_bytes", type.host->memory.value());
    writer.field("bytes_per_second", type.host->bandwidth.value);
    writer.field("devices_per_link", type.host->devicesPerLink);
    writer.field("usable_memory", type.host->usableMemory);
    writer.field("achievable_bandwidth", type.host->achievableBandwidth);
    writer.field("assumed", type.host->isAssumed).endObject();
  }
  writer.field("collectives_of",
               type.collectives ? type.collectives->name : "");
  writer.endObject();
}

void whale::writeCluster(const Cluster &cluster, json::Writer &writer) {
  writer.beginObject();
  writer.field("ranks", cluster.rankCount());
  writer.key("classes").beginArray();
  for (const NodeClass &nodes : cluster.classes) {
    writer.beginObject();
    writer.field("nodes", nodes.count);
    writer.key("type");
    writeNodeType(nodes.type, writer);
    writer.endObject();
  }
  writer.endArray();
  if (const Reliability &reliability = cluster.reliability;
      reliability.mtbfHoursPerDevice) {
    writer.field("mtbf_hours_per_device", *reliability.mtbfHoursPerDevice);
    writer.field("checkpoint_seconds", reliability.checkpointSeconds);
    writer.field("restart_seconds", reliability.restartSeconds);
  }
  writer.endObject();
}
