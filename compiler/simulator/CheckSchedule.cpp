//===- CheckSchedule.cpp - is a schedule right? ---------------------------===//
//
// Knows what a schedule must satisfy and nothing of how schedules are made or
// simulated: counting for completeness, Kahn's algorithm for the absence of
// cycles among the lists' order and the data's, counting for memory.
// Complexity O(tasks).
//
//===----------------------------------------------------------------------===//

#include "compiler/simulator/Schedule.h"

#include <array>

namespace whale::simulator {

namespace {

std::string describe(int64_t stage, const Task &task) {
  constexpr std::string_view names[] = {"forward", "backward",
                                        "gradient of the input",
                                        "gradient of the weights"};
  return std::string(names[static_cast<size_t>(task.kind)]) +
         " of micro-batch " + std::to_string(task.microBatch) + " in chunk " +
         std::to_string(task.chunk) + " of stage " + std::to_string(stage);
}

class Checker {
public:
  Checker(const Layout &layout, const TaskLists &lists)
      : layout(layout), lists(lists) {}

  std::optional<std::string> run(int64_t most) {
    if (std::ssize(lists) != layout.stages)
      return "the schedule has " + std::to_string(lists.size()) +
             " stages, expected " + std::to_string(layout.stages);
    index.assign(layout.parts() * layout.microBatches, unset());
    for (int64_t s = 0; s < layout.stages; ++s) {
      if (auto wrong = enter(s))
        return wrong;
      first.push_back(total);
      total += lists[s].size();
    }
    for (auto check : {&Checker::complete, &Checker::runs})
      if (auto wrong = (this->*check)())
        return wrong;
    return fits(most);
  }

private:
  /// Where each kind of task stands in its stage's list; -1: nowhere.
  using Positions = std::array<int64_t, 4>;
  static Positions unset() { return {-1, -1, -1, -1}; }

  Positions &at(int64_t part, int64_t microBatch) {
    return index[part * layout.microBatches + microBatch];
  }

  std::optional<std::string> enter(int64_t s) {
    const TaskList &tasks = lists[s];
    for (int64_t i = 0; i < std::ssize(tasks); ++i) {
      const Task &task = tasks[i];
      if (task.chunk >= layout.chunks || task.microBatch >= layout.microBatches)
        return "no such task: " + describe(s, task);
      int64_t part = layout.part({s, task.chunk});
      if (layout.site(part, task.microBatch) != Site{s, task.chunk})
        return "not on the way of its micro-batch: " + describe(s, task);
      int64_t &position =
          at(part, task.microBatch)[static_cast<size_t>(task.kind)];
      if (position >= 0)
        return "twice: " + describe(s, task);
      position = i;
      if (task.paired &&
          (task.kind != TaskKind::Forward || i + 1 == std::ssize(tasks) ||
           tasks[i + 1].kind != TaskKind::Backward || tasks[i + 1].paired))
        return "not followed by a backward to run at once: " +
               describe(s, task);
    }
    return std::nullopt;
  }

  std::optional<std::string> complete() {
    for (int64_t part = 0; part < layout.parts(); ++part)
      for (int64_t j = 0; j < layout.microBatches; ++j) {
        const auto [forward, backward, input, weight] = at(part, j);
        bool whole = backward >= 0 && input < 0 && weight < 0;
        bool split = backward < 0 && input >= 0 && weight >= 0;
        if (forward >= 0 && (whole || split))
          continue;
        Site site = layout.site(part, j);
        TaskKind kind = forward < 0 ? TaskKind::Forward : TaskKind::Backward;
        return (backward >= 0 && forward >= 0 ? "both whole and split: "
                                              : "missing: ") +
               describe(site.stage,
                        {kind, false, static_cast<uint16_t>(site.chunk),
                         static_cast<uint32_t>(j)});
      }
    return std::nullopt;
  }

  /// Positions, over all lists, of the tasks that wait for this one's result.
  std::vector<int64_t> users(int64_t s, const Task &task) {
    int64_t part = layout.part({s, task.chunk}), j = task.microBatch;
    std::vector<int64_t> result;
    auto add = [&](int64_t part, TaskKind kind) {
      int64_t position = at(part, j)[static_cast<size_t>(kind)];
      if (position >= 0)
        result.push_back(first[layout.site(part, j).stage] + position);
    };
    auto addBackward = [&](int64_t part) {
      add(part, TaskKind::Backward);
      add(part, TaskKind::BackwardInput);
    };
    if (task.kind == TaskKind::Forward && part + 1 < layout.parts())
      add(part + 1, TaskKind::Forward);
    else if (task.kind == TaskKind::Forward)
      addBackward(part);
    else if (task.kind != TaskKind::BackwardWeight && part > 0)
      addBackward(part - 1);
    if (task.kind == TaskKind::Forward)
      addBackward(part);
    if (task.kind == TaskKind::BackwardInput)
      add(part, TaskKind::BackwardWeight);
    return result;
  }

  /// Does every task get its turn, each after those before it in its list and
  /// after what it needs? A pair is one task here.
  std::optional<std::string> runs() {
    std::vector<int64_t> head(total), waits(total, 0);
    std::vector<const Task *> tasks;
    std::vector<int64_t> stageOf;
    for (int64_t s = 0; s < layout.stages; ++s)
      for (const Task &task : lists[s]) {
        int64_t i = std::ssize(tasks);
        bool second = i > first[s] && tasks.back()->paired;
        head[i] = second ? i - 1 : i;
        waits[head[i]] += !second && i > first[s];
        tasks.push_back(&task);
        stageOf.push_back(s);
      }
    for (int64_t i = 0; i < total; ++i)
      for (int64_t user : users(stageOf[i], *tasks[i]))
        ++waits[head[user]];
    std::vector<int64_t> ready;
    for (int64_t i = 0; i < total; ++i)
      if (head[i] == i && waits[i] == 0)
        ready.push_back(i);
    int64_t done = 0;
    auto finish = [&](int64_t i) {
      if (--waits[i] == 0)
        ready.push_back(i);
    };
    while (!ready.empty()) {
      int64_t i = ready.back(), end = i + (tasks[i]->paired ? 2 : 1);
      ready.pop_back();
      for (; i < end; ++i, ++done)
        for (int64_t user : users(stageOf[i], *tasks[i]))
          finish(head[user]);
      if (end < total && stageOf[end] == stageOf[end - 1])
        finish(end);
    }
    if (done == total)
      return std::nullopt;
    int64_t stuck = 0;
    while (waits[head[stuck]] == 0)
      ++stuck;
    return "can never run: " + describe(stageOf[stuck], *tasks[stuck]);
  }

  std::optional<std::string> fits(int64_t most) {
    for (int64_t s = 0; s < layout.stages; ++s)
      if (int64_t alive = mostAlive(lists[s]); alive > most)
        return "stage " + std::to_string(s) + " keeps values of " +
               std::to_string(alive) + " micro-batches, allowed are " +
               std::to_string(most);
    return std::nullopt;
  }

  const Layout &layout;
  const TaskLists &lists;
  /// By part, then micro-batch.
  std::vector<Positions> index;
  /// Number of a stage's first task among all, and of all.
  std::vector<int64_t> first;
  int64_t total = 0;
};

} // namespace

std::optional<std::string>
checkSchedule(const Layout &layout, const TaskLists &lists, int64_t mostAlive) {
  return Checker(layout, lists).run(mostAlive);
}

} // namespace whale::simulator
