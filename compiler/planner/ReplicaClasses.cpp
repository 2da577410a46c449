//===- ReplicaClasses.cpp - replicas that differ --------------------------===//
//
// Problem: one replica of each kind (devices of the stages, samples).
// Method: along each axis only coordinates at which something may change are
// looked at: another share, another pool. Their product is small, whatever the
// number of replicas. Where each rank has a device by itself, coordinates
// whose ranks lie in the same pools as those of the one before differ in
// nothing. Blocks of devices that cross pools, or lie in no order, have every
// coordinate looked at.
// Complexity: one pass over the coordinates of the outermost replica axis, and
// O(stages) for each combination of what is left of the axes.
//
//===----------------------------------------------------------------------===//

#include "compiler/planner/Evaluate.h"

#include <algorithm>
#include <optional>
#include <set>

namespace whale::planner {

using workload::Workload;

namespace {

/// Coordinates along the replica axes among which every kind of replica is.
class Distinct {
public:
  Distinct(const cost::Hardware &hardware, const NormalForm &form,
           const DeviceMap &devices)
      : hardware(hardware), form(form), devices(devices) {
    const std::vector<Axis> &axes = form.stages.front().axes;
    bool alike = cutsBatchAlike(form);
    for (unsigned a = 0; a < axes.size(); ++a) {
      if (a < form.outerAxes)
        blocks *= axes[a].size;
      if (axes[a].kind == AxisKind::Replica && (alike || a < form.outerAxes))
        replicas.push_back(a);
      else
        splitsOutside |= a < form.outerAxes;
    }
    findLayout();
  }

  /// Of each replica axis, outermost first; `samples` is the batch where shares
  /// matter that are not said.
  std::vector<std::vector<int64_t>> choices(int64_t samples) {
    std::vector<std::vector<int64_t>> result;
    for (size_t i = 0; i < replicas.size(); ++i) {
      bool outside = replicas[i] < form.outerAxes;
      bool first = outside && i == 0;
      result.push_back(layout == Layout::Any
                           ? i == 0 ? firstOfAny(samples) : all(replicas[i])
                       : layout == Layout::Blocks && first
                           ? firstOutside(samples)
                       : layout == Layout::Blocks && outside && crossing
                           ? all(replicas[i])
                           : alike(replicas[i], samples));
    }
    return result;
  }

  int64_t outermostSize() const { return axisAt(replicas.front()).size; }
  bool isAlike() const { return layout == Layout::Alike; }
  bool isAny() const { return layout == Layout::Any; }

private:
  enum class Layout {
    /// Every replica has the same devices.
    Alike,
    /// Replicas outside of the pipeline have blocks in the pools' order.
    Blocks,
    Any,
  };

  const Axis &axisAt(unsigned a) const { return form.stages.front().axes[a]; }

  void findLayout() {
    layout = Layout::Any;
    const std::vector<int64_t> &first = devices.first;
    auto inPool = [&](int64_t start, int64_t size) {
      return hardware.poolOf(start).holds(start, size);
    };
    int64_t inner = rankCount(form) / blocks;
    if (hardware.pools().size() == 1) {
      layout = Layout::Alike;
    } else if (devices.kind == DeviceMap::Kind::ByStage) {
      bool each = true;
      for (size_t s = 0; s < first.size(); ++s)
        each &= inPool(first[s],
                       blocks * form.stages[s].innerDevices(form.outerAxes));
      layout = each ? Layout::Alike : Layout::Any;
    } else if (devices.kind == DeviceMap::Kind::ByOuter && !splitsOutside &&
               std::is_sorted(first.begin(), first.end()) &&
               std::all_of(first.begin(), first.end(),
                           [&](int64_t f) { return inPool(f, inner); })) {
      layout = Layout::Blocks;
    }
  }

  std::vector<int64_t> all(unsigned a) const {
    std::vector<int64_t> result(axisAt(a).size);
    for (size_t c = 0; c < result.size(); ++c)
      result[c] = static_cast<int64_t>(c);
    return result;
  }

  /// Whether all replicas have equal shares of a batch.
  bool dividesEvenly(int64_t samples) const {
    int64_t count = 1;
    for (unsigned a : replicas) {
      if (!axisAt(a).shares.empty())
        return false;
      count *= axisAt(a).size;
    }
    return samples > 0 && samples % count == 0;
  }

  /// The first of each share, or the ends of an axis with equal ones (the first
  /// get the remainder).
  std::vector<int64_t> alike(unsigned a, int64_t samples) const {
    const Axis &axis = axisAt(a);
    if (axis.shares.empty())
      return axis.size == 1 || dividesEvenly(samples)
                 ? std::vector<int64_t>{0}
                 : std::vector<int64_t>{0, axis.size - 1};
    std::vector<int64_t> result;
    std::set<int64_t> seen;
    for (int64_t c = 0; c < axis.size; ++c)
      if ((c == 0 || axis.shares[c] != axis.shares[c - 1]) &&
          seen.insert(axis.shares[c]).second)
        result.push_back(c);
    return result;
  }

  /// Whether a coordinate has another share than the one before; the first ones
  /// get the remainder where shares are equal.
  static bool shareChanges(const Axis &axis, int64_t c, int64_t samples) {
    return axis.shares.empty() ? c == samples % axis.size
                               : c > 0 && axis.shares[c] != axis.shares[c - 1];
  }

  /// Along the outermost axis: wherever the share or the pool changes, and
  /// coordinates whose blocks lie in several pools.
  std::vector<int64_t> firstOutside(int64_t samples) {
    const Axis &axis = axisAt(replicas.front());
    int64_t span = blocks / axis.size;
    std::vector<int64_t> result;
    const cost::Pool *before = nullptr;
    for (int64_t c = 0; c < axis.size; ++c) {
      const cost::Pool &pool = hardware.poolOf(devices.first[c * span]);
      bool crosses = !pool.contains(devices.first[(c + 1) * span - 1]);
      crossing |= crosses;
      if (&pool != before || shareChanges(axis, c, samples) || crosses)
        result.push_back(c);
      before = crosses ? nullptr : &pool;
    }
    return result;
  }

  /// Along the outermost replica axis: wherever the share changes, or a pool
  /// among the ranks at the coordinate and the one before.
  std::vector<int64_t> firstOfAny(int64_t samples) const {
    unsigned a = replicas.front();
    const Axis &axis = axisAt(a);
    std::optional<std::vector<RankRun>> runs = runsAlong(a);
    if (!runs)
      return all(a);
    std::vector<int64_t> changes = poolChanges();
    auto isLikeBefore = [&](int64_t c, const RankRun &run) {
      auto next = std::upper_bound(changes.begin(), changes.end(),
                                   run.first + (c - 1) * run.each);
      return next == changes.end() || *next >= run.first + (c + 1) * run.each;
    };
    std::vector<int64_t> result;
    for (int64_t c = 0; c < axis.size; ++c)
      if (c == 0 || shareChanges(axis, c, samples) ||
          !std::all_of(runs->begin(), runs->end(), [&](const RankRun &run) {
            return isLikeBefore(c, run);
          }))
        result.push_back(c);
    return result;
  }

  /// Ranks one after another: so many of each coordinate along an axis.
  struct RankRun {
    int64_t first = 0, each = 0;
  };

  /// All ranks, cut by an axis; nothing where they are not such runs, or the
  /// map does not give each rank a device by itself.
  std::optional<std::vector<RankRun>> runsAlong(unsigned a) const {
    if (devices.kind != DeviceMap::Kind::ByRank &&
        devices.kind != DeviceMap::Kind::Identity)
      return std::nullopt;
    int64_t size = axisAt(a).size, ranks = rankCount(form);
    if (a == 0 && form.outerAxes > 0)
      return std::vector<RankRun>{{0, ranks / size}};
    if (a != form.outerAxes)
      return std::nullopt;
    std::vector<RankRun> runs;
    int64_t first = 0;
    for (int64_t block = 0; block < blocks; ++block)
      for (const StageForm &stage : form.stages) {
        if (stage.axes.size() <= a || stage.axes[a].size != size ||
            stage.axes[a].kind != AxisKind::Replica)
          return std::nullopt;
        int64_t inner = stage.innerDevices(form.outerAxes);
        runs.push_back({first, inner / size});
        first += inner;
      }
    return runs;
  }

  /// Ranks whose device is in another pool than that of the rank before.
  std::vector<int64_t> poolChanges() const {
    bool byRank = devices.kind == DeviceMap::Kind::ByRank;
    std::vector<int64_t> result;
    const cost::Pool *pool = nullptr;
    for (int64_t rank = 0, ranks = rankCount(form); rank < ranks; ++rank) {
      int64_t device = byRank ? devices.first[rank] : rank;
      if (pool && pool->contains(device))
        continue;
      if (pool)
        result.push_back(rank);
      pool = &hardware.poolOf(device);
    }
    return result;
  }

  const cost::Hardware &hardware;
  const NormalForm &form;
  const DeviceMap &devices;
  /// Numbers of the replica axes; only of those outside of the pipeline where
  /// stages cut the batch differently.
  std::vector<unsigned> replicas;
  /// Combinations of the coordinates outside of the pipeline.
  int64_t blocks = 1;
  bool splitsOutside = false;
  Layout layout = Layout::Any;
  /// Whether one coordinate of the outermost axis has blocks in several pools.
  bool crossing = false;
};

/// Calls `visit` with each combination of one choice for each axis, the last
/// axis fastest.
template <class F>
void forEachChoice(const std::vector<std::vector<int64_t>> &choices, F visit) {
  std::vector<size_t> at(choices.size(), 0);
  while (true) {
    std::vector<int64_t> coordinates;
    for (size_t a = 0; a < at.size(); ++a)
      coordinates.push_back(choices[a][at[a]]);
    visit(std::move(coordinates));
    size_t a = at.size();
    while (a > 0 && ++at[a - 1] == choices[a - 1].size())
      at[--a] = 0;
    if (a == 0)
      return;
  }
}

/// What the devices of a replica's stages are.
std::vector<int64_t> placeKey(const cost::Hardware &hardware,
                              const NormalForm &form, const DeviceMap &devices,
                              const std::vector<int64_t> &coordinates) {
  std::vector<int64_t> key;
  ReplicaPlace place = placeOf(form, devices, coordinates, hardware);
  auto add = [&](int64_t device) {
    const cost::Pool &pool = hardware.poolOf(device);
    key.insert(key.end(), {int64_t(pool.type), pool.perNode, pool.perDomain});
  };
  for (unsigned s = 0; s < form.stages.size(); ++s) {
    add(place.stages[s]);
    for (const Coordinates &rank :
         unlikeRanks(form, devices, place, s, coordinates, hardware))
      add(devices.deviceOf(form, rank));
  }
  return key;
}

} // namespace

std::vector<ReplicaClass> replicaClasses(const Workload &workload,
                                         const cost::Hardware &hardware,
                                         const NormalForm &form,
                                         const DeviceMap &devices) {
  Distinct distinct(hardware, form, devices);
  std::vector<std::vector<int64_t>> choices =
      distinct.choices(workload.globalBatch);
  std::vector<ReplicaClass> result;
  std::set<std::vector<int64_t>> seen;
  forEachChoice(choices, [&](std::vector<int64_t> coordinates) {
    Coordinates first = coordinatesIn(form, 0, coordinates);
    ReplicaClass replica{std::move(coordinates),
                         batchOf(form, first, workload.globalBatch).count};
    std::vector<int64_t> key;
    if (!distinct.isAlike())
      key = placeKey(hardware, form, devices, replica.coordinates);
    key.push_back(replica.samples);
    if (seen.insert(std::move(key)).second)
      result.push_back(std::move(replica));
  });
  return result;
}

bool areReplicasAlike(const cost::Hardware &hardware, const NormalForm &form,
                      const DeviceMap &devices) {
  return Distinct(hardware, form, devices).isAlike();
}

std::vector<ReplicaGroup> replicaGroups(const cost::Hardware &hardware,
                                        const NormalForm &form,
                                        const DeviceMap &devices) {
  Distinct distinct(hardware, form, devices);
  std::vector<std::vector<int64_t>> choices = distinct.choices(0);
  // Replicas with equal devices differ by nothing but their shares.
  std::vector<int64_t> starts = std::move(choices.front());
  if (distinct.isAlike())
    starts.resize(1);
  int64_t size = distinct.outermostSize();
  std::vector<ReplicaGroup> groups;
  std::vector<std::vector<int64_t>> before;
  for (size_t i = 0; i < starts.size(); ++i) {
    int64_t end = i + 1 < starts.size() ? starts[i + 1] : size;
    groups.push_back({starts[i], end - starts[i], {}});
    choices.front() = {starts[i]};
    forEachChoice(choices, [&](std::vector<int64_t> coordinates) {
      groups.back().replicas.push_back(std::move(coordinates));
    });
    if (!distinct.isAny())
      continue;
    // Neighbours on equal devices are one group.
    std::vector<std::vector<int64_t>> kinds;
    for (const std::vector<int64_t> &replica : groups.back().replicas)
      kinds.push_back(placeKey(hardware, form, devices, replica));
    if (i > 0 && kinds == before) {
      groups.pop_back();
      groups.back().count += end - starts[i];
    }
    before = std::move(kinds);
  }
  return groups;
}

} // namespace whale::planner
