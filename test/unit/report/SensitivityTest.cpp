#include "compiler/report/Sensitivity.h"
#include "compiler/cluster/Scale.h"
#include "compiler/cost/CatalogueHardware.h"
#include "compiler/planner/Search.h"
#include "test/unit/workload/Models.h"

#include <catch2/catch.hpp>

using namespace whale;

namespace {

Cluster clusterOf(std::string_view text) {
  Diagnostics diags;
  auto catalogue = Catalogue::load(diags);
  return *parseCluster(text, "c.json", *catalogue, diags);
}

} // namespace

TEST_CASE("a scaled cluster has so much more, and its hash says so") {
  Cluster cluster =
      clusterOf(R"({"format_version": 1, "preset": "dgx-h100", "nodes": 2})");
  CHECK(scaled(cluster, {}).linkBetween(0, 1).bandwidth ==
        cluster.linkBetween(0, 1).bandwidth);
  ClusterScale scale;
  scale.within = 2, scale.network = 4, scale.memory = 3;
  Cluster more = scaled(cluster, scale);
  CHECK(more.linkBetween(0, 1).bandwidth.value ==
        2 * cluster.linkBetween(0, 1).bandwidth.value);
  CHECK(more.linkBetween(0, 8).bandwidth.value ==
        4 * cluster.linkBetween(0, 8).bandwidth.value);
  CHECK(more.deviceOf(0).memory.value() ==
        Approx(3 * cluster.deviceOf(0).memory.asDouble()));
}

TEST_CASE("clusters of other sizes are whole nodes, or a part of one") {
  Cluster cluster =
      clusterOf(R"({"format_version": 1, "preset": "dgx-h100", "nodes": 2})");
  CHECK(withDevices(cluster, 64)->nodeCount() == 8);
  CHECK(withDevices(cluster, 3)->rankCount() == 3);
  CHECK(withDevices(cluster, 3)->nodeCount() == 1);
  CHECK_FALSE(withDevices(cluster, 12));
  CHECK_FALSE(withDevices(cluster, 0));
}

TEST_CASE("what hangs on resources is no more than the step, and the marginal "
          "values are those of the scaled cluster") {
  Cluster cluster =
      clusterOf(R"({"format_version": 1, "preset": "dgx-h100", "nodes": 2})");
  cost::CatalogueHardware hardware(cluster);
  test::GptShape shape;
  shape.layers = 24, shape.hidden = 1024, shape.heads = 16;
  shape.sequence = 1024, shape.vocabulary = 50000, shape.batch = 64;
  workload::Workload model = test::gpt(shape);
  Diagnostics diags;
  planner::Problem problem{model, hardware, {}};
  problem.options.pins = *planner::readPins("dp=16", diags);
  planner::Answer answer = planner::solve(problem, diags);
  REQUIRE(answer.plan);
  planner::Insight insight = report::insightOf(*answer.plan, model, cluster);
  REQUIRE(insight.stages.size() == 1);
  Picoseconds sum;
  for (const planner::ResourceTime &each : insight.stages[0].resources)
    sum += each.time;
  CHECK(sum <= answer.plan->prediction.step);
  CHECK(insight.stages[0].boundBy == "arithmetic");
  REQUIRE(insight.stages[0].traffic.size() == 1);
  CHECK(insight.stages[0].traffic[0].link == "network");
  CHECK(insight.band.runs == "h100-sxm-80, 8 to 63 devices");
  CHECK(insight.memoryBand.runs == "h100-sxm-80");
  CHECK(insight.memoryBand.count > 0);
  for (const planner::Marginal &marginal : insight.marginal) {
    CHECK(marginal.step <= answer.plan->prediction.step);
    if (marginal.change != "network twice as fast")
      continue;
    ClusterScale scale;
    scale.network = 2;
    Cluster faster = scaled(cluster, scale);
    cost::CatalogueHardware other(faster);
    planner::CostTable table(model, other);
    CHECK(marginal.step == planner::evaluate(table, answer.plan->chosen).step);
  }
}
