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

/// The way out of a node. parseCluster demands one where there are two nodes.
static Link networkOf(const NodeClass &nodes, double oversubscription) {
  Link link = nodes.type.network.value_or(Link{LinkLevel::Network, {}, {}});
  link.bandwidth.value /= oversubscription;
  return link;
}

Link Cluster::linkBetween(int64_t a, int64_t b) const {
  if (a == b)
    return {};
  const NodeClass &classA = classOf(a), &classB = classOf(b);
  if (nodeOf(a) == nodeOf(b))
    return classA.type.within;
  return slower(networkOf(classA, oversubscription),
                networkOf(classB, oversubscription));
}

namespace {
/// How the members of a group that lie in one class fill its nodes.
struct ClassShare {
  int64_t nodes, most, fewest;
};
} // namespace

/// Members are `first + i * stride`, all in `nodes`. A stride of at least the
/// node's size puts each member into a node of its own; a smaller one leaves no
/// node between the first and the last out.
static ClassShare shareOf(const NodeClass &nodes, int64_t first, int64_t size,
                          int64_t stride) {
  int64_t perNode = nodes.type.devicesPerNode;
  if (stride >= perNode)
    return {size, 1, 1};
  int64_t last = first + (size - 1) * stride;
  int64_t firstNode = nodeInClass(nodes, first);
  int64_t lastNode = nodeInClass(nodes, last);
  if (firstNode == lastNode)
    return {1, size, size};
  auto membersBefore = [&](int64_t node) {
    int64_t begin = nodes.firstRank + node * perNode;
    return begin <= first ? 0 : ceilDivide(begin - first, stride);
  };
  int64_t inFirst = membersBefore(firstNode + 1);
  int64_t inLast = size - membersBefore(lastNode);
  ClassShare share{lastNode - firstNode + 1, std::max(inFirst, inLast),
                   std::min(inFirst, inLast)};
  // Full nodes between hold floor or ceil of perNode / stride; which of both
  // occurs repeats with a period of at most `stride` nodes.
  int64_t between = std::min(lastNode - firstNode - 1, stride);
  for (int64_t node = firstNode + 1; node <= firstNode + between; ++node) {
    int64_t members = membersBefore(node + 1) - membersBefore(node);
    share.most = std::max(share.most, members);
    share.fewest = std::min(share.fewest, members);
  }
  return share;
}

GroupLinks Cluster::linksOf(const RankGroup &group) const {
  assert(group.size >= 1 && group.stride >= 1 && group.first >= 0 &&
         group.first + (group.size - 1) * group.stride < rankCount());
  GroupLinks links;
  links.nodes = 0;
  links.fewestPerNode = group.size;
  std::optional<Link> within, network;
  int64_t classesUsed = 0;
  for (int64_t done = 0; done < group.size;) {
    int64_t first = group.first + done * group.stride;
    const NodeClass &nodes = classOf(first);
    int64_t end = nodes.firstRank + nodes.rankCount();
    int64_t size =
        std::min(ceilDivide(end - first, group.stride), group.size - done);
    ClassShare share = shareOf(nodes, first, size, group.stride);
    links.nodes += share.nodes;
    links.mostPerNode = std::max(links.mostPerNode, share.most);
    links.fewestPerNode = std::min(links.fewestPerNode, share.fewest);
    if (share.most > 1)
      within = within ? slower(*within, nodes.type.within) : nodes.type.within;
    Link out = networkOf(nodes, oversubscription);
    network = network ? slower(*network, out) : out;
    links.onlyClass = classesUsed++ ? nullptr : &nodes;
    done += size;
  }
  links.within = within.value_or(Link{});
  if (links.nodes > 1)
    links.network = network;
  return links;
}

const CollectiveFit *whale::collectiveFit(const Cluster &cluster,
                                          CollectiveKind kind,
                                          const RankGroup &group) {
  GroupLinks links = cluster.linksOf(group);
  if (links.nodes != 1 || !links.onlyClass->type.collectives)
    return nullptr;
  return links.onlyClass->type.collectives->find(kind, group.size);
}

static void writeLink(std::string_view key, const Link &link,
                      json::Writer &writer) {
  writer.key(key).beginObject(json::Writer::Layout::Inline);
  writer.field("level", linkLevelName(link.level));
  writer.field("bytes_per_second", link.bandwidth.value);
  writer.field("latency_picoseconds", link.latency.value());
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
  writer.endObject();
}

void whale::writeNodeType(const NodeType &type, json::Writer &writer) {
  writer.beginObject();
  writer.field("name", type.name);
  writer.field("devices", type.devicesPerNode);
  writeDevice(type.device, writer);
  writeLink("within", type.within, writer);
  if (type.network)
    writeLink("network", *type.network, writer);
  writer.field("collectives_of",
               type.collectives ? type.collectives->name : "");
  writer.endObject();
}

void whale::writeCluster(const Cluster &cluster, json::Writer &writer) {
  writer.beginObject();
  writer.field("ranks", cluster.rankCount());
  writer.field("oversubscription", cluster.oversubscription);
  writer.key("classes").beginArray();
  for (const NodeClass &nodes : cluster.classes) {
    writer.beginObject();
    writer.field("nodes", nodes.count);
    writer.key("type");
    writeNodeType(nodes.type, writer);
    writer.endObject();
  }
  writer.endArray();
  writer.endObject();
}
