//===- ZeroBubbleAutomatic.cpp - ZB-1p, ZB-2p -----------------------------===//
//
// Problem: given the times of forward (F), input's gradient (B), weights'
// gradient (W) and transfer of every stage, and the bytes that saved values may
// take, order each stage's tasks so that the longest stage is short.
//
// Method: the heuristic of Qi et al., ICLR'24, section 3.1. First as many
// forwards as fit before the first B; then F and B in turn; a W runs where the
// stage would wait at least that long, where the wait would make this stage the
// one with the largest bubble, or where memory is short. A stage stays at least
// one forward ahead of the next. Three choices are open; all eight combinations
// are simulated and the shortest kept.
//
// Guarantee: a valid schedule within the limit; heuristic, not optimal.
// Complexity O(stages * tasks).
//
//===----------------------------------------------------------------------===//

#include "compiler/simulator/Families.h"

#include <algorithm>

namespace whale::simulator {

namespace {

struct Choices {
  /// Run a forward more before the first backward although that delays it.
  bool delayFirstBackward = false;
  /// Skip a forward that would delay the next backward.
  bool preferBackward = false;
  /// Fill also a wait that is shorter than W and not the largest bubble.
  bool fillAll = false;
};

class Arrangement {
public:
  Arrangement(const ScheduleSpec &spec, const std::vector<PartCost> &costs,
              Choices choices)
      : spec(spec), costs(costs), choices(choices), count(spec.stages),
        stages(count) {
    for (Line &line : stages) {
      line.tasks.reserve(3 * spec.microBatches);
      line.forwardEnd.reserve(spec.microBatches);
      line.inputEnd.reserve(spec.microBatches);
    }
    limits.reserve(count);
    for (const PartCost &cost : costs)
      limits.push_back(limitOf(cost));
  }

  void run() {
    warmUp();
    for (int64_t j = 1; j < spec.microBatches; ++j) {
      forwards();
      for (int64_t s = count - 1; s >= 0; --s)
        backward(s);
    }
    for (int64_t s = 0; s < count; ++s)
      while (stages[s].weights < spec.microBatches)
        weight(s);
  }

  /// From the first task's start to the last one's end, of the longest stage.
  Picoseconds longest() const {
    Picoseconds most;
    for (int64_t s = 0; s < count; ++s)
      most = std::max(most, stages[s].time -
                                (stages[s].forwardEnd[0] - costs[s].forward));
    return most;
  }

  TaskLists lists() {
    TaskLists result;
    for (Line &line : stages)
      result.push_back(std::move(line.tasks));
    return result;
  }

private:
  struct Line {
    TaskList tasks;
    std::vector<Picoseconds> forwardEnd, inputEnd;
    int64_t weights = 0;
    Picoseconds time, bubble;
    Bytes memory;

    int64_t forwards() const { return std::ssize(forwardEnd); }
    int64_t inputs() const { return std::ssize(inputEnd); }
    bool weightsWait() const { return weights < inputs(); }
  };

  /// At least one micro-batch, or nothing could run.
  Bytes limitOf(const PartCost &cost) const {
    if (spec.savedLimit != Bytes())
      return std::max(spec.savedLimit, cost.saved);
    return cost.saved * (spec.order == Order::ZeroBubble2p ? 2 * count : count);
  }

  bool moreForwards(int64_t s) const {
    return stages[s].forwards() < spec.microBatches;
  }

  /// When the inputs of the stage's next forward, or next backward, are there.
  Picoseconds forwardArrival(int64_t s) const {
    return s == 0 ? Picoseconds()
                  : stages[s - 1].forwardEnd[stages[s].forwards()] +
                        costs[s - 1].sendForward;
  }
  Picoseconds inputArrival(int64_t s) const {
    int64_t j = stages[s].inputs();
    return s + 1 == count
               ? stages[s].forwardEnd[j]
               : stages[s + 1].inputEnd[j] + costs[s + 1].sendBackward;
  }

  void put(int64_t s, Task task, Picoseconds arrival, Picoseconds work) {
    Line &line = stages[s];
    Picoseconds start = std::max(line.time, arrival);
    if (line.forwards() > 0)
      line.bubble += start - line.time;
    line.time = start + work;
    line.tasks.push_back(task);
  }
  void forward(int64_t s) {
    put(s, forwardTask(0, stages[s].forwards()), forwardArrival(s),
        costs[s].forward);
    stages[s].forwardEnd.push_back(stages[s].time);
    stages[s].memory += costs[s].saved;
  }
  void input(int64_t s) {
    put(s, inputTask(0, stages[s].inputs()), inputArrival(s),
        costs[s].backwardInput);
    stages[s].inputEnd.push_back(stages[s].time);
    stages[s].memory -= costs[s].saved - costs[s].weightSaved;
  }
  void weight(int64_t s) {
    put(s, weightTask(0, stages[s].weights++), Picoseconds(),
        costs[s].backwardWeight);
    stages[s].memory -= costs[s].weightSaved;
  }

  /// The first forward and backward of every stage, and the forwards that fill
  /// the time between them.
  void warmUp() {
    for (int64_t s = 0; s < count; ++s)
      forward(s);
    std::vector<int64_t> extra = extraForwards();
    for (int64_t s = 0; s < count; ++s)
      for (int64_t i = 0; i < extra[s]; ++i)
        forward(s);
    for (int64_t s = count - 1; s >= 0; --s)
      input(s);
  }

  std::vector<int64_t> extraForwards() const {
    std::vector<int64_t> extra(count, 0);
    Picoseconds inputEnd =
        stages[count - 1].time + costs[count - 1].backwardInput;
    for (int64_t s = count - 2; s >= 0; --s) {
      const PartCost &cost = costs[s];
      Picoseconds arrival = inputEnd + costs[s + 1].sendBackward;
      Picoseconds time = stages[s].time;
      auto room = [&] {
        int64_t alive = 1 + extra[s];
        return alive < spec.microBatches &&
               cost.saved * (alive + 1) <= limits[s];
      };
      auto inTime = [&] {
        return choices.delayFirstBackward ? time < arrival
                                          : time + cost.forward <= arrival;
      };
      while (room() && inTime()) {
        time += cost.forward;
        ++extra[s];
      }
      inputEnd = std::max(time, arrival) + cost.backwardInput;
    }
    for (int64_t s = 1; s < count; ++s)
      if (extra[s] > 0 && extra[s] >= extra[s - 1])
        extra[s] = std::max<int64_t>(0, extra[s - 1] - 1);
    return extra;
  }

  /// One more forward on every stage that should have one. Where a stage skips,
  /// those before it skip too, so that none runs too far ahead.
  void forwards() {
    std::vector<char> wanted(count);
    bool laterSkips = false;
    for (int64_t s = count - 1; s >= 0; --s) {
      bool skip = choices.preferBackward && delaysBackward(s);
      bool over = !moreForwards(s);
      laterSkips |= skip && !over;
      wanted[s] = !over && !laterSkips;
    }
    for (int64_t s = 0; s < count; ++s) {
      if (!wanted[s])
        continue;
      makeRoom(s, costs[s].saved);
      if (s > 0)
        fill(s, forwardArrival(s));
      forward(s);
    }
  }

  /// Would the next forward hold up the backward that comes after it?
  bool delaysBackward(int64_t s) const {
    if (s + 1 == count || stages[s].forwards() < stages[s + 1].forwards() + 2)
      return false;
    const Line &line = stages[s];
    Picoseconds due = stages[s + 1].time + costs[s + 1].forward +
                      costs[s + 1].backwardInput + costs[s + 1].sendBackward;
    if (line.time >= due)
      return true;
    if (line.time + costs[s].forward + timeToMakeRoom(s) <= due)
      return false;
    return due - line.time <= largestBubble() - line.bubble;
  }

  Picoseconds timeToMakeRoom(int64_t s) const {
    const PartCost &cost = costs[s];
    Bytes memory = stages[s].memory + cost.saved;
    Picoseconds time;
    for (int64_t w = stages[s].weights;
         memory > limits[s] && w < stages[s].inputs(); ++w) {
      memory -= cost.weightSaved;
      time += cost.backwardWeight;
    }
    return time;
  }

  void backward(int64_t s) {
    if (s + 1 < count)
      fill(s, inputArrival(s));
    // Nobody waits for the first stage's input gradients: weights come first.
    if (s == 0 && !moreForwards(s))
      while (stages[s].weightsWait())
        weight(s);
    input(s);
  }

  void makeRoom(int64_t s, Bytes bytes) {
    while (stages[s].memory + bytes > limits[s] && stages[s].weightsWait())
      weight(s);
  }

  /// Weights' gradients while the stage would wait until `arrival`.
  void fill(int64_t s, Picoseconds arrival) {
    Line &line = stages[s];
    while (line.weightsWait() && line.time + costs[s].backwardWeight <= arrival)
      weight(s);
    if (!line.weightsWait() || line.time >= arrival)
      return;
    if (choices.fillAll || arrival - line.time > largestBubble() - line.bubble)
      weight(s);
  }

  Picoseconds largestBubble() const {
    Picoseconds most;
    for (const Line &line : stages)
      most = std::max(most, line.bubble);
    return most;
  }

  const ScheduleSpec &spec;
  const std::vector<PartCost> &costs;
  Choices choices;
  int64_t count;
  std::vector<Line> stages;
  std::vector<Bytes> limits;
};

} // namespace

TaskLists makeZeroBubbleAutomatic(const ScheduleSpec &spec) {
  std::vector<PartCost> costs = costsOf(spec);
  // Stages that save nothing hold no more micro-batches than others.
  for (PartCost &cost : costs)
    if (cost.saved == Bytes())
      cost.saved = cost.weightSaved = Bytes(1);
  std::optional<Arrangement> best;
  for (bool delay : {true, false})
    for (bool prefer : {true, false})
      for (bool fill : {true, false}) {
        Arrangement one(spec, costs, {delay, prefer, fill});
        one.run();
        if (!best || one.longest() < best->longest())
          best.emplace(std::move(one));
      }
  return best->lists();
}

} // namespace whale::simulator
