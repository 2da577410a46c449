//===- RunPlanTest.cpp - rows as plans and clusters -----------------------===//

#include "compiler/validation/RunMachine.h"
#include "compiler/validation/RunModel.h"
#include "compiler/validation/RunPlan.h"

#include "compiler/cluster/Cluster.h"

#include <catch2/catch.hpp>

using namespace whale;
using namespace whale::validation;

namespace {
MeasuredRun run175() {
  MeasuredRun run;
  run.id = "dgxc-0001";
  run.family = "gpt";
  run.layers = 96, run.hidden = 12288, run.heads = 96;
  run.sequence = 2048, run.vocabulary = 51200;
  run.gpuType = "H100-SXM-80";
  run.gpus = 128, run.gpusPerNode = 8;
  run.nodeLink = 3200;
  run.globalBatch = 256, run.microBatch = 1;
  run.tensor = 4, run.pipeline = 8, run.data = 4, run.zero = 1;
  run.virtualStages = 12;
  run.precision = "fp8";
  return run;
}

/// Embedding, `layers` equal layers, head: no ops are needed for cuts.
workload::Workload layered(int64_t layers) {
  workload::Workload workload;
  workload.classes.resize(3);
  workload.runs = {{0, "embeddings", 1, {}},
                   {1, "layers", layers, {}},
                   {2, "head", 1, {}}};
  return workload;
}
} // namespace

TEST_CASE("degrees, micro-batches and stages of a run") {
  std::string reason;
  auto plan = planOf(run175(), layered(96), reason);
  INFO(reason);
  REQUIRE(plan);
  CHECK(plan->form.microBatches == 64);
  CHECK(plan->form.virtualStages == 12);
  CHECK(planner::rankCount(plan->form) == 128);
  // 12 layers a stage, embedding and head at the ends.
  CHECK(plan->cuts ==
        std::vector<int64_t>{0, 13, 25, 37, 49, 61, 73, 85, 98});
}

TEST_CASE("embedding and head count as layers where that divides") {
  MeasuredRun run = run175();
  std::string reason;
  auto plan = planOf(run, layered(126), reason);
  REQUIRE(plan);
  // (126 + 2) / 8 = 16: 15 layers at either end.
  CHECK(plan->cuts == std::vector<int64_t>{0, 16, 32, 48, 64, 80, 96, 112, 128});
}

TEST_CASE("rows that contradict themselves say why") {
  std::string reason;
  MeasuredRun run = run175();
  run.tensor = 3;
  CHECK(!planOf(run, layered(96), reason));
  CHECK(reason == "degrees make 120 ranks of 128 GPUs");
  run = run175();
  run.globalBatch = 2;
  CHECK(!planOf(run, layered(96), reason));
  CHECK(reason ==
        "a global batch of 2 is less than one sample on each of 4 replicas");
}

TEST_CASE("a batch that is no whole number of micro-batches is rounded up") {
  MeasuredRun run = run175();
  run.globalBatch = 250;
  run.microBatch = 3;
  CHECK(wholeBatch(run) == 252);
}

TEST_CASE("racks of 72 leave two trays idle for powers of two") {
  MeasuredRun run = run175();
  run.gpuType = "GB200-NVL72";
  run.gpusPerNode = 4;
  for (auto [gpus, domain] : {std::pair(128, 16), std::pair(144, 18)}) {
    run.gpus = gpus;
    std::string reason;
    auto text = clusterOf(run, reason);
    REQUIRE(text);
    Diagnostics diagnostics;
    auto catalogue = Catalogue::load(diagnostics);
    auto cluster = parseCluster(*text, "cluster", *catalogue, diagnostics);
    INFO(*text << diagnostics.str());
    REQUIRE(cluster);
    CHECK(cluster->rankCount() == gpus);
    // The last GPU of the first domain, and the first of the second.
    CHECK(cluster->linkBetween(0, domain * 4 - 1).level == LinkLevel::NvLink);
    CHECK(cluster->linkBetween(0, domain * 4).level == LinkLevel::Network);
  }
}

TEST_CASE("precision of the linear layers") {
  MeasuredRun run;
  for (auto [text, name] :
       {std::pair("fp16", "f16"), std::pair("bf16", "bf16"),
        std::pair("fp8-cs", "fp8"), std::pair("mxfp8", "fp8"),
        std::pair("nvfp4", "fp4"), std::pair("fp32", "f32"),
        std::pair("tf32", "tf32")}) {
    run.precision = text;
    CHECK(arithmeticOf(run) == name);
  }
  run.precision = "int4";
  CHECK(!arithmeticOf(run));
}

TEST_CASE("software by source and notes") {
  MeasuredRun run = run175();
  CHECK(stackOf(run).attention == cost::Attention::Fused);
  CHECK(stackOf(run).dispatch == cost::Dispatch::Fused);
  CHECK(stackOf(run).overlappedSplits == 0);
  run.notes = "CUDA graphs; TP comm overlap";
  CHECK(stackOf(run).dispatch == cost::Dispatch::Captured);
  CHECK(stackOf(run).overlappedSplits == 1);
  run.id = "vtrain1-0001";
  CHECK(stackOf(run).attention == cost::Attention::Unfused);
}
