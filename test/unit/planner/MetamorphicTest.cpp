// What must not change a plan, and what must not make it worse.

#include "test/unit/planner/RandomProblem.h"

#include <catch2/catch.hpp>

using namespace whale;
using namespace whale::planner;
using test::RandomProblem;
using test::RoundHardware;

namespace {

constexpr unsigned seeds = 120;

/// Makes it likely that a plan fits; larger problems are left out, for time.
bool isQuick(RandomProblem &some) {
  for (test::RoundDevice &device : some.hardware().devices)
    device.memory *= 4;
  size_t plans = 0;
  Problem problem = some.problem();
  for (const Choice &shape : enumerate(problem))
    plans += variants(problem, shape).size();
  return plans < 400;
}

/// Calls `test` with problems of the first seeds, each named in messages.
template <class F> void forEachQuick(F test) {
  for (unsigned seed = 0; seed < seeds; ++seed) {
    RandomProblem some(seed);
    if (!isQuick(some))
      continue;
    INFO("seed " << seed << ": " << some.text());
    test(some);
  }
}

std::optional<Plan> planOf(const Problem &problem) {
  Diagnostics diags;
  REQUIRE(check(problem, diags));
  return solve(problem, diags).plan;
}

/// On other hardware with the links of the first.
std::optional<Plan> planOn(const RandomProblem &some, RoundHardware hardware) {
  hardware.inside = some.hardware().inside;
  hardware.outside = some.hardware().outside;
  return planOf({some.workload(), hardware, some.options});
}

/// At least as good as before, as far as its gap says.
void checkNotWorse(const std::optional<Plan> &before,
                   const std::optional<Plan> &after) {
  if (!before)
    return;
  REQUIRE(after);
  INFO("before " << printStrategy(before->strategy) << "\nafter "
                 << printStrategy(after->strategy));
  CHECK((1 - after->gap) * after->prediction.step.asDouble() <=
        before->prediction.step.asDouble());
}

} // namespace

TEST_CASE("names change nothing") {
  forEachQuick([](RandomProblem &some) {
    std::optional<Plan> before = planOf(some.problem());
    workload::Workload renamed = some.workload();
    renamed.modelName = "other";
    for (workload::ModuleClass &module : renamed.classes) {
      module.name = "class of " + module.name;
      for (workload::Variable &variable : module.variables)
        variable.name = "v" + variable.name;
    }
    for (workload::Run &run : renamed.runs)
      run.name = "z" + run.name;
    std::optional<Plan> after =
        planOf({renamed, some.hardware(), some.options});
    REQUIRE(before.has_value() == after.has_value());
    if (!before)
      return;
    CHECK(before->prediction.step == after->prediction.step);
    CHECK(before->chosen.cuts == after->chosen.cuts);
    CHECK(before->chosen.devices == after->chosen.devices);
    CHECK(before->gap == after->gap);
  });
}

TEST_CASE("the unit of time changes nothing") {
  forEachQuick([](RandomProblem &some) {
    std::optional<Plan> before = planOf(some.problem());
    // Everything takes a quarter as long.
    RoundHardware faster = some.hardware();
    for (test::RoundDevice &device : faster.devices) {
      device.flopsPerSecond *= 4;
      device.memoryBytesPerSecond *= 4;
    }
    for (test::RoundLink *link : {&faster.inside, &faster.outside}) {
      link->bytesPerSecond *= 4;
      link->latencySeconds /= 4;
    }
    std::optional<Plan> after = planOf({some.workload(), faster, some.options});
    REQUIRE(before.has_value() == after.has_value());
    // Each quantity is rounded once to a picosecond.
    if (before)
      CHECK(after->prediction.step.asDouble() * 4 ==
            Approx(before->prediction.step.asDouble()).epsilon(1e-4));
  });
}

TEST_CASE("the order in which a cluster lists its nodes changes nothing") {
  int compared = 0;
  for (unsigned seed = 0; seed < 2 * seeds; ++seed) {
    RandomProblem some(seed);
    if (some.nodes.size() == 1 || !isQuick(some))
      continue;
    INFO("seed " << seed << ": " << some.text());
    std::optional<Plan> before = planOf(some.problem());
    auto byType = [](const test::RoundNodes &a, const test::RoundNodes &b) {
      return a.type < b.type;
    };
    std::vector<test::RoundNodes> order = some.nodes;
    while (std::next_permutation(order.begin(), order.end(), byType)) {
      std::optional<Plan> after =
          planOn(some, RoundHardware(some.hardware().devices, order));
      REQUIRE(before.has_value() == after.has_value());
      if (!before)
        break;
      ++compared;
      CHECK(before->prediction.step.value() == after->prediction.step.value());
    }
  }
  CHECK(compared > static_cast<int>(seeds) / 2);
}

TEST_CASE("a node more of a type that is there never makes it worse") {
  int compared = 0;
  for (unsigned seed = 2000; seed < 2000 + 2 * seeds; ++seed) {
    RandomProblem some(seed);
    if (some.nodes.size() == 1 || !isQuick(some))
      continue;
    INFO("seed " << seed << ": " << some.text());
    std::optional<Plan> before = planOf(some.problem());
    ++compared;
    for (size_t t = 0; t < some.nodes.size(); ++t) {
      std::vector<test::RoundNodes> nodes = some.nodes;
      nodes[t].count += nodes[t].perNode;
      checkNotWorse(
          before, planOn(some, RoundHardware(some.hardware().devices, nodes)));
    }
  }
  CHECK(compared > static_cast<int>(seeds) / 3);
}

TEST_CASE("of many devices an idle node more changes nothing") {
  // Two layers for each of 16 stages; 17 would wait longer.
  workload::Workload model = test::chain(
      {test::denseLayer(
          {{"batch", 64}, {"sequence", 1}, {"hidden", 64}, {"ffn", 256}})},
      {32}, 64);
  Options options;
  options.pins.tensor = 8;
  options.pins.data = 1;
  std::vector<test::RoundDevice> devices(1);
  devices[0].memory = 200'000;
  std::optional<Plan> before =
      planOf({model, RoundHardware(devices, {{0, 128, 8}}), options});
  REQUIRE(before);
  CHECK(before->chosen.form.stages.size() == 16);
  checkNotWorse(
      before, planOf({model, RoundHardware(devices, {{0, 136, 8}}), options}));
}

TEST_CASE("more memory, faster links and idle devices never make it worse") {
  forEachQuick([](RandomProblem &some) {
    std::optional<Plan> before = planOf(some.problem());
    RoundHardware larger = some.hardware();
    for (test::RoundDevice &device : larger.devices)
      device.memory *= 2;
    checkNotWorse(before, planOf({some.workload(), larger, some.options}));
    RoundHardware faster = some.hardware();
    faster.inside.bytesPerSecond *= 3;
    faster.outside.bytesPerSecond *= 2;
    checkNotWorse(before, planOf({some.workload(), faster, some.options}));
    // Of one type alone, where there are several.
    for (size_t t = 0; t < some.nodes.size() && some.nodes.size() > 1; ++t) {
      std::vector<test::RoundDevice> better = some.hardware().devices;
      better[t].memory *= 2;
      better[t].flopsPerSecond *= 1.5;
      checkNotWorse(before, planOn(some, RoundHardware(better, some.nodes)));
    }
    std::vector<test::RoundNodes> nodes = some.nodes;
    std::vector<test::RoundDevice> devices = some.hardware().devices;
    nodes.push_back({static_cast<unsigned>(devices.size()), 1, 1});
    devices.push_back({"idle", 1e6, 1e6, 1024});
    checkNotWorse(before, planOn(some, RoundHardware(devices, nodes)));
  });
}

TEST_CASE("what is not pinned is never worse than what is") {
  int compared = 0;
  for (unsigned seed = 4000; seed < 4000 + seeds; ++seed) {
    RandomProblem some(seed);
    if (!isQuick(some))
      continue;
    INFO("seed " << seed << ": " << some.text());
    std::optional<Plan> before = planOf(some.problem());
    const Options options = some.options;
    forEachPin([&](std::string_view name, auto pin) {
      if (!(options.pins.*pin))
        return;
      some.options.pins.*pin = std::nullopt;
      INFO("without " << name);
      checkNotWorse(before, planOf(some.problem()));
      some.options = options;
      ++compared;
    });
    some.options.space = Space::Full;
    INFO("in the full space");
    checkNotWorse(before, planOf(some.problem()));
  }
  CHECK(compared > static_cast<int>(seeds) / 2);
}

TEST_CASE("twice the samples take at most twice the time where memory is not "
          "short") {
  int compared = 0;
  for (unsigned seed = 6000; seed < 6000 + seeds; ++seed) {
    RandomProblem some(seed);
    some.options.pins.microBatches.reset();
    for (test::RoundDevice &device : some.hardware().devices)
      device.memory = int64_t(1) << 40;
    if (!isQuick(some))
      continue;
    INFO("seed " << seed << ": " << some.text());
    std::optional<Plan> before = planOf(some.problem());
    workload::Workload twice = some.workload();
    twice.globalBatch *= 2;
    for (workload::ModuleClass &module : twice.classes) {
      for (workload::Value &value : module.values)
        if (value.kind != workload::ValueKind::Variable &&
            value.kind != workload::ValueKind::VariableGradient)
          value.extents.front() *= 2;
      for (workload::Op &op : module.ops)
        for (workload::LoopDim &loop : op.loops)
          if (loop.name == twice.batchDim)
            loop.extent *= 2;
    }
    std::optional<Plan> after = planOf({twice, some.hardware(), some.options});
    // Three samples have no four replicas, six have.
    if (!before)
      continue;
    REQUIRE(after);
    ++compared;
    INFO("before " << printStrategy(before->strategy) << "\nafter "
                   << printStrategy(after->strategy));
    CHECK((1 - after->gap) * after->prediction.step.asDouble() <=
          2 * before->prediction.step.asDouble());
  }
  CHECK(compared > static_cast<int>(seeds) / 3);
}

TEST_CASE("a plan that is written back is the plan") {
  int compared = 0;
  for (unsigned seed = 8000; seed < 8000 + seeds; ++seed) {
    RandomProblem some(seed);
    if (!isQuick(some))
      continue;
    INFO("seed " << seed << ": " << some.text());
    std::optional<Plan> before = planOf(some.problem());
    if (!before)
      continue;
    INFO(printStrategy(before->strategy));
    // A pipeline of bare stages leaves their splits open, where none was
    // pinned.
    if (!before->chosen.form.stages.front().axes.empty())
      some.options.pins = {};
    some.options.strategy = before->strategy;
    std::optional<Plan> after = planOf(some.problem());
    REQUIRE(after);
    ++compared;
    CHECK(after->prediction.step == before->prediction.step);
    CHECK(after->chosen.form == before->chosen.form);
    CHECK(after->chosen.cuts == before->chosen.cuts);
  }
  CHECK(compared > static_cast<int>(seeds) / 3);
}
