//===- CostTable.cpp - costs of classes, computed once --------------------===//

#include "compiler/planner/Evaluate.h"

#include <algorithm>

namespace whale::planner {

using cost::ClassCost;
using cost::Group;
using workload::Run;

const ClassCost &CostTable::of(uint32_t moduleClass,
                               const cost::ClassContext &context) {
  auto key = std::make_pair(moduleClass, context);
  {
    std::lock_guard lock(classes->mutex);
    auto it = classes->costs.find(key);
    if (it != classes->costs.end())
      return it->second;
  }
  ClassCost made =
      cost::withGroups(workOf(moduleClass, context), context, hardware);
  std::lock_guard lock(classes->mutex);
  return classes->costs.emplace(std::move(key), std::move(made)).first->second;
}

const cost::ClassWork &CostTable::workOf(uint32_t moduleClass,
                                         cost::ClassContext context) {
  context.groups.clear();
  auto key = std::make_pair(moduleClass, std::move(context));
  {
    std::lock_guard lock(classes->mutex);
    auto it = classes->works.find(key);
    if (it != classes->works.end())
      return it->second;
  }
  cost::ClassWork made = cost::classWork(
      workload, workload.classes[moduleClass], key.second, hardware);
  std::lock_guard lock(classes->mutex);
  return classes->works.emplace(std::move(key), std::move(made)).first->second;
}

namespace {

/// What decides the costs of a stage's classes, as text: of its axes those in
/// the meshes.
class StageKey {
public:
  StageKey(const StageForm &stage, const cost::ClassContext &context,
           int64_t samples) {
    for (int64_t number :
         {int64_t(context.recompute), int64_t(context.deviceType), samples})
      add(number);
    for (const Group &group : context.groups) {
      for (int64_t number : {group.concurrent, int64_t(group.role),
                             static_cast<int64_t>(group.others.size())})
        add(number);
      for (const RankGroup &part : group.parts())
        for (int64_t number : {part.first, part.size, part.stride})
          add(number);
    }
    for (const Axis &axis : stage.axes)
      if (isMeshAxis(axis))
        add(axis);
  }
  std::string text;

private:
  void add(int64_t number) {
    text.append(reinterpret_cast<const char *>(&number), sizeof number);
  }
  void add(const std::vector<std::string> &names) {
    add(static_cast<int64_t>(names.size()));
    for (const std::string &name : names) {
      add(static_cast<int64_t>(name.size()));
      text += name;
    }
  }
  void add(const Axis &axis) {
    add(static_cast<int64_t>(axis.kind) * 2 + (axis.shard != Shard::None));
    add(axis.size);
    add(axis.dims);
    add(axis.paths);
    for (const ColocatedSplit &split : axis.colocated) {
      add(split.dims);
      add(split.paths);
    }
  }
};

} // namespace

const std::vector<const ClassCost *> &
CostTable::ofStage(const StageForm &stage, cost::ClassContext context,
                   int64_t samples) {
  std::string key = StageKey(stage, context, samples).text;
  {
    std::lock_guard lock(mutex);
    auto it = stages.find(key);
    if (it != stages.end())
      return it->second;
  }
  std::vector<const ClassCost *> made;
  bool onlyLayers = hardware.execution.stack.repeatsLayersOnly;
  Recompute recompute = context.recompute;
  for (const Run &run : workload.runs) {
    context.recompute =
        onlyLayers && run.count == 1 ? Recompute::None : recompute;
    context.mesh = meshOf(workload, stage, run, samples);
    made.push_back(&of(run.moduleClass, context));
  }
  std::lock_guard lock(mutex);
  return stages.emplace(std::move(key), std::move(made)).first->second;
}

std::vector<int64_t> CostTable::alive(Schedule schedule, int64_t stages,
                                      int64_t chunks, int64_t microBatches) {
  simulator::ScheduleSpec spec;
  spec.order = schedule;
  spec.stages = stages;
  spec.chunks = chunks;
  // More micro-batches than the schedules have in flight change nothing, but
  // for GPipe.
  spec.microBatches = schedule == Schedule::GPipe
                          ? microBatches
                          : std::min(microBatches, 4 * stages);
  auto key =
      std::make_tuple(spec.order, stages, spec.chunks, spec.microBatches);
  std::lock_guard lock(mutex);
  auto [it, isNew] = inFlight.try_emplace(key);
  if (isNew)
    it->second = simulator::mostAlive(spec);
  return it->second;
}

} // namespace whale::planner
