#include "compiler/simulator/Pipeline.h"

#include <catch2/catch.hpp>

#include <map>
#include <tuple>

using namespace whale;
using namespace whale::simulator;

// The oracle: tasks and transfers are nodes of a graph, every "after" is an
// edge, and ends grow from zero until nothing changes. It shares nothing with
// the simulator but the lists of tasks.

namespace {

class Numbers {
public:
  explicit Numbers(uint64_t seed) : state(seed) {}
  int64_t upTo(int64_t most) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<int64_t>(state >> 33) % (most + 1);
  }

private:
  uint64_t state;
};

class LongestPath {
public:
  LongestPath(const Problem &problem, const TaskLists &lists)
      : problem(problem), lists(lists), stages(lists.size()) {
    while (relax()) {
    }
  }

  int64_t end(int64_t s, size_t i) const { return ends.at({s, i}); }

private:
  enum Way { Straight, Round, Turning, Crossing };
  Way way() const {
    if (problem.order == Order::DualPipe)
      return Crossing;
    if (problem.stages.size() == stages)
      return Straight;
    return problem.order == Order::Interleaved ? Round : Turning;
  }
  size_t partOf(size_t s, const Task &task) const {
    size_t there[] = {s, s + task.chunk * stages,
                      task.chunk == 0 ? s : 2 * stages - 1 - s,
                      task.chunk == 0 ? s : stages - 1 - s};
    return there[way()];
  }
  static bool isForward(const Task &task) {
    return task.kind == TaskKind::Forward;
  }

  int64_t duration(size_t s, const Task &task) const {
    const Stage &part = problem.stages[partOf(s, task)];
    Picoseconds times[] = {part.forward, part.backward,
                           part.backward - part.weight, part.weight};
    return times[static_cast<size_t>(task.kind)].value();
  }

  /// Finds the task whose result the task needs.
  bool needs(size_t s, const Task &task, size_t from, const Task &other) const {
    if (other.microBatch != task.microBatch)
      return false;
    size_t here = partOf(s, task), there = partOf(from, other);
    if (task.kind == TaskKind::BackwardWeight)
      return here == there && other.kind == TaskKind::BackwardInput;
    if (isForward(task))
      return isForward(other) && there + 1 == here;
    bool last = here + 1 == problem.stages.size();
    if (here == there)
      return isForward(other) && last;
    return there == here + 1 && !isForward(other) &&
           other.kind != TaskKind::BackwardWeight;
  }

  int64_t sendTime(size_t from, const Task &other, size_t to) const {
    if (from == to)
      return 0;
    const Stage &part = problem.stages[partOf(from, other)];
    return (isForward(other) ? part.sendForward : part.sendBackward).value();
  }

  /// To which stage a task's result goes; its own if it stays.
  size_t receiver(size_t s, const Task &task) const {
    for (size_t to = 0; to < stages; ++to)
      for (const Task &user : lists[to])
        if (user.kind != TaskKind::BackwardWeight && needs(to, user, s, task))
          return to;
    return s;
  }

  /// When the transfer of a stage's i-th task ends: sends to one stage go in
  /// the order of the tasks that make them.
  int64_t arrival(size_t s, size_t i, size_t to) {
    int64_t time = 0;
    for (size_t k = 0; k <= i; ++k) {
      if (lists[s][k].kind == TaskKind::BackwardWeight ||
          receiver(s, lists[s][k]) != to)
        continue;
      time = std::max(time, ends[{s, k}]) + sendTime(s, lists[s][k], to);
    }
    return s == to ? ends[{s, i}] : time;
  }

  int64_t earliestStart(size_t s, size_t i) {
    int64_t start = i == 0 ? 0 : ends[{s, i - 1}];
    const Task &task = lists[s][i];
    for (size_t from = 0; from < stages; ++from)
      for (size_t k = 0; k < lists[from].size(); ++k)
        if (needs(s, task, from, lists[from][k]))
          start = std::max(start, arrival(from, k, s));
    return start;
  }

  bool relax() {
    bool changed = false;
    for (size_t s = 0; s < stages; ++s)
      for (size_t i = 0; i < lists[s].size(); ++i) {
        bool pair = lists[s][i].paired;
        int64_t end = earliestStart(s, i) + duration(s, lists[s][i]);
        if (pair) {
          end = std::max(earliestStart(s, i), startOfSecond(s, i + 1)) +
                duration(s, lists[s][i]) + duration(s, lists[s][i + 1]);
        }
        changed |= std::exchange(ends[{s, i}], end) != end;
        if (pair)
          ends[{s, ++i}] = end;
      }
    return changed;
  }
  int64_t startOfSecond(size_t s, size_t i) {
    int64_t before = std::exchange(ends[{s, i - 1}], 0);
    int64_t start = earliestStart(s, i);
    ends[{s, i - 1}] = before;
    return start;
  }

  const Problem &problem;
  const TaskLists &lists;
  size_t stages;
  std::map<std::pair<size_t, size_t>, int64_t> ends;
};

Problem randomProblem(Order order, int64_t stages, int64_t microBatches,
                      Numbers &numbers) {
  Problem problem;
  problem.order = order;
  problem.microBatches = microBatches;
  problem.chunks = 2;
  int64_t cuts = order == Order::DualPipe ? 1 : chunksOf(order, 2);
  for (int64_t k = 0; k < stages * cuts; ++k) {
    Stage part;
    part.forward = Picoseconds(1 + numbers.upTo(20));
    part.weight = Picoseconds(1 + numbers.upTo(20));
    part.backward = part.weight + Picoseconds(1 + numbers.upTo(20));
    part.sendForward = Picoseconds(numbers.upTo(6));
    part.sendBackward = Picoseconds(numbers.upTo(6));
    part.saved = Bytes(10 + numbers.upTo(10));
    part.weightSaved = Bytes(numbers.upTo(10));
    problem.stages.push_back(part);
  }
  return problem;
}

} // namespace

TEST_CASE("every task ends as the longest path to it says") {
  Numbers numbers(7);
  for (Order order : allOrders())
    for (auto [p, m] :
         {std::pair<int64_t, int64_t>(1, 3), {2, 4}, {3, 3}, {4, 8}}) {
      Problem problem = randomProblem(order, p, m, numbers);
      if (brokenRule(problem))
        continue;
      INFO(nameOf(order) << " " << p << " " << m);
      TaskLists lists = makeSchedule(specOf(problem));
      Timeline line = simulate(problem, lists, true);
      LongestPath oracle(problem, lists);
      size_t event = 0;
      for (size_t s = 0; s < lists.size(); ++s)
        for (size_t i = 0; i < lists[s].size(); ++i)
          REQUIRE(line.events[event++].end.value() == oracle.end(s, i));
      CHECK(event == line.events.size());
    }
}

TEST_CASE("live bytes are the sum of what has been kept and not freed") {
  Numbers numbers(11);
  for (Order order : allOrders()) {
    Problem problem = randomProblem(order, 4, 8, numbers);
    problem.stages[1].resident = Bytes(500);
    TaskLists lists = makeSchedule(specOf(problem));
    Timeline line = simulate(problem, lists, true);
    Layout layout = layoutOf(specOf(problem));
    size_t event = 0;
    for (int64_t s = 0; s < 4; ++s) {
      int64_t bytes = 0, peak = 0;
      for (int64_t c = 0; c < layout.chunks; ++c)
        bytes += problem.stages[layout.part({s, c})].resident.value();
      for (size_t i = 0; i < lists[s].size(); ++i) {
        const Task &task = lists[s][i];
        const Stage &part = problem.stages[layout.part({s, task.chunk})];
        int64_t kept = part.saved.value(), late = part.weightSaved.value();
        bool forward = task.kind == TaskKind::Forward;
        bytes += forward ? kept : 0;
        if (!task.paired && !(i > 0 && lists[s][i - 1].paired))
          CHECK(line.events[event].memory.value() == bytes);
        peak = std::max(peak, bytes);
        ++event;
        int64_t freed[] = {0, kept, kept - late, late};
        bytes -= freed[static_cast<size_t>(task.kind)];
      }
      CHECK(line.stages[s].peak.value() == peak);
    }
  }
}
