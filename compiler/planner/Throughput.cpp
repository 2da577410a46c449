//===- Throughput.cpp - what the types of devices let a shape do ----------===//

#include "compiler/planner/Throughput.h"

#include <algorithm>
#include <bit>

namespace whale::planner {

/// Numbers of samples at which costs are looked up: 1, 2, 3, 4, 6, 8, 12...
static int64_t samplesAt(size_t step) {
  if (step < 2)
    return static_cast<int64_t>(step) + 1;
  int64_t power = int64_t(1) << ((step + 1) / 2);
  return step % 2 == 1 ? power : power + power / 2;
}

/// The largest one that is no more than `samples`.
static size_t stepBelow(int64_t samples) {
  auto log =
      static_cast<size_t>(std::bit_width(static_cast<uint64_t>(samples)) - 1);
  if (log == 0)
    return 0;
  size_t step = 2 * log - 1;
  return samplesAt(step + 1) <= samples ? step + 1 : step;
}

static std::tuple<int64_t, int64_t, bool, Recompute>
splitsOf(const Choice &shape) {
  return {shape.tensor, shape.context, shape.sequence, shape.recompute};
}

Picoseconds Throughput::bound(const Choice &shape, DeviceMap::Kind kind,
                              const std::vector<int64_t> &blocks,
                              int64_t microBatches) {
  if (blocks.empty() || shape.colocates())
    return {};
  std::lock_guard lock(mutex);
  int64_t units = unitsOf(shape);
  Picoseconds one =
      kind == DeviceMap::Kind::ByOuter
          ? ofReplicas(shape, blocks, units)
          : at(shape, blocks, stepBelow(ceilDivide(units, shape.data)),
               stepsOf(shape, blocks));
  return one * microBatches;
}

/// Groups of samples in a micro-batch of all replicas.
int64_t Throughput::unitsOf(const Choice &shape) const {
  return ceilDivide(table.workload.globalBatch,
                    shape.microBatches * table.workload.sampleGroup);
}

Throughput::Times Throughput::leastOf(size_t pool,
                                      std::span<const Choice> shapes) {
  std::lock_guard lock(mutex);
  Times times;
  const Choice *last = nullptr;
  for (const Choice &shape : shapes) {
    // What differs in no more than sharding takes the same.
    if (last && splitsOf(*last) == splitsOf(shape) && last->data == shape.data)
      continue;
    last = &shape;
    const Times &own =
        timesOn(pool, shape, stepBelow(ceilDivide(unitsOf(shape), shape.data)));
    if (times.empty())
      times = own;
    for (size_t r = 0; r < times.size(); ++r)
      times[r] = smaller(times[r], own[r]);
  }
  return times;
}

Picoseconds Throughput::boundOf(const std::vector<Kind> &kinds,
                                int64_t microBatches) const {
  int64_t stages = 0;
  for (const Kind &kind : kinds)
    stages += kind.second;
  return evenTime(stages, kinds) * microBatches;
}

/// The least time in which the replicas, so many in each pool, do all units:
/// each as many as its bound allows.
Picoseconds Throughput::ofReplicas(const Choice &shape,
                                   const std::vector<int64_t> &replicas,
                                   int64_t units) {
  struct Some {
    int64_t count = 0;
    std::vector<int64_t> stages;
    Steps *steps = nullptr;
    /// The first step that takes too long.
    size_t step = 0;
  };
  std::vector<Some> all;
  Picoseconds time;
  for (size_t pool = 0; pool < replicas.size(); ++pool) {
    if (replicas[pool] == 0)
      continue;
    std::vector<int64_t> stages(replicas.size(), 0);
    stages[pool] = shape.pipeline;
    Steps &steps = stepsOf(shape, stages);
    // One unit at least each.
    time = std::max(time, at(shape, stages, 0, steps));
    all.push_back({replicas[pool], std::move(stages), &steps});
  }
  while (true) {
    int64_t done = 0;
    Picoseconds next = Picoseconds::max();
    for (Some &some : all) {
      Picoseconds here = time;
      while (samplesAt(some.step) <= units &&
             (here = at(shape, some.stages, some.step, *some.steps)) <= time)
        ++some.step;
      if (samplesAt(some.step) > units)
        return time;
      done += some.count * (samplesAt(some.step) - 1);
      next = std::min(next, here);
    }
    if (done >= units)
      return time;
    time = next;
  }
}

Throughput::Steps &Throughput::stepsOf(const Choice &shape,
                                       const std::vector<int64_t> &stages) {
  return even[{splitsOf(shape), stages}];
}

Picoseconds Throughput::at(const Choice &shape,
                           const std::vector<int64_t> &stages, size_t step,
                           Steps &steps) {
  if (steps.size() <= step)
    steps.resize(step + 1);
  if (steps[step])
    return *steps[step];
  std::vector<Kind> kinds;
  for (size_t pool = 0; pool < stages.size(); ++pool)
    if (stages[pool] > 0)
      kinds.emplace_back(&timesOn(pool, shape, step), stages[pool]);
  steps[step] = evenTime(shape.pipeline, kinds);
  return *steps[step];
}

Picoseconds Throughput::evenTime(int64_t pipeline,
                                 const std::vector<Kind> &kinds) const {
  SpreadCosts costs;
  const std::vector<workload::Run> &runs = table.workload.runs;
  for (const auto &[times, stages] : kinds) {
    costs.kindOf.insert(costs.kindOf.end(), stages, costs.kinds.size());
    costs.kinds.push_back({*times});
  }
  for (size_t r = 0; r < runs.size(); ++r) {
    Parts least = costs.kinds.front().each[r];
    for (const SpreadCosts::Kind &kind : costs.kinds) {
      least.forward = std::min(least.forward, kind.each[r].forward);
      least.input = std::min(least.input, kind.each[r].input);
    }
    costs.runs.push_back({least, runs[r].count});
    costs.all += costs.runs.back().each * static_cast<double>(runs[r].count);
  }
  return evenBound(costs, pipeline, 1);
}

const Throughput::Times &Throughput::timesOn(size_t pool, const Choice &shape,
                                             size_t step) {
  auto [it, isNew] = known.try_emplace({splitsOf(shape), pool, step});
  if (isNew)
    it->second =
        timesOf(pool, shape, samplesAt(step) * table.workload.sampleGroup);
  return it->second;
}

/// On one replica of one stage at the pool's beginning.
Throughput::Times Throughput::timesOf(size_t pool, const Choice &shape,
                                      int64_t samples) {
  Choice one;
  one.tensor = shape.tensor, one.context = shape.context;
  one.sequence = shape.sequence, one.recompute = shape.recompute;
  NormalForm form = formOf(one, dims);
  DeviceMap map{DeviceMap::Kind::ByStage, {table.hardware.pools()[pool].first}};
  FormCosts costs(table, form, map, {}, samples);
  Times times;
  for (size_t r = 0; r < table.workload.runs.size(); ++r)
    times.push_back(partsOf(costs.forward(0, r), costs.backward(0, r), {}));
  return times;
}

} // namespace whale::planner
