//===- SetShares.cpp - batch shares of unequal replicas -------------------===//
//
// One stage: the shares with which the slowest replica is fastest, by what
// whole steps take (fillByTimes). Pipelines: the same at times that are a line
// through those at half and twice an equal share, without memory; a start,
// whose neighbours bound all other shares, and from which ShareSearch.cpp goes
// on.
//
//===----------------------------------------------------------------------===//

#include "compiler/planner/Sharing.h"

#include <algorithm>
#include <map>

namespace whale::planner {

static const Axis &outermostReplicas(const NormalForm &form) {
  const std::vector<Axis> &axes = form.stages.front().axes;
  return *std::find_if(axes.begin(), axes.end(), [](const Axis &axis) {
    return axis.kind == AxisKind::Replica;
  });
}

Sharing::Sharing(CostTable &table, const NormalForm &form,
                 const DeviceMap &devices)
    : table(table), form(form), devices(devices),
      groups(replicaGroups(table.hardware, form, devices)),
      size(outermostReplicas(form).size),
      within(form.stages.front().degree(AxisKind::Replica) / size) {
  unit = form.microBatches * table.workload.sampleGroup * within;
  units = table.workload.globalBatch / unit;
}

ReplicaCosts Sharing::costsOf(const ReplicaGroup &group, int64_t share) const {
  ReplicaCosts costs;
  for (const std::vector<int64_t> &replica : group.replicas)
    costs.push_back(std::make_unique<FormCosts>(table, form, devices, replica,
                                                samplesOf(share)));
  return costs;
}

std::vector<TimedWorkers> Sharing::workers(
    std::function<Picoseconds(const ReplicaGroup &, int64_t)> time) const {
  std::vector<TimedWorkers> result;
  for (const ReplicaGroup &group : groups)
    result.emplace_back(group.count, [time, &group](int64_t share) {
      return time(group, share);
    });
  return result;
}

std::vector<int64_t> Sharing::givenIn(const NormalForm &form) const {
  std::vector<int64_t> shares = outermostReplicas(form).shares;
  for (int64_t &share : shares)
    share /= unit;
  return shares.empty() ? std::vector<int64_t>(size, units / size) : shares;
}

void Sharing::assign(NormalForm &form, std::vector<int64_t> shares) const {
  bool equal = units % size == 0 &&
               std::all_of(shares.begin(), shares.end(),
                           [&](int64_t s) { return s == shares.front(); });
  for (int64_t &share : shares)
    share *= unit;
  if (equal)
    shares.clear();
  // Stages with the same axes go on sharing them.
  SharedVector<Axis> before;
  const StageForm *last = nullptr;
  for (StageForm &stage : form.stages) {
    if (last && stage.axes == before) {
      stage.axes = last->axes;
      continue;
    }
    before = stage.axes;
    last = &stage;
    std::find_if(stage.axes.begin(), stage.axes.end(), [](const Axis &axis) {
      return axis.kind == AxisKind::Replica;
    })->shares = shares;
  }
}

namespace {

/// A micro-batch of the whole model on one stage, at least.
Picoseconds modelTime(const workload::Workload &workload,
                      const FormCosts &costs, unsigned stage) {
  Picoseconds time;
  for (size_t r = 0; r < workload.runs.size(); ++r)
    time += (costs.forward(stage, r) + costs.backward(stage, r)) *
            workload.runs[r].count;
  return time;
}

/// What replicas take, as lines.
class Speeds {
public:
  Speeds(const Sharing &sharing) : sharing(sharing) {}

  /// Each group of replicas.
  std::vector<Worker> workers() {
    std::vector<Worker> all;
    for (const ReplicaGroup &group : sharing.groups) {
      Worker worker{{}, {}, sharing.units, group.count};
      for (const std::vector<int64_t> &replica : group.replicas) {
        Worker one = of(replica);
        worker.fixed = std::max(worker.fixed, one.fixed);
        worker.perUnit = std::max(worker.perUnit, one.perUnit);
      }
      all.push_back(worker);
    }
    return all;
  }

private:
  /// A line through the times of about half and twice an equal share.
  Worker of(const std::vector<int64_t> &replica) {
    std::vector<unsigned> types = typesOf(replica);
    auto it = known.find(types);
    if (it != known.end())
      return it->second;
    int64_t equal = std::max<int64_t>(1, sharing.units / sharing.size);
    int64_t low = std::max<int64_t>(1, equal / 2);
    int64_t high = std::max(low + 1, std::min(2 * equal, sharing.units));
    Picoseconds least = timeOf(sharing.at(replica, low));
    Picoseconds more = std::max(least, timeOf(sharing.at(replica, high)));
    Worker result;
    result.perUnit = (more - least).scaled(1 / static_cast<double>(high - low));
    result.fixed = std::max(Picoseconds(), least - result.perUnit * low);
    known.emplace(types, result);
    return result;
  }

  std::vector<unsigned> typesOf(const std::vector<int64_t> &replica) const {
    const cost::Hardware &hardware = sharing.table.hardware;
    // Equal devices need no look at the map.
    if (hardware.pools().size() == 1)
      return {hardware.pools().front().type};
    std::vector<unsigned> types;
    for (int64_t device :
         placeOf(sharing.form, sharing.devices, replica, hardware).stages)
      types.push_back(hardware.poolOf(device).type);
    return types;
  }

  /// All micro-batches. One alone takes the mean of the stages, as if each had
  /// its part of the instances; many go at the pace of stages that take equally
  /// long.
  Picoseconds timeOf(const FormCosts &costs) const {
    double rate = 0, sum = 0;
    for (unsigned s = 0; s < sharing.form.stages.size(); ++s) {
      double time = modelTime(sharing.table.workload, costs, s).asDouble();
      sum += time;
      rate += 1 / std::max(1.0, time);
    }
    auto stages = static_cast<double>(sharing.form.stages.size());
    auto others = static_cast<double>(sharing.form.microBatches - 1);
    return Picoseconds::fromDouble(sum / stages + others * stages / rate);
  }

  const Sharing &sharing;
  std::map<std::vector<unsigned>, Worker> known;
};

/// Of one stage with all micro-batches; where it must fit, the whole step of
/// what does.
Picoseconds timeOfOne(const workload::Workload &workload,
                      const FormCosts &costs, int64_t microBatches,
                      bool fitting) {
  if (!fitting)
    return modelTime(workload, costs, 0) * microBatches;
  int64_t instances = workload::instanceCount(workload);
  if (!costs.fits(0, 0, instances))
    return Picoseconds::max();
  StagePrediction all = costs.stage(0, 0, instances);
  return (all.forward + all.backward) * microBatches + all.gradientSync +
         all.update;
}

} // namespace

bool setShares(CostTable &table, NormalForm &form, const DeviceMap &devices,
               bool fitting) {
  int64_t replicas = form.stages.front().degree(AxisKind::Replica);
  int64_t units = table.workload.globalBatch /
                  (form.microBatches * table.workload.sampleGroup);
  bool even = units % replicas == 0;
  if (replicas == 1 ||
      (even && areReplicasAlike(table.hardware, form, devices)))
    return true;
  Sharing sharing(table, form, devices);
  if (even && !sharing.isChoice())
    return true;
  if (!sharing.isWhole())
    return false;
  auto shares = fillShares(sharing.units, Speeds(sharing).workers());
  if (shares && form.stages.size() == 1) {
    std::vector<TimedWorkers> workers =
        sharing.workers([&](const ReplicaGroup &group, int64_t share) {
          Picoseconds time;
          for (const auto &costs : sharing.costsOf(group, share))
            time = std::max(time, timeOfOne(table.workload, *costs,
                                            form.microBatches, fitting));
          return time;
        });
    shares = fillByTimes(sharing.units, workers, *shares);
  }
  if (!shares)
    return false;
  sharing.assign(form, std::move(*shares));
  return true;
}

/// Of each group of replicas with a unit more than its smallest share.
static std::vector<ReplicaCosts> costsOfOthers(CostTable &table,
                                               const NormalForm &form,
                                               const DeviceMap &devices) {
  std::vector<ReplicaCosts> costs;
  bool isOne = form.stages.size() == 1;
  if (table.hardware.pools().size() == 1 ||
      (!isOne && table.hardware.deviceCount() > fewMixedDevices) ||
      form.stages.front().degree(AxisKind::Replica) == 1 ||
      areReplicasAlike(table.hardware, form, devices))
    return costs;
  Sharing sharing(table, form, devices);
  if (!sharing.isChoice())
    return costs;
  std::vector<int64_t> shares = sharing.givenIn(form);
  for (const ReplicaGroup &group : sharing.groups) {
    auto first = shares.begin() + group.first;
    int64_t more = *std::min_element(first, first + group.count) + 1;
    if (more <= sharing.units - sharing.size + 1)
      costs.push_back(sharing.costsOf(group, more));
  }
  return costs;
}

std::vector<ReplicaCosts> anyShares(CostTable &table, const NormalForm &form,
                                    const DeviceMap &devices) {
  std::vector<ReplicaCosts> any = costsOfOthers(table, form, devices);
  any.insert(any.begin(), replicaCosts(table, form, devices));
  return any;
}

SpreadCosts spreadCosts(CostTable &table, const NormalForm &form,
                        const ReplicaCosts &costs, bool tails) {
  SpreadCosts most;
  for (const auto &one : costs) {
    SpreadCosts here = spreadCosts(table, form, *one, tails);
    if (here.all.sum() >= most.all.sum())
      most = std::move(here);
  }
  return most;
}

std::vector<SpreadCosts> spreadsOf(CostTable &table, const NormalForm &form,
                                   const DeviceMap &devices) {
  std::vector<SpreadCosts> spreads;
  for (const ReplicaCosts &costs : anyShares(table, form, devices))
    spreads.push_back(spreadCosts(table, form, costs, false));
  return spreads;
}

Picoseconds boundOfOthers(CostTable &table, const NormalForm &form,
                          const DeviceMap &devices, Picoseconds known,
                          Picoseconds limit) {
  // One stage has its best shares already.
  if (form.stages.size() == 1)
    return Picoseconds::max();
  std::vector<ReplicaCosts> others = costsOfOthers(table, form, devices);
  for (const ReplicaCosts &costs : others)
    if (mayCutBelow(table, form, costs, limit, Memory::Relaxed))
      return known;
  return others.empty() ? Picoseconds::max() : limit;
}

} // namespace whale::planner
