#include "compiler/report/PlanReport.h"
#include "compiler/cost/CatalogueHardware.h"
#include "compiler/planner/Search.h"
#include "test/unit/workload/Models.h"

#include <catch2/catch.hpp>

using namespace whale;

namespace {

planner::Plan somePlan(std::string_view pins) {
  static Diagnostics diags;
  static auto catalogue = Catalogue::load(diags);
  static auto cluster =
      parseCluster(R"({"format_version": 1, "preset": "dgx-h100", "nodes": 1})",
                   "c.json", *catalogue, diags);
  static cost::CatalogueHardware hardware(*cluster);
  test::GptShape shape;
  shape.layers = 24, shape.hidden = 1024, shape.heads = 16;
  shape.sequence = 1024, shape.vocabulary = 50000, shape.batch = 64;
  workload::Workload model = test::gpt(shape);
  planner::Problem problem{model, hardware, {}};
  problem.options.pins = *planner::readPins(pins, diags);
  planner::Answer answer = planner::solve(problem, diags);
  REQUIRE(answer.plan);
  return std::move(*answer.plan);
}

bool contains(const std::string &text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

} // namespace

TEST_CASE("tables are aligned and equal rows joined") {
  CHECK(report::table({"s", "name", "n"},
                      {{"0", "a", "1"}, {"1", "b", "10"}, {"2", "c", "10"}}) ==
        "  s     name   n\n"
        "  0        a   1\n"
        "  1-2  b ...  10\n");
  CHECK(report::table({"part", "time", "share"},
                      {{"idle", "0 s", "0 %"}, {"update", "0 s", "0 %"}}) ==
        "  part    time  share\n"
        "  idle     0 s    0 %\n"
        "  update   0 s    0 %\n");
}

TEST_CASE("a plan with less free memory than runs needed says how to keep it") {
  planner::Plan plan = somePlan("pp=1,dp=8");
  planner::StagePrediction &stage = plan.prediction.stages.front();
  stage.memory = {};
  stage.memory.parameters = Bytes(60ll << 30);
  stage.memory.reserve = Bytes(2ll << 30);
  stage.capacity = Bytes(74ll << 30);
  plan.insight.emplace();
  plan.insight->memoryBand = {"h100-sxm-80", 12, 0.05, 0.25, {}};
  // 72 GiB are 60 and 20 % of it; a quarter more takes 57.6 with 16.4 kept.
  CHECK(contains(report::explain(plan),
                 "memory 9 of 10 of 12 measured runs on h100-sxm-80 took at "
                 "most 25.0 % more; median error 5.0 %\n"
                 "  20.0 % are free; with 'reserve_gibibytes': 16.4 in the "
                 "cluster file so much would be\n"));
  plan.insight->memoryBand.over = 0.19;
  CHECK(!contains(report::explain(plan), "reserve_gibibytes"));
  // 14.4 of the 16.4 GiB are for that.
  plan.insight->memoryBand.over = 0.25;
  plan.insight->memoryBand.margin =
      Bytes(static_cast<int64_t>(14.4 * (1ll << 30)));
  stage.memory.reserve += plan.insight->memoryBand.margin;
  stage.memory.parameters = Bytes(static_cast<int64_t>(57.5 * (1ll << 30)));
  CHECK(!contains(report::explain(plan), "reserve_gibibytes"));
}

TEST_CASE("a plan is explained") {
  planner::Plan plan = somePlan("pp=4,tp=2,micro_batches=16");
  std::string text = report::explain(plan);
  INFO(text);
  for (char c : text)
    CHECK((c == '\n' || (c >= ' ' && c <= '~')));
  CHECK(contains(text, "'gpt' (353,240,064 parameters), global batch 64: "));
  CHECK(contains(text, "a pipeline of 4 stages, 16 micro-batches, schedule "
                       "1f1b"));
  CHECK(contains(text, "cut 2 ways along the first of its dimensions among "));
  CHECK(contains(text, "pipeline idle"));
  CHECK(contains(text, "embedding layers.0"));
  CHECK(contains(text, "runner-up plans"));
  CHECK(contains(text, plan.alternatives.at(0).reason));
  CHECK(text == report::explain(plan));
}

TEST_CASE("what replicas cut is said") {
  planner::Plan plan = somePlan("pp=1,dp=8,zero=1");
  auto says = [&](planner::Shard shard, std::string_view words) {
    for (planner::Axis &axis : plan.chosen.form.stages.front().axes)
      axis.shard = shard;
    return contains(report::explain(plan), words);
  };
  CHECK(!says(planner::Shard::None, "cut over them"));
  CHECK(says(planner::Shard::Optimizer, "optimizer's state is cut over them"));
  CHECK(says(planner::Shard::Gradients,
             "optimizer's state and gradients are cut over them"));
  CHECK(says(planner::Shard::Parameters,
             "optimizer's state, gradients and parameters are cut over them"));
  plan.chosen.form.stages.front().gatheredLayers = 3;
  CHECK(says(planner::Shard::Parameters,
             "3 together, keep their parameters gathered"));
}

TEST_CASE("the parts of the step add up") {
  planner::Plan plan = somePlan("");
  const planner::Breakdown &b = plan.prediction.breakdown;
  CHECK(b.compute + b.recompute + b.splitCommunication + b.pipelineIdle +
            b.gradientSync + b.update + b.overhead ==
        plan.prediction.step);
}
