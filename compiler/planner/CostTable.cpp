//===- CostTable.cpp - costs of classes, computed once --------------------===//

#include "compiler/planner/Evaluate.h"

#include <algorithm>
#include <bit>

namespace whale::planner {

using cost::ClassCost;
using cost::Group;
using workload::Run;

namespace {

/// What decides a cost, as text.
class Key {
public:
  Key &add(int64_t number) {
    text.append(reinterpret_cast<const char *>(&number), sizeof number);
    return *this;
  }
  Key &add(const std::vector<std::string> &names) {
    add(static_cast<int64_t>(names.size()));
    for (const std::string &name : names) {
      add(static_cast<int64_t>(name.size()));
      text += name;
    }
    return *this;
  }
  Key &add(const std::vector<bool> &flags) {
    add(static_cast<int64_t>(flags.size()));
    for (bool flag : flags)
      text += flag ? '1' : '0';
    return *this;
  }
  /// How an axis cuts what, but for its kind and sharding.
  Key &addSplits(const Axis &axis) {
    add(axis.size).add(axis.dims).add(axis.paths);
    bool isUnequal = axis.kind == AxisKind::Split && !axis.shares.empty();
    add(int64_t(isUnequal));
    for (size_t c = 0; isUnequal && c < axis.shares.size(); ++c)
      add(axis.shares[c]);
    add(std::ssize(axis.colocated));
    for (const ColocatedSplit &split : axis.colocated)
      add(split.dims).add(split.paths);
    return *this;
  }
  Key &add(const std::vector<Group> &groups) {
    for (const auto &[first, size, stride, concurrent, role, others] : groups) {
      add(first).add(size).add(stride).add(concurrent).add(int64_t(role));
      add(static_cast<int64_t>(others.size()));
      for (const RankGroup &part : others)
        add(part.first).add(part.size).add(part.stride);
    }
    return *this;
  }

  std::string text;
};

/// Of a class's works: all of the context but the samples, the type of the
/// device and the groups.
Key worksKey(uint32_t moduleClass, const cost::ClassContext &context) {
  Key key;
  key.add(moduleClass).add(int64_t(context.recompute));
  key.add(static_cast<int64_t>(context.mesh.axes.size()));
  // Every field: one that is new does not compile until it is here.
  for (const auto &[size, dims, shardsState, holds, replica, required, rows,
                    fullest, widths] : context.mesh.axes) {
    key.add(size)
        .add(int64_t(replica) * 2 + shardsState)
        .add(dims)
        .add(required)
        .add({rows})
        .add(std::bit_cast<int64_t>(fullest))
        .add(holds);
    key.add(int64_t(widths.has_value()));
    if (widths)
      key.add(widths->own)
          .add(widths->least)
          .add(widths->most)
          .add(widths->sum);
  }
  return key;
}

/// Of all classes of a stage; of its axes those in the meshes.
Key stageKey(const StageForm &stage, const cost::ClassContext &context,
             int64_t samples, const std::vector<int64_t> &rank) {
  Key key;
  key.add(int64_t(context.recompute)).add(context.deviceType).add(samples);
  key.add(context.groups);
  for (size_t a = 0; a < stage.axes.size(); ++a) {
    const Axis &axis = stage.axes[a];
    if (!isMeshAxis(axis))
      continue;
    key.add(static_cast<int64_t>(axis.kind) * 2 + (axis.shard != Shard::None));
    key.addSplits(axis);
    if (axis.kind == AxisKind::Split && !axis.shares.empty())
      key.add(axis.shares[rank[a]]);
  }
  return key;
}

} // namespace

const ClassCost &CostTable::of(uint32_t moduleClass,
                               const cost::ClassContext &context) {
  Key key = worksKey(moduleClass, context);
  std::string worksText = key.text;
  key.add(context.mesh.samples).add(context.deviceType);
  std::string workText = key.text;
  key.add(context.groups);
  {
    std::lock_guard lock(classes->mutex);
    auto it = classes->costs.find(key.text);
    if (it != classes->costs.end())
      return it->second;
  }
  ClassCost made = cost::withGroups(
      workOf(workText, worksText, moduleClass, context), context, hardware);
  std::lock_guard lock(classes->mutex);
  return classes->costs.emplace(std::move(key.text), std::move(made))
      .first->second;
}

const cost::ClassWork &CostTable::workOf(const std::string &key,
                                         const std::string &worksKey,
                                         uint32_t moduleClass,
                                         const cost::ClassContext &context) {
  auto make = [&] {
    return cost::ClassWorks(workload, workload.classes[moduleClass], context,
                            hardware);
  };
  auto of = [&](const cost::ClassWorks &works) {
    return works.of(context.mesh.samples, context.deviceType, hardware);
  };
  std::optional<cost::ClassWorks> works;
  {
    std::lock_guard lock(classes->mutex);
    auto it = classes->works.find(key);
    if (it != classes->works.end())
      return it->second;
    auto all = classes->alike.find(worksKey);
    if (all != classes->alike.end())
      works = all->second;
  }
  if (!works) {
    works = make();
    std::lock_guard lock(classes->mutex);
    works = classes->alike.emplace(worksKey, *works).first->second;
  }
  std::optional<cost::ClassWork> made = of(*works);
  if (!made)
    made = of(make());
  std::lock_guard lock(classes->mutex);
  return classes->works.emplace(key, std::move(*made)).first->second;
}

const std::vector<const ClassCost *> &
CostTable::ofStage(const StageForm &stage, cost::ClassContext context,
                   int64_t samples, const std::vector<int64_t> &rank) {
  std::string key = stageKey(stage, context, samples, rank).text;
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
    context.mesh = meshOf(workload, stage, run, samples, rank);
    made.push_back(&of(run.moduleClass, context));
  }
  std::lock_guard lock(mutex);
  return stages.emplace(std::move(key), std::move(made)).first->second;
}

KnownReliefs &CostTable::reliefs(const std::string &key) {
  std::lock_guard lock(mutex);
  return reliefsByKey[key];
}

/// Those of all stages for which reliefNeeded() gives the same for the same
/// instances: by their costs, their memory, what they are cut over, and their
/// place in the pipeline.
KnownReliefs &FormCosts::knownReliefs(unsigned stage) const {
  known.resize(form.stages.size());
  if (known[stage])
    return *known[stage];
  const StageForm &shape = form.stages[stage];
  Relief open = reliefOf(shape);
  bool isLast = stage + 1 == form.stages.size();
  Key key;
  key.add(form.microBatches).add(slots(stage)).add(form.virtualStages);
  key.add(form.schedule == Schedule::DualPipe).add(stage > 0).add(isLast);
  key.add(open.recomputeLayers).add(open.selectiveLayers).add(offloads);
  key.add(open.offload.optimizer)
      .add(open.offload.parameters)
      .add(open.offload.activations)
      .add(open.gatheredLayers);
  for (const Axis &axis : shape.axes)
    key.add(int64_t(axis.kind)).add(int64_t(axis.shard)).addSplits(axis);
  auto addKind = [&](const FormCosts &kind) {
    auto it = kind.unlike.find(stage);
    for (unsigned type :
         it == kind.unlike.end() ? std::vector{types[stage]} : it->second.types)
      key.add(type);
    for (const auto *ofRuns :
         {&kind.costs, &kind.fullCosts, &kind.selectiveCosts}) {
      key.add(std::ssize((*ofRuns)[like[stage]]));
      for (const RunCost &one : (*ofRuns)[like[stage]])
        key.add(reinterpret_cast<intptr_t>(one.cost))
            .add(one.each.forward.value())
            .add(one.each.backward.value())
            .add(one.gathered.forward.value())
            .add(one.gathered.backward.value());
    }
  };
  addKind(*this);
  for (const auto &other : views)
    addKind(*other);
  known[stage] = &table.reliefs(key.text);
  return *known[stage];
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
