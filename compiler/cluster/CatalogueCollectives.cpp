//===- CatalogueCollectives.cpp - collectives and network parameters ------===//

#include "compiler/cluster/Catalogue.h"
#include <fmt/format.h>

using namespace whale;
using json::ObjectReader;
using json::Value;

static constexpr double giga = 1e9, micro = 1e-6;
static constexpr json::NumberBounds anyTime = {0, 1e9};
static constexpr json::NumberBounds anyPositive = {0, 1e12, true};

/// A name that `parse` must know.
template <class Parse>
static auto readName(ObjectReader &reader, const char *key,
                     std::string_view what, Parse parse)
    -> decltype(parse(std::string_view())) {
  auto name = reader.requiredString(key);
  auto value = name ? parse(*name) : std::nullopt;
  if (name && !value)
    reader.error(fmt::format("unknown {} '{}'", what, *name));
  return value;
}

/// Seconds per byte of a rate in GB/s; 0 where there is none.
static double readCost(ObjectReader &reader, const char *key) {
  auto rate = reader.number(key, anyPositive);
  return rate ? 1 / (*rate * giga) : 0;
}

static std::optional<CollectiveFit> readFit(const Value &value,
                                            Diagnostics &diags) {
  ObjectReader reader(value, "collective fit", diags);
  auto kind = readName(reader, "collective", "collective", collectiveFromName);
  auto algorithm =
      readName(reader, "algorithm", "algorithm", algorithmFromName);
  auto protocol = readName(reader, "protocol", "protocol", protocolFromName);
  CollectiveFit fit;
  if (auto ranks = reader.integer("ranks", {2, 1'000'000}))
    fit.ranks = *ranks;
  auto time = [&](const char *key) {
    return reader.requiredNumber(key, anyTime).value_or(0) * micro;
  };
  fit.start = time("start_microseconds");
  fit.step = time("step_microseconds");
  fit.root = time("microseconds_per_root_byte");
  fit.wire = readCost(reader, "wire_gigabytes_per_second");
  fit.local = readCost(reader, "local_gigabytes_per_second");
  if (!reader.finish() || !kind || !algorithm || !protocol)
    return std::nullopt;
  fit.kind = *kind;
  fit.algorithm = *algorithm;
  fit.protocol = *protocol;
  return fit;
}

/// The levels of links within a node.
static constexpr LinkLevel defaultLevels[] = {
    LinkLevel::NvLink, LinkLevel::Pcie, LinkLevel::SharedMemory};

static std::optional<LinkLevel> levelFromName(std::string_view name) {
  for (LinkLevel level : defaultLevels)
    if (linkLevelName(level) == name)
      return level;
  return std::nullopt;
}

bool Catalogue::readCollectives(const Value &value, Diagnostics &diags) {
  ObjectReader reader(value, "collectives file", diags);
  json::checkFormatVersion(reader, "collectives file", 1, diags);
  auto fits = std::make_shared<CollectiveFits>();
  fits->name = reader.requiredString("name").value_or("");
  fits->source = reader.requiredString("source").value_or("");
  reader.string("made_by");
  reader.optional("errors");
  if (const Value *measured = reader.required("link")) {
    ObjectReader group(*measured, "'link'", diags);
    auto level = readName(group, "level", "link level", levelFromName);
    if (level)
      if (auto link = readLink(group, *level, std::nullopt, diags))
        fits->link = *link;
    if (!group.finish())
      return false;
  }
  const Value::Array *array = reader.requiredArray("fits");
  if (!reader.finish())
    return false;
  for (const Value &element : *array) {
    auto fit = readFit(element, diags);
    if (!fit)
      return false;
    fits->fits.push_back(*fit);
  }
  std::string name = fits->name;
  return collectives.emplace(name, std::move(fits)).second;
}

bool Catalogue::readCollectiveDefaults(const Value &value, Diagnostics &diags) {
  ObjectReader reader(value, "defaults file", diags);
  json::checkFormatVersion(reader, "defaults file", 1, diags);
  reader.requiredString("source");
  for (LinkLevel level : defaultLevels)
    if (auto name = reader.requiredString(linkLevelName(level)))
      defaultCollectives[level] = std::move(*name);
  return reader.finish();
}

static void readProtocols(ObjectReader &reader, NetworkParameters &network,
                          Diagnostics &diags) {
  const Value *value = reader.required("protocols");
  if (!value)
    return;
  ObjectReader group(*value, "'protocols'", diags);
  group.requiredString("source");
  for (size_t i = 0; i < collectiveProtocolCount; ++i) {
    const Value *one =
        group.required(protocolName(static_cast<CollectiveProtocol>(i)));
    if (!one)
      continue;
    ObjectReader protocol(*one, "protocol", diags);
    auto number = [&](const char *key, json::NumberBounds bounds) {
      return protocol.requiredNumber(key, bounds).value_or(1);
    };
    network.protocols[i] = {number("ring_hop", {0, 1000}),
                            number("tree_hop", {0, 1000}),
                            number("bandwidth", {0, 1, true})};
    protocol.finish();
  }
  group.finish();
}

bool Catalogue::readNetworkParameters(const Value &value, Diagnostics &diags) {
  ObjectReader reader(value, "defaults file", diags);
  size_t errorsBefore = diags.errorCount();
  json::checkFormatVersion(reader, "defaults file", 1, diags);
  reader.requiredString("source");
  network.latency = picosecondsFromSeconds(
      reader.requiredNumber("latency_microseconds", anyTime).value_or(0) *
      micro);
  network.parallelSends =
      reader.requiredInteger("parallel_sends", {1, 1'000'000}).value_or(1);
  if (const Value *efficiency = reader.required("efficiency")) {
    ObjectReader group(*efficiency, "'efficiency'", diags);
    group.requiredString("source");
    auto fraction = [&](const char *key) {
      return group.requiredNumber(key, {0, 1, true}).value_or(1);
    };
    network.efficiency = fraction("collective");
    network.treeEfficiency = fraction("tree");
    network.sendEfficiency = fraction("send");
    network.allToAllEfficiency = fraction("all_to_all");
    group.finish();
  }
  readProtocols(reader, network, diags);
  return reader.finish() && diags.errorCount() == errorsBefore;
}

bool Catalogue::checkDefaults(Diagnostics &diags) const {
  for (LinkLevel level : defaultLevels) {
    auto name = defaultCollectives.find(level);
    if (name != defaultCollectives.end() && collectives.contains(name->second))
      continue;
    diags.error(
        Place{"catalogue/defaults/collectives.json"},
        fmt::format("no collectives stand in for {}", linkLevelName(level)));
    return false;
  }
  return true;
}

std::shared_ptr<const CollectiveFits>
Catalogue::standInFits(const Link &link) const {
  auto name = defaultCollectives.find(link.level);
  if (name == defaultCollectives.end())
    return nullptr;
  auto found = collectives.find(name->second);
  if (found == collectives.end())
    return nullptr;
  return std::make_shared<CollectiveFits>(found->second->scaledTo(link));
}

void Catalogue::completeCollectives(NodeType &node) const {
  if (node.bridge)
    node.bridgeCollectives = standInFits(*node.bridge);
  std::shared_ptr<const CollectiveFits> standIn = standInFits(node.within);
  if (!node.collectives || !standIn) {
    node.collectives = node.collectives ? node.collectives : standIn;
    return;
  }
  CollectiveFits all = *node.collectives;
  for (const CollectiveFit &fit : standIn->fits)
    if (!node.collectives->hasGeneral(fit.kind))
      all.fits.push_back(fit);
  node.collectives = std::make_shared<CollectiveFits>(std::move(all));
}
