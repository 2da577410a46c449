//===- WeightFill.cpp - weights' gradients in the gaps of a schedule ------===//
//
// Problem: given each stage's order of tasks, put the weights' gradients, for
// which nobody waits, where the stage would wait.
//
// Method: keep the order of the other tasks; before a task whose input is not
// there yet, run weights' gradients, oldest first, as long as enough of one
// fits the wait; before a forward that would exceed the memory run them too;
// the rest comes last. "Enough" is tried as all, half and any of it; the
// shortest result, or the given one, is kept.
//
// Guarantee: valid and within memory wherever the order given is; heuristic.
// Complexity O(tasks).
//
//===----------------------------------------------------------------------===//

#include "compiler/simulator/Families.h"

#include <algorithm>

namespace whale::simulator {

namespace {

constexpr Picoseconds notYet = Picoseconds::max();

class Fill {
public:
  /// A gradient runs in a wait of at least `enough` percent of its time;
  /// without that where the order has it.
  Fill(const ScheduleSpec &spec, const TaskLists &order, int64_t most,
       std::optional<int64_t> enough)
      : layout(layoutOf(spec)), costs(costsOf(spec)), order(order), most(most),
        enough(enough), lines(order.size()), lists(order.size()),
        forwardArrival(layout.parts() * layout.microBatches, notYet),
        inputArrival(forwardArrival) {
    for (int64_t j = 0; j < layout.microBatches; ++j)
      forwardArrival[j] = {};
  }

  void run() {
    std::vector<size_t> awake;
    for (size_t s = 0; s < order.size(); ++s)
      awake.push_back(s);
    while (!awake.empty()) {
      size_t s = awake.back();
      awake.pop_back();
      if (!advance(s))
        continue;
      for (size_t near : {s - 1, s, s + 1})
        if (near < order.size() && near != s)
          awake.push_back(near);
    }
    for (size_t s = 0; s < order.size(); ++s)
      while (lines[s].weights < lines[s].inputs.size())
        weight(s);
  }

  Picoseconds longest() const {
    Picoseconds longest;
    for (const Line &line : lines)
      longest = std::max(longest, line.time - line.start);
    return longest;
  }
  TaskLists take() { return std::move(lists); }

private:
  struct Line {
    size_t next = 0, weights = 0;
    int64_t alive = 0;
    Picoseconds start, time;
    /// Those whose weights' gradients may run.
    std::vector<Task> inputs;
  };

  size_t at(int64_t part, const Task &task) const {
    return part * layout.microBatches + task.microBatch;
  }
  int64_t partOf(size_t s, const Task &task) const {
    return layout.part({static_cast<int64_t>(s), task.chunk});
  }

  bool advance(size_t s) {
    bool any = false;
    for (Line &line = lines[s]; line.next < order[s].size(); any = true) {
      const Task &task = order[s][line.next];
      if (task.kind == TaskKind::BackwardWeight) {
        if (!enough && line.weights < line.inputs.size())
          weight(s);
        ++line.next;
        continue;
      }
      bool forward = task.kind == TaskKind::Forward;
      int64_t part = partOf(s, task);
      Picoseconds arrival =
          (forward ? forwardArrival : inputArrival)[at(part, task)];
      if (arrival == notYet)
        break;
      if (enough)
        fill(s, arrival, *enough);
      while (forward && line.alive >= most && line.weights < line.inputs.size())
        weight(s);
      if (forward)
        runForward(s, part, task, arrival);
      else
        runInput(s, part, task, arrival);
      ++line.next;
    }
    return any;
  }

  void fill(size_t s, Picoseconds arrival, int64_t enough) {
    Line &line = lines[s];
    while (line.weights < line.inputs.size() && line.time < arrival) {
      const PartCost &cost = costs[partOf(s, line.inputs[line.weights])];
      if ((arrival - line.time) * 100 < cost.backwardWeight * enough)
        return;
      weight(s);
    }
  }

  void runForward(size_t s, int64_t part, const Task &task,
                  Picoseconds arrival) {
    Picoseconds end = put(s, task, arrival, costs[part].forward);
    ++lines[s].alive;
    if (part + 1 < layout.parts())
      forwardArrival[at(part + 1, task)] =
          end + sendTime(part, part + 1, task, costs[part].sendForward);
    else
      inputArrival[at(part, task)] = end;
  }
  void runInput(size_t s, int64_t part, const Task &task, Picoseconds arrival) {
    Picoseconds end = put(s, task, arrival, costs[part].backwardInput);
    lines[s].inputs.push_back(task);
    if (part > 0)
      inputArrival[at(part - 1, task)] =
          end + sendTime(part, part - 1, task, costs[part].sendBackward);
  }
  void weight(size_t s) {
    Line &line = lines[s];
    Task task = line.inputs[line.weights++];
    task.kind = TaskKind::BackwardWeight;
    put(s, task, line.time, costs[partOf(s, task)].backwardWeight);
    --line.alive;
  }

  Picoseconds sendTime(int64_t from, int64_t to, const Task &task,
                       Picoseconds time) const {
    bool same = layout.site(from, task.microBatch).stage ==
                layout.site(to, task.microBatch).stage;
    return same ? Picoseconds() : time;
  }
  Picoseconds put(size_t s, const Task &task, Picoseconds arrival,
                  Picoseconds work) {
    Line &line = lines[s];
    Picoseconds start = std::max(line.time, arrival);
    if (lists[s].empty())
      line.start = start;
    lists[s].push_back(task);
    return line.time = start + work;
  }

  Layout layout;
  std::vector<PartCost> costs;
  const TaskLists &order;
  int64_t most;
  std::optional<int64_t> enough;
  std::vector<Line> lines;
  TaskLists lists;
  /// By part, then micro-batch.
  std::vector<Picoseconds> forwardArrival, inputArrival;
};

} // namespace

TaskLists fillWeights(const ScheduleSpec &spec, const TaskLists &order,
                      int64_t mostAlive) {
  std::optional<Fill> best;
  for (std::optional<int64_t> enough :
       {std::optional<int64_t>(), {100}, {50}, {0}}) {
    Fill one(spec, order, mostAlive, enough);
    one.run();
    if (!best || one.longest() < best->longest())
      best.emplace(std::move(one));
  }
  return best->take();
}

} // namespace whale::simulator
