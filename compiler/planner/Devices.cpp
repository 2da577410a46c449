//===- Devices.cpp - which device a rank of a form gets -------------------===//

#include "compiler/planner/Devices.h"

#include <algorithm>
#include <cmath>
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

/// Up to so many devices all orders of all sets of pools are tried.
constexpr int64_t fewDevices = 16;
constexpr size_t mostOrders = 64;

/// Sets of pools, large ones first.
std::vector<std::vector<size_t>> poolSets(size_t pools) {
  // Beyond so many pools all of them, and all but one.
  constexpr size_t mostPools = 6;
  std::vector<std::vector<size_t>> sets;
  for (size_t mask = 1; pools <= mostPools && mask < size_t(1) << pools;
       ++mask) {
    sets.emplace_back();
    for (size_t p = 0; p < pools; ++p)
      if (mask >> p & 1)
        sets.back().push_back(p);
  }
  if (sets.empty()) {
    std::vector<size_t> all(pools);
    std::iota(all.begin(), all.end(), 0);
    sets.push_back(all);
    for (size_t p = 0; p < pools; ++p) {
      sets.push_back(all);
      sets.back().erase(sets.back().begin() + static_cast<int64_t>(p));
    }
  }
  std::stable_sort(sets.begin(), sets.end(), [](const auto &a, const auto &b) {
    return a.size() > b.size();
  });
  return sets;
}

/// Pools to take, in order: every set in the cluster's order first, then other
/// orders, on many devices only of all pools.
std::vector<std::vector<size_t>> poolOrders(const cost::Hardware &hardware) {
  std::vector<std::vector<size_t>> sets = poolSets(hardware.pools().size());
  std::vector<std::vector<size_t>> orders = sets;
  if (hardware.deviceCount() > fewDevices)
    sets.resize(1);
  for (std::vector<size_t> order : sets)
    while (std::next_permutation(order.begin(), order.end()) &&
           orders.size() < mostOrders)
      orders.push_back(order);
  return orders;
}

/// Each stage in each pool, where these are few.
std::vector<DeviceMap> anyPools(const cost::Hardware &hardware,
                                const std::vector<int64_t> &sizes) {
  constexpr double mostMaps = 81;
  const std::vector<cost::Pool> &pools = hardware.pools();
  std::vector<DeviceMap> maps;
  auto stages = static_cast<double>(sizes.size());
  if (std::pow(static_cast<double>(pools.size()), stages) > mostMaps)
    return maps;
  std::vector<size_t> in(sizes.size(), 0);
  while (true) {
    DeviceMap map{DeviceMap::Kind::ByStage, {}};
    std::vector<int64_t> used(pools.size(), 0);
    bool room = true;
    for (size_t s = 0; s < sizes.size(); ++s) {
      map.first.push_back(pools[in[s]].first + used[in[s]]);
      used[in[s]] += sizes[s];
      room &= used[in[s]] <= pools[in[s]].count;
    }
    if (room)
      maps.push_back(std::move(map));
    size_t s = in.size();
    while (s > 0 && ++in[s - 1] == pools.size())
      in[--s] = 0;
    if (s == 0)
      return maps;
  }
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
  int64_t outer = outerCount(form), inner = rankCount(form) / outer;
  std::vector<int64_t> replicas(outer, inner), stages;
  for (const StageForm &stage : form.stages)
    stages.push_back(outer * stage.innerDevices(form.outerAxes));
  bool few = hardware.deviceCount() <= fewDevices;
  auto add = [&](DeviceMap map) {
    if (std::find(maps.begin(), maps.end(), map) == maps.end())
      maps.push_back(std::move(map));
  };
  for (const std::vector<size_t> &order : poolOrders(hardware)) {
    DeviceMap byOuter{DeviceMap::Kind::ByOuter, {}};
    bool wanted = few || std::is_sorted(order.begin(), order.end());
    if (wanted &&
        takeAll(Allocator(hardware, order), replicas, byOuter.first)) {
      // Replicas are alike: only which blocks they have matters.
      std::sort(byOuter.first.begin(), byOuter.first.end());
      add(std::move(byOuter));
    }
    DeviceMap byStage{DeviceMap::Kind::ByStage, {}};
    if (stages.size() > 1 && order.size() <= stages.size() &&
        takeAll(Allocator(hardware, order), stages, byStage.first))
      add(std::move(byStage));
  }
  if (few && stages.size() > 1)
    for (DeviceMap &map : anyPools(hardware, stages))
      add(std::move(map));
  // Blocks that straddle pools are the last resort.
  if (maps.empty())
    maps.push_back(DeviceMap{});
  return maps;
}

void shareNode(cost::Group &group, const cost::Pool &pool) {
  int64_t perNode =
      std::clamp<int64_t>(pool.perNode / group.stride, 1, group.size);
  if (perNode < group.size)
    group.concurrent = std::max<int64_t>(1, pool.perNode / perNode);
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
  shareNode(group, pool);
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
