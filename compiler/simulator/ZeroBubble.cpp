//===- ZeroBubble.cpp - ZB-H1, ZB-H2, ZBV ---------------------------------===//
//
// Schedules drawn by hand for tasks of equal length; ZBV moves its weights'
// gradients where costs are known. Source: Qi et al., Zero
// bubble pipeline parallelism, ICLR'24, figures 2, 3 and 8.
//
//===----------------------------------------------------------------------===//

#include "compiler/simulator/Families.h"

#include <algorithm>

namespace whale::simulator {

namespace {

/// `warmUp` forwards, then input's gradient, weights' gradient and forward in
/// turn; weights' gradients start `lag` backwards late, so that later stages
/// send the input's gradients up the pipeline without delay.
TaskList laggingWeights(int64_t warmUp, int64_t lag, int64_t microBatches) {
  warmUp = std::min(warmUp, microBatches);
  TaskList tasks;
  tasks.reserve(3 * microBatches);
  for (int64_t j = 0; j < warmUp; ++j)
    tasks.push_back(forwardTask(0, j));
  for (int64_t j = 0; j < microBatches; ++j) {
    tasks.push_back(inputTask(0, j));
    if (j >= lag)
      tasks.push_back(weightTask(0, j - lag));
    if (warmUp + j < microBatches)
      tasks.push_back(forwardTask(0, warmUp + j));
  }
  for (int64_t j = std::max<int64_t>(0, microBatches - lag); j < microBatches;
       ++j)
    tasks.push_back(weightTask(0, j));
  return tasks;
}

/// One stage of ZBV, counting up the micro-batches of each kind and chunk.
class VStage {
public:
  VStage(int64_t stages, int64_t stage, int64_t microBatches)
      : stages(stages), stage(stage), microBatches(microBatches) {
    tasks.reserve(6 * microBatches);
  }

  TaskList run() {
    for (int64_t i = 0; i < 2 * (stages - stage) - 1; ++i)
      forward(0);
    for (int64_t i = 0; i < stage; ++i) {
      forward(1);
      forward(0);
    }
    for (int64_t i = 0; i < stages - stage; ++i) {
      forward(1);
      backward(1);
      weight(1);
    }
    while (forwards[1] < microBatches) {
      forward(0);
      backward(0);
      weight(0);
      forward(1);
      backward(1);
      weight(1);
    }
    for (int64_t i = 0; i < stage; ++i) {
      backward(0);
      backward(1);
    }
    while (backwards[0] < microBatches) {
      backward(0);
      weight(0);
    }
    for (int64_t chunk : {1, 0})
      while (weights[chunk] < microBatches)
        weight(chunk);
    return std::move(tasks);
  }

private:
  void forward(int64_t chunk) {
    if (forwards[chunk] < microBatches)
      tasks.push_back(forwardTask(chunk, forwards[chunk]++));
  }
  void backward(int64_t chunk) {
    if (backwards[chunk] < microBatches)
      tasks.push_back(inputTask(chunk, backwards[chunk]++));
  }
  void weight(int64_t chunk) {
    if (weights[chunk] < backwards[chunk])
      tasks.push_back(weightTask(chunk, weights[chunk]++));
  }

  int64_t stages, stage, microBatches;
  int64_t forwards[2] = {0, 0}, backwards[2] = {0, 0}, weights[2] = {0, 0};
  TaskList tasks;
};

} // namespace

TaskLists makeZeroBubbleByHand(const ScheduleSpec &spec) {
  bool twice = spec.order == Order::ZeroBubbleH2;
  TaskLists lists;
  for (int64_t s = 0; s < spec.stages; ++s) {
    int64_t warmUp = twice ? 2 * (spec.stages - s) - 1 : spec.stages - s;
    lists.push_back(
        laggingWeights(warmUp, twice ? 2 * s : s, spec.microBatches));
  }
  return lists;
}

TaskLists makeZeroBubbleV(const ScheduleSpec &spec) {
  TaskLists lists;
  for (int64_t s = 0; s < spec.stages; ++s)
    lists.push_back(VStage(spec.stages, s, spec.microBatches).run());
  return spec.costs.empty() ? lists : fillWeights(spec, lists, 2 * spec.stages);
}

} // namespace whale::simulator
