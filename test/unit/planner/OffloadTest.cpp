// State and activations in the host's memory: closed forms of memory and time
// on one device, and the rule that chooses how much against all numbers.

#include "compiler/planner/Search.h"
#include "test/unit/planner/RoundHardware.h"
#include "test/unit/planner/TinyModels.h"

#include <catch2/catch.hpp>

using namespace whale;
using namespace whale::planner;

namespace {

constexpr int64_t batch = 8, sequence = 16, hidden = 64, ffn = 256;
/// Of a layer, all in four bytes: parameters, as many gradients, two moments.
constexpr int64_t parameters = 2 * hidden * ffn * 4;

test::Workload layers(int64_t count) {
  return test::chain({test::denseLayer({{"batch", batch},
                                        {"sequence", sequence},
                                        {"hidden", hidden},
                                        {"ffn", ffn}})},
                     {count}, batch);
}

/// One device whose host can be reached at `link` bytes a second.
test::RoundHardware machine(double link, int64_t memory = int64_t(1) << 40,
                            int64_t hostMemory = int64_t(1) << 40) {
  test::RoundDevice device;
  device.memory = memory;
  device.hostMemory = hostMemory;
  device.linkBytesPerSecond = link;
  device.hostBytesPerSecond = 1e15;
  return test::RoundHardware({device}, {{0, 1, 1}});
}

NormalForm formWith(const Relief &relief, int64_t microBatches = 4) {
  NormalForm form;
  form.microBatches = microBatches;
  form.stages.emplace_back();
  setRelief(form.stages[0], relief);
  return form;
}

Prediction predict(const test::Workload &model, const cost::Hardware &hardware,
                   const Relief &relief) {
  CostTable table(model, hardware);
  return evaluate(
      table,
      {formWith(relief), {0, workload::instanceCount(model)}, DeviceMap{}});
}

} // namespace

TEST_CASE("an update reads all gradients, few as there are at once") {
  test::Workload model = layers(6);
  test::RoundHardware hardware = machine(1e15);
  auto stage = [&](int64_t microBatches) {
    CostTable table(model, hardware);
    return evaluate(table, {formWith({}, microBatches), {0, 6}, DeviceMap{}})
        .stages[0];
  };
  StagePrediction one = stage(1), four = stage(4);
  CHECK(one.memory.gradients < four.memory.gradients);
  CHECK(one.update > Picoseconds());
  CHECK(one.update == four.update);
}

TEST_CASE("what lies in the host's memory is not on the device") {
  test::Workload model = layers(6);
  test::RoundHardware fast = machine(1e15);
  MemoryParts none = predict(model, fast, {}).stages[0].memory;
  CHECK(none.host() == Bytes());

  MemoryParts optimizer =
      predict(model, fast, {0, 0, {2, 0, 0}}).stages[0].memory;
  // The host has masters and moments, the device parameters to compute with.
  CHECK(optimizer.hostOptimizer == Bytes(2 * 3 * parameters));
  CHECK(none.optimizer - optimizer.optimizer == Bytes(2 * 2 * parameters));
  CHECK(optimizer.parameters == none.parameters);
  CHECK(optimizer.gradients == none.gradients);

  MemoryParts all = predict(model, fast, {0, 0, {2, 2, 0}}).stages[0].memory;
  // Without copies of another type the masters are what is fetched.
  CHECK(all.hostOptimizer == Bytes(2 * 3 * parameters));
  CHECK(all.hostGradients == Bytes(2 * parameters));
  CHECK(all.hostParameters == Bytes());
  CHECK(none.parameters - all.parameters == Bytes(2 * parameters));
  CHECK(none.gradients - all.gradients == Bytes(2 * parameters));
  // Two layers' parameters and one's gradients on their way.
  CHECK(all.transients - none.transients == Bytes(3 * parameters));

  MemoryParts saved = predict(model, fast, {0, 0, {0, 0, 6}}).stages[0].memory;
  // A layer saves x, u and a of two samples.
  int64_t micro = 2 * sequence * (hidden + 2 * ffn) * 4;
  CHECK(saved.hostActivations == Bytes(6 * micro));
  CHECK(saved.activations == Bytes());
}

TEST_CASE("a task takes as long as its transfers where these are longer") {
  test::Workload model = layers(4);
  double link = 1e9;
  test::RoundHardware slow = machine(link), fast = machine(1e15);
  StagePrediction with = predict(model, slow, {0, 0, {4, 3, 0}}).stages[0];
  StagePrediction without = predict(model, fast, {}).stages[0];
  auto moved = [&](int64_t bytes) {
    return picosecondsFromSeconds(static_cast<double>(bytes) / link);
  };
  CHECK(with.forward == moved(3 * parameters));
  CHECK(with.backward == moved(3 * parameters));
  CHECK(with.hostWait ==
        with.forward + with.backward - without.forward - without.backward);
  // Of three layers the gradients are there, of one they are sent; parameters
  // come back.
  CHECK(with.update == moved(4 * parameters));
  StagePrediction hidden = predict(model, fast, {0, 0, {4, 3, 2}}).stages[0];
  CHECK(hidden.forward == without.forward);
  CHECK(hidden.backward == without.backward);
  CHECK(hidden.update == without.update);
}

TEST_CASE("what the host has no room for does not fit") {
  test::Workload model = layers(4);
  test::RoundHardware small = machine(1e12, 1 << 30, 3 * parameters);
  CHECK(predict(model, small, {0, 0, {1, 0, 0}}).deficit() <= Bytes());
  Prediction two = predict(model, small, {0, 0, {2, 0, 0}});
  CHECK(two.deficit() == Bytes(3 * parameters));
  CHECK(two.stages[0].isHostShort());
}

// The rule is a heuristic where several ways are taken together: how far it is
// from the best of all numbers, over memories that leave less and less room.
TEST_CASE("the numbers of instances are near the best ones") {
  constexpr int64_t count = 4;
  test::Workload model = layers(count);
  int compared = 0, exact = 0;
  double worst = 1;
  for (double link : {1e8, 1e9, 1e10})
    for (int64_t eighths = 2; eighths <= 40; eighths += 2) {
      test::RoundHardware hardware =
          machine(link, count * parameters * eighths / 8);
      CostTable table(model, hardware);
      Picoseconds best = Picoseconds::max();
      auto consider = [&](const Relief &relief) {
        Prediction one =
            evaluate(table, {formWith(relief), {0, count}, DeviceMap{}});
        if (one.deficit() <= Bytes())
          best = std::min(best, one.step);
      };
      for (int64_t f = 0; f <= count; ++f)
        for (int64_t s = 0; f + s <= count; ++s)
          for (int64_t o = 0; o <= count; ++o)
            for (int64_t p = 0; p <= o; ++p)
              for (int64_t a = 0; a <= count; ++a)
                consider({f, s, {o, p, a}});
      NormalForm open =
          formWith({asNeeded, asNeeded, {asNeeded, asNeeded, asNeeded}});
      CutResult found = bestCuts(table, open, DeviceMap{});
      INFO("link " << link << ", memory " << eighths << "/8");
      CHECK(found.candidate.has_value() == (best < Picoseconds::max()));
      if (!found.candidate || best == Picoseconds::max())
        continue;
      double factor = found.prediction.step.asDouble() / best.asDouble();
      CHECK(factor <= 1.2);
      worst = std::max(worst, factor);
      ++compared;
      exact += factor <= 1.0 + 1e-9;
    }
  INFO(exact << " of " << compared << " exact, the worst " << worst);
  CHECK(compared > 40);
  CHECK(exact * 2 > compared);
}

TEST_CASE("offload makes a model fit, only in the full space") {
  test::Workload model = layers(8);
  test::RoundHardware hardware = machine(1e10, 16 * parameters);
  Problem problem{model, hardware, {}};
  Diagnostics none;
  CHECK(!solve(problem, none).plan);
  problem.options.space = Space::Full;
  Diagnostics diags;
  Answer answer = solve(problem, diags);
  REQUIRE(answer.plan);
  CHECK(answer.plan->prediction.usesHost());
  CHECK(verify(*answer.plan, problem, diags));
  // Pasted back it is the same plan.
  problem.options.strategy = answer.plan->strategy;
  Answer again = solve(problem, diags);
  REQUIRE(again.plan);
  CHECK(again.plan->strategy == answer.plan->strategy);
  CHECK(again.plan->prediction.step == answer.plan->prediction.step);
}
