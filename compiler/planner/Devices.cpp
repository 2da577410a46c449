//===- Devices.cpp - which device a rank of a form gets -------------------===//

#include "compiler/planner/Devices.h"

#include <algorithm>
#include <numeric>

namespace whale::planner {

namespace {

int64_t outerCount(const NormalForm &form) {
  int64_t count = 1;
  for (unsigned a = 0; a < form.outerAxes; ++a)
    count *= form.stages.front().axes[a].size;
  return count;
}

/// Gives out blocks of devices, each within one pool, in pool order.
class Allocator {
public:
  Allocator(const cost::Hardware &hardware, std::vector<size_t> order)
      : pools(hardware.pools()), order(std::move(order)) {}

  /// First device of a block of `size`, or -1.
  int64_t take(int64_t size) {
    while (at < order.size()) {
      const cost::Pool &pool = pools[order[at]];
      if (used + size <= pool.count) {
        used += size;
        return pool.first + used - size;
      }
      ++at;
      used = 0;
    }
    return -1;
  }

private:
  const std::vector<cost::Pool> &pools;
  std::vector<size_t> order;
  size_t at = 0;
  int64_t used = 0;
};

bool takeAll(Allocator allocator, const std::vector<int64_t> &sizes,
             std::vector<int64_t> &first) {
  for (int64_t size : sizes) {
    first.push_back(allocator.take(size));
    if (first.back() < 0)
      return false;
  }
  return true;
}

} // namespace

int64_t DeviceMap::deviceOf(const NormalForm &form,
                            const Coordinates &coordinates) const {
  int64_t rank = rankOf(form, coordinates);
  if (kind == Kind::Identity)
    return rank;
  int64_t inner = 0, offset = 0;
  for (size_t s = 0; s < form.stages.size(); ++s) {
    if (s == coordinates.stage)
      offset = inner;
    inner += form.stages[s].innerDevices(form.outerAxes);
  }
  int64_t outer = rank / inner, within = rank % inner - offset;
  if (kind == Kind::ByOuter)
    return first[outer] + offset + within;
  int64_t size = form.stages[coordinates.stage].innerDevices(form.outerAxes);
  return first[coordinates.stage] + outer * size + within;
}

std::vector<DeviceMap> deviceMaps(const NormalForm &form,
                                  const cost::Hardware &hardware) {
  std::vector<DeviceMap> maps;
  size_t pools = hardware.pools().size();
  if (rankCount(form) > hardware.deviceCount())
    return maps;
  if (pools == 1)
    return {DeviceMap{}};
  std::vector<size_t> order(pools);
  std::iota(order.begin(), order.end(), 0);
  int64_t outer = outerCount(form), inner = rankCount(form) / outer;
  DeviceMap byOuter{DeviceMap::Kind::ByOuter, {}};
  if (takeAll(Allocator(hardware, order), std::vector<int64_t>(outer, inner),
              byOuter.first))
    maps.push_back(byOuter);
  std::vector<int64_t> sizes;
  for (const StageForm &stage : form.stages)
    sizes.push_back(outer * stage.innerDevices(form.outerAxes));
  if (form.stages.size() == 1 && outer == 1)
    sizes.clear();
  for (int tried = 0; !sizes.empty() && tried < 24; ++tried) {
    DeviceMap byStage{DeviceMap::Kind::ByStage, {}};
    if (takeAll(Allocator(hardware, order), sizes, byStage.first))
      maps.push_back(byStage);
    if (!std::next_permutation(order.begin(), order.end()))
      break;
  }
  // Blocks that straddle pools are the last resort.
  if (maps.empty())
    maps.push_back(DeviceMap{});
  return maps;
}

cost::Group axisGroup(const NormalForm &form, const DeviceMap &map,
                      Coordinates coordinates, unsigned axis,
                      const cost::Hardware &hardware) {
  cost::Group group;
  if (form.stages[coordinates.stage].axes[axis].kind == AxisKind::Replica)
    group.role = cost::Group::Role::Replicas;
  group.size = form.stages[coordinates.stage].axes[axis].size;
  coordinates.axes[axis] = 0;
  group.first = map.deviceOf(form, coordinates);
  if (group.size > 1) {
    coordinates.axes[axis] = group.size - 1;
    int64_t last = map.deviceOf(form, coordinates);
    group.stride =
        std::max<int64_t>(1, (last - group.first) / (group.size - 1));
  }
  const cost::Pool &pool = hardware.poolOf(group.first);
  int64_t perNode =
      std::clamp<int64_t>(pool.perNode / group.stride, 1, group.size);
  if (perNode < group.size)
    group.concurrent = std::max<int64_t>(1, pool.perNode / perNode);
  // Equal groups of one pool have one cost: count them once.
  int64_t span = group.stride * (group.size - 1) + 1;
  int64_t inDomain = (group.first - pool.first) % pool.perDomain;
  bool sameDomain = inDomain + span <= pool.perDomain;
  if (group.first - pool.first + span <= pool.count)
    group.first = pool.first + (sameDomain ? 0 : inDomain);
  if (group.first + span > pool.first + pool.count &&
      group.first + span > hardware.deviceCount())
    group.first = pool.first;
  return group;
}

} // namespace whale::planner
