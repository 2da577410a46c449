//===- Devices.cpp - which device a rank of a form gets -------------------===//

#include "compiler/planner/Devices.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <tuple>

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

/// Pools by what they are, whatever the cluster's order: fast and large ones
/// first.
std::vector<size_t> rankedPools(const cost::Hardware &hardware) {
  const std::vector<cost::Pool> &pools = hardware.pools();
  std::vector<size_t> ranked(pools.size());
  std::iota(ranked.begin(), ranked.end(), 0);
  auto key = [&](size_t p) {
    const cost::Pool &pool = pools[p];
    return std::tuple(-hardware.peak(pool.type, "bf16").value,
                      -hardware.peak(pool.type, "f32").value,
                      Bytes() - hardware.capacity(pool.type), -pool.count,
                      -pool.perDomain, -pool.perNode,
                      hardware.typeName(pool.type));
  };
  std::stable_sort(ranked.begin(), ranked.end(),
                   [&](size_t a, size_t b) { return key(a) < key(b); });
  return ranked;
}

/// Pools to take, in order.
struct PoolOrder {
  std::vector<size_t> pools;
  /// As they are ranked.
  bool isRanked = true;
};

/// Every set as its pools are ranked first, then other orders, on many devices
/// only of all pools.
std::vector<PoolOrder> allOrders(const cost::Hardware &hardware) {
  std::vector<size_t> ranked = rankedPools(hardware);
  std::vector<std::vector<size_t>> sets = poolSets(ranked.size());
  std::vector<PoolOrder> orders;
  auto add = [&](const std::vector<size_t> &ranks, bool isRanked) {
    orders.push_back({{}, isRanked});
    for (size_t rank : ranks)
      orders.back().pools.push_back(ranked[rank]);
  };
  for (const std::vector<size_t> &set : sets)
    add(set, true);
  if (hardware.deviceCount() > fewDevices)
    sets.resize(1);
  for (std::vector<size_t> order : sets)
    while (std::next_permutation(order.begin(), order.end()) &&
           orders.size() < mostOrders)
      add(order, false);
  return orders;
}

/// Ranks one after another on the devices of pool after pool.
DeviceMap oneByOne(const cost::Hardware &hardware,
                   const std::vector<size_t> &order, int64_t ranks) {
  DeviceMap map{DeviceMap::Kind::ByRank, {}};
  for (size_t p : order) {
    const cost::Pool &pool = hardware.pools()[p];
    for (int64_t device = pool.first;
         device < pool.first + pool.count && ranks > 0; ++device, --ranks)
      map.first.push_back(device);
  }
  return map;
}

/// Ranks one after another on so many devices of each of some pools, in every
/// order of each set of pools and with all numbers; nothing where these are too
/// many.
class AnyRuns {
public:
  AnyRuns(const cost::Hardware &hardware, int64_t ranks)
      : hardware(hardware), ranked(rankedPools(hardware)) {
    next(ranks);
    if (maps.size() > mostMaps)
      maps.clear();
  }
  std::vector<DeviceMap> maps;

private:
  static constexpr size_t mostMaps = 256;

  void next(int64_t left) {
    if (left == 0)
      maps.push_back({DeviceMap::Kind::ByRank, devices});
    if (left == 0 || maps.size() > mostMaps)
      return;
    for (size_t p : ranked) {
      const cost::Pool &pool = hardware.pools()[p];
      if (std::find(taken.begin(), taken.end(), p) != taken.end())
        continue;
      taken.push_back(p);
      for (int64_t n = std::min(left, pool.count); n > 0; --n) {
        for (int64_t i = 0; i < n; ++i)
          devices.push_back(pool.first + i);
        next(left - n);
        devices.resize(devices.size() - n);
      }
      taken.pop_back();
    }
  }

  const cost::Hardware &hardware;
  std::vector<size_t> ranked, taken;
  std::vector<int64_t> devices;
};

/// Whether each of the blocks that follow each other lies in one pool.
bool areInPools(const cost::Hardware &hardware, const DeviceMap &map,
                const std::vector<int64_t> &sizes) {
  int64_t at = 0;
  return std::all_of(sizes.begin(), sizes.end(), [&](int64_t size) {
    at += size;
    return &hardware.poolOf(map.first[at - size]) ==
           &hardware.poolOf(map.first[at - 1]);
  });
}

/// Each stage in each pool.
std::vector<DeviceMap> anyPools(const cost::Hardware &hardware,
                                const std::vector<int64_t> &sizes) {
  const std::vector<cost::Pool> &pools = hardware.pools();
  std::vector<DeviceMap> maps;
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

/// So many of `blocks` equal blocks in each pool, in every way, where these are
/// few: the first of a pool's devices each.
std::vector<DeviceMap> anyCounts(const cost::Hardware &hardware, int64_t blocks,
                                 int64_t size) {
  constexpr size_t mostMaps = 81;
  std::vector<DeviceMap> maps = {{DeviceMap::Kind::ByOuter, {}}};
  for (const cost::Pool &pool : hardware.pools()) {
    std::vector<DeviceMap> longer;
    for (DeviceMap map : maps)
      for (int64_t used = 0; used <= pool.count; used += size) {
        if (used > 0)
          map.first.push_back(pool.first + used - size);
        if (static_cast<int64_t>(map.first.size()) <= blocks)
          longer.push_back(map);
      }
    maps = std::move(longer);
  }
  std::erase_if(maps, [&](const DeviceMap &map) {
    return static_cast<int64_t>(map.first.size()) != blocks;
  });
  if (maps.size() > mostMaps)
    maps.clear();
  return maps;
}

} // namespace

std::vector<std::vector<size_t>> poolOrders(const cost::Hardware &hardware) {
  std::vector<std::vector<size_t>> orders;
  for (PoolOrder &order : allOrders(hardware))
    orders.push_back(std::move(order.pools));
  return orders;
}

bool mayLieAnywhere(const cost::Hardware &hardware, size_t stages) {
  constexpr double mostMaps = 81;
  return hardware.deviceCount() <= fewDevices && stages > 1 &&
         std::pow(static_cast<double>(hardware.pools().size()),
                  static_cast<double>(stages)) <= mostMaps;
}

/// A rank by its coordinates above the pipeline, and among its stage's ranks
/// that share those.
struct RankPlace {
  int64_t outer = 0, within = 0;
};
static RankPlace placeIn(const NormalForm &form,
                         const Coordinates &coordinates) {
  RankPlace place;
  const std::vector<Axis> &axes = form.stages[coordinates.stage].axes;
  for (size_t a = 0; a < axes.size(); ++a) {
    int64_t &number = a < form.outerAxes ? place.outer : place.within;
    number = number * axes[a].size + coordinates.axes[a];
  }
  return place;
}

int64_t DeviceMap::deviceOf(const NormalForm &form,
                            const Coordinates &coordinates) const {
  if (kind == Kind::Identity)
    return rankOf(form, coordinates);
  if (kind == Kind::ByRank)
    return first[rankOf(form, coordinates)];
  RankPlace place = placeIn(form, coordinates);
  if (kind == Kind::ByStage)
    return first[coordinates.stage] + place.within +
           place.outer *
               form.stages[coordinates.stage].innerDevices(form.outerAxes);
  int64_t offset = 0;
  for (unsigned s = 0; s < coordinates.stage; ++s)
    offset += form.stages[s].innerDevices(form.outerAxes);
  return first[place.outer] + offset + place.within;
}

Coordinates coordinatesIn(const NormalForm &form, unsigned stage,
                          const std::vector<int64_t> &replica) {
  Coordinates result;
  result.stage = stage;
  size_t next = 0;
  for (const Axis &axis : form.stages[stage].axes) {
    if (axis.kind == AxisKind::Replica && next < replica.size()) {
      result.axes.push_back(replica[next++]);
      continue;
    }
    auto most = std::max_element(axis.shares.begin(), axis.shares.end());
    bool isReplica = axis.kind == AxisKind::Replica;
    result.axes.push_back(isReplica ? most - axis.shares.begin() : 0);
  }
  return result;
}

std::vector<Coordinates> ranksIn(const NormalForm &form, unsigned stage,
                                 const std::vector<int64_t> &replica) {
  std::vector<Coordinates> ranks = {coordinatesIn(form, stage, replica)};
  const std::vector<Axis> &axes = form.stages[stage].axes;
  for (size_t a = 0; a < axes.size(); ++a) {
    if (axes[a].kind == AxisKind::Replica)
      continue;
    std::vector<Coordinates> more;
    for (const Coordinates &rank : ranks)
      for (int64_t c = 0; c < axes[a].size; ++c) {
        more.push_back(rank);
        more.back().axes[a] = c;
      }
    ranks = std::move(more);
  }
  return ranks;
}

/// Whether all ranks that differ from one along the splits lie in a pool. Asked
/// of every replica: without a list of them.
static bool liesIn(const cost::Pool &pool, const NormalForm &form,
                   const DeviceMap &map, Coordinates rank) {
  const std::vector<Axis> &axes = form.stages[rank.stage].axes;
  while (true) {
    if (!pool.contains(map.deviceOf(form, rank)))
      return false;
    size_t a = axes.size();
    while (a > 0 && (axes[a - 1].kind == AxisKind::Replica ||
                     ++rank.axes[a - 1] == axes[a - 1].size)) {
      --a;
      if (axes[a].kind == AxisKind::Split)
        rank.axes[a] = 0;
    }
    if (a == 0)
      return true;
  }
}

std::vector<Coordinates> unlikeRanks(const NormalForm &form,
                                     const DeviceMap &map,
                                     const ReplicaPlace &place, unsigned stage,
                                     const std::vector<int64_t> &replica,
                                     const cost::Hardware &hardware) {
  const cost::Pool &pool = hardware.poolOf(place.stages[stage]);
  const std::vector<Axis> &axes = form.stages[stage].axes;
  // A split around the pipeline has ranks in other blocks, too.
  bool isOneBlock =
      std::none_of(axes.begin(), axes.begin() + form.outerAxes,
                   [](const Axis &a) { return a.kind == AxisKind::Split; });
  if (!form.stages[stage].hasUnequalSplits() &&
      ((place.inPools && isOneBlock) ||
       liesIn(pool, form, map, coordinatesIn(form, stage, replica))))
    return {};
  return ranksIn(form, stage, replica);
}

ReplicaPlace placeOf(const NormalForm &form, const DeviceMap &map,
                     const std::vector<int64_t> &replica,
                     const cost::Hardware &hardware) {
  ReplicaPlace place;
  int64_t outer = outerCount(form), inner = rankCount(form) / outer;
  int64_t block = placeIn(form, coordinatesIn(form, 0, replica)).outer;
  place.inPools = true;
  auto lie = [&](int64_t first, int64_t size) {
    place.inPools &= hardware.poolOf(first).holds(first, size);
  };
  bool byRank = map.kind == DeviceMap::Kind::ByRank;
  int64_t offset = 0, within = 0, size = 0;
  for (unsigned s = 0; s < form.stages.size(); ++s) {
    if (s == 0 || !(form.stages[s].axes == form.stages[s - 1].axes)) {
      within = placeIn(form, coordinatesIn(form, s, replica)).within;
      size = form.stages[s].innerDevices(form.outerAxes);
    }
    bool byStage = map.kind == DeviceMap::Kind::ByStage;
    if (byStage)
      lie(map.first[s], outer * size);
    int64_t first = byStage ? map.first[s] + block * size
                    : map.kind == DeviceMap::Kind::ByOuter
                        ? map.first[block] + offset
                        : block * inner + offset;
    place.stages.push_back(byRank ? map.first[first + within] : first + within);
    offset += size;
  }
  if (map.kind == DeviceMap::Kind::ByOuter)
    lie(map.first[block], inner);
  else if (map.kind != DeviceMap::Kind::ByStage)
    place.inPools = hardware.pools().size() == 1;
  return place;
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
  std::vector<PoolOrder> orders = allOrders(hardware);
  for (const auto &[order, isRanked] : orders) {
    DeviceMap byOuter{DeviceMap::Kind::ByOuter, {}};
    if ((few || isRanked) &&
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
  if (few)
    for (DeviceMap &map : anyCounts(hardware, outer, inner))
      add(std::move(map));
  if (mayLieAnywhere(hardware, stages.size()))
    for (DeviceMap &map : anyPools(hardware, stages))
      add(std::move(map));
  // Stages, or replicas, that straddle pools: on many devices the last resort;
  // not where the slowest replica of each stage counts, which is not known
  // then.
  bool mayStraddle = cutsBatchAlike(form);
  if (few && mayStraddle)
    for (DeviceMap &map : AnyRuns(hardware, rankCount(form)).maps)
      if (!areInPools(hardware, map, form.outerAxes > 0 ? replicas : stages))
        add(std::move(map));
  if (maps.empty() && mayStraddle)
    for (const auto &[order, isRanked] : orders)
      if (order.size() == pools && (few || isRanked))
        add(oneByOne(hardware, order, rankCount(form)));
  return maps;
}

std::optional<DeviceMap> onWhole(const NormalForm &form, const DeviceMap &map,
                                 const cost::Hardware &part,
                                 const std::vector<int64_t> &begins) {
  int64_t outer = outerCount(form), inner = rankCount(form) / outer;
  DeviceMap result = map;
  if (map.kind == DeviceMap::Kind::Identity) {
    result.kind = DeviceMap::Kind::ByOuter;
    for (int64_t block = 0; block < outer; ++block)
      result.first.push_back(block * inner);
  }
  bool byStage = result.kind == DeviceMap::Kind::ByStage;
  bool byRank = result.kind == DeviceMap::Kind::ByRank;
  const std::vector<cost::Pool> &pools = part.pools();
  for (size_t block = 0; block < result.first.size(); ++block) {
    int64_t &first = result.first[block];
    int64_t size = byRank ? 1
                   : byStage
                       ? outer * form.stages[block].innerDevices(form.outerAxes)
                       : inner;
    auto in = std::find(pools.begin(), pools.end(), part.poolOf(first));
    if (!in->holds(first, size))
      return std::nullopt;
    first += begins[static_cast<size_t>(in - pools.begin())] - in->first;
  }
  return result;
}

void shareNode(cost::Group &group, const cost::Pool &pool) {
  int64_t perNode =
      std::clamp<int64_t>(pool.perNode / group.stride, 1, group.size);
  if (perNode < group.size)
    group.concurrent = std::max<int64_t>(1, pool.perNode / perNode);
}

/// Equal groups of one pool have one cost: those that lie alike in a domain are
/// counted from the pool's first device.
static void moveToStart(int64_t &first, int64_t span, const cost::Pool &pool) {
  int64_t inDomain = (first - pool.first) % pool.perDomain;
  bool sameDomain = inDomain + span <= pool.perDomain;
  if (pool.holds(first, span))
    first = pool.first + (sameDomain ? 0 : inDomain);
}

/// The members of an axis' group that are in the pool of number `from`, from
/// there on; device numbers grow with theirs.
static RankGroup inOnePool(const std::function<int64_t(int64_t)> &member,
                           int64_t from, int64_t size, const cost::Pool &pool) {
  int64_t first = member(from), good = from, bad = size;
  auto isHere = [&](int64_t number) {
    int64_t device = member(number);
    return device >= first && pool.holds(device, 1);
  };
  if (isHere(size - 1))
    good = size - 1;
  while (bad - good > 1) {
    int64_t middle = good + (bad - good) / 2;
    (isHere(middle) ? good : bad) = middle;
  }
  RankGroup part{first, bad - from, 1};
  if (part.size > 1)
    part.stride =
        std::max<int64_t>(1, (member(good) - first) / (part.size - 1));
  moveToStart(part.first, part.stride * (part.size - 1) + 1, pool);
  return part;
}

cost::Group axisGroup(const NormalForm &form, const DeviceMap &map,
                      Coordinates coordinates, unsigned axis,
                      const cost::Hardware &hardware) {
  cost::Group group;
  if (form.stages[coordinates.stage].axes[axis].kind == AxisKind::Replica)
    group.role = cost::Group::Role::Replicas;
  int64_t size = form.stages[coordinates.stage].axes[axis].size;
  auto member = [&](int64_t number) {
    coordinates.axes[axis] = number;
    return map.deviceOf(form, coordinates);
  };
  for (int64_t done = 0; done < size;) {
    const cost::Pool &pool = hardware.poolOf(member(done));
    RankGroup part = inOnePool(member, done, size, pool);
    cost::Group alone{part.first, part.size, part.stride};
    shareNode(alone, pool);
    group.concurrent = std::max(group.concurrent, alone.concurrent);
    if (done == 0)
      group.first = part.first, group.stride = part.stride;
    else
      group.others.push_back(part);
    done += part.size;
  }
  group.size = size;
  return group;
}

} // namespace whale::planner
