//===- ClusterReader.cpp - cluster.json to Cluster ------------------------===//

#include "compiler/cluster/Cluster.h"
#include "compiler/support/CheckedMath.h"
#include "compiler/support/Files.h"
#include "compiler/support/Text.h"
#include <fmt/format.h>

using namespace whale;
using json::ObjectReader;
using json::Value;

/// A thousand times the largest cluster there is; keeps rank arithmetic far
/// from overflow.
static constexpr int64_t maxRanks = 100'000'000;

namespace {
/// Reads one file. Own types go into a copy of the catalogue.
class ClusterReader {
public:
  ClusterReader(const Value &root, Catalogue catalogue, Diagnostics &diags)
      : reader(root, "cluster", diags), catalogue(std::move(catalogue)),
        diags(diags) {}

  std::optional<Cluster> read();

private:
  void readDeviceTypes();
  void readNodeTypes();
  void readPreset(const Value &preset);
  void readNodeList(const Value &nodes);
  void readNodeEntry(const Value &entry);
  void readNetwork();
  void readReserve();
  void readPrice();
  void readReliability();
  void addNodes(NodeType type, int64_t count, bool hasOwnNetwork, Place place);
  void numberRanks();
  void mergeNeighbours();
  void checkNetworks();

  ObjectReader reader;
  Catalogue catalogue;
  Diagnostics &diags;
  Cluster cluster;
  /// By class: the file itself gave the class its network.
  std::vector<bool> hasOwnNetwork;
};
} // namespace

/// The members of an object of named types; null if absent or wrong.
static const Value::Object *namedTypes(ObjectReader &reader, const char *key,
                                       Diagnostics &diags) {
  const Value *types = reader.optional(key);
  if (!types)
    return nullptr;
  if (types->isObject())
    return &types->members();
  diags.error(types->place(), fmt::format("'{}' must be an object, found {}",
                                          key, kindName(types->kind())));
  return nullptr;
}

void ClusterReader::readDeviceTypes() {
  const Value::Object *types = namedTypes(reader, "device_types", diags);
  if (!types)
    return;
  for (const json::Member &member : *types) {
    auto type = catalogue.readDevice(member.value, member.key, diags);
    if (type && !catalogue.add(std::move(*type)))
      diags
          .error(member.keyPlace, fmt::format("device type '{}' is already in "
                                              "the catalogue",
                                              member.key))
          .hint("choose another name and give the old one as 'base'");
  }
}

void ClusterReader::readNodeTypes() {
  const Value::Object *types = namedTypes(reader, "node_types", diags);
  if (!types)
    return;
  for (const json::Member &member : *types) {
    ObjectReader type(member.value, "node type", diags);
    std::optional<NodeType> base;
    if (const Value *name = type.optional("base")) {
      base = catalogue.expectNode(*name, diags);
      if (!base)
        continue;
    }
    auto node = catalogue.readNode(type, member.key, base, diags);
    if (!type.finish() || !node)
      continue;
    if (catalogue.findDevice(member.key) || !catalogue.add(std::move(*node)))
      diags
          .error(member.keyPlace,
                 fmt::format("node type '{}' is already in the catalogue",
                             member.key))
          .hint("choose another name and give the old one as 'base'");
  }
}

void ClusterReader::addNodes(NodeType type, int64_t count, bool ownNetwork,
                             Place place) {
  cluster.classes.push_back({std::move(type), count, 0, 0, std::move(place)});
  hasOwnNetwork.push_back(ownNetwork);
}

/// {"preset": "dgx-h100", "nodes": 4}, {"preset": "t4", "gpus_per_node": 2},
/// {"preset": "cpu", "ranks": 4}.
void ClusterReader::readPreset(const Value &preset) {
  int64_t count = reader.integer("nodes", {1, maxRanks}).value_or(1);
  auto type = catalogue.expectNode(preset, diags);
  if (!type)
    return;
  bool isCpu = type->device.kind == DeviceType::Kind::Cpu;
  const char *perNodeKey = isCpu ? "ranks" : "gpus_per_node";
  // Only hosts made of single cards have a number of cards to choose.
  if (catalogue.findDevice(preset.asString()))
    if (auto perNode = reader.integer(perNodeKey, {1, 1'000'000}))
      type->devicesPerNode = *perNode;
  addNodes(std::move(*type), count, false, preset.place());
}

void ClusterReader::readNodeEntry(const Value &value) {
  ObjectReader entry(value, "node", diags);
  int64_t count = entry.integer("count", {1, maxRanks}).value_or(1);
  const Value *type = entry.optional("type");
  std::optional<NodeType> base;
  if (type) {
    base = catalogue.expectNode(*type, diags);
    if (!base)
      return;
  }
  if (!type && value.isObject() && !value.find("gpus")) {
    entry.error("node needs key 'type' or 'gpus'");
    return;
  }
  // Inline nodes are named after what they hold: "8 x v100-32".
  bool ownNetwork = value.isObject() && value.find("network");
  auto node = catalogue.readNode(entry, base ? base->name : "", base, diags);
  if (!entry.finish() || !node)
    return;
  if (!base) {
    node->name =
        fmt::format("{} x {}", node->devicesPerNode, node->device.name);
    if (!value.find("title"))
      node->title = node->name;
  }
  addNodes(std::move(*node), count, ownNetwork, value.place());
}

void ClusterReader::readNodeList(const Value &nodes) {
  const Value::Array *entries = json::toArray(nodes, "'nodes'", diags);
  if (!entries)
    return;
  if (entries->empty())
    diags.error(nodes.place(), "'nodes' is empty");
  for (const Value &entry : *entries)
    readNodeEntry(entry);
}

/// The network of the whole cluster takes the place of the types' own, but not
/// of one that a node entry gives.
void ClusterReader::readNetwork() {
  const Value *network = reader.optional("network");
  if (!network)
    return;
  ObjectReader group(*network, "'network'", diags);
  auto oversubscription = group.number("oversubscription", {1, 1e6});
  auto rails = group.integer("rails", {1, 1'000'000});
  group.string("source");
  for (size_t i = 0; i < cluster.classes.size(); ++i) {
    NodeType &type = cluster.classes[i].type;
    type.oversubscription = oversubscription.value_or(type.oversubscription);
    if (!hasOwnNetwork[i])
      type.rails = rails.value_or(type.rails);
  }
  bool hasLink =
      network->isObject() && (network->find("bandwidth_gigabytes_per_second") ||
                              network->find("bandwidth_gigabits_per_second") ||
                              network->find("latency_microseconds"));
  size_t errorsBefore = diags.errorCount();
  for (size_t i = 0; i < cluster.classes.size() && hasLink; ++i) {
    std::optional<Link> &own = cluster.classes[i].type.network;
    auto link = catalogue.readNetwork(group, own, diags);
    if (diags.errorCount() != errorsBefore)
      break;
    if (!hasOwnNetwork[i])
      own = link;
  }
  // Without a class the keys are still known ones.
  for (const char *key :
       {"bandwidth_gigabytes_per_second", "bandwidth_gigabits_per_second",
        "latency_microseconds"})
    group.optional(key);
  group.finish();
}

void ClusterReader::readReserve() {
  const Value *value = reader.optional("reserve_gibibytes");
  auto reserve = reader.number("reserve_gibibytes", {0, 1e9});
  if (!reserve)
    return;
  for (NodeClass &nodes : cluster.classes) {
    DeviceType &device = nodes.type.device;
    Bytes own = device.reserve;
    device.reserve = Bytes::fromDouble(*reserve * 1073741824.0);
    device.margin = device.reserve - own;
    if (device.reserve < device.memory)
      continue;
    diags.error(value->place(),
                fmt::format("reserve of {} leaves nothing of the memory of "
                            "'{}', {}",
                            formatBytes(device.reserve), device.name,
                            formatBytes(device.memory)));
    return;
  }
}

void ClusterReader::readPrice() {
  if (auto price = reader.number("price_per_device_hour", {0, 1e9}))
    for (NodeClass &nodes : cluster.classes)
      nodes.type.device.dollarsPerHour = *price;
}

void ClusterReader::readReliability() {
  Reliability &reliability = cluster.reliability;
  reliability.mtbfHoursPerDevice =
      reader.number("mtbf_hours_per_device", {0, 1e12, true});
  const Value *mtbf = reader.optional("mtbf_hours_per_device");
  for (auto [key, seconds] :
       {std::pair("checkpoint_seconds", &reliability.checkpointSeconds),
        std::pair("restart_seconds", &reliability.restartSeconds)}) {
    const Value *value = reader.optional(key);
    *seconds = reader.number(key, {0, 1e9}).value_or(0);
    if (value && !mtbf)
      diags.error(value->place(),
                  fmt::format("'{}' needs 'mtbf_hours_per_device'", key));
  }
}

/// Everything that tells two node types apart.
static std::string fingerprint(const NodeType &type) {
  json::Writer writer;
  writeNodeType(type, writer);
  return writer.take();
}

/// Equal neighbours are one class, however the file lists them.
void ClusterReader::mergeNeighbours() {
  std::vector<NodeClass> merged;
  for (NodeClass &nodes : cluster.classes) {
    if (!merged.empty() &&
        fingerprint(merged.back().type) == fingerprint(nodes.type))
      merged.back().count += nodes.count;
    else
      merged.push_back(std::move(nodes));
  }
  cluster.classes = std::move(merged);
}

void ClusterReader::numberRanks() {
  int64_t node = 0, rank = 0;
  for (NodeClass &nodes : cluster.classes) {
    nodes.firstNode = node;
    nodes.firstRank = rank;
    // Each factor is at most 1e8, so neither product nor sum overflows.
    rank += nodes.rankCount();
    node += nodes.count;
    if (rank > maxRanks) {
      diags.error(nodes.place, fmt::format("cluster has more than {} devices",
                                           formatCount(maxRanks)));
      return;
    }
  }
}

/// A network is needed as soon as there are two domains.
void ClusterReader::checkNetworks() {
  const NodeClass &only = cluster.classes.front();
  if (cluster.isHomogeneous() && only.count <= only.type.nvlinkDomain)
    return;
  for (const NodeClass &nodes : cluster.classes)
    if (!nodes.type.network) {
      diags
          .error(nodes.place,
                 fmt::format("node type '{}' says nothing about "
                             "its network, and there are {} nodes",
                             nodes.type.name, formatCount(cluster.nodeCount())))
          .hint("add \"network\": {\"bandwidth_gigabits_per_second\": ...} to "
                "the node or to the cluster");
      return;
    }
}

std::optional<Cluster> ClusterReader::read() {
  if (!json::checkFormatVersion(reader, "the cluster file", 1, diags))
    return std::nullopt;
  size_t errorsBefore = diags.errorCount();
  readDeviceTypes();
  readNodeTypes();
  if (const Value *preset = reader.optional("preset"))
    readPreset(*preset);
  else if (const Value *nodes = reader.required("nodes"))
    readNodeList(*nodes);
  readNetwork();
  readReserve();
  readPrice();
  readReliability();
  reader.finish();
  if (diags.errorCount() != errorsBefore)
    return std::nullopt;
  numberRanks();
  mergeNeighbours();
  if (diags.errorCount() == errorsBefore)
    checkNetworks();
  if (diags.errorCount() != errorsBefore)
    return std::nullopt;
  for (NodeClass &nodes : cluster.classes) {
    catalogue.completeCollectives(nodes.type);
    catalogue.completeHost(nodes.type);
  }
  cluster.network = catalogue.networkParameters();
  return std::move(cluster);
}

std::optional<Cluster> whale::parseCluster(std::string_view text,
                                           std::string_view file,
                                           const Catalogue &catalogue,
                                           Diagnostics &diags) {
  auto root = json::parse(text, file, diags);
  if (!root)
    return std::nullopt;
  return ClusterReader(*root, catalogue, diags).read();
}

std::optional<Cluster> whale::readCluster(const std::string &path,
                                          Diagnostics &diags) {
  auto catalogue = Catalogue::load(diags);
  auto text = readFile(path, diags, json::Limits().bytes);
  if (!catalogue || !text)
    return std::nullopt;
  return parseCluster(*text, path, *catalogue, diags);
}
