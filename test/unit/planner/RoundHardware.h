//===- RoundHardware.h - a machine with round numbers -----------*- C++ -*-===//
//
// Devices are a speed, a memory and a node; links an alpha and a beta. Nothing
// of the catalogue is in it, so that a test can say what must come out.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_TEST_PLANNER_ROUNDHARDWARE_H
#define WHALE_TEST_PLANNER_ROUNDHARDWARE_H

#include "compiler/cost/Hardware.h"

#include <algorithm>

namespace whale::test {

struct RoundDevice {
  std::string name = "unit";
  double flopsPerSecond = 1e12, memoryBytesPerSecond = 1e12;
  int64_t memory = int64_t(1) << 40;
  /// Of the host: a device's share, its link, and the memory's bandwidth.
  int64_t hostMemory = 0;
  double linkBytesPerSecond = 1e10, hostBytesPerSecond = 1e10;
  bool operator==(const RoundDevice &) const = default;
};

struct RoundLink {
  double bytesPerSecond = 1e11, latencySeconds = 1e-6;
};

/// `count` devices of a type in nodes of `perNode`.
struct RoundNodes {
  unsigned type = 0;
  int64_t count = 1, perNode = 1;
};

class RoundHardware : public cost::Hardware {
public:
  RoundHardware(std::vector<RoundDevice> devices,
                const std::vector<RoundNodes> &nodes)
      : devices(std::move(devices)) {
    for (const RoundNodes &some : nodes) {
      cost::Pool pool;
      pool.type = some.type;
      pool.first = list.empty() ? 0 : list.back().first + list.back().count;
      pool.count = some.count;
      pool.perNode = pool.perDomain = some.perNode;
      list.push_back(pool);
    }
  }

  /// Within a node, and between nodes.
  RoundLink inside{1e11, 1e-6}, outside{1e10, 1e-5};
  std::vector<RoundDevice> devices;

  const std::vector<cost::Pool> &pools() const override { return list; }
  std::string typeName(unsigned type) const override {
    return devices[type].name;
  }
  Bytes capacity(unsigned type) const override {
    return Bytes(devices[type].memory);
  }
  Bytes reserve(unsigned) const override { return {}; }
  cost::HostShare host(unsigned type) const override {
    const RoundDevice &device = devices[type];
    return {Bytes(device.hostMemory),
            {device.linkBytesPerSecond},
            {device.hostBytesPerSecond},
            false};
  }
  FlopsPerSecond peak(unsigned type, std::string_view) const override {
    return FlopsPerSecond(devices[type].flopsPerSecond);
  }
  Picoseconds opTime(unsigned type, const cost::OpWork &work) const override {
    return std::max(work.flops / peak(type, work.precision),
                    work.bytes /
                        BytesPerSecond(devices[type].memoryBytesPerSecond));
  }
  Picoseconds collectiveTime(const cost::Group &group, CollectiveKind kind,
                             Bytes bytes) const override {
    int64_t last = group.first + group.stride * (group.size - 1);
    bool isLocal = group.others.empty() && !crosses(group.first, last);
    const RoundLink &link = isLocal ? inside : outside;
    return cost::ringTime(kind, group.size, bytes * group.concurrent,
                          picosecondsFromSeconds(link.latencySeconds),
                          BytesPerSecond(link.bytesPerSecond));
  }
  Picoseconds sendTime(int64_t from, int64_t to, int64_t concurrent,
                       Bytes bytes) const override {
    const RoundLink &link = crosses(from, to) ? outside : inside;
    return picosecondsFromSeconds(link.latencySeconds) +
           bytes * concurrent / BytesPerSecond(link.bytesPerSecond);
  }

private:
  bool crosses(int64_t a, int64_t b) const {
    int64_t last = deviceCount() - 1;
    return nodeOf(std::min(a, last)) != nodeOf(std::min(b, last));
  }

  std::vector<cost::Pool> list;
};

} // namespace whale::test

#endif // WHALE_TEST_PLANNER_ROUNDHARDWARE_H
