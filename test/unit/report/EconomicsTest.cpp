#include "compiler/report/Economics.h"

#include <catch2/catch.hpp>

#include <cmath>

using namespace whale;
using namespace whale::report;

TEST_CASE("the checkpoint interval is Young's where failures are rare, and "
          "what wastes least") {
  // sqrt(2 C M) and the next terms vanish beside it.
  CHECK(bestCheckpointInterval(1, 1e10) ==
        Approx(std::sqrt(2e10)).epsilon(1e-3));
  CHECK(bestCheckpointInterval(10, 4) == 4);
  // No other interval gives a shorter expected time, by search.
  for (double checkpoint : {1.0, 60.0, 600.0})
    for (double mtbf : {3600.0, 86400.0}) {
      double best = bestCheckpointInterval(checkpoint, mtbf);
      double least = timeWithFailures(1e6, best, checkpoint, 30, mtbf);
      for (double factor : {0.5, 0.8, 1.25, 2.0})
        CHECK(least <
              timeWithFailures(1e6, best * factor, checkpoint, 30, mtbf));
    }
}

TEST_CASE("time with failures goes to the work where nothing fails") {
  CHECK(timeWithFailures(1e5, 1e3, 0, 0, 1e15) == Approx(1e5));
  // Each interval pays its checkpoint.
  CHECK(timeWithFailures(1e5, 1e3, 10, 0, 1e15) == Approx(1.01e5));
  // M (e^(t/M) - 1) of an exponential law, one interval of a mean.
  CHECK(timeWithFailures(100, 100, 0, 0, 100) ==
        Approx(100 * (std::exp(1.0) - 1)));
  CHECK(timeWithFailures(100, 100, 0, 100, 100) ==
        Approx(100 * std::exp(1.0) * (std::exp(1.0) - 1)));
}

TEST_CASE("money, energy and the training follow from the step") {
  Diagnostics diags;
  auto catalogue = Catalogue::load(diags);
  auto cluster = parseCluster(
      R"({"format_version": 1, "preset": "dgx-h100", "nodes": 2,
          "price_per_device_hour": 3.6, "mtbf_hours_per_device": 16000})",
      "c.json", *catalogue, diags);
  REQUIRE(cluster);
  planner::Plan plan;
  plan.globalBatch = 32;
  plan.prediction.step = picosecondsFromSeconds(2);
  plan.chosen.form.stages.resize(1);
  plan.chosen.form.stages[0].axes.resize(1);
  plan.chosen.form.stages[0].axes[0].size = 8;
  workload::Workload model;
  planner::Economics e = economicsOf(plan, model, *cluster, 320);
  // A model without a sequence: a token is a sample.
  CHECK(e.tokensPerStep == 32);
  CHECK(e.tokensPerSecond == 16);
  // 16 devices are paid for, at 0.001 dollars a second each; 8 of 700 W run.
  CHECK(*e.dollarsPerStep == Approx(0.032));
  CHECK(*e.joulesPerStep == Approx(8 * 700 * 2));
  REQUIRE(e.training);
  CHECK(e.training->steps == 10);
  CHECK(e.training->seconds == 20);
  CHECK(e.training->mtbfSeconds == Approx(1000 * 3600));
  // Checkpoints cost nothing and follow each step.
  CHECK(e.training->checkpointInterval == 2);
  CHECK(e.training->secondsWithFailures == Approx(20).epsilon(1e-5));
  CHECK(*e.training->dollars == Approx(0.32).epsilon(1e-5));
}
