//===- Host.cpp - memory of the machines that devices are in --------------===//

#include "compiler/cluster/Catalogue.h"

using namespace whale;
using json::ObjectReader;
using json::Value;

static constexpr double giga = 1e9, gibi = 1073741824.0;
static constexpr json::NumberBounds anySize = {0, 1e12, true};
static constexpr json::NumberBounds fraction = {0, 1, true};

static void readNumbers(ObjectReader &group, HostMemory &host) {
  if (auto size = group.number("memory_gibibytes", anySize))
    host.memory = Bytes::fromDouble(*size * gibi);
  if (auto rate = group.number("bandwidth_gigabytes_per_second", anySize))
    host.bandwidth = {*rate * giga};
}

void whale::readHost(ObjectReader &reader, NodeType &node, Diagnostics &diags) {
  const Value *value = reader.optional("host");
  if (!value)
    return;
  ObjectReader group(*value, "'host'", diags);
  if (!node.host) {
    group.required("memory_gibibytes");
    group.required("bandwidth_gigabytes_per_second");
  }
  HostMemory host = node.host.value_or(HostMemory{});
  readNumbers(group, host);
  host.devicesPerLink = group.integer("gpus_per_link", {1, 1'000'000})
                            .value_or(host.devicesPerLink);
  readSource(group, "host", node.sources);
  group.finish();
  node.host = host;
}

bool Catalogue::readHostDefaults(const Value &value, Diagnostics &diags) {
  ObjectReader reader(value, "defaults file", diags);
  json::checkFormatVersion(reader, "defaults file", 1, diags);
  defaultHost.isAssumed = true;
  if (const Value *each = reader.required("per_gpu")) {
    ObjectReader group(*each, "'per_gpu'", diags);
    group.requiredString("source");
    readNumbers(group, defaultHost);
    group.finish();
  }
  auto part = [&](const char *key) {
    const Value *found = reader.required(key);
    if (!found)
      return 1.0;
    ObjectReader group(*found, key, diags);
    group.requiredString("source");
    double result = group.requiredNumber("fraction", fraction).value_or(1);
    group.finish();
    return result;
  };
  defaultHost.usableMemory = part("usable_memory");
  defaultHost.achievableBandwidth = part("achievable_bandwidth");
  return reader.finish();
}

void Catalogue::completeHost(NodeType &node) const {
  if (node.device.kind == DeviceType::Kind::Cpu || !node.device.hostLink) {
    node.host.reset();
    return;
  }
  if (!node.host) {
    node.host = defaultHost;
    node.host->memory = defaultHost.memory * node.devicesPerNode;
    node.host->bandwidth.value *= static_cast<double>(node.devicesPerNode);
  }
  node.host->usableMemory = defaultHost.usableMemory;
  node.host->achievableBandwidth = defaultHost.achievableBandwidth;
}
