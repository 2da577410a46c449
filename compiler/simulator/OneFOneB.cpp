//===- OneFOneB.cpp - GPipe, 1F1B, interleaved 1F1B -----------------------===//
//
// Interleaved: the forwards of a stage take g micro-batches through chunk 0,
// then the same g through chunk 1, and so on, then the next g; backwards do the
// same from the last chunk. Stage s runs 2 (p - 1 - s) + (v - 1) g forwards,
// then one forward and one backward in turn (Narayanan et al., SC'21, section
// 2.2, and Megatron-LM). g is p; where m is no multiple of p the least that
// leaves no group of fewer than p micro-batches (Megatron-Core's
// microbatch-group-size-per-virtual-pipeline-stage).
//
//===----------------------------------------------------------------------===//

#include "compiler/simulator/Families.h"

#include <algorithm>

namespace whale::simulator {

namespace {

TaskList warmThenAlternate(int64_t warmUp, int64_t microBatches) {
  TaskList tasks;
  tasks.reserve(2 * microBatches);
  for (int64_t j = 0; j < warmUp; ++j)
    tasks.push_back(forwardTask(0, j));
  for (int64_t j = 0; j < microBatches; ++j) {
    tasks.push_back(backwardTask(0, j));
    if (warmUp + j < microBatches)
      tasks.push_back(forwardTask(0, warmUp + j));
  }
  return tasks;
}

/// The k-th forward, or backward, of a stage in the interleaved order.
class Interleaving {
public:
  explicit Interleaving(const ScheduleSpec &spec)
      : group(interleavedGroup(spec)), chunks(spec.chunks),
        microBatches(spec.microBatches) {}

  Task forward(int64_t k) const { return forwardTask(chunk(k), microBatch(k)); }
  Task backward(int64_t k) const {
    return backwardTask(chunks - 1 - chunk(k), microBatch(k));
  }

private:
  /// The first micro-batch of the group of the k-th task, and how many it has.
  int64_t first(int64_t k) const { return k / (group * chunks) * group; }
  int64_t size(int64_t k) const {
    return std::min(group, microBatches - first(k));
  }
  int64_t chunk(int64_t k) const { return (k - first(k) * chunks) / size(k); }
  int64_t microBatch(int64_t k) const {
    return first(k) + (k - first(k) * chunks) % size(k);
  }

  int64_t group, chunks, microBatches;
};

} // namespace

int64_t interleavedGroup(const ScheduleSpec &spec) {
  int64_t group = spec.stages;
  auto leavesFew = [&] {
    int64_t left = spec.microBatches % group;
    return left > 0 && left < spec.stages;
  };
  while (group < spec.microBatches && leavesFew())
    ++group;
  return group;
}

TaskList stageOrder(Order order, int64_t stages, int64_t stage,
                    int64_t microBatches) {
  if (order == Order::GPipe || order == Order::OneFOneB)
    return warmThenAlternate(inFlight(order, stages, stage, microBatches),
                             microBatches);
  ScheduleSpec spec{order, stages, chunksOf(order, 1), microBatches, {}, {}};
  return std::move(makeSchedule(spec)[stage]);
}

TaskLists makeGPipe(const ScheduleSpec &spec) {
  return TaskLists(spec.stages,
                   warmThenAlternate(spec.microBatches, spec.microBatches));
}

TaskLists makeOneFOneB(const ScheduleSpec &spec) {
  TaskLists lists;
  for (int64_t s = 0; s < spec.stages; ++s)
    lists.push_back(warmThenAlternate(
        std::min(spec.microBatches, spec.stages - s), spec.microBatches));
  return lists;
}

TaskLists makeInterleaved(const ScheduleSpec &spec) {
  Interleaving order(spec);
  int64_t total = spec.microBatches * spec.chunks;
  TaskLists lists(spec.stages);
  for (int64_t s = 0; s < spec.stages; ++s) {
    int64_t warmUp =
        std::min(total, 2 * (spec.stages - 1 - s) +
                            (spec.chunks - 1) * interleavedGroup(spec));
    TaskList &tasks = lists[s];
    tasks.reserve(2 * total);
    for (int64_t k = 0; k < warmUp; ++k)
      tasks.push_back(order.forward(k));
    for (int64_t k = 0; k < total; ++k) {
      if (warmUp + k < total)
        tasks.push_back(order.forward(warmUp + k));
      tasks.push_back(order.backward(k));
    }
  }
  return lists;
}

} // namespace whale::simulator
