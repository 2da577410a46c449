//===- DualPipe.cpp - micro-batches from both ends ------------------------===//
//
// A stage near an end starts long before the middle, with micro-batches of its
// own direction; in the steady state a forward of one direction runs at once
// with a backward of the other; weights' gradients fill the rest. Source:
// DeepSeek-V3 technical report, 2024, section 3.2.1 and figure 5, and the
// published description of the eight steps in deepseek-ai/DualPipe.
//
//===----------------------------------------------------------------------===//

#include "compiler/simulator/Families.h"

#include <algorithm>

namespace whale::simulator {

namespace {

class DualStage {
public:
  DualStage(int64_t stages, int64_t stage, int64_t microBatches)
      : half(microBatches / 2), near(stage < stages / 2 ? 0 : 1),
        toEnd(std::min(stage, stages - 1 - stage)),
        toMiddle(stages / 2 - 1 - toEnd), steady(half - stages + toEnd + 1) {
    tasks.reserve(5 * microBatches);
  }

  /// `own` is the direction that enters at the nearer end, `other` the other.
  TaskList run() {
    const int64_t own = near, other = 1 - near;
    for (int64_t i = 0; i < 2 * toMiddle; ++i)
      forward(own);
    for (int64_t i = 0; i <= toEnd; ++i) {
      forward(own);
      forward(other);
    }
    for (int64_t i = 0; i < toMiddle; ++i) {
      input(other);
      weight();
      forward(other);
    }
    for (int64_t i = 0; i < steady; ++i) {
      // The middle's first two run apart: the other half waits for the forward.
      pair(own, other, i > 0 || toMiddle > 0);
      pair(other, own, true);
    }
    for (int64_t i = 0; i < toMiddle; ++i) {
      backward(other);
      pair(other, own, true);
    }
    windDown(own, other);
    return std::move(tasks);
  }

private:
  /// The second half of the last backwards puts the weights' gradients off,
  /// which then fill the waits for the input's gradients of its own direction.
  void windDown(int64_t own, int64_t other) {
    for (int64_t i = 0; i < 2 * (toEnd + 1); ++i) {
      int64_t direction = i % 2 == 0 ? other : own;
      if (i <= toEnd)
        backward(direction);
      else
        input(direction);
    }
    for (int64_t i = 0; i < toMiddle; ++i) {
      weight();
      input(own);
    }
    for (int64_t i = 0; i <= toEnd; ++i)
      weight();
  }

  void forward(int64_t direction) {
    tasks.push_back(forwardTask(direction, next(forwards, direction)));
  }
  void backward(int64_t direction) {
    tasks.push_back(backwardTask(direction, next(backwards, direction)));
  }
  void input(int64_t direction) {
    tasks.push_back(inputTask(direction, next(backwards, direction)));
    delayed.push_back(tasks.back());
  }
  void weight() {
    tasks.push_back(weightTask(delayed[done].chunk, delayed[done].microBatch));
    ++done;
  }
  void pair(int64_t forwarded, int64_t backed, bool atOnce) {
    forward(forwarded);
    tasks.back().paired = atOnce;
    backward(backed);
  }
  int64_t next(int64_t (&counts)[2], int64_t direction) {
    return direction * half + counts[direction]++;
  }

  int64_t half, near, toEnd, toMiddle, steady;
  int64_t forwards[2] = {0, 0}, backwards[2] = {0, 0};
  TaskList tasks, delayed;
  size_t done = 0;
};

} // namespace

TaskLists makeDualPipe(const ScheduleSpec &spec) {
  TaskLists lists;
  for (int64_t s = 0; s < spec.stages; ++s)
    lists.push_back(DualStage(spec.stages, s, spec.microBatches).run());
  return lists;
}

} // namespace whale::simulator
