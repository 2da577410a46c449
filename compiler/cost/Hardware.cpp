//===- Hardware.cpp - devices by number; ring collectives -----------------===//

#include "compiler/cost/Hardware.h"

#include <algorithm>

namespace whale::cost {

int64_t Hardware::deviceCount() const {
  const std::vector<Pool> &all = pools();
  return all.empty() ? 0 : all.back().first + all.back().count;
}

std::vector<RankGroup> Group::parts() const {
  std::vector<RankGroup> result = {{first, size, stride}};
  for (const RankGroup &other : others)
    result.front().size -= other.size;
  result.insert(result.end(), others.begin(), others.end());
  return result;
}

const Pool &Hardware::poolOf(int64_t device) const {
  const std::vector<Pool> &all = pools();
  if (all.size() == 1)
    return all.front();
  auto after = std::upper_bound(
      all.begin(), all.end(), device,
      [](int64_t d, const Pool &pool) { return d < pool.first; });
  return *(after - 1);
}

int64_t Hardware::nodeOf(int64_t device) const {
  int64_t nodes = 0;
  for (const Pool &pool : pools()) {
    if (device < pool.first + pool.count)
      return nodes + (device - pool.first) / pool.perNode;
    nodes += ceilDivide(pool.count, pool.perNode);
  }
  return nodes;
}

Picoseconds ringTime(CollectiveKind kind, int64_t size, Bytes bytes,
                     Picoseconds latency, BytesPerSecond bandwidth) {
  if (size <= 1 || bytes == Bytes())
    return Picoseconds();
  int64_t rounds = kind == CollectiveKind::AllReduce ? 2 : 1;
  int64_t steps = rounds * (size - 1);
  double moved =
      bytes.asDouble() * static_cast<double>(steps) / static_cast<double>(size);
  if (kind == CollectiveKind::Broadcast)
    moved = bytes.asDouble();
  return latency * steps + Bytes::fromDouble(moved) / bandwidth;
}

} // namespace whale::cost
