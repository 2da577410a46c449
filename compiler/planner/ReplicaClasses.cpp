//===- ReplicaClasses.cpp - replicas that differ --------------------------===//

#include "compiler/planner/Evaluate.h"

#include <algorithm>
#include <set>

namespace whale::planner {

using workload::Workload;

namespace {

/// Coordinates along a replica axis among which every kind of replica is: all
/// on unequal devices; else the first of each share, or the ends of an axis
/// with equal ones (the first get the remainder).
std::vector<int64_t> distinctCoordinates(const Axis &axis, bool equalDevices) {
  std::vector<int64_t> result;
  std::set<int64_t> seen;
  if (equalDevices && axis.shares.empty())
    return axis.size == 1 ? std::vector<int64_t>{0}
                          : std::vector<int64_t>{0, axis.size - 1};
  for (int64_t c = 0; c < axis.size; ++c)
    if (!equalDevices || seen.insert(axis.shares[c]).second)
      result.push_back(c);
  return result;
}

/// Device types of a replica's stages, then its samples.
std::vector<int64_t> replicaKey(const Workload &workload,
                                const cost::Hardware &hardware,
                                const NormalForm &form,
                                const DeviceMap &devices,
                                ReplicaClass &replica) {
  std::vector<int64_t> key;
  // On equal devices all stages say the same.
  bool equalDevices = hardware.pools().size() == 1;
  for (unsigned s = 0; s < (equalDevices ? 1 : form.stages.size()); ++s) {
    Coordinates at;
    at.stage = s;
    size_t next = 0;
    for (const Axis &axis : form.stages[s].axes)
      at.axes.push_back(
          axis.kind == AxisKind::Replica ? replica.coordinates[next++] : 0);
    replica.samples = batchOf(form, at, workload.globalBatch).count;
    key.push_back(hardware.poolOf(devices.deviceOf(form, at)).type);
  }
  key.push_back(replica.samples);
  return key;
}

} // namespace

std::vector<ReplicaClass> replicaClasses(const Workload &workload,
                                         const cost::Hardware &hardware,
                                         const NormalForm &form,
                                         const DeviceMap &devices) {
  bool equalDevices = hardware.pools().size() == 1;
  std::vector<std::vector<int64_t>> choices;
  for (const Axis &axis : form.stages.front().axes)
    if (axis.kind == AxisKind::Replica)
      choices.push_back(distinctCoordinates(axis, equalDevices));
  std::vector<ReplicaClass> result;
  std::set<std::vector<int64_t>> seen;
  std::vector<size_t> at(choices.size(), 0);
  while (true) {
    ReplicaClass replica;
    for (size_t a = 0; a < at.size(); ++a)
      replica.coordinates.push_back(choices[a][at[a]]);
    if (seen.insert(replicaKey(workload, hardware, form, devices, replica))
            .second)
      result.push_back(std::move(replica));
    size_t a = at.size();
    while (a > 0 && ++at[a - 1] == choices[a - 1].size())
      at[--a] = 0;
    if (a == 0)
      return result;
  }
}

} // namespace whale::planner
