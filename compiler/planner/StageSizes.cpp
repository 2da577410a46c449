//===- StageSizes.cpp - stages with unequal numbers of devices ------------===//

#include "compiler/planner/StageSizes.h"

#include <algorithm>

namespace whale::planner {

/// Up to so many devices any stages are tried; on more devices up to so many
/// stages.
static constexpr int64_t veryFewDevices = 8, fewStages = 4;

static bool areEqual(const std::vector<StageBlock> &blocks) {
  return std::all_of(
      blocks.begin(), blocks.end(),
      [&](const StageBlock &block) { return block.size == blocks[0].size; });
}

/// Of the blocks of each pool.
static bool areEqualInPools(const std::vector<StageBlock> &blocks) {
  return std::adjacent_find(blocks.begin(), blocks.end(),
                            [](const StageBlock &a, const StageBlock &b) {
                              return a.pool == b.pool && a.size != b.size;
                            }) == blocks.end();
}

/// On more than a few devices a part of a node that divides it, or whole nodes.
static bool liesWell(const cost::Hardware &hardware, const cost::Pool &pool,
                     int64_t size) {
  return hardware.deviceCount() <= fewDevices || size % pool.perNode == 0 ||
         pool.perNode % size == 0;
}

std::set<int64_t> stageSizes(const cost::Hardware &hardware) {
  std::set<int64_t> sizes;
  for (const cost::Pool &pool : hardware.pools())
    for (int64_t size = 1; size <= pool.count; ++size)
      if (liesWell(hardware, pool, size))
        sizes.insert(size);
  return sizes;
}

namespace {

/// Pool after pool, in each the largest blocks first.
class Sets {
public:
  Sets(const cost::Hardware &hardware, const std::set<int64_t> &sizes,
       int64_t mostStages, bool mayIdle)
      : hardware(hardware), sizes(sizes.rbegin(), sizes.rend()),
        mostStages(mostStages), mayIdle(mayIdle) {
    fill(0);
  }
  std::vector<std::vector<StageBlock>> found;

private:
  void fill(size_t pool) {
    if (pool < hardware.pools().size())
      add(pool, hardware.pools()[pool].count, 0);
    else if (blocks.size() > 1 && !areEqual(blocks) &&
             (idle == 0 || hardware.pools().size() == 1 ||
              mayLieAnywhere(hardware, blocks.size())))
      found.push_back(blocks);
  }

  void add(size_t pool, int64_t left, size_t from) {
    bool isPart = left > 0 && left < hardware.pools()[pool].count;
    if (!isPart || mayIdle) {
      idle += isPart;
      fill(pool + 1);
      idle -= isPart;
    }
    if (std::ssize(blocks) == mostStages)
      return;
    for (size_t i = from; i < sizes.size(); ++i) {
      if (sizes[i] > left ||
          !liesWell(hardware, hardware.pools()[pool], sizes[i]))
        continue;
      blocks.push_back({pool, sizes[i]});
      if (isTried())
        add(pool, left - sizes[i], i);
      blocks.pop_back();
    }
  }

  bool isTried() const {
    return hardware.deviceCount() <= veryFewDevices ||
           std::ssize(blocks) <= fewStages || areEqualInPools(blocks);
  }

  const cost::Hardware &hardware;
  std::vector<int64_t> sizes;
  int64_t mostStages;
  bool mayIdle;
  std::vector<StageBlock> blocks;
  /// Pools of which a part is idle.
  int idle = 0;
};

} // namespace

std::vector<std::vector<StageBlock>>
unequalStages(const cost::Hardware &hardware, const std::set<int64_t> &sizes,
              int64_t mostStages, bool mayIdle) {
  return Sets(hardware, sizes, mostStages, mayIdle).found;
}

/// The blocks of each pool one after another.
static DeviceMap mapOf(const cost::Hardware &hardware,
                       const std::vector<StageBlock> &stages) {
  if (hardware.pools().size() == 1)
    return {};
  DeviceMap map{DeviceMap::Kind::ByStage, {}};
  std::vector<int64_t> used(hardware.pools().size(), 0);
  for (const StageBlock &stage : stages) {
    map.first.push_back(hardware.pools()[stage.pool].first + used[stage.pool]);
    used[stage.pool] += stage.size;
  }
  return map;
}

/// Calls `visit` for every order of the blocks from one on that keeps those of
/// a pool together.
template <class F>
static void inPools(std::vector<StageBlock> &blocks, size_t from, F visit) {
  if (from == blocks.size())
    return visit();
  auto begin = blocks.begin() + static_cast<int64_t>(from), end = begin;
  while (end != blocks.end() && end->pool == begin->pool)
    ++end;
  std::sort(begin, end);
  do
    inPools(blocks, end - blocks.begin(), visit);
  while (std::next_permutation(begin, end));
}

std::vector<StageOrder> ordersOf(const cost::Hardware &hardware,
                                 std::vector<StageBlock> blocks) {
  std::vector<StageOrder> orders;
  auto add = [&] { orders.push_back({blocks, mapOf(hardware, blocks)}); };
  std::sort(blocks.begin(), blocks.end());
  if (hardware.pools().size() == 1 || mayLieAnywhere(hardware, blocks.size())) {
    do
      add();
    while (std::next_permutation(blocks.begin(), blocks.end()));
    return orders;
  }
  std::set<size_t> used;
  for (const StageBlock &block : blocks)
    used.insert(block.pool);
  for (const std::vector<size_t> &order : poolOrders(hardware)) {
    if (std::set(order.begin(), order.end()) != used)
      continue;
    auto rank = [&](const StageBlock &block) {
      return std::find(order.begin(), order.end(), block.pool);
    };
    std::stable_sort(blocks.begin(), blocks.end(),
                     [&](const StageBlock &a, const StageBlock &b) {
                       return rank(a) < rank(b);
                     });
    inPools(blocks, 0, add);
  }
  return orders;
}

} // namespace whale::planner
