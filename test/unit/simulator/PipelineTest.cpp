#include "compiler/simulator/Pipeline.h"

#include <catch2/catch.hpp>

using namespace whale;
using namespace whale::simulator;

namespace {

Problem equalStages(Order order, int64_t stages, int64_t m, int64_t forward,
                    int64_t backward) {
  Problem problem;
  problem.order = order;
  problem.microBatches = m;
  Stage stage;
  stage.forward = Picoseconds(forward);
  stage.backward = Picoseconds(backward);
  problem.stages.assign(stages, stage);
  return problem;
}

std::string text(const TaskList &tasks) {
  std::string result;
  for (const Task &task : tasks)
    result += (task.kind == TaskKind::Forward ? " F" : " B") +
              std::to_string(task.microBatch);
  return result;
}

} // namespace

// Order of EPL's PreferBackward, S = 4, M = 6.
TEST_CASE("1F1B order") {
  CHECK(text(stageOrder(Order::OneFOneB, 4, 0, 6)) ==
        " F0 F1 F2 F3 B0 F4 B1 F5 B2 B3 B4 B5");
  CHECK(text(stageOrder(Order::OneFOneB, 4, 1, 6)) ==
        " F0 F1 F2 B0 F3 B1 F4 B2 F5 B3 B4 B5");
  CHECK(text(stageOrder(Order::OneFOneB, 4, 3, 6)) ==
        " F0 B0 F1 B1 F2 B2 F3 B3 F4 B4 F5 B5");
  CHECK(text(stageOrder(Order::GPipe, 4, 2, 3)) == " F0 F1 F2 B0 B1 B2");
  CHECK(text(stageOrder(Order::OneFOneB, 4, 0, 2)) == " F0 F1 B0 B1");
}

TEST_CASE("equal stages: (m + p - 1)(f + b), bubble (p - 1)/(m + p - 1)") {
  for (Order order : {Order::GPipe, Order::OneFOneB})
    for (int64_t p : {1, 2, 3, 4, 8})
      for (int64_t m : {1, 2, 3, 4, 6, 8, 16}) {
        Timeline line = simulate(equalStages(order, p, m, 100, 200));
        INFO(p << " stages, " << m << " micro-batches");
        CHECK(line.step.value() == (m + p - 1) * 300);
        double bubble =
            1 - line.stages[0].busy.asDouble() / line.step.asDouble();
        CHECK(bubble == Approx(double(p - 1) / (m + p - 1)).margin(1e-12));
      }
}

TEST_CASE("in-flight micro-batches and memory follow the position") {
  Problem problem = equalStages(Order::OneFOneB, 4, 6, 1, 2);
  for (Stage &stage : problem.stages) {
    stage.resident = Bytes(1000);
    stage.saved = Bytes(10);
    stage.forwardTransient = Bytes(3);
    stage.backwardTransient = Bytes(5);
  }
  Timeline line = simulate(problem);
  for (int64_t s = 0; s < 4; ++s) {
    CHECK(line.stages[s].inFlight == 4 - s);
    CHECK(line.stages[s].inFlight == inFlight(Order::OneFOneB, 4, s, 6));
    CHECK(line.stages[s].peak.value() == 1000 + 10 * (4 - s) + 5);
  }
  problem.order = Order::GPipe;
  CHECK(simulate(problem).stages[3].inFlight == 6);
}

TEST_CASE("one slow stage sets the pace") {
  Problem problem = equalStages(Order::OneFOneB, 3, 10, 1, 2);
  problem.stages[2].forward = Picoseconds(10);
  problem.stages[2].backward = Picoseconds(20);
  // Fill 2 forwards, ten slow micro-batches, drain 2 backwards.
  CHECK(simulate(problem).step.value() == 2 + 10 * 30 + 4);
}

TEST_CASE("transfers, gradient synchronisation and update are added") {
  Problem problem = equalStages(Order::OneFOneB, 2, 1, 10, 20);
  problem.stages[0].sendForward = Picoseconds(3);
  problem.stages[1].sendBackward = Picoseconds(4);
  CHECK(simulate(problem).step.value() == 10 + 3 + 30 + 4 + 20);
  problem.stages[0].gradientSync = Picoseconds(7);
  problem.stages[0].update = Picoseconds(5);
  CHECK(simulate(problem).step.value() == 67 + 7 + 5);
  // Stage 1 waits for stage 0 to sum the variable that both hold.
  problem.shared.push_back({{0, 1}, Picoseconds(2)});
  Timeline line = simulate(problem);
  CHECK(line.step.value() == 67 + 7 + 2 + 5);
  CHECK(line.stages[1].finish.value() == 67 + 7 + 2);
}

TEST_CASE("time in transit is told from other waiting") {
  Problem problem = equalStages(Order::OneFOneB, 2, 1, 10, 20);
  problem.stages[0].sendForward = Picoseconds(3);
  problem.stages[1].sendBackward = Picoseconds(4);
  Timeline line = simulate(problem, true);
  CHECK(line.stages[1].bubble.value() == 13);
  CHECK(line.stages[1].exposedTransfer.value() == 3);
  CHECK(line.stages[0].bubble.value() == 3 + 30 + 4);
  CHECK(line.stages[0].exposedTransfer.value() == 4);
  REQUIRE(line.transfers.size() == 2);
  CHECK(line.transfers[0].start.value() == 10);
  CHECK(line.transfers[0].end.value() == 13);
  CHECK(line.transfers[1].from == 1);
  CHECK(line.transfers[1].start.value() == 43);
}

TEST_CASE("events do not overlap and keep the order of data") {
  Problem problem = equalStages(Order::OneFOneB, 3, 5, 7, 13);
  Timeline line = simulate(problem, true);
  REQUIRE(line.events.size() == 3 * 5 * 2);
  auto find = [&](uint32_t stage, Event::Kind kind, int64_t j) {
    for (const Event &event : line.events)
      if (event.stage == stage && event.kind == kind && event.microBatch == j)
        return event;
    FAIL("no such event");
    return Event{};
  };
  for (size_t i = 1; i < line.events.size(); ++i)
    if (line.events[i].stage == line.events[i - 1].stage)
      CHECK(line.events[i].start >= line.events[i - 1].end);
  for (int64_t j = 0; j < 5; ++j)
    for (uint32_t s = 0; s + 1 < 3; ++s) {
      CHECK(find(s + 1, Event::Kind::Forward, j).start >=
            find(s, Event::Kind::Forward, j).end);
      CHECK(find(s, Event::Kind::Backward, j).start >=
            find(s + 1, Event::Kind::Backward, j).end);
    }
}
