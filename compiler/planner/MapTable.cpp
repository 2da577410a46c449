//===- MapTable.cpp - the device maps of forms ----------------------------===//

#include "compiler/planner/MapTable.h"

#include <algorithm>

namespace whale::planner {

/// Groups of maps whose sorted blocks are the same. A replica's blocks have no
/// order.
static std::vector<std::vector<size_t>>
groupsOf(const std::vector<DeviceMap> &maps) {
  std::vector<std::vector<size_t>> groups;
  std::map<std::vector<int64_t>, size_t> groupOf;
  for (size_t i = 0; i < maps.size(); ++i) {
    std::vector<int64_t> blocks = maps[i].first;
    std::sort(blocks.begin(), blocks.end());
    bool isNew = true;
    size_t group = groups.size();
    if (maps[i].kind == DeviceMap::Kind::ByStage) {
      auto [it, inserted] = groupOf.try_emplace(std::move(blocks), group);
      isNew = inserted;
      group = it->second;
    }
    if (isNew)
      groups.emplace_back();
    groups[group].push_back(i);
  }
  return groups;
}

static std::vector<int64_t> blocksIn(const std::vector<cost::Pool> &pools,
                                     const DeviceMap &map, int64_t ranks,
                                     int64_t stages) {
  if (map.kind == DeviceMap::Kind::Identity && pools.size() == 1)
    return {stages};
  std::vector<int64_t> count(pools.size(), 0);
  auto blocks = std::ssize(map.first);
  if (map.kind != DeviceMap::Kind::ByOuter &&
      map.kind != DeviceMap::Kind::ByStage)
    return {};
  for (int64_t first : map.first) {
    auto pool = std::find_if(pools.begin(), pools.end(), [&](const auto &one) {
      return one.contains(first);
    });
    if (!pool->holds(first, ranks / blocks))
      return {};
    ++count[pool - pools.begin()];
  }
  return count;
}

const FormMaps &MapTable::of(const Choice &choice) {
  int64_t outside = choice.pipelineOutside ? 1 : choice.data;
  std::tuple key(choice.pipeline, choice.ranks() / choice.pipeline / outside,
                 choice.ranks());
  std::lock_guard lock(mutex);
  auto [it, isNew] = known.try_emplace(key);
  if (isNew) {
    NormalForm form = formOf(choice, {});
    it->second.maps = deviceMaps(form, hardware);
    it->second.alike = groupsOf(it->second.maps);
    for (const DeviceMap &map : it->second.maps)
      it->second.blocks.push_back(blocksIn(
          hardware.pools(), map, rankCount(form), std::ssize(form.stages)));
  }
  return it->second;
}

} // namespace whale::planner
