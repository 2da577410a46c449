//===- SetShares.cpp - batch shares of unequal replicas -------------------===//
//
// Speeds come from the cost model at an equal share, memory from the largest
// share with which the model still fits (one stage; with several stages the
// cuts decide, and bestCuts checks them).
//
//===----------------------------------------------------------------------===//

#include "compiler/planner/Search.h"

#include "compiler/planner/Shares.h"

#include <algorithm>
#include <map>

namespace whale::planner {

namespace {

class Speeds {
public:
  Speeds(CostTable &table, const NormalForm &form, const DeviceMap &devices)
      : unit(form.microBatches * table.workload.sampleGroup),
        units(table.workload.globalBatch / unit), table(table), form(form),
        devices(devices),
        replicas(form.stages.front().degree(AxisKind::Replica)) {}

  /// A replica as a worker; equal ones are computed once.
  Worker worker(int64_t replica) {
    std::vector<unsigned> types = typesOf(replica);
    auto it = known.find(types);
    if (it != known.end())
      return it->second;
    int64_t equal = std::max<int64_t>(1, units / replicas);
    FormCosts costs = at(replica, equal);
    Worker result;
    result.perUnit = Picoseconds(timeOf(costs).value() / equal);
    result.capacity = form.stages.size() == 1 ? capacity(replica) : units;
    known.emplace(types, result);
    return result;
  }

  int64_t unit, units;

private:
  FormCosts at(int64_t replica, int64_t share) {
    return FormCosts(table, form, devices, {replica}, share * unit);
  }
  std::vector<unsigned> typesOf(int64_t replica) const {
    // Equal devices need no look at the map.
    if (table.hardware.pools().size() == 1)
      return {table.hardware.pools().front().type};
    std::vector<unsigned> types;
    for (unsigned s = 0; s < form.stages.size(); ++s) {
      Coordinates place;
      place.stage = s;
      for (const Axis &axis : form.stages[s].axes)
        place.axes.push_back(axis.kind == AxisKind::Replica ? replica : 0);
      types.push_back(
          table.hardware.poolOf(devices.deviceOf(form, place)).type);
    }
    return types;
  }
  int64_t allInstances() const {
    return workload::instanceCount(table.workload);
  }
  /// All instances on the replica's first device type: replicas whose stages
  /// mix types have equal mixes and equal shares.
  Picoseconds timeOf(const FormCosts &costs) const {
    Picoseconds time;
    for (size_t r = 0; r < table.workload.runs.size(); ++r)
      time += (costs.run(0, r).forward + costs.run(0, r).backward) *
              table.workload.runs[r].count;
    return time * form.microBatches;
  }
  int64_t capacity(int64_t replica) {
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
  int64_t replicas;
  std::map<std::vector<unsigned>, Worker> known;
};

} // namespace

bool setShares(CostTable &table, NormalForm &form, const DeviceMap &devices) {
  int64_t replicas = form.stages.front().degree(AxisKind::Replica);
  int64_t units = table.workload.globalBatch /
                  (form.microBatches * table.workload.sampleGroup);
  bool even = units % replicas == 0;
  if (replicas == 1 || (even && table.hardware.pools().size() == 1))
    return true;
  Speeds speeds(table, form, devices);
  std::vector<Worker> workers;
  for (int64_t r = 0; r < replicas; ++r)
    workers.push_back(speeds.worker(r));
  auto shares = fillShares(speeds.units, workers);
  if (!shares)
    return false;
  if (even && std::all_of(shares->begin(), shares->end(),
                          [&](int64_t s) { return s == shares->front(); }))
    return true;
  for (int64_t &share : *shares)
    share *= speeds.unit;
  for (StageForm &stage : form.stages)
    for (Axis &axis : stage.axes)
      if (axis.kind == AxisKind::Replica)
        axis.shares = *shares;
  return true;
}

} // namespace whale::planner
