//===- SetShares.cpp - batch shares of unequal replicas -------------------===//
//
// Speeds come from the cost model at an equal share, memory from the largest
// share with which the model still fits (one stage; with several stages the
// cuts decide, and bestCuts checks them). Few replicas of one stage have their
// shares mended with their true times, until the slowest one has nobody to give
// a unit to without making that one as slow: then no shares are better, since
// with less for it another one would have more.
//
//===----------------------------------------------------------------------===//

#include "compiler/planner/Search.h"

#include "compiler/planner/Shares.h"

#include <algorithm>
#include <map>

namespace whale::planner {

namespace {

/// Up to so many replicas shares are mended unit by unit.
constexpr size_t mostReplicas = 16;

class Speeds {
public:
  /// Of a whole step, or without what is done once in it.
  Speeds(CostTable &table, const NormalForm &form, const DeviceMap &devices,
         bool whole)
      : table(table), form(form), devices(devices), whole(whole) {
    for (const Axis &axis : form.stages.front().axes)
      if (axis.kind == AxisKind::Replica)
        sizes.push_back(axis.size);
    for (size_t a = 1; a < sizes.size(); ++a)
      within *= sizes[a];
    unit = form.microBatches * table.workload.sampleGroup * within;
    units = table.workload.globalBatch / unit;
  }

  /// Coordinates along the outermost replica axis as workers, those with equal
  /// devices together.
  std::vector<Worker> workers(bool fitting) {
    std::vector<Worker> all;
    groups = replicaGroups(table.hardware, form, devices);
    for (const ReplicaGroup &group : groups) {
      Worker worker{{}, {}, units, group.count};
      for (const std::vector<int64_t> &replica : group.replicas) {
        Worker one = of(replica);
        worker.fixed = std::max(worker.fixed, one.fixed);
        worker.perUnit = std::max(worker.perUnit, one.perUnit);
        if (fitting)
          worker.capacity = std::min(worker.capacity, one.capacity);
      }
      all.push_back(worker);
    }
    return all;
  }

  /// Moves single units of these workers' shares as long as the slowest one
  /// becomes faster.
  void mend(const std::vector<Worker> &workers, std::vector<int64_t> &shares) {
    if (form.stages.size() > 1 || shares.size() > mostReplicas)
      return;
    std::vector<size_t> groupOf;
    for (size_t g = 0; g < workers.size(); ++g)
      groupOf.insert(groupOf.end(), workers[g].count, g);
    auto timeWith = [&](size_t i, int64_t more) {
      size_t g = groupOf[i];
      return shares[i] + more > workers[g].capacity
                 ? Picoseconds::max()
                 : exactTime(g, shares[i] + more);
    };
    while (true) {
      size_t slowest = 0, receiver = 0;
      for (size_t i = 1; i < shares.size(); ++i) {
        if (timeWith(i, 0) > timeWith(slowest, 0))
          slowest = i;
        if (timeWith(i, 1) < timeWith(receiver, 1))
          receiver = i;
      }
      if (shares[slowest] == 1 || timeWith(receiver, 1) >= timeWith(slowest, 0))
        return;
      --shares[slowest], ++shares[receiver];
    }
  }

  /// Samples of a unit, and units of the batch.
  int64_t unit = 1, units = 1;

private:
  Worker of(const std::vector<int64_t> &replica) {
    std::vector<unsigned> types = typesOf(replica);
    auto it = known.find(types);
    if (it != known.end())
      return it->second;
    // A line through the times of about half and twice an equal share.
    int64_t equal = std::max<int64_t>(1, units / sizes.front());
    int64_t low = std::max<int64_t>(1, equal / 2);
    int64_t high = std::max(low + 1, std::min(2 * equal, units));
    Picoseconds least = timeOf(at(replica, low));
    Picoseconds more = std::max(least, timeOf(at(replica, high))) - least;
    Worker result;
    result.perUnit = more.scaled(1 / static_cast<double>(high - low));
    result.fixed = std::max(Picoseconds(), least - result.perUnit * low);
    result.capacity = form.stages.size() == 1 ? capacity(replica) : units;
    known.emplace(types, result);
    return result;
  }

  /// Of the slowest replica of a group with so many units.
  Picoseconds exactTime(size_t group, int64_t share) {
    auto [it, isNew] = exact.try_emplace({group, share});
    if (isNew)
      for (const std::vector<int64_t> &replica : groups[group].replicas)
        it->second = std::max(it->second, timeOf(at(replica, share)));
    return it->second;
  }

  FormCosts at(const std::vector<int64_t> &replica, int64_t share) {
    return FormCosts(table, form, devices, replica, share * unit / within);
  }
  std::vector<unsigned> typesOf(const std::vector<int64_t> &replica) const {
    // Equal devices need no look at the map.
    if (table.hardware.pools().size() == 1)
      return {table.hardware.pools().front().type};
    std::vector<unsigned> types;
    for (int64_t device :
         placeOf(form, devices, replica, table.hardware).stages)
      types.push_back(table.hardware.poolOf(device).type);
    return types;
  }
  int64_t allInstances() const {
    return workload::instanceCount(table.workload);
  }
  /// All micro-batches. One alone takes the mean of the stages, as if each had
  /// its part of the instances; many go at the pace of stages that take equally
  /// long.
  Picoseconds timeOf(const FormCosts &costs) const {
    if (whole && form.stages.size() == 1) {
      StagePrediction all = costs.stage(0, 0, allInstances());
      return (all.forward + all.backward) * form.microBatches +
             all.gradientSync + all.update;
    }
    double rate = 0, sum = 0;
    for (unsigned s = 0; s < form.stages.size(); ++s) {
      Picoseconds time;
      for (size_t r = 0; r < table.workload.runs.size(); ++r)
        time += (costs.run(s, r).forward + costs.run(s, r).backward) *
                table.workload.runs[r].count;
      sum += time.asDouble();
      rate += 1 / std::max(1.0, time.asDouble());
    }
    auto stages = static_cast<double>(form.stages.size());
    auto others = static_cast<double>(form.microBatches - 1);
    return Picoseconds::fromDouble(sum / stages + others * stages / rate);
  }
  int64_t capacity(const std::vector<int64_t> &replica) {
    int64_t good = 0, bad = units + 1;
    while (bad - good > 1) {
      int64_t middle = good + (bad - good) / 2;
      (at(replica, middle).fits(0, 0, allInstances()) ? good : bad) = middle;
    }
    return good;
  }

  CostTable &table;
  const NormalForm &form;
  const DeviceMap &devices;
  bool whole;
  std::vector<ReplicaGroup> groups;
  /// By group and share.
  std::map<std::pair<size_t, int64_t>, Picoseconds> exact;
  /// Of the replica axes; product of all but the first.
  std::vector<int64_t> sizes;
  int64_t within = 1;
  std::map<std::vector<unsigned>, Worker> known;
};

/// Gives the shares to the outermost replica axis of every stage; what is
/// inside shares equally.
void assign(NormalForm &form, const std::vector<int64_t> &shares) {
  for (StageForm &stage : form.stages) {
    auto axis =
        std::find_if(stage.axes.begin(), stage.axes.end(),
                     [](const Axis &a) { return a.kind == AxisKind::Replica; });
    axis->shares = shares;
  }
}

/// Samples of each coordinate along the outermost replica axis.
std::vector<int64_t> sharesOf(const NormalForm &form, int64_t batch) {
  for (const Axis &axis : form.stages.front().axes)
    if (axis.kind == AxisKind::Replica)
      return axis.shares.empty()
                 ? std::vector<int64_t>(axis.size, batch / axis.size)
                 : axis.shares;
  return {};
}

} // namespace

bool setShares(CostTable &table, NormalForm &form, const DeviceMap &devices,
               bool fitting) {
  int64_t replicas = form.stages.front().degree(AxisKind::Replica);
  int64_t units = table.workload.globalBatch /
                  (form.microBatches * table.workload.sampleGroup);
  bool even = units % replicas == 0;
  if (replicas == 1 || (even && table.hardware.pools().size() == 1))
    return true;
  Speeds speeds(table, form, devices, fitting);
  if (table.workload.globalBatch % speeds.unit)
    return false;
  std::vector<Worker> workers = speeds.workers(fitting);
  auto shares = fillShares(speeds.units, workers);
  if (!shares)
    return false;
  speeds.mend(workers, *shares);
  if (even && std::all_of(shares->begin(), shares->end(),
                          [&](int64_t s) { return s == shares->front(); }))
    return true;
  for (int64_t &share : *shares)
    share *= speeds.unit;
  assign(form, *shares);
  return true;
}

void polishShares(CostTable &table, CutResult &result) {
  if (table.hardware.pools().size() == 1)
    return;
  const Candidate start = *result.candidate;
  std::vector<int64_t> shares =
      sharesOf(start.form, table.workload.globalBatch);
  if (shares.size() < 2 || shares.size() > mostReplicas)
    return;
  int64_t unit = Speeds(table, start.form, start.devices, true).unit;
  bool better = true;
  for (int round = 0; round < 4 && better; ++round) {
    better = false;
    for (size_t from = 0; from < shares.size(); ++from)
      for (size_t to = 0; to < shares.size(); ++to) {
        if (from == to || shares[from] <= unit)
          continue;
        std::vector<int64_t> moved = shares;
        moved[from] -= unit, moved[to] += unit;
        NormalForm form = openForm(result);
        assign(form, moved);
        CutResult other =
            bestCuts(table, form, start.devices, result.prediction.step);
        if (!other.candidate || other.prediction.step >= result.prediction.step)
          continue;
        result = std::move(other);
        shares = std::move(moved);
        better = true;
      }
  }
}

} // namespace whale::planner
