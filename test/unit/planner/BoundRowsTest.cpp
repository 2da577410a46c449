// Bounds by single stages against the simulator.

#include "compiler/planner/Bound.h"
#include "compiler/planner/Partition.h"
#include "compiler/simulator/Pipeline.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <numeric>
#include <random>

using namespace whale;
using namespace whale::planner;

namespace {

/// A pipeline of stages with these times, whose messages all take `message`.
struct Pipeline {
  PipelineShape shape;
  std::vector<Parts> stages;
  double message = 0;

  int64_t step() const {
    simulator::Problem problem;
    problem.order = shape.schedule;
    problem.chunks = shape.chunks;
    problem.microBatches = shape.microBatches;
    auto time = [&](double whole) {
      return Picoseconds(static_cast<int64_t>(whole));
    };
    for (int64_t s = 0; s < shape.stages; ++s) {
      simulator::Stage stage;
      stage.forward = time(stages[s].forward);
      stage.weight = time(stages[s].weight);
      stage.backward = time(stages[s].input) + stage.weight;
      // As plans have them: none behind the ends.
      Picoseconds sent(static_cast<int64_t>(message));
      stage.sendForward = s + 1 < shape.stages ? sent : Picoseconds();
      stage.sendBackward = s > 0 ? sent : Picoseconds();
      problem.stages.push_back(stage);
    }
    return simulator::simulate(problem).step.value();
  }

  /// Every stage ends a block.
  double bound() const {
    simulator::ScheduleSpec spec{shape.schedule,     shape.stages, shape.chunks,
                                 shape.microBatches, {},           {}};
    std::vector<int64_t> alive = simulator::mostAlive(spec);
    double bound = 0;
    for (int64_t s = 0; s < shape.stages; ++s)
      for (int64_t last = s; last < shape.stages; ++last)
        for (const Row &row : boundRows(shape, s, alive[s], last))
          bound = std::max(bound, region(row.whole, 0, shape.stages) +
                                      region(row.before, 0, s, true) +
                                      region(row.behind, s, shape.stages) +
                                      region(row.within, s, last + 1) +
                                      dot(row.own, stages[s]));
    return bound;
  }

private:
  /// Of stages before a stage the last one's message counts, too.
  double region(const Region &weights, int64_t from, int64_t to,
                bool before = false) const {
    double sum = 0;
    for (int64_t s = from; s < to; ++s)
      sum += dot(weights.times, stages[s]);
    auto count = static_cast<double>(std::max<int64_t>(0, to - from - !before));
    return sum + (weights.sendForward + weights.sendBack) * count * message;
  }
};

/// Calls `visit` for shapes with one chunk a stage.
template <class F> void forEachShape(F visit) {
  for (Schedule schedule : simulator::allOrders())
    for (int64_t p : {2, 3, 4, 8, 13})
      for (int64_t m : {1, 2, 3, 4, 8, 13, 16, 26, 64})
        if (simulator::chunksOf(schedule, 2) == 1)
          visit({schedule, p, 1, m});
}

} // namespace

TEST_CASE("no pipeline is faster than the bounds of its stages") {
  std::mt19937 random(1);
  auto between = [&](int64_t least, int64_t most) {
    return static_cast<double>(
        least + static_cast<int64_t>(random() % (most - least + 1)));
  };
  forEachShape([&](const PipelineShape &shape) {
    for (int trial = 0; trial < 12; ++trial) {
      // Equal stages, unequal ones, and such whose parts are.
      int64_t most = trial % 3 == 0 ? 100 : trial % 3 == 1 ? 200 : 2000;
      Pipeline pipeline{shape, {}, trial % 2 ? between(0, 60) : 0};
      for (int64_t s = 0; s < shape.stages; ++s)
        pipeline.stages.push_back(
            {between(100, most), between(100, most), between(50, most)});
      INFO(nameOf(shape.schedule)
           << ", " << shape.stages << " stages, " << shape.microBatches
           << " micro-batches, trial " << trial);
      CHECK(pipeline.bound() <=
            static_cast<double>(pipeline.step()) * (1 + 1e-12));
    }
  });
}

TEST_CASE("the bounds of equal stages are near what they take") {
  auto share = [](Schedule schedule) {
    switch (schedule) {
    case Schedule::GPipe:
    case Schedule::OneFOneB:
      return 1.0;
    case Schedule::ZeroBubbleH1:
    case Schedule::ZeroBubbleH2:
    case Schedule::ZeroBubble1p:
    case Schedule::ZeroBubble2p:
      return 0.97;
    default:
      return 0.0;
    }
  };
  forEachShape([&](const PipelineShape &shape) {
    if (shape.microBatches < 2 * shape.stages)
      return;
    Pipeline pipeline{shape,
                      std::vector<Parts>(shape.stages, {3000, 3600, 2400}), 0};
    INFO(nameOf(shape.schedule) << ", " << shape.stages << " stages, "
                                << shape.microBatches << " micro-batches");
    CHECK(pipeline.bound() >= static_cast<double>(pipeline.step()) *
                                  share(shape.schedule) * 0.9999);
  });
}

namespace {

/// Runs of `counts` instances that take `times` forward, without messages.
SpreadCosts runsOf(const std::vector<int64_t> &counts,
                   const std::vector<double> &times) {
  SpreadCosts costs;
  for (size_t r = 0; r < counts.size(); ++r) {
    costs.runs.push_back({{times[r], 0, 0}, counts[r]});
    costs.all += costs.runs.back().each * static_cast<double>(counts[r]);
  }
  return costs;
}

/// The slowest stage of the best cuts.
double bestStage(const SpreadCosts &costs, int64_t stages) {
  std::vector<double> times;
  for (const SpreadCosts::Run &run : costs.runs)
    times.insert(times.end(), run.count, run.each.sum());
  double best = 1e300;
  forEachPartition(std::ssize(times), stages, [&](const auto &cuts) {
    double most = 0;
    for (int64_t s = 0; s < stages; ++s)
      most = std::max(most, std::accumulate(times.begin() + cuts[s],
                                            times.begin() + cuts[s + 1], 0.0));
    best = std::min(best, most);
  });
  return best;
}

} // namespace

TEST_CASE("no cuts make the fullest stage shorter than evenBound") {
  std::mt19937 random(5);
  auto upTo = [&](unsigned most) {
    return 1 + static_cast<int64_t>(random() % most);
  };
  int exact = 0;
  for (int n = 0; n < 300; ++n) {
    SpreadCosts costs = runsOf({upTo(2), upTo(9), upTo(2)},
                               {1e6 * static_cast<double>(upTo(9)), 12e6,
                                1e6 * static_cast<double>(upTo(20))});
    int64_t stages = upTo(4), microBatches = upTo(4);
    double best = bestStage(costs, stages) * static_cast<double>(microBatches);
    double bound = evenBound(costs, stages, microBatches).asDouble();
    INFO(n << ": " << stages << " stages");
    CHECK(bound <= best);
    exact += bound > best * (1 - 1e-6);
  }
  CHECK(exact > 150);
}

TEST_CASE("a head beside full stages is not spread over them") {
  // 96 layers over 16 stages: one has six and the head.
  SpreadCosts costs = runsOf({96, 1}, {12e6, 4e6});
  CHECK(evenBound(costs, 16, 10).asDouble() ==
        Approx(10 * (6 * 12e6 + 4e6)).epsilon(1e-6));
  // 90 leave room for it beside five.
  costs = runsOf({90, 1}, {12e6, 4e6});
  CHECK(evenBound(costs, 16, 1).asDouble() == Approx(6 * 12e6).epsilon(1e-6));
}
