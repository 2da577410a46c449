//===- ExperienceTest.cpp - searches that know something already ----------===//
//
// What a search is told beforehand (an earlier search's Experience, a limit, a
// tolerance) may make it shorter, and is compared with the plain search.
//
//===----------------------------------------------------------------------===//

#include "compiler/planner/Explain.h"
#include "test/unit/planner/RandomProblem.h"

#include <catch2/catch.hpp>

using namespace whale;
using namespace whale::planner;
using test::RandomProblem;
using test::RoundHardware;

namespace {

constexpr unsigned seeds = 150;

/// Calls `test` with problems and their plain plans.
template <class F> void forEachPlanned(F test) {
  int planned = 0;
  for (unsigned seed = 0; seed < seeds; ++seed) {
    RandomProblem some(seed);
    some.options.alternatives = 0;
    // Host memory on several types takes long.
    if (some.nodes.size() > 1)
      some.options.space = Space::Default;
    INFO("seed " << seed << ": " << some.text());
    Diagnostics diags;
    if (std::optional<Plan> plain = solve(some.problem(), diags).plan) {
      test(some, *plain);
      ++planned;
    }
  }
  CHECK(planned > static_cast<int>(seeds) / 2);
}

std::optional<Plan> planOf(const Problem &problem, Experience &experience) {
  Diagnostics diags;
  return solve(problem, diags, experience).plan;
}

std::string text(const Plan &plan) {
  json::Writer writer;
  writePlan(writer, plan);
  return writer.take();
}

/// The same problem with other options.
template <class F> Problem with(const RandomProblem &some, F change) {
  Problem problem = some.problem();
  change(problem.options);
  return problem;
}

} // namespace

TEST_CASE("what a search found before does not make the plan worse") {
  std::optional<Choice> other;
  int same = 0, all = 0;
  forEachPlanned([&](const RandomProblem &some, const Plan &plain) {
    // Of another problem, then its own.
    Experience experience;
    experience.found = other;
    experience.samples = 1;
    for (int round = 0; round < 2; ++round) {
      std::optional<Plan> again = planOf(some.problem(), experience);
      REQUIRE(again);
      CHECK(again->prediction.step == plain.prediction.step);
      CHECK(again->gap == Approx(plain.gap).margin(1e-6));
      // Of plans that are equal it may be another.
      same += text(*again) == text(plain);
      ++all;
    }
    other = experience.found;
  });
  CHECK(same * 20 >= all * 19);
}

TEST_CASE("costs of classes hold on another number of nodes") {
  forEachPlanned([&](const RandomProblem &some, const Plan &plain) {
    if (some.nodes.size() > 1)
      return;
    std::vector<test::RoundNodes> twice = some.nodes;
    twice.front().count *= 2;
    RoundHardware larger(some.hardware().devices, twice);
    larger.inside = some.hardware().inside;
    larger.outside = some.hardware().outside;
    Experience experience;
    planOf({some.workload(), larger, some.options}, experience);
    CHECK(!experience.costs->costs.empty());
    // Of plans that are equal it may find another with what it found.
    Experience both = experience;
    std::optional<Plan> equal = planOf(some.problem(), both);
    REQUIRE(equal);
    CHECK(equal->prediction.step == plain.prediction.step);
    experience.found.reset();
    std::optional<Plan> again = planOf(some.problem(), experience);
    REQUIRE(again);
    CHECK(text(*again) == text(plain));
  });
}

TEST_CASE("only plans below a limit are found, and all of them are") {
  forEachPlanned([&](const RandomProblem &some, const Plan &plain) {
    auto below = [&](Picoseconds limit) {
      Diagnostics diags;
      std::optional<Plan> plan =
          solve(with(some, [&](Options &options) { options.below = limit; }),
                diags)
              .plan;
      CHECK((plan || diags.str().empty()));
      return plan;
    };
    Picoseconds step = plain.prediction.step;
    CHECK(!below(Picoseconds(1)));
    CHECK(!below(step.scaled(1 - plain.gap) - Picoseconds(1)));
    CHECK(!below(step));
    std::optional<Plan> found = below(step + Picoseconds(1));
    REQUIRE(found);
    CHECK(found->prediction.step == step);
    CHECK(printStrategy(found->strategy) == printStrategy(plain.strategy));
  });
}

TEST_CASE("a tolerance costs no more than it says") {
  int shorter = 0;
  forEachPlanned([&](const RandomProblem &some, const Plan &plain) {
    for (double tolerance : {0.0, 0.02, 0.1, 0.5}) {
      INFO("tolerance " << tolerance);
      Diagnostics diags;
      std::optional<Plan> plan =
          solve(with(some,
                     [&](Options &options) { options.tolerance = tolerance; }),
                diags)
              .plan;
      REQUIRE(plan);
      double step = plan->prediction.step.asDouble();
      double least = plain.prediction.step.asDouble();
      CHECK(least >= step * (1 - tolerance) * (1 - 1e-9));
      CHECK(least >= step * (1 - plan->gap) * (1 - 1e-9));
      if (tolerance == 0)
        CHECK(text(*plan) == text(plain));
      shorter += plan->simulated < plain.simulated;
    }
  });
  // Else nothing is tested.
  CHECK(shorter > 0);
}
