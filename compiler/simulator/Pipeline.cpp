//===- Pipeline.cpp - event-driven execution of a pipeline ----------------===//

#include "compiler/simulator/Pipeline.h"

#include <algorithm>

namespace whale::simulator {

namespace {

/// Arrival of a value that has not been sent yet.
constexpr Picoseconds notYet = Picoseconds::max();

class Simulation {
public:
  Simulation(const Problem &problem, bool keepEvents)
      : problem(problem), keepEvents(keepEvents), count(problem.stages.size()),
        next(count, 0), alive(count, 0), free(count), forwardLink(count),
        backwardLink(count), events(count) {
    for (size_t s = 0; s < count; ++s) {
      orders.push_back(
          stageOrder(problem.order, count, s, problem.microBatches));
      forwardArrival.emplace_back(problem.microBatches,
                                  s == 0 ? Picoseconds() : notYet);
      backwardArrival.emplace_back(problem.microBatches, notYet);
    }
    timeline.stages.resize(count);
  }

  Timeline run() {
    // A stage that finished something may have woken its neighbours.
    std::vector<size_t> ready(1, 0);
    while (!ready.empty()) {
      size_t s = ready.back();
      ready.pop_back();
      if (!advance(s))
        continue;
      if (s + 1 < count)
        ready.push_back(s + 1);
      if (s > 0)
        ready.push_back(s - 1);
    }
    finishStep();
    for (std::vector<Event> &list : events)
      timeline.events.insert(timeline.events.end(), list.begin(), list.end());
    return std::move(timeline);
  }

private:
  /// Runs all tasks of a stage whose inputs have arrived; false if none.
  bool advance(size_t s) {
    bool any = false;
    while (next[s] < orders[s].size()) {
      const Task &task = orders[s][next[s]];
      Picoseconds arrival = task.backward ? backwardArrival[s][task.microBatch]
                                          : forwardArrival[s][task.microBatch];
      if (arrival == notYet)
        break;
      execute(s, task, arrival);
      ++next[s];
      any = true;
    }
    return any;
  }

  void execute(size_t s, const Task &task, Picoseconds arrival) {
    const Stage &stage = problem.stages[s];
    StageResult &result = timeline.stages[s];
    Picoseconds start = std::max(free[s], arrival);
    Picoseconds end = start + (task.backward ? stage.backward : stage.forward);
    result.bubble += start - free[s];
    result.busy += end - start;
    free[s] = end;
    if (!task.backward)
      ++alive[s];
    Bytes memory =
        stage.resident + stage.saved * alive[s] +
        (task.backward ? stage.backwardTransient : stage.forwardTransient);
    result.peak = std::max(result.peak, memory);
    result.inFlight = std::max(result.inFlight, alive[s]);
    if (task.backward)
      --alive[s];
    note(s, task.backward ? Event::Kind::Backward : Event::Kind::Forward,
         task.microBatch, start, end, memory);
    deliver(s, task, end);
  }

  void deliver(size_t s, const Task &task, Picoseconds end) {
    const Stage &stage = problem.stages[s];
    if (!task.backward && s + 1 < count) {
      forwardLink[s] = std::max(forwardLink[s], end) + stage.sendForward;
      forwardArrival[s + 1][task.microBatch] = forwardLink[s];
    } else if (!task.backward) {
      backwardArrival[s][task.microBatch] = end;
    } else if (s > 0) {
      backwardLink[s] = std::max(backwardLink[s], end) + stage.sendBackward;
      backwardArrival[s - 1][task.microBatch] = backwardLink[s];
    }
  }

  void finishStep() {
    for (size_t s = 0; s < count; ++s)
      spend(s, Event::Kind::GradientSync, problem.stages[s].gradientSync);
    for (const SharedVariables &shared : problem.shared) {
      Picoseconds start;
      for (uint32_t s : shared.stages)
        start = std::max(start, free[s]);
      for (uint32_t s : shared.stages) {
        free[s] = start;
        spend(s, Event::Kind::SharedSync, shared.sync);
      }
    }
    for (size_t s = 0; s < count; ++s) {
      spend(s, Event::Kind::Update, problem.stages[s].update);
      timeline.stages[s].finish = free[s];
      timeline.step = std::max(timeline.step, free[s]);
    }
  }

  void spend(size_t s, Event::Kind kind, Picoseconds time) {
    if (time == Picoseconds())
      return;
    note(s, kind, 0, free[s], free[s] + time, problem.stages[s].resident);
    free[s] += time;
  }

  void note(size_t s, Event::Kind kind, int64_t microBatch, Picoseconds start,
            Picoseconds end, Bytes memory) {
    if (keepEvents)
      events[s].push_back(
          {static_cast<uint32_t>(s), kind, microBatch, start, end, memory});
  }

  const Problem &problem;
  bool keepEvents;
  size_t count;
  std::vector<std::vector<Task>> orders;
  std::vector<size_t> next;
  std::vector<int64_t> alive;
  std::vector<Picoseconds> free, forwardLink, backwardLink;
  std::vector<std::vector<Picoseconds>> forwardArrival, backwardArrival;
  std::vector<std::vector<Event>> events;
  Timeline timeline;
};

} // namespace

int64_t inFlight(Order order, int64_t stages, int64_t stage,
                 int64_t microBatches) {
  return order == Order::GPipe ? microBatches
                               : std::min(microBatches, stages - stage);
}

std::vector<Task> stageOrder(Order order, int64_t stages, int64_t stage,
                             int64_t microBatches) {
  int64_t warmUp = inFlight(order, stages, stage, microBatches);
  std::vector<Task> tasks;
  tasks.reserve(2 * microBatches);
  for (int64_t j = 0; j < warmUp; ++j)
    tasks.push_back({false, j});
  for (int64_t j = 0; j < microBatches; ++j) {
    tasks.push_back({true, j});
    if (warmUp + j < microBatches)
      tasks.push_back({false, warmUp + j});
  }
  return tasks;
}

Timeline simulate(const Problem &problem, bool keepEvents) {
  return Simulation(problem, keepEvents).run();
}

} // namespace whale::simulator
