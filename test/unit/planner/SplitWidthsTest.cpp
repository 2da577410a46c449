// Parts of unequal widths: what they cost against models with so much of the
// cut dimension on one device, and the search against all widths.

#include "compiler/planner/SplitWidths.h"
#include "compiler/planner/Explain.h"
#include "test/unit/planner/RoundHardware.h"
#include "test/unit/planner/TinyModels.h"

#include <catch2/catch.hpp>

#include <numeric>

using namespace whale;
using namespace whale::planner;
using test::RoundHardware;

namespace {

constexpr int64_t batch = 8, layers = 4;

workload::Workload model(int64_t ffn) {
  return test::chain(
      {test::denseLayer(
          {{"batch", batch}, {"sequence", 8}, {"hidden", 64}, {"ffn", ffn}})},
      {layers}, batch);
}

/// A fast device and one that is a third as fast, on a link that takes no time.
RoundHardware machine() {
  std::vector<test::RoundDevice> devices(2);
  devices[0].name = "fast", devices[1].name = "slow";
  devices[0].flopsPerSecond = devices[0].memoryBytesPerSecond = 3e9;
  devices[1].flopsPerSecond = devices[1].memoryBytesPerSecond = 1e9;
  RoundHardware made(devices, {{0, 1, 1}, {1, 1, 1}});
  made.outside = made.inside = {1e15, 1e-12};
  return made;
}

NormalForm form(std::vector<int64_t> widths, int64_t microBatches = 1) {
  Choice choice;
  choice.tensor = std::ssize(widths);
  choice.microBatches = microBatches;
  NormalForm made = formOf(choice, {"ffn"});
  setWidths(made, {std::move(widths)});
  return made;
}

Prediction predict(const workload::Workload &some, const RoundHardware &on,
                   const NormalForm &form, std::vector<int64_t> devices) {
  CostTable table(some, on);
  return evaluate(table, {form,
                          {0, workload::instanceCount(some)},
                          {DeviceMap::Kind::ByRank, std::move(devices)}});
}

/// A model with so much of the cut dimension on one device alone.
Prediction alone(int64_t ffn, int64_t device) {
  NormalForm one = formOf({}, {"ffn"});
  return predict(model(ffn), machine(), one, {device});
}

Problem problemOf(const workload::Workload &some, const RoundHardware &on) {
  Problem problem{some, on, {}};
  problem.options.space = Space::Full;
  return problem;
}

Plan planOf(const Problem &problem) {
  Diagnostics diags;
  Answer answer = solve(problem, diags);
  INFO(diags.str());
  REQUIRE(answer.plan);
  return *answer.plan;
}

const std::vector<int64_t> &widthsOf(const Plan &plan) {
  const StageForm &stage = plan.chosen.form.stages.front();
  REQUIRE(!stage.axes.empty());
  return stage.axes.back().shares;
}

} // namespace

TEST_CASE("a rank takes and holds what its width says, and the stage waits for "
          "the slowest") {
  workload::Workload some = model(256);
  for (int64_t wide : {1, 2, 3, 5, 7}) {
    Prediction both = predict(some, machine(), form({wide, 8 - wide}), {0, 1});
    Prediction fast = alone(256 / 8 * wide, 0),
               slow = alone(256 / 8 * (8 - wide), 1);
    const StagePrediction &stage = both.stages[0], &a = fast.stages[0],
                          &b = slow.stages[0];
    // Times of the link are a millionth.
    auto isNear = [](Picoseconds x, Picoseconds y) {
      return std::abs(x.asDouble() - y.asDouble()) < 1e-4 * y.asDouble();
    };
    CHECK(isNear(stage.forward, std::max(a.forward, b.forward)));
    CHECK(isNear(stage.backward, std::max(a.backward, b.backward)));
    CHECK(stage.update == std::max(a.update, b.update));
    // Capacities are equal: the one that holds more is shown.
    const StagePrediction &larger = wide >= 4 ? a : b;
    CHECK(stage.memory.parameters == larger.memory.parameters);
    CHECK(stage.memory.optimizer == larger.memory.optimizer);
    CHECK(stage.memory.activations == larger.memory.activations);
    CHECK(stage.deviceType == (wide >= 4 ? 0u : 1u));
  }
}

TEST_CASE("each rank has its own memory") {
  workload::Workload some = model(256);
  RoundHardware on = machine();
  Bytes three = alone(192, 0).stages[0].memory.total(),
        one = alone(64, 1).stages[0].memory.total();
  on.devices[0].memory = three.value() + three.value() / 20;
  on.devices[1].memory = one.value() + one.value() / 20;
  CHECK(predict(some, on, form({3, 1}), {0, 1}).deficit() <= Bytes());
  CHECK(predict(some, on, form({1, 1}), {0, 1}).deficit() > Bytes());
  CHECK(predict(some, on, form({1, 3}), {0, 1}).deficit() > Bytes());
  CHECK(predict(some, on, form({3, 1}), {1, 0}).deficit() > Bytes());
  // No other plan of one stage has room.
  Problem problem = problemOf(some, on);
  problem.options.pins.recompute = Recompute::None;
  problem.options.pins.pipeline = 1;
  Plan plan = planOf(problem);
  CHECK(widthsOf(plan) == std::vector<int64_t>{3, 1});
  Diagnostics diags;
  problem.options.space = Space::Default;
  CHECK(!solve(problem, diags).plan);
}

TEST_CASE("replicas of unequal parts sum their own gradients") {
  workload::Workload some = model(256);
  std::vector<test::RoundDevice> devices(2);
  RoundHardware on(devices, {{0, 2, 1}, {1, 2, 1}});
  Choice choice;
  choice.data = 2, choice.tensor = 2;
  NormalForm equal = formOf(choice, {"ffn"}), wide = equal;
  setWidths(wide, {{3, 1}});
  // Replicas of two ranks on devices of both kinds.
  Prediction narrow = predict(some, on, equal, {0, 2, 1, 3}),
             more = predict(some, on, wide, {0, 2, 1, 3});
  CHECK(
      more.stages[0].gradientTraffic.asDouble() ==
      Approx(1.5 * narrow.stages[0].gradientTraffic.asDouble()).epsilon(0.01));
}

TEST_CASE("the search finds the best of all widths") {
  for (int64_t ffn : {96, 256, 640}) {
    workload::Workload some = model(ffn);
    RoundHardware on = machine();
    Problem problem = problemOf(some, on);
    problem.options.pins.tensor = 2;
    problem.options.pins.microBatches = 1;
    problem.options.pins.recompute = Recompute::None;
    Plan plan = planOf(problem);
    CHECK(plan.gap == 0);
    Picoseconds best = Picoseconds::max();
    for (int64_t sum = 2; sum <= 32; ++sum)
      for (int64_t wide = 1; ffn % sum == 0 && wide < sum; ++wide)
        for (std::vector<int64_t> ranks : {std::vector<int64_t>{0, 1}, {1, 0}})
          best = std::min(best, predict(some, on, form({wide, sum - wide}),
                                        std::move(ranks))
                                    .step);
    CHECK(plan.prediction.step.value() == best.value());
    // Three quarters are for the fast one: twice as fast as halves.
    CHECK(widthsOf(plan) == std::vector<int64_t>{3, 1});
    CHECK(best.asDouble() <
          0.55 * predict(some, on, form({1, 1}), {0, 1}).step.asDouble());
  }
}

TEST_CASE("unequal parts beat every other plan of few samples") {
  // One sample: no replicas, and nothing for a pipeline to overlap.
  workload::Workload some = test::chain(
      {test::denseLayer(
          {{"batch", 1}, {"sequence", 8}, {"hidden", 64}, {"ffn", 256}})},
      {layers}, 1);
  RoundHardware on = machine();
  Problem problem = problemOf(some, on);
  Plan plan = planOf(problem);
  CHECK(widthsOf(plan) == std::vector<int64_t>{3, 1});
  Problem without = problem;
  without.options.space = Space::Default;
  CHECK(plan.prediction.step.asDouble() <
        0.8 * planOf(without).prediction.step.asDouble());
  // What is written is the same plan.
  Problem written = problem;
  written.options.strategy = plan.strategy;
  Plan again = planOf(written);
  CHECK(again.strategy == plan.strategy);
  CHECK(again.prediction.step == plan.prediction.step);
  Diagnostics diags;
  CHECK(verify(plan, problem, diags));
}

TEST_CASE("widths have a sum that all cut loops divide into") {
  RoundHardware on = machine();
  NormalForm plain = form({1, 1});
  plain.stages[0].axes.back().shares.clear();
  // Fractions of the dimension with denominators of 32 at most; of 96 these are
  // 45, and so it is 16 there.
  for (auto [ffn, most] : {std::pair<int64_t, int64_t>{64, 32}, {96, 16}}) {
    workload::Workload some = model(ffn);
    Problem problem = problemOf(some, on);
    int64_t expected = 0;
    for (int64_t sum = 3; sum <= most; ++sum)
      for (int64_t wide = 1; ffn % sum == 0 && wide < sum; ++wide)
        expected += std::gcd(wide, sum) == 1;
    std::vector<SplitWidths> all =
        splitWidths(problem, plain, {DeviceMap::Kind::ByRank, {1, 0}});
    CHECK(std::ssize(all) == expected);
    // Nothing on devices of one type.
    CHECK(
        splitWidths(problem, plain, {DeviceMap::Kind::ByRank, {0, 0}}).empty());
    CHECK(seeksWidths(problem));
    problem.options.space = Space::Default;
    CHECK(!seeksWidths(problem));
  }
}
