// The search against every plan (Exhaustive.h) on small problems.

#include "test/unit/planner/Exhaustive.h"
#include "compiler/planner/Explain.h"
#include "compiler/planner/UnlikeStages.h"
#include "test/unit/planner/RandomProblem.h"

#include <catch2/catch.hpp>

using namespace whale;
using namespace whale::planner;

namespace {

constexpr int cases = 1200;
/// Problems with more plans than this are left out, for time.
constexpr int64_t usualPlans = 4000;

/// No plan is faster than what was found, and where one could be, by no more
/// than the gap says.
void compare(const Plan &plan, const test::Exhausted &all) {
  INFO("found " << printStrategy(plan.strategy) << "\nbest "
                << printStrategy(toTree(all.best->form)));
  CHECK(plan.prediction.step.value() == all.step.value());
  CHECK(all.step.asDouble() >=
        (1 - plan.gap) * plan.prediction.step.asDouble() * (1 - 1e-12));
}

/// The plan of a problem that says the same as all of its plans, if one fits.
std::optional<Plan> comparedPlan(const Problem &problem,
                                 const test::Exhausted &all) {
  Diagnostics diags;
  Answer answer = solve(problem, diags);
  CHECK(answer.plan.has_value() == all.best.has_value());
  if (!answer.plan || !all.best)
    return std::nullopt;
  compare(*answer.plan, all);
  return std::move(answer.plan);
}

struct Kinds {
  int fitting = 0, full = 0, mixed = 0, pipelines = 0, tables = 0, both = 0,
      gathered = 0, unlike = 0;
};

bool cutsTable(const NormalForm &form) {
  return std::any_of(form.stages.front().axes.begin(),
                     form.stages.front().axes.end(), [](const Axis &axis) {
                       return !axis.colocated.empty() &&
                              axis.colocated.front().dims.front() ==
                                  "vocabulary";
                     });
}

/// Whether gradients are cut over replicas on whose devices something else is.
bool cutsBoth(const NormalForm &form) {
  const auto &axes = form.stages.front().axes;
  return std::any_of(axes.begin(), axes.end(), [](const Axis &axis) {
    return !axis.colocated.empty() && axis.shard >= Shard::Gradients;
  });
}

bool gathers(const NormalForm &form) {
  return std::any_of(
      form.stages.begin(), form.stages.end(),
      [](const StageForm &stage) { return stage.gatheredLayers > 0; });
}

/// The first `cases` problems from a seed on that have few enough plans.
Kinds compareFrom(unsigned seed, int cases, int64_t mostPlans = usualPlans) {
  Kinds kinds;
  for (int tried = 0; tried < cases; ++seed) {
    test::RandomProblem some(seed);
    Problem problem = some.problem();
    Diagnostics diags;
    REQUIRE(check(problem, diags));
    // Numbers of layers are many where parameters are cut.
    bool cuts = problem.options.pins.zero == 3;
    test::Exhausted all = test::tryEverything(
        problem, cuts ? mostPlans / 16 : mostPlans, test::Stages::Different);
    if (all.limited)
      continue;
    ++tried;
    INFO("seed " << seed << ": " << some.text());
    std::optional<Plan> plan = comparedPlan(problem, all);
    if (!plan)
      continue;
    CHECK(verify(*plan, problem, diags));
    ++kinds.fitting;
    kinds.full += problem.options.space == Space::Full;
    kinds.mixed += problem.hardware.pools().size() > 1;
    kinds.pipelines += all.best->form.stages.size() > 1;
    kinds.tables += cutsTable(all.best->form);
    kinds.both += cutsBoth(all.best->form);
    kinds.gathered += gathers(all.best->form);
    kinds.unlike += hasUnlikeStages(all.best->form);
  }
  return kinds;
}

} // namespace

TEST_CASE("no plan beats the search, and where none fits it finds none") {
  Kinds kinds = compareFrom(0, cases);
  // The problems are not all of one kind.
  CHECK(kinds.fitting > cases / 2);
  CHECK(kinds.full > cases / 5);
  CHECK(kinds.mixed > cases / 5);
  CHECK(kinds.pipelines > cases / 20);
  CHECK(kinds.tables > 4);
  CHECK(kinds.both > 4);
  CHECK(kinds.gathered > 6);
  CHECK(kinds.unlike > 4);
}

namespace {

void pinDegrees(const NormalForm &form, Pins &pins) {
  pins.pipeline = static_cast<int64_t>(form.stages.size());
  pins.tensor = form.stages[0].degree(AxisKind::Split);
  pins.data = form.stages[0].degree(AxisKind::Replica);
  pins.microBatches = form.microBatches;
}

/// A problem whose answer keeps its degrees, but has no room for a part of its
/// activations.
std::optional<test::RandomProblem> shortOfMemory(unsigned seed) {
  test::RandomProblem some(seed);
  some.options.space = Space::Default;
  some.options.pins.recompute.reset();
  Diagnostics diags;
  Answer rich = solve(some.problem(), diags);
  if (!rich.plan)
    return std::nullopt;
  pinDegrees(rich.plan->chosen.form, some.options.pins);
  Bytes most;
  for (const StagePrediction &stage : rich.plan->prediction.stages)
    most = std::max(most, stage.memory.total() -
                              Bytes(stage.memory.activations.value() *
                                    (1 + seed % 9) / 10));
  for (test::RoundDevice &device : some.hardware().devices) {
    device.hostMemory = 0;
    device.memory = most.value();
  }
  return some;
}

} // namespace

TEST_CASE("no numbers of layers that recompute beat those found") {
  int selective = 0, both = 0;
  for (unsigned seed = 20000; seed < 20800; ++seed) {
    std::optional<test::RandomProblem> some = shortOfMemory(seed);
    if (!some)
      continue;
    Problem problem = some->problem();
    test::Exhausted all =
        test::tryEverything(problem, usualPlans, test::Stages::Different);
    // None where nodes have no devices for a sequence's split.
    if (all.limited || all.tried == 0)
      continue;
    INFO("seed " << seed << ": " << some->text());
    std::optional<Plan> plan = comparedPlan(problem, all);
    if (!plan)
      continue;
    for (const StageForm &stage : plan->chosen.form.stages) {
      selective += stage.selectiveLayers > 0;
      both += stage.selectiveLayers > 0 && stage.recomputeLayers > 0;
    }
  }
  CHECK(selective > 50);
  CHECK(both > 10);
}

namespace {

/// A problem of replicas that cut their parameters, with room for a part of
/// what is gathered and saved.
std::optional<test::RandomProblem> shortOfGathered(unsigned seed) {
  test::RandomProblem some(seed);
  some.options.space = Space::Full;
  Pins &pins = some.options.pins;
  pins = {};
  pins.zero = 3;
  pins.virtualStages = 1;
  pins.vocabulary = 1;
  for (test::RoundDevice &device : some.hardware().devices) {
    device.hostMemory = 0;
    device.memory = test::RoundDevice().memory;
  }
  Diagnostics diags;
  Answer rich = solve(some.problem(), diags);
  if (!rich.plan)
    return std::nullopt;
  pinDegrees(rich.plan->chosen.form, pins);
  pins.schedule = rich.plan->chosen.form.schedule;
  if (seed % 3 == 0)
    pins.recompute = Recompute::None;
  Bytes most;
  for (const StagePrediction &stage : rich.plan->prediction.stages) {
    Bytes part = stage.memory.activations + stage.memory.parameters;
    most = std::max(most, stage.memory.total() -
                              Bytes(part.value() * (1 + seed % 9) / 10));
  }
  for (test::RoundDevice &device : some.hardware().devices)
    device.memory = most.value();
  return some;
}

} // namespace

TEST_CASE("no numbers of layers that stay gathered beat those found") {
  int gathered = 0, recompute = 0, pipelines = 0;
  for (unsigned seed = 30000; seed < 30400; ++seed) {
    std::optional<test::RandomProblem> some = shortOfGathered(seed);
    if (!some)
      continue;
    Problem problem = some->problem();
    test::Exhausted all = test::tryEverything(problem, usualPlans / 16);
    if (all.limited || all.tried == 0)
      continue;
    INFO("seed " << seed << ": " << some->text());
    std::optional<Plan> plan = comparedPlan(problem, all);
    if (!plan)
      continue;
    for (const StageForm &stage : plan->chosen.form.stages) {
      bool some = stage.gatheredLayers > 0;
      gathered += some;
      recompute += some && stage.selectiveLayers + stage.recomputeLayers > 0;
      pipelines += some && plan->chosen.form.stages.size() > 1;
    }
  }
  CHECK(gathered > 20);
  CHECK(recompute > 4);
  CHECK(pipelines > 4);
}

namespace {

/// A problem of devices of several types in the full space, with nothing pinned
/// but what makes its plans many.
std::optional<test::RandomProblem> onUnequalDevices(unsigned seed) {
  test::RandomProblem some(seed);
  if (some.hardware().pools().size() == 1)
    return std::nullopt;
  some.options.space = Space::Full;
  some.options.pins = {};
  some.options.pins.zero = 0;
  some.options.pins.schedule = Schedule::OneFOneB;
  some.options.pins.vocabulary = 1;
  for (test::RoundDevice &device : some.hardware().devices)
    device.hostMemory = 0;
  return some;
}

/// Problems from a seed on, of so many seeds; how many have parts of unequal
/// widths in their best plan, and how many of these several stages or replicas.
struct Unequal {
  int tried = 0, best = 0, withOthers = 0;
};
Unequal compareWidths(unsigned seed, unsigned seeds) {
  Unequal result;
  for (unsigned end = seed + seeds; seed < end; ++seed) {
    std::optional<test::RandomProblem> some = onUnequalDevices(seed);
    if (!some)
      continue;
    test::Exhausted all = test::tryEverything(some->problem(), 4 * usualPlans,
                                              test::Stages::Different);
    if (all.limited || !all.best)
      continue;
    ++result.tried;
    INFO("seed " << seed << ": " << some->text());
    std::optional<Plan> plan = comparedPlan(some->problem(), all);
    if (!plan)
      continue;
    const std::vector<StageForm> &stages = plan->chosen.form.stages;
    bool isUnequal =
        std::any_of(stages.begin(), stages.end(), [](const StageForm &stage) {
          return stage.hasUnequalSplits();
        });
    result.best += isUnequal;
    result.withOthers += isUnequal && (stages.size() > 1 ||
                                       stages[0].degree(AxisKind::Replica) > 1);
  }
  return result;
}

} // namespace

TEST_CASE("no widths of a split's parts beat those found") {
  Unequal found = compareWidths(40000, 400);
  CHECK(found.tried > 60);
  CHECK(found.best > 8);
}

TEST_CASE("no widths beat those found on other seeds", "[.judge]") {
  Unequal found = compareWidths(810000, 1500);
  WARN(found.tried << " problems, " << found.best << " with unequal widths, "
                   << found.withOthers << " of them beside stages or replicas");
}

// Found by the judge: replicas whose stages send each other messages over
// different links.
TEST_CASE("bounds know the messages of every class of replicas") {
  compareFrom(300148, 1);
}

// Found by the judge: pipelines whose best shares are not in proportion to the
// speed of their replicas; the second with a stage on devices of two types.
TEST_CASE("shares of pipelines are the best there are") {
  compareFrom(202702, 1);
  compareFrom(704647, 1, 40000);
}

// Those of seeds 0 to 1999 with up to 20,000 plans whose best one has them.
TEST_CASE("stages with degrees of their own are found where they are best") {
  for (unsigned seed : {20, 341, 421, 637, 748, 1622, 1839})
    CHECK(compareFrom(seed, 1, 20000).unlike == 1);
}

TEST_CASE("what is pinned, or asked of all stages, none has for itself") {
  for (unsigned seed : {20, 341, 421, 637}) {
    test::RandomProblem some(seed);
    Diagnostics diags;
    auto isUnlike = [&] {
      Answer answer = solve(some.problem(), diags);
      return answer.plan && hasUnlikeStages(answer.plan->chosen.form);
    };
    REQUIRE(isUnlike());
    Pins pins = some.options.pins;
    if (some.options.pins.zero = 1; seed != 421)
      CHECK(!isUnlike());
    some.options.pins = pins;
    some.options.pins.layout = Layout::Row;
    CHECK(!isUnlike());
    some.options.pins = pins;
    some.options.space = Space::Default;
    Answer answer = solve(some.problem(), diags);
    CHECK((!answer.plan || cutsBatchAlike(answer.plan->chosen.form)));
    some.options.strategy = toTree(answer.plan->chosen.form);
    CHECK(!isUnlike());
  }
}

// Problems that the search was not mended on: a judge, which is not run by
// default. Take other seeds once something was mended because of it.
TEST_CASE("no plan beats the search on other seeds", "[.judge]") {
  compareFrom(500000, 1500);
}

// What it brings: a measurement, not run by default. On seeds 0 to 1999 with up
// to 20,000 plans it prints how often and by how much stages that differ are
// faster than the best plan whose stages do not.
TEST_CASE("stages with degrees of their own", "[.measure]") {
  int tried = 0, better = 0;
  double most = 0, sum = 0;
  for (unsigned seed = 0; seed < 2000; ++seed) {
    test::RandomProblem some(seed);
    Problem problem = some.problem();
    test::Exhausted alike = test::tryEverything(problem, usualPlans);
    if (alike.limited || !alike.best)
      continue;
    test::Exhausted each =
        test::tryEverything(problem, 20000, test::Stages::Different);
    if (each.limited)
      continue;
    ++tried;
    double gain = alike.step.asDouble() / each.step.asDouble() - 1;
    if (gain <= 0)
      continue;
    ++better;
    most = std::max(most, gain);
    sum += gain;
    WARN("seed " << seed << ": " << 100 * gain << " %, "
                 << printStrategy(toTree(each.best->form)));
  }
  WARN(better << " of " << tried << " problems have a faster plan, by "
              << 100 * sum / std::max(better, 1) << " % on average and "
              << 100 * most << " % at most");
  CHECK(tried > 0);
}
