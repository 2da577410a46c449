//===- ControllableMemory.cpp - V-Half, V-Min -----------------------------===//
//
// Problem: two chunks per stage on a V-shaped path, with little memory.
//
// Method: a building block says when one micro-batch meets every chunk; a stage
// starts a block every six units, the work of one micro-batch there. How long
// values live in the block decides how much memory its repetition takes. The
// ends of the repetition are squeezed: a task moves to the earliest free unit
// that its inputs and the memory of the repetition allow. Then the weights'
// gradients fill the gaps (WeightFill.cpp): those that equal tasks would leave,
// or, where costs are known, the true ones if that is shorter.
//
// Source: Qi et al., Pipeline parallelism with controllable memory,
// NeurIPS'24, sections 3 and 4 and figure 3: blocks in which the forward takes
// one unit (V-Min) or two (V-Half) from one stage to the next.
// Guarantee: valid; memory as the block's; bubble as published for equal tasks.
// Complexity O(stages * micro-batches + stages^3).
//
//===----------------------------------------------------------------------===//

#include "compiler/simulator/Families.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

namespace whale::simulator {

namespace {

/// A stage starts a micro-batch every so many units: two chunks of three tasks.
constexpr int64_t interval = 6;

enum Slot : int8_t { Forward0, Forward1, Input1, Input0, Weight, Free };
constexpr int64_t moving = 4;

/// When a block's four tasks run on each stage.
using Block = std::vector<std::array<int64_t, moving>>;

/// Units from stage to stage on the way down (one on the way up), between the
/// last forward and the first backward, and where the backward turns.
struct Shape {
  int64_t step = 1, gap = 0, turn = 0;
};

Block makeBlock(int64_t stages, Shape shape) {
  Block block(stages);
  int64_t last = (stages - 1) * shape.step;
  int64_t backward = last + stages + 1 + shape.gap;
  int64_t turned = backward + last + 1 + shape.turn;
  for (int64_t s = 0; s < stages; ++s) {
    int64_t down = s * shape.step, up = stages - 1 - s;
    block[s] = {down, last + 1 + up, backward + down, turned + up};
  }
  return block;
}

bool collides(const Block &block) {
  for (const auto &times : block) {
    std::array<bool, interval> taken{};
    for (int64_t time : times)
      if (std::exchange(taken[time % interval], true))
        return true;
  }
  return false;
}

/// The repetition of a block, unit by unit.
class Repetition {
public:
  Repetition(Block block, int64_t microBatches)
      : block(std::move(block)), stages(std::ssize(this->block)),
        microBatches(microBatches) {
    for (const auto &times : this->block)
      end = std::max(end, times[Input0] + interval * microBatches);
    // Weights' gradients of the last blocks come after.
    end += 2 * stages + interval;
    for (int64_t s = 0; s < stages; ++s) {
      lines.emplace_back(end);
      enter(s);
      mostAlive =
          std::max(mostAlive, *std::ranges::max_element(lines[s].alive));
    }
  }

  void squeeze();
  TaskLists order() const;
  int64_t memory() const { return mostAlive; }

private:
  struct Unit {
    Slot slot = Free;
    /// Micro-batch; for a weight the number of the input gradient.
    int64_t number = 0;
  };
  struct Line {
    explicit Line(int64_t end) : units(end), alive(end, 0) {}
    std::vector<Unit> units;
    std::vector<int64_t> alive;
    /// When each task runs, by slot and number.
    std::array<std::vector<int64_t>, 5> times;
    /// Times of the input gradients, in order.
    std::vector<int64_t> inputs;
  };

  void enter(int64_t s);
  int64_t earliest(int64_t s, const Unit &unit) const;
  void move(int64_t s, int64_t time);

  Block block;
  int64_t stages, microBatches, end = 0, mostAlive = 0;
  std::vector<Line> lines;
};

/// All tasks at the block's times; weights' gradients in free units.
void Repetition::enter(int64_t s) {
  Line &line = lines[s];
  for (int8_t slot = 0; slot < moving; ++slot)
    for (int64_t j = 0; j < microBatches; ++j) {
      int64_t time = block[s][slot] + interval * j;
      line.units[time] = {static_cast<Slot>(slot), j};
      line.times[slot].push_back(time);
    }
  int64_t waiting = 0, alive = 0;
  for (int64_t time = 0; time < end; ++time) {
    Unit &unit = line.units[time];
    bool weight = unit.slot == Free && waiting > 0;
    if (weight) {
      unit = {Weight, std::ssize(line.times[Weight])};
      line.times[Weight].push_back(time);
    }
    if (unit.slot == Input0 || unit.slot == Input1)
      line.inputs.push_back(time);
    waiting += (unit.slot == Input0 || unit.slot == Input1) - weight;
    alive += unit.slot == Forward0 || unit.slot == Forward1;
    line.alive[time] = alive;
    alive -= weight;
  }
}

/// When a task could run at the earliest, for its inputs and its own kind.
int64_t Repetition::earliest(int64_t s, const Unit &unit) const {
  const Line &line = lines[s];
  int64_t after = -1, j = unit.number;
  if (unit.slot == Weight)
    after = line.inputs[j];
  bool down = unit.slot == Forward0 || unit.slot == Input1;
  if (unit.slot != Weight && (down ? s > 0 : s + 1 < stages))
    after = lines[down ? s - 1 : s + 1].times[unit.slot][j];
  if (unit.slot != Weight && unit.slot > Forward0)
    after = std::max(after, line.times[unit.slot - 1][j]);
  if (j > 0)
    after = std::max(after, line.times[unit.slot][j - 1]);
  return after + 1;
}

/// Moves the task at `time` to the first unit where it may run.
void Repetition::move(int64_t s, int64_t time) {
  Line &line = lines[s];
  Unit unit = line.units[time];
  bool forward = unit.slot == Forward0 || unit.slot == Forward1;
  // One more value is alive from the new time on; find where memory ends.
  int64_t first = earliest(s, unit);
  if (forward)
    for (int64_t t = time; t-- > first;)
      if (line.alive[t] >= mostAlive)
        first = t + 1;
  int64_t to = first;
  while (to < time && line.units[to].slot != Free)
    ++to;
  if (to == time)
    return;
  line.units[time] = {};
  line.units[to] = unit;
  line.times[unit.slot][unit.number] = to;
  for (int64_t t = to + !forward; t < time + !forward; ++t)
    line.alive[t] += forward ? 1 : unit.slot == Weight ? -1 : 0;
  if (unit.slot == Input0 || unit.slot == Input1)
    *std::ranges::lower_bound(line.inputs, time) = to;
}

void Repetition::squeeze() {
  int64_t steadyFrom = block[0][Input0];
  int64_t steadyTo = block[0][Forward0] + interval * (microBatches - 1);
  for (int64_t time = 0; time < end; ++time)
    if (time <= steadyFrom || time > steadyTo)
      for (int64_t s = 0; s < stages; ++s)
        if (lines[s].units[time].slot != Free)
          move(s, time);
}

/// Forwards and input gradients, by stage.
TaskLists Repetition::order() const {
  TaskLists lists(stages);
  for (int64_t s = 0; s < stages; ++s)
    for (const Unit &unit : lines[s].units) {
      if (unit.slot == Forward0 || unit.slot == Forward1)
        lists[s].push_back(forwardTask(unit.slot == Forward1, unit.number));
      else if (unit.slot == Input0 || unit.slot == Input1)
        lists[s].push_back(inputTask(unit.slot == Input1, unit.number));
    }
  return lists;
}

/// The block whose repetition takes the least memory, of those in which no two
/// tasks collide; among equals the shortest.
Block blockOf(const ScheduleSpec &spec) {
  // Enough for the repetition to reach its steady state.
  int64_t several = std::min(spec.microBatches, 2 * spec.stages + 2);
  int64_t least = std::numeric_limits<int64_t>::max();
  Block best;
  for (int64_t gap = 0; gap < interval; ++gap)
    for (int64_t turn : {0, 1}) {
      int64_t step = spec.order == Order::VHalf ? 2 : 1;
      Block block = makeBlock(spec.stages, {step, gap, turn});
      if (collides(block))
        continue;
      int64_t memory = Repetition(block, several).memory();
      if (std::exchange(least, std::min(least, memory)) > memory)
        best = std::move(block);
    }
  return best;
}

} // namespace

TaskLists makeControllableMemory(const ScheduleSpec &spec) {
  Repetition repetition(blockOf(spec), spec.microBatches);
  repetition.squeeze();
  int64_t memory = repetition.memory();
  ScheduleSpec alike = spec;
  alike.costs.clear();
  TaskLists lists = fillWeights(alike, repetition.order(), memory);
  return spec.costs.empty() ? lists : fillWeights(spec, lists, memory);
}

} // namespace whale::simulator
