//===- Catalogue.cpp ------------------------------------------------------===//

#include "compiler/cluster/Catalogue.h"
#include "compiler/support/Suggest.h"
#include "compiler/support/Text.h"
#include <fmt/format.h>

using namespace whale;
using json::ObjectReader;
using json::Value;

using Sources = std::vector<std::pair<std::string, std::string>>;

void whale::readSource(ObjectReader &reader, std::string_view group,
                       Sources &sources) {
  auto source = reader.string("source");
  if (!source)
    return;
  for (auto &[name, text] : sources)
    if (name == group) {
      text = std::move(*source);
      return;
    }
  sources.emplace_back(group, std::move(*source));
}

/// Field values in the file are in readable units.
static constexpr double giga = 1e9, tera = 1e12, micro = 1e-6,
                        gibi = 1073741824.0;

/// Upper bounds keep every product of the cost model finite; the largest
/// devices are six orders below.
static constexpr json::NumberBounds anyPositive = {0, 1e12, true};
/// Of links: below a megabyte a second times leave the range that is planned in
/// (106 days).
static constexpr json::NumberBounds linkRate = {1e-3, 1e12};

std::optional<Link> whale::readLink(ObjectReader &reader, LinkLevel level,
                                    const std::optional<Link> &base,
                                    Diagnostics &diags,
                                    std::optional<Picoseconds> defaultLatency) {
  constexpr const char *inBytes = "bandwidth_gigabytes_per_second";
  constexpr const char *inBits = "bandwidth_gigabits_per_second";
  size_t errorsBefore = diags.errorCount();
  const Value *bytesValue = reader.optional(inBytes);
  const Value *bitsValue = reader.optional(inBits);
  auto bytes = reader.number(inBytes, linkRate);
  auto bits = reader.number(inBits, linkRate);
  auto latency = reader.number("latency_microseconds", {0, 1e9});
  if (bytesValue && bitsValue)
    diags.error(
        bitsValue->place(),
        fmt::format("'{}' and '{}' exclude each other", inBytes, inBits));
  if (!base && !bytesValue && !bitsValue)
    reader.error(fmt::format("link needs key '{}' or '{}'", inBytes, inBits));
  if (!base && !defaultLatency)
    reader.required("latency_microseconds");
  if (diags.errorCount() != errorsBefore)
    return std::nullopt;
  Link link =
      base.value_or(Link{level, {}, defaultLatency.value_or(Picoseconds())});
  link.level = level;
  if (bytes)
    link.bandwidth = {*bytes * giga};
  if (bits)
    link.bandwidth = {*bits * giga / 8};
  if (latency)
    link.latency = picosecondsFromSeconds(*latency * micro);
  return link;
}

namespace {
/// Reads the groups of one device type onto what `base` gave.
class DeviceReader {
public:
  DeviceReader(ObjectReader &reader, DeviceType &type, bool hasBase,
               Diagnostics &diags)
      : reader(reader), type(type), hasBase(hasBase), diags(diags) {}

  void read() {
    readKind();
    readPeaks();
    readMemory();
    readDeviceLink("nvlink", LinkLevel::NvLink, type.fastLink);
    readDeviceLink("infinity_fabric", LinkLevel::NvLink, type.fastLink);
    readDeviceLink("pcie", LinkLevel::Pcie, type.hostLink);
    readDeviceLink("shared_memory", LinkLevel::SharedMemory, type.hostLink);
    if (!type.fastLink && !type.hostLink)
      reader.error("device type needs a link: 'nvlink', "
                   "'infinity_fabric', 'pcie' or 'shared_memory'");
    readLaunchOverhead();
    readReserve();
    readOne("power", "watts", type.powerWatts);
    readOne("price", "dollars_per_hour", type.dollarsPerHour);
  }

private:
  const Value *group(const char *key) {
    return hasBase ? reader.optional(key) : reader.required(key);
  }
  void readKind() {
    auto kind = hasBase ? reader.string("kind") : reader.requiredString("kind");
    if (!kind)
      return;
    if (*kind != "gpu" && *kind != "cpu")
      diags.error(
          reader.optional("kind")->place(),
          fmt::format("'kind' must be 'gpu' or 'cpu', found '{}'", *kind));
    type.kind = *kind == "cpu" ? DeviceType::Kind::Cpu : DeviceType::Kind::Gpu;
  }
  void readPeaks() {
    const Value *value = group("peak_teraflops");
    if (!value)
      return;
    ObjectReader peaks(*value, "'peak_teraflops'", diags);
    for (size_t i = 0; i < precisionCount; ++i)
      if (auto peak = peaks.number(precisionName(static_cast<Precision>(i)),
                                   anyPositive))
        type.peaks[i] = FlopsPerSecond{*peak * tera};
    if (auto share = peaks.number("sustained_fraction", {0, 1, true}))
      type.sustainedFraction = *share;
    if (auto share = peaks.number("portable_fraction", {0, 1, true}))
      type.portableFraction = *share;
    readSource(peaks, "peak_teraflops", type.sources);
    if (peaks.finish() && !type.peaks[size_t(Precision::F32)] &&
        !type.peaks[size_t(Precision::F64)])
      peaks.error("'peak_teraflops' needs 'f32' or 'f64'");
  }
  void readMemory() {
    const Value *value = group("memory");
    if (!value)
      return;
    ObjectReader memory(*value, "'memory'", diags);
    auto number = [&](const char *key, json::NumberBounds bounds) {
      return hasBase ? memory.number(key, bounds)
                     : memory.requiredNumber(key, bounds);
    };
    if (auto capacity = number("capacity_gibibytes", {0, 1e9, true}))
      type.memory = Bytes::fromDouble(*capacity * gibi);
    if (auto rate = number("bandwidth_gigabytes_per_second", anyPositive))
      type.memoryBandwidth = {*rate * giga};
    if (auto fraction = number("achievable_fraction", {0, 1, true}))
      type.achievableMemoryFraction = *fraction;
    readSource(memory, "memory", type.sources);
    memory.finish();
  }
  void readDeviceLink(const char *key, LinkLevel level,
                      std::optional<Link> &link) {
    const Value *value = reader.optional(key);
    if (!value)
      return;
    ObjectReader group(*value, quoted(key), diags);
    if (auto read = readLink(group, level, link, diags))
      link = read;
    readSource(group, key, type.sources);
    group.finish();
  }
  /// An optional group of one number.
  void readOne(const char *key, const char *unit,
               std::optional<double> &number) {
    const Value *value = reader.optional(key);
    if (!value)
      return;
    ObjectReader group(*value, quoted(key), diags);
    if (auto read = group.requiredNumber(unit, {0, 1e9}))
      number = read;
    readSource(group, key, type.sources);
    group.finish();
  }
  void readLaunchOverhead() {
    const Value *value = group("launch_overhead");
    if (!value)
      return;
    ObjectReader overhead(*value, "'launch_overhead'", diags);
    if (auto time = overhead.requiredNumber("microseconds", {0, 1e9}))
      type.launchOverhead = picosecondsFromSeconds(*time * micro);
    readSource(overhead, "launch_overhead", type.sources);
    overhead.finish();
  }
  void readReserve() {
    const Value *value = group("reserve");
    if (!value)
      return;
    ObjectReader reserve(*value, "'reserve'", diags);
    if (auto amount = reserve.requiredNumber("gibibytes", {0, 1e9}))
      type.reserve = Bytes::fromDouble(*amount * gibi);
    readSource(reserve, "reserve", type.sources);
    if (reserve.finish() && type.memory <= type.reserve)
      reserve.error(fmt::format("reserve of {} leaves nothing of the memory of "
                                "{}",
                                formatBytes(type.reserve),
                                formatBytes(type.memory)));
  }

  ObjectReader &reader;
  DeviceType &type;
  bool hasBase;
  Diagnostics &diags;
};
} // namespace

Diag &whale::unknownName(const Value &value, std::string_view what,
                         const std::vector<std::string> &known,
                         Diagnostics &diags) {
  Diag &diag = diags.error(
      value.place(), fmt::format("unknown {} '{}'", what, value.asString()));
  if (auto near = suggest(value.asString(), known))
    diag.hint(fmt::format("did you mean '{}'? 'whalec cluster list' names all "
                          "types",
                          *near));
  else
    diag.hint(fmt::format("known: {}", quotedList(known, 40)));
  return diag;
}

const DeviceType *Catalogue::expectDevice(const Value &name,
                                          Diagnostics &diags) const {
  if (!json::toString(name, "device type", diags))
    return nullptr;
  const DeviceType *type = findDevice(name.asString());
  if (!type)
    unknownName(name, "device type", deviceNames(), diags);
  return type;
}

bool Catalogue::readSimilar(ObjectReader &reader, DeviceType &type,
                            Diagnostics &diags) const {
  // Own measurements win over borrowed ones.
  auto own = efficiencies.find(type.name);
  if (own != efficiencies.end())
    type.curves = own->second;
  const Value *value = reader.optional("similar_to");
  if (!value)
    return true;
  ObjectReader group(*value, "'similar_to'", diags);
  const Value *name = group.required("type");
  double relative =
      group.number("relative_efficiency", {0, 10, true}).value_or(1);
  readSource(group, "similar_to", type.sources);
  if (!group.finish() || !json::toString(*name, "'type'", diags))
    return false;
  auto borrowed = efficiencies.find(name->asString());
  if (borrowed == efficiencies.end()) {
    std::vector<std::string> known;
    for (const auto &[known_, curves] : efficiencies)
      known.push_back(known_);
    unknownName(*name, "measured device type", known, diags);
    return false;
  }
  if (own != efficiencies.end())
    return true;
  type.curves = borrowed->second;
  type.relativeEfficiency = relative;
  return true;
}

static void readAliases(ObjectReader &reader, DeviceType &type,
                        Diagnostics &diags) {
  const Value *value = reader.optional("aliases");
  const Value::Array *array =
      value ? json::toArray(*value, "'aliases'", diags) : nullptr;
  if (!array)
    return;
  for (const Value &element : *array)
    if (json::toString(element, "alias", diags))
      type.aliases.push_back(element.asString());
}

std::optional<DeviceType> Catalogue::readDevice(const Value &value,
                                                std::string name,
                                                Diagnostics &diags) const {
  size_t errorsBefore = diags.errorCount();
  ObjectReader reader(value, "device type", diags);
  DeviceType type;
  const Value *base = reader.optional("base");
  if (base)
    if (const DeviceType *found = expectDevice(*base, diags))
      type = *found;
  type.name = std::move(name);
  type.title = reader.string("title").value_or(type.name);
  type.aliases.clear();
  readAliases(reader, type, diags);
  // Keys that only the catalogue's own files have.
  reader.optional("format_version");
  reader.optional("name");
  DeviceReader(reader, type, base != nullptr, diags).read();
  readSimilar(reader, type, diags);
  readOwnEfficiency(reader, type, diags);
  reader.finish();
  if (diags.errorCount() != errorsBefore)
    return std::nullopt;
  return type;
}

std::optional<NodeType> Catalogue::expectNode(const Value &name,
                                              Diagnostics &diags) const {
  if (!json::toString(name, "node type", diags))
    return std::nullopt;
  if (const NodeType *type = findNode(name.asString()))
    return *type;
  if (const DeviceType *device = findDevice(name.asString())) {
    NodeType host;
    host.name = device->name;
    host.title = "Host with " + device->title;
    host.device = *device;
    host.within = device->linkWithin();
    return host;
  }
  std::vector<std::string> known = nodeNames();
  for (std::string &device : deviceNames())
    known.push_back(std::move(device));
  unknownName(name, "node or device type", known, diags);
  return std::nullopt;
}

void Catalogue::readGpus(ObjectReader &reader, NodeType &node,
                         Diagnostics &diags) const {
  const Value *gpus = reader.required("gpus");
  if (!gpus)
    return;
  ObjectReader group(*gpus, "'gpus'", diags);
  if (const Value *type = group.required("type"))
    if (const DeviceType *found = expectDevice(*type, diags)) {
      node.device = *found;
      node.within = found->linkWithin();
    }
  node.devicesPerNode =
      group.requiredInteger("count", {1, 1'000'000}).value_or(1);
  group.finish();
}

static void readWithin(ObjectReader &reader, NodeType &node,
                       Diagnostics &diags) {
  const Value *within = reader.optional("within");
  if (!within)
    return;
  ObjectReader group(*within, "'within'", diags);
  LinkLevel level = node.within.level;
  if (auto name = group.string("level")) {
    if (*name != "nvlink" && *name != "pcie")
      diags.error(
          group.optional("level")->place(),
          fmt::format("'level' must be 'nvlink' or 'pcie', found '{}'", *name));
    level = *name == "nvlink" ? LinkLevel::NvLink : LinkLevel::Pcie;
  }
  // Another level starts from what the device itself has of it.
  std::optional<Link> base = node.within;
  if (level != node.within.level)
    base =
        level == LinkLevel::Pcie ? node.device.hostLink : node.device.fastLink;
  if (auto link = readLink(group, level, base, diags)) {
    node.within = *link;
    // The fit was measured over the link that is replaced.
    node.collectives = nullptr;
  }
  readSource(group, "within", node.sources);
  group.finish();
}

static void readNvlinkDomain(ObjectReader &reader, NodeType &node,
                             Diagnostics &diags) {
  const Value *value = reader.optional("nvlink_domain");
  node.nvlinkDomain =
      reader.integer("nvlink_domain", {1, 100'000}).value_or(node.nvlinkDomain);
  if (value && node.nvlinkDomain > 1 && node.within.level != LinkLevel::NvLink)
    diags.error(value->place(),
                fmt::format("'nvlink_domain' needs devices linked by NVLink, "
                            "those of '{}' are linked by {}",
                            node.device.name,
                            linkLevelName(node.within.level)));
}

static void readBridge(ObjectReader &reader, NodeType &node,
                       Diagnostics &diags) {
  const Value *value = reader.optional("bridge");
  if (!value)
    return;
  ObjectReader group(*value, "'bridge'", diags);
  node.bridgeSize = group.requiredInteger("gpus", {2, 1'000'000}).value_or(1);
  node.bridge = readLink(group, LinkLevel::NvLink, std::nullopt, diags);
  readSource(group, "bridge", node.sources);
  group.finish();
  if (node.within.level == LinkLevel::NvLink)
    diags.error(value->place(),
                fmt::format("'bridge' joins devices that are linked by pcie, "
                            "those of '{}' are linked by nvlink",
                            node.device.name));
}

void Catalogue::readCollectiveFit(ObjectReader &reader, NodeType &node,
                                  Diagnostics &diags) const {
  const Value *value = reader.optional("collectives");
  if (!value)
    return;
  ObjectReader group(*value, "'collectives'", diags);
  const Value *fit = group.required("fit");
  readSource(group, "collectives", node.sources);
  if (!group.finish() || !json::toString(*fit, "'fit'", diags))
    return;
  auto found = collectives.find(fit->asString());
  if (found != collectives.end()) {
    node.collectives = found->second;
    return;
  }
  std::vector<std::string> known;
  for (const auto &[name, fits] : collectives)
    known.push_back(name);
  unknownName(*fit, "collective fit", known, diags);
}

std::optional<Link> Catalogue::readNetwork(ObjectReader &group,
                                           const std::optional<Link> &base,
                                           Diagnostics &diags) const {
  return readLink(group, LinkLevel::Network, base, diags, network.latency);
}

std::optional<NodeType> Catalogue::readNode(ObjectReader &reader,
                                            std::string name,
                                            const std::optional<NodeType> &base,
                                            Diagnostics &diags) const {
  size_t errorsBefore = diags.errorCount();
  NodeType node = base.value_or(NodeType{});
  node.name = std::move(name);
  node.title = reader.string("title").value_or(base ? base->title : node.name);
  if (!base)
    readGpus(reader, node, diags);
  if (diags.errorCount() == errorsBefore)
    readWithin(reader, node, diags);
  else
    reader.optional("within");
  if (const Value *network = reader.optional("network")) {
    ObjectReader group(*network, "'network'", diags);
    node.network = readNetwork(group, node.network, diags);
    node.rails = group.integer("rails", {1, 1'000'000}).value_or(node.rails);
    node.oversubscription = group.number("oversubscription", {1, 1e6})
                                .value_or(node.oversubscription);
    readSource(group, "network", node.sources);
    group.finish();
  }
  readNvlinkDomain(reader, node, diags);
  readBridge(reader, node, diags);
  readHost(reader, node, diags);
  readCollectiveFit(reader, node, diags);
  if (diags.errorCount() != errorsBefore)
    return std::nullopt;
  return node;
}

//===----------------------------------------------------------------------===//
// Measured data
//===----------------------------------------------------------------------===//

/// An ascending list of at least two positive numbers.
static std::optional<std::vector<double>>
readGrid(ObjectReader &reader, const char *key, Diagnostics &diags) {
  const Value::Array *array = reader.requiredArray(key);
  if (!array)
    return std::nullopt;
  std::vector<double> grid;
  for (const Value &element : *array) {
    auto number =
        json::toNumber(element, quoted(key), diags, json::positiveNumber);
    if (!number)
      return std::nullopt;
    if (!grid.empty() && *number <= grid.back()) {
      diags.error(element.place(), fmt::format("'{}' must ascend", key));
      return std::nullopt;
    }
    grid.push_back(*number);
  }
  if (grid.size() < 2) {
    reader.error(fmt::format("'{}' needs two values", key));
    return std::nullopt;
  }
  return grid;
}

/// Times by m, then n, then k, as arrays of arrays of arrays.
static bool readTimes(const Value &value, MatmulTable &table, size_t axis,
                      Diagnostics &diags) {
  if (axis == table.grid.size()) {
    auto number = json::toNumber(value, "time", diags, json::positiveNumber);
    if (number)
      table.seconds.push_back(*number * micro);
    return number.has_value();
  }
  const Value::Array *array = json::toArray(value, "'microseconds'", diags);
  if (!array)
    return false;
  if (array->size() != table.grid[axis].size()) {
    diags.error(value.place(),
                fmt::format("'microseconds' has {} values of {}, expected {}",
                            array->size(), std::string_view("mnk")[axis],
                            table.grid[axis].size()));
    return false;
  }
  for (const Value &element : *array)
    if (!readTimes(element, table, axis + 1, diags))
      return false;
  return true;
}

static std::optional<MatmulTable> readTable(const json::Member &member,
                                            Diagnostics &diags) {
  auto precision = precisionFromName(member.key);
  if (!precision) {
    diags.error(member.keyPlace,
                fmt::format("unknown precision '{}'", member.key));
    return std::nullopt;
  }
  ObjectReader reader(member.value, "efficiency table", diags);
  MatmulTable table;
  table.precision = *precision;
  table.source = reader.requiredString("source").value_or("");
  table.peak = {
      reader.requiredNumber("peak_teraflops", anyPositive).value_or(1) * tera};
  for (const char *key : {"rows", "waves", "error", "held_out_error"})
    reader.optional(key);
  bool hasGrid = true;
  for (size_t axis = 0; axis < table.grid.size(); ++axis) {
    constexpr std::array<const char *, 3> keys = {"m", "n", "k"};
    auto grid = readGrid(reader, keys[axis], diags);
    hasGrid &= grid.has_value();
    if (grid)
      table.grid[axis] = std::move(*grid);
  }
  const Value *times = reader.required("microseconds");
  if (!reader.finish() || !hasGrid || !readTimes(*times, table, 0, diags))
    return std::nullopt;
  return table;
}

/// `tile` and `tables`; finishes the reader.
static bool readCurves(ObjectReader &reader, EfficiencyCurves &curves,
                       Diagnostics &diags) {
  curves.tile = reader.requiredNumber("tile", {1, 1e6}).value_or(1);
  const Value *tables = reader.required("tables");
  if (!reader.finish())
    return false;
  if (!tables->isObject()) {
    diags.error(tables->place(), "'tables' must be an object");
    return false;
  }
  for (const json::Member &member : tables->members()) {
    auto table = readTable(member, diags);
    if (!table)
      return false;
    curves.tables.push_back(std::move(*table));
  }
  return true;
}

void Catalogue::readOwnEfficiency(ObjectReader &reader, DeviceType &type,
                                  Diagnostics &diags) const {
  const Value *value = reader.optional("efficiency");
  if (!value)
    return;
  ObjectReader group(*value, "'efficiency'", diags);
  auto curves = std::make_shared<EfficiencyCurves>();
  curves->type = type.name;
  curves->isOwn = true;
  if (!readCurves(group, *curves, diags))
    return;
  type.curves = std::move(curves);
  type.relativeEfficiency = 1;
}

bool Catalogue::readEfficiency(const Value &value, Diagnostics &diags) {
  ObjectReader reader(value, "efficiency file", diags);
  json::checkFormatVersion(reader, "efficiency file", 1, diags);
  auto curves = std::make_shared<EfficiencyCurves>();
  curves->type = reader.requiredString("type").value_or("");
  reader.string("made_by");
  if (!readCurves(reader, *curves, diags))
    return false;
  std::string type = curves->type;
  return efficiencies.emplace(type, std::move(curves)).second;
}

//===----------------------------------------------------------------------===//
// The whole
//===----------------------------------------------------------------------===//

bool Catalogue::readFile(const EmbeddedFile &file, Diagnostics &diags) {
  auto value =
      json::parse(file.text, fmt::format("catalogue/{}", file.path), diags);
  if (!value)
    return false;
  std::string_view folder = file.path.substr(0, file.path.find('/'));
  if (file.path == "defaults/network.json")
    return readNetworkParameters(*value, diags);
  if (file.path == "defaults/host.json")
    return readHostDefaults(*value, diags);
  if (folder == "defaults")
    return readCollectiveDefaults(*value, diags);
  if (folder == "efficiency")
    return readEfficiency(*value, diags);
  if (folder == "collectives")
    return readCollectives(*value, diags);
  // "devices/t4.json" is the type "t4".
  std::string name(file.path.substr(folder.size() + 1));
  name.resize(name.size() - std::string_view(".json").size());
  if (folder == "devices") {
    auto type = readDevice(*value, name, diags);
    return type && add(std::move(*type));
  }
  ObjectReader reader(*value, "node type", diags);
  json::checkFormatVersion(reader, "node type", 1, diags);
  reader.optional("name");
  auto node = readNode(reader, name, std::nullopt, diags);
  return reader.finish() && node && add(std::move(*node));
}

std::optional<Catalogue> Catalogue::load(Diagnostics &diags,
                                         std::span<const EmbeddedFile> files) {
  Catalogue catalogue;
  // Devices refer to efficiencies, nodes to devices and collectives.
  for (std::string_view folder :
       {"defaults/", "efficiency/", "collectives/", "devices/", "nodes/"})
    for (const EmbeddedFile &file : files)
      if (file.path.starts_with(folder) && !catalogue.readFile(file, diags))
        return std::nullopt;
  if (!catalogue.checkDefaults(diags))
    return std::nullopt;
  return catalogue;
}

const DeviceType *Catalogue::findDevice(std::string_view name) const {
  auto alias = aliases.find(name);
  auto found = devices.find(alias == aliases.end() ? name : alias->second);
  return found == devices.end() ? nullptr : &found->second;
}

const NodeType *Catalogue::findNode(std::string_view name) const {
  auto found = nodes.find(name);
  return found == nodes.end() ? nullptr : &found->second;
}

std::vector<std::string> Catalogue::deviceNames() const {
  std::vector<std::string> names;
  for (const auto &[name, type] : devices)
    names.push_back(name);
  return names;
}

std::vector<std::string> Catalogue::nodeNames() const {
  std::vector<std::string> names;
  for (const auto &[name, type] : nodes)
    names.push_back(name);
  return names;
}

bool Catalogue::add(DeviceType type) {
  if (findDevice(type.name))
    return false;
  for (const std::string &alias : type.aliases)
    if (findDevice(alias) || !aliases.emplace(alias, type.name).second)
      return false;
  std::string name = type.name;
  return devices.emplace(name, std::move(type)).second;
}

bool Catalogue::add(NodeType type) {
  std::string name = type.name;
  return nodes.emplace(name, std::move(type)).second;
}
