#include "compiler/simulator/Schedule.h"
#include "test/unit/simulator/Equal.h"

#include <catch2/catch.hpp>

using namespace whale;
using namespace whale::simulator;

namespace {

ScheduleSpec specFor(Order order, int64_t stages, int64_t microBatches,
                     int64_t chunks = 2) {
  return {order, stages, chunksOf(order, chunks), microBatches, {}, {}};
}

std::string text(const TaskList &tasks) {
  std::string result;
  for (const Task &task : tasks)
    result += std::string(" ") + "FBIW"[static_cast<int>(task.kind)] +
              std::to_string(task.microBatch) + (task.chunk > 0 ? "'" : "");
  return result;
}

int64_t most(const TaskLists &lists) {
  int64_t result = 0;
  for (const TaskList &tasks : lists)
    result = std::max(result, mostAlive(tasks));
  return result;
}

int64_t idle(const Problem &problem) {
  Timeline line = simulate(problem);
  return line.longestStage().value() - line.stages[0].busy.value();
}

} // namespace

TEST_CASE("every order gives valid schedules") {
  int64_t valid = 0;
  for (Order order : allOrders())
    for (int64_t p : {1, 2, 3, 4, 5, 8})
      for (int64_t m : {1, 2, 3, 4, 5, 8, 12, 16, 24})
        for (int64_t v : {2, 3}) {
          ScheduleSpec spec = specFor(order, p, m, v);
          if (brokenRule(spec))
            continue;
          INFO(nameOf(order) << " " << p << " " << m << " " << v);
          TaskLists lists = makeSchedule(spec);
          Layout layout = layoutOf(spec);
          CHECK(checkSchedule(layout, lists, m * v) == std::nullopt);
          CHECK(lists == makeSchedule(spec));
          ++valid;
        }
  CHECK(valid > 800);
}

// Megatron-LM's order (SC'21, figure 4): p = 2, v = 2, m = 4.
TEST_CASE("interleaved order") {
  TaskLists lists = makeSchedule(specFor(Order::Interleaved, 2, 4));
  CHECK(text(lists[0]) == " F0 F1 F0' F1' F2 B0' F3 B1' F2' B0 F3' B1 B2' B3'"
                          " B2 B3");
  CHECK(text(lists[1]) == " F0 F1 F0' B0' F1' B1' F2 B0 F3 B1 F2' B2' F3' B3'"
                          " B2 B3");
}

// Qi et al., figure 2 (ZB-H1) with p = 2, m = 3.
TEST_CASE("ZB-H1 order") {
  TaskLists lists = makeSchedule(specFor(Order::ZeroBubbleH1, 2, 3));
  CHECK(text(lists[0]) == " F0 F1 I0 W0 F2 I1 W1 I2 W2");
  CHECK(text(lists[1]) == " F0 I0 F1 I1 W0 F2 I2 W1 W2");
}

TEST_CASE("values alive at once are those of the papers") {
  for (int64_t p : {2, 4, 6, 8, 12, 16, 32}) {
    int64_t m = 4 * p;
    INFO(p << " stages");
    for (int64_t s = 0; s < p; ++s) {
      CHECK(mostAlive(stageOrder(Order::GPipe, p, s, m)) == m);
      CHECK(mostAlive(stageOrder(Order::OneFOneB, p, s, m)) == p - s);
    }
    auto alive = [&](Order order) {
      return most(makeSchedule(specFor(order, p, m)));
    };
    CHECK(alive(Order::ZeroBubbleH1) == p);
    CHECK(alive(Order::ZeroBubbleH2) == 2 * p - 1);
    CHECK(alive(Order::ZeroBubble1p) == p);
    CHECK(alive(Order::ZeroBubble2p) <= 2 * p);
    // Megatron: warm-up forwards and one.
    CHECK(alive(Order::Interleaved) == 2 * (p - 1) + p + 1);
    // In chunks, of which a stage of 1F1B would keep 2 p.
    CHECK(alive(Order::ZeroBubbleV) == 2 * p);
    CHECK(alive(Order::VHalf) <= p + 2);
    CHECK(3 * alive(Order::VMin) <= 2 * p + 3 * 3);
    CHECK(alive(Order::DualPipe) == p + 1);
  }
  CHECK(mostAlive(stageOrder(Order::OneFOneB, 8, 0, 3)) == 3);
  CHECK(inFlight(Order::ZeroBubbleH1, 8, 5, 20) == 8);
}

TEST_CASE("what is alive by closed forms is what is counted") {
  for (Order order : allOrders())
    for (int64_t p : {1, 2, 3, 4, 5, 6, 7, 8, 11, 16, 23})
      for (int64_t m : {1, 2, 3, 4, 5, 7, 8, 12, 16, 23, 24, 33, 46, 64})
        for (int64_t v : {2, 3}) {
          ScheduleSpec spec = specFor(order, p, m, v);
          if (brokenRule(spec))
            continue;
          INFO(nameOf(order) << " " << p << " " << m << " " << v);
          std::vector<int64_t> counted;
          for (const TaskList &tasks : makeSchedule(spec))
            counted.push_back(mostAlive(tasks));
          CHECK(mostAlive(spec) == counted);
        }
}

// README of sail-sg/zero-bubble: against 1F1B once for ZB-1p and ZB-2p, twice
// for the schedules in a V.
TEST_CASE("messages of a micro-batch are as many as published") {
  for (int64_t p : {2, 4, 8, 16})
    for (auto [order, times] : {std::pair(Order::OneFOneB, 1),
                                {Order::ZeroBubble1p, 1},
                                {Order::ZeroBubble2p, 1},
                                {Order::ZeroBubbleV, 2},
                                {Order::VHalf, 2},
                                {Order::VMin, 2}}) {
      Layout layout = layoutOf(specFor(order, p, 2 * p));
      int64_t messages = 0;
      for (int64_t part = 1; part < layout.parts(); ++part)
        messages +=
            layout.site(part, 0).stage != layout.site(part - 1, 0).stage;
      INFO(nameOf(order) << " " << p);
      CHECK(messages == times * (p - 1));
    }
}

TEST_CASE("idle time of equal parts is that of the closed forms") {
  for (int64_t p : {2, 4, 8, 12}) {
    for (int64_t m : {2 * p, 4 * p}) {
      INFO(p << " stages, " << m << " micro-batches");
      Work equal{60, 60, 60};
      int64_t full = (p - 1) * 180;
      CHECK(idle(equalParts(Order::OneFOneB, p, m, equal)) == full);
      for (int64_t v : {2, 3, 5})
        CHECK(idle(equalParts(Order::Interleaved, p, m, equal, v)) == full / v);
      CHECK(idle(equalParts(Order::ZeroBubble1p, p, m, equal)) == full / 3);
      CHECK(idle(equalParts(Order::ZeroBubble2p, p, m, equal)) == 0);
      CHECK(idle(equalParts(Order::ZeroBubbleV, p, m, equal)) == 0);
      CHECK(idle(equalParts(Order::VHalf, p, m, equal)) <= full / 2);
      // 2/3 and a constant number of chunks' tasks.
      CHECK(idle(equalParts(Order::VMin, p, m, equal)) <=
            full * 2 / 3 + 2 * 30);
    }
    for (Work w : {Work{60, 60, 60}, Work{50, 60, 40}, Work{60, 60, 50}}) {
      int64_t m = 4 * p;
      CHECK(idle(equalParts(Order::ZeroBubbleH1, p, m, w)) ==
            (p - 1) * (w.forward + w.input - w.weight));
      CHECK(idle(equalParts(Order::ZeroBubbleH2, p, m, w)) ==
            (p - 1) * (w.forward + w.input - 2 * w.weight));
      // A forward and a backward at once take as long as both. The report's
      // figure is for forward, input's and weights' gradient of equal length.
      int64_t backward = w.input + w.weight, both = w.forward + backward;
      int64_t reported = (p / 2 - 1) * (both + backward - 3 * w.weight);
      int64_t idleTime = idle(equalParts(Order::DualPipe, p, m, w));
      CHECK(idleTime <= reported);
      if (w.forward == w.weight)
        CHECK(idleTime == reported);
    }
  }
}

TEST_CASE("automatic orders keep a limit in bytes") {
  Work work{20, 20, 10, 1};
  for (int64_t limit : {1000, 3000, 4500, 8000, 11000}) {
    Problem problem = equalParts(Order::ZeroBubble2p, 8, 24, work, 1, 0.4);
    problem.savedLimit = Bytes(limit);
    TaskLists lists = makeSchedule(specOf(problem));
    CHECK(checkSchedule(layoutOf(specOf(problem)), lists, 24) == std::nullopt);
    for (const StageResult &stage : simulate(problem, lists).stages)
      CHECK(stage.peak.value() <= limit);
  }
}

TEST_CASE("more memory never makes an automatic order longer") {
  Picoseconds before = Picoseconds::max();
  for (int64_t limit : {2000, 4000, 8000, 12000, 16000}) {
    Problem problem =
        equalParts(Order::ZeroBubble2p, 8, 32, {20, 20, 20}, 1, 0.4);
    problem.savedLimit = Bytes(limit);
    Picoseconds now = simulate(problem).longestStage();
    CHECK(now <= before);
    before = now;
  }
}

TEST_CASE("a spec that cannot be scheduled names the rule") {
  auto rule = [](Order order, int64_t p, int64_t m, int64_t v) {
    return brokenRule(ScheduleSpec{order, p, v, m, {}, {}}).value_or("");
  };
  CHECK(rule(Order::Interleaved, 4, 6, 2).empty());
  CHECK(rule(Order::Interleaved, 4, 2, 2) ==
        "'interleaved-1f1b' needs as many micro-batches as stages (4) or more, "
        "found 2");
  CHECK(rule(Order::Interleaved, 4, 8, 1) ==
        "'interleaved-1f1b' needs 2 chunks per stage or more, found 1");
  CHECK(rule(Order::Interleaved, 4, 8, 1 << 20) ==
        "'interleaved-1f1b' cannot have that many chunks per stage, found "
        "1048576");
  CHECK(rule(Order::ZeroBubbleV, 4, 8, 1) ==
        "'zb-v' has chunks per stage 2, found 1");
  CHECK(rule(Order::DualPipe, 3, 8, 2) ==
        "'dualpipe' needs an even number of stages, found 3");
  CHECK(rule(Order::DualPipe, 4, 6, 2) ==
        "'dualpipe' needs an even number of micro-batches, at least twice the "
        "stages (8), found 6");
  CHECK(rule(Order::OneFOneB, 0, 6, 1) ==
        "a pipeline needs 1 stage or more, found 0");
  CHECK(rule(Order::OneFOneB, 2, 0, 1) ==
        "a pipeline needs 1 micro-batch or more, found 0");
  ScheduleSpec spec = specFor(Order::ZeroBubble1p, 4, 8);
  spec.costs.resize(3);
  CHECK(brokenRule(spec) == "'zb-1p' needs the costs of 4 parts, found 3");
  Problem problem = equalParts(Order::ZeroBubbleV, 2, 4, {2, 2, 2});
  problem.stages.pop_back();
  CHECK(brokenRule(problem) ==
        "'zb-v' needs parts of the model in multiples of the chunks per stage "
        "(2), found 3");
  problem = equalParts(Order::OneFOneB, 2, 4, {2, 2, 2});
  problem.slowDown = 0.5;
  CHECK(brokenRule(problem) ==
        "compute beside communication cannot be faster than alone");
}

TEST_CASE("the checker finds what is wrong") {
  ScheduleSpec spec = specFor(Order::ZeroBubbleH1, 3, 6);
  Layout layout = layoutOf(spec);
  const TaskLists right = makeSchedule(spec);
  auto complaint = [&](const TaskLists &lists, int64_t most = 3) {
    return checkSchedule(layout, lists, most).value_or("");
  };
  CHECK(complaint(right) == "");
  CHECK(complaint(right, 2) ==
        "stage 0 keeps values of 3 micro-batches, allowed are 2");
  TaskLists lists = right;
  lists.pop_back();
  CHECK(complaint(lists) == "the schedule has 2 stages, expected 3");
  lists = right;
  lists[1].pop_back();
  CHECK(complaint(lists) == "missing: backward of micro-batch 5 in chunk 0 of "
                            "stage 1");
  lists = right;
  lists[1].push_back(right[1].front());
  CHECK(complaint(lists) == "twice: forward of micro-batch 0 in chunk 0 of "
                            "stage 1");
  lists = right;
  lists[2][0].chunk = 1;
  CHECK(complaint(lists) == "no such task: forward of micro-batch 0 in chunk 1 "
                            "of stage 2");
  lists = right;
  lists[2].push_back({TaskKind::Backward, false, 0, 0});
  CHECK(complaint(lists) == "both whole and split: backward of micro-batch 0 "
                            "in chunk 0 of stage 2");
  lists = right;
  lists[0][0].paired = true;
  CHECK(complaint(lists) == "not followed by a backward to run at once: "
                            "forward of micro-batch 0 in chunk 0 of stage 0");
  // The last stage wants micro-batch 5 first, the first stage sends it last.
  lists = right;
  lists[2].insert(lists[2].begin(), lists[2].back());
  lists[2].pop_back();
  CHECK(complaint(lists).starts_with("can never run: "));
  spec = specFor(Order::DualPipe, 2, 4);
  layout = layoutOf(spec);
  lists = makeSchedule(spec);
  lists[0][0].chunk = 1;
  CHECK(complaint(lists) == "not on the way of its micro-batch: forward of "
                            "micro-batch 0 in chunk 1 of stage 0");
}

TEST_CASE("the checker refuses every schedule with two tasks swapped that "
          "cannot run") {
  // A weights' gradient before its input's gradient, wherever it stands.
  ScheduleSpec spec = specFor(Order::VHalf, 3, 5);
  const TaskLists right = makeSchedule(spec);
  for (int64_t s = 0; s < 3; ++s)
    for (size_t i = 0; i < right[s].size(); ++i)
      for (size_t j = i + 1; j < right[s].size(); ++j) {
        const Task &first = right[s][i], &second = right[s][j];
        if (first.kind != TaskKind::BackwardInput ||
            second.kind != TaskKind::BackwardWeight ||
            first.chunk != second.chunk ||
            first.microBatch != second.microBatch)
          continue;
        TaskLists lists = right;
        std::swap(lists[s][i], lists[s][j]);
        CHECK(checkSchedule(layoutOf(spec), lists, 100) != std::nullopt);
      }
}
