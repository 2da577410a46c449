#include "compiler/simulator/Network.h"
#include "test/unit/simulator/Equal.h"

#include <catch2/catch.hpp>

using namespace whale;
using namespace whale::simulator;

namespace {

/// One stage, one micro-batch unless said: forward 20, backward 20.
Problem oneStage(int64_t buckets, int64_t gather, int64_t sync,
                 int64_t microBatches = 1) {
  Problem problem = equalParts(Order::GPipe, 1, microBatches, {20, 20, 0});
  problem.stages[0].buckets = buckets;
  problem.stages[0].parameterGather = Picoseconds(gather);
  problem.stages[0].gradientSync = Picoseconds(sync);
  return problem;
}

} // namespace

TEST_CASE("gradients in buckets hide behind the last backward") {
  // Buckets are ready at 25, 30, 35, 40 and take 2 each.
  Timeline line = simulate(oneStage(4, 0, 8));
  CHECK(line.step.value() == 42);
  CHECK(line.stages[0].exposedGradients.value() == 2);
  // 10 each: the link is busy from 25 on.
  line = simulate(oneStage(4, 0, 40));
  CHECK(line.step.value() == 65);
  CHECK(line.stages[0].exposedGradients.value() == 25);
  // Without buckets nothing is hidden.
  line = simulate(oneStage(0, 0, 8));
  CHECK(line.step.value() == 48);
  CHECK(line.stages[0].exposedGradients.value() == 8);
}

TEST_CASE("only the last micro-batch's backward has gradients to send") {
  Timeline line = simulate(oneStage(1, 0, 8, 3), true);
  REQUIRE(line.transfers.size() == 1);
  CHECK(line.transfers[0].kind == Transfer::Kind::GradientSync);
  CHECK(line.transfers[0].start.value() == 120);
  CHECK(line.step.value() == 128);
}

TEST_CASE("a chunk's gradients hide behind the backwards of other chunks") {
  // Chunk 1's last backward ends one micro-batch pair before chunk 0's.
  Problem problem = equalParts(Order::Interleaved, 1, 1, {40, 40, 0}, 2);
  for (Stage &part : problem.stages) {
    part.buckets = 1;
    part.gradientSync = Picoseconds(15);
  }
  Timeline line = simulate(problem);
  // Forwards end at 40, backwards at 60 and 80; reductions 60-75 and 80-95.
  CHECK(line.step.value() == 95);
  CHECK(line.stages[0].exposedGradients.value() == 15);
}

TEST_CASE("parameters in buckets arrive while the first forward runs") {
  // Pieces of 5 wait for buckets at 2, 4, 6, 8: only the first waits.
  Timeline line = simulate(oneStage(4, 8, 0));
  CHECK(line.step.value() == 2 + 40);
  CHECK(line.stages[0].exposedGather.value() == 2);
  // Buckets at 10, 20, 30, 40; the last piece ends 5 later.
  line = simulate(oneStage(4, 40, 0));
  CHECK(line.step.value() == 45 + 20);
  CHECK(line.stages[0].exposedGather.value() == 25);
  line = simulate(oneStage(0, 8, 0, 2));
  CHECK(line.step.value() == 8 + 80);
  CHECK(line.stages[0].exposedGather.value() == 8);
}

TEST_CASE("parameters for every task are fetched one task ahead") {
  Problem problem = oneStage(1, 15, 0, 2);
  problem.stages[0].gatherEvery = GatherEvery::Task;
  Timeline line = simulate(problem, true);
  CHECK(line.stages[0].exposedGather.value() == 15);
  CHECK(line.step.value() == 15 + 80);
  CHECK(line.transfers.size() == 4);
  // Slower than compute: each gather starts with the task before.
  problem.stages[0].parameterGather = Picoseconds(30);
  line = simulate(problem);
  CHECK(line.step.value() == 4 * 30 + 20);
  // Without buckets every task waits, and every backward's gradients too.
  problem.stages[0].buckets = 0;
  problem.stages[0].gradientSync = Picoseconds(7);
  line = simulate(problem);
  CHECK(line.step.value() == 4 * 30 + 80 + 2 * 7);
  CHECK(line.stages[0].exposedGather.value() == 120);
  CHECK(line.stages[0].exposedGradients.value() == 14);
}

TEST_CASE("compute beside communication is slower") {
  Problem problem = equalParts(Order::GPipe, 2, 2, {100, 100, 0, 50});
  problem.slowDown = 2;
  Timeline line = simulate(problem, true);
  // Stage 0 sends from 100 to 150: half of that time is lost to its second
  // forward.
  CHECK(line.events[1].start.value() == 100);
  CHECK(line.events[1].end.value() == 225);
  // Its backwards do not overlap with sends of its own.
  CHECK(line.stages[0].slowed.value() == 25);
  CHECK(line.stages[0].busy.value() == 425);
  problem.slowDown = 1;
  CHECK(simulate(problem).stages[0].slowed.value() == 0);
}

TEST_CASE("a slow-down never makes a step shorter") {
  for (Order order : allOrders()) {
    Problem problem = equalParts(order, 4, 8, {60, 60, 60, 13});
    INFO(nameOf(order));
    Picoseconds before = simulate(problem).step;
    for (double slowDown : {1.1, 1.5, 3.0}) {
      problem.slowDown = slowDown;
      Picoseconds now = simulate(problem).step;
      CHECK(now >= before);
      before = now;
    }
  }
}

TEST_CASE("communication times are a union") {
  CommunicationTimes times;
  times.add(Picoseconds(10), Picoseconds(20));
  times.add(Picoseconds(40), Picoseconds(50));
  times.add(Picoseconds(15), Picoseconds(30));
  auto end = [&](int64_t start, int64_t work) {
    return times.end(Picoseconds(start), Picoseconds(work), 2).value();
  };
  // Half speed on 10-30 and 40-50.
  CHECK(end(0, 10) == 10);
  CHECK(end(0, 15) == 20);
  CHECK(end(0, 20) == 30);
  CHECK(end(0, 30) == 40);
  CHECK(end(0, 40) == 55);
  times.add(Picoseconds(25), Picoseconds(45));
  // Now on 10-50.
  CHECK(end(0, 40) == 60);
  CHECK(end(20, 15) == 50);
}

TEST_CASE("transfers that share a link follow each other") {
  Problem problem = equalParts(Order::GPipe, 3, 2, {10, 10, 0, 20});
  for (Stage &part : problem.stages)
    part.sendBackward = {};
  auto starts = [&] {
    std::vector<int64_t> result;
    for (const Event &event : simulate(problem, true).events)
      if (event.stage == 2 && event.kind == Event::Kind::Forward)
        result.push_back(event.start.value());
    return result;
  };
  // Links of their own: 10-30, 30-50 and 40-60, 60-80.
  CHECK(starts() == std::vector<int64_t>{60, 80});
  // One link: 10-30, 30-50, then stage 1's at 50-70, 70-90.
  for (Stage &part : problem.stages)
    part.forwardLink = 7;
  CHECK(starts() == std::vector<int64_t>{70, 90});
  // With a slow-down the order of requests is the same.
  problem.slowDown = 1.5;
  CHECK(starts() == std::vector<int64_t>{70, 90});
}

TEST_CASE("a shared link that is never busy twice changes nothing") {
  for (Order order : allOrders()) {
    INFO(nameOf(order));
    Problem problem = equalParts(order, 4, 8, {60, 60, 60, 0});
    Picoseconds apart = simulate(problem).step;
    for (Stage &part : problem.stages)
      part.forwardLink = part.backwardLink = 0;
    CHECK(simulate(problem).step == apart);
    for (Stage &part : problem.stages)
      part.sendForward = part.sendBackward = Picoseconds(9);
    Picoseconds shared = simulate(problem).step;
    for (Stage &part : problem.stages)
      part.forwardLink = part.backwardLink = -1;
    CHECK(simulate(problem).step <= shared);
  }
}

TEST_CASE("nothing is sent between two chunks of one stage") {
  for (Order order : {Order::ZeroBubbleV, Order::VHalf, Order::Interleaved}) {
    Problem problem = equalParts(order, 1, 4, {60, 60, 60, 1000});
    CHECK(simulate(problem).step.value() == 4 * 180);
  }
}

TEST_CASE("a pair takes its share of both times") {
  Problem problem = equalParts(Order::DualPipe, 4, 12, {60, 60, 60});
  int64_t pairs = 0;
  TaskLists lists = makeSchedule(specOf(problem));
  for (const Task &task : lists[0])
    pairs += task.paired;
  CHECK(pairs > 0);
  Timeline apart = simulate(problem);
  problem.pairedTime = 0.75;
  Timeline together = simulate(problem);
  CHECK((apart.stages[0].busy - together.stages[0].busy).value() == pairs * 45);
  CHECK(together.step < apart.step);
}

TEST_CASE("what a step takes is what its parts add up to") {
  for (Order order : allOrders()) {
    INFO(nameOf(order));
    Problem problem = equalParts(order, 4, 8, {60, 60, 60, 7});
    for (Stage &part : problem.stages) {
      part.buckets = 3;
      part.parameterGather = Picoseconds(50);
      part.gradientSync = Picoseconds(90);
      part.update = Picoseconds(11);
    }
    problem.slowDown = 1.25;
    for (GatherEvery every : {GatherEvery::Step, GatherEvery::Task}) {
      for (Stage &part : problem.stages)
        part.gatherEvery = every;
      Timeline line = simulate(problem);
      int64_t parts = chunksOf(order, 1);
      for (const StageResult &stage : line.stages) {
        Picoseconds sum = stage.bubble + stage.busy + stage.exposedGather +
                          stage.exposedGradients + parts * Picoseconds(11);
        CHECK(sum == stage.finish);
        CHECK(stage.exposedTransfer <= stage.bubble);
        CHECK(stage.slowed < stage.busy);
      }
    }
  }
}
