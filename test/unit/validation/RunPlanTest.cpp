//===- RunPlanTest.cpp - rows as plans and clusters -----------------------===//

#include "compiler/validation/RunPlan.h"
#include "compiler/validation/ExpertWidth.h"
#include "compiler/validation/RunDefaults.h"
#include "compiler/validation/RunMachine.h"
#include "compiler/validation/RunModel.h"
#include "compiler/validation/RunSoftware.h"

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
  workload.runs = {
      {0, "embeddings", 1, {}}, {1, "layers", layers, {}}, {2, "head", 1, {}}};
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
  // A layer in each chunk, embedding and head at the ends.
  std::vector<int64_t> cuts = {0};
  for (int64_t part = 1; part < 96; ++part)
    cuts.push_back(part + 1);
  cuts.push_back(98);
  CHECK(plan->cuts == cuts);
  MeasuredRun run = run175();
  run.virtualStages = 1;
  plan = planOf(run, layered(96), reason);
  REQUIRE(plan);
  CHECK(plan->cuts == std::vector<int64_t>{0, 13, 25, 37, 49, 61, 73, 85, 98});
}

TEST_CASE("embedding and head count as layers where that divides") {
  MeasuredRun run = run175();
  run.virtualStages = 1;
  std::string reason;
  auto plan = planOf(run, layered(126), reason);
  REQUIRE(plan);
  // (126 + 2) / 8 = 16: 15 layers at either end.
  CHECK(plan->cuts ==
        std::vector<int64_t>{0, 16, 32, 48, 64, 80, 96, 112, 128});
  // Of chunks of one, the first is the embedding.
  run.virtualStages = 16;
  plan = planOf(run, layered(126), reason);
  REQUIRE(plan);
  CHECK(plan->cuts.size() == 129);
  for (int64_t part = 0; part <= 128; ++part)
    CHECK(plan->cuts[part] == part);
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

TEST_CASE("experts take what the split of attention leaves them") {
  MeasuredRun run = run175();
  run.pipeline = 1, run.gpus = 16, run.tensor = 4, run.data = 4;
  run.experts = 8;
  auto axes = [&](int64_t expert) {
    run.expert = expert;
    std::string reason, text;
    auto plan = planOf(run, layered(96), reason);
    INFO(reason);
    REQUIRE(plan);
    for (const planner::Axis &axis : plan->form.stages.front().axes)
      text += axis.name + std::to_string(axis.size) + " ";
    return text;
  };
  // Over replicas; where these do not suffice, over the split too.
  CHECK(axes(1) == "r04 t04 ");
  CHECK(axes(2) == "r02 e02 t04 ");
  CHECK(axes(4) == "e04 t04 ");
  CHECK(axes(8) == "e04 t02 t12 ");
}

TEST_CASE("optimizer state once for each instance of the optimizer") {
  MeasuredRun run = run175();
  run.source = "gpt3_resume_torch_dist_multi_dist_optimizer_instances";
  std::string reason;
  auto plan = planOf(run, layered(96), reason);
  INFO(reason);
  REQUIRE(plan);
  const auto &axes = plan->form.stages.front().axes;
  REQUIRE(axes.size() == 3);
  CHECK(axes[0].size == 2);
  CHECK(axes[0].shard == planner::Shard::None);
  CHECK(axes[1].size == 2);
  CHECK(axes[1].shard == planner::Shard::Optimizer);
  // Of two replicas each has all of it.
  run.data = 2, run.gpus = 64;
  plan = planOf(run, layered(96), reason);
  REQUIRE(plan);
  CHECK(plan->form.stages.front().axes[0].shard == planner::Shard::None);
  CHECK(plan->form.stages.front().axes[1].kind == planner::AxisKind::Split);
}

TEST_CASE("parameters cut within the group of FSDP that the notes name") {
  MeasuredRun run = run175();
  run.tensor = run.pipeline = 1, run.zero = 3,
  run.notes = "FSDP group=32, replicated";
  CHECK(run.noted("FSDP group=") == 32);
  CHECK(run.noted("group of") == 0);
  std::string reason;
  auto plan = planOf(run, layered(96), reason);
  INFO(reason);
  REQUIRE(plan);
  const auto &axes = plan->form.stages.front().axes;
  REQUIRE(axes.size() == 2);
  CHECK(axes[0].size == 4);
  CHECK(axes[0].shard == planner::Shard::None);
  CHECK(axes[1].size == 32);
  CHECK(axes[1].shard == planner::Shard::Parameters);
}

TEST_CASE("models that are trained with dropout") {
  MeasuredRun run = run175();
  auto has = [&](const char *rate) {
    std::string reason;
    return modelOf(run, reason)->config.find(rate) != std::string::npos;
  };
  CHECK(has("\"resid_pdrop\": 0"));
  CHECK(!has("\"resid_pdrop\": 0.1"));
  run.source = "NVIDIA/Megatron-LM tests/functional_tests/test_cases/gpt";
  CHECK(has("\"resid_pdrop\": 0.1"));
  run.source = "Megatron-LM", run.year = 2021;
  CHECK(has("\"resid_pdrop\": 0.1"));
  run.family = "bert";
  CHECK(has("\"hidden_dropout_prob\": 0.1"));
}

TEST_CASE("the width of experts has a name through all their ops") {
  using namespace workload;
  // up: [rows, in] x [experts, in, out] -> [rows, out]; gelu; down.
  auto product = [](const char *name, uint32_t from, uint32_t to) {
    Op op;
    op.name = name;
    op.usedDenominator = 4;
    op.loops.resize(4);
    op.loops[1].name = "experts", op.loops[1].extent = 4;
    op.loops[2].name = "in", op.loops[3].name = "out";
    op.operands = {{from, {{0}, {2}}}};
    op.results = {{to, {{0}, {3}}}};
    return op;
  };
  Op gelu;
  gelu.name = "experts/activation";
  gelu.loops.resize(2);
  gelu.operands = {{1, {{0}, {1}}}};
  gelu.results = {{2, {{0}, {1}}}};
  Workload workload;
  workload.classes.resize(1);
  workload.classes[0].ops = {product("experts/up", 0, 1), gelu,
                             product("experts/down", 2, 3)};
  nameExpertWidth(workload);
  const std::vector<Op> &ops = workload.classes[0].ops;
  CHECK(ops[0].findLoop(expertWidth) == 3);
  CHECK(ops[1].findLoop(expertWidth) == 1);
  CHECK(ops[2].findLoop(expertWidth) == 2);
}

TEST_CASE("what a row leaves open") {
  MeasuredRun run = run175();
  run.precision = "";
  CHECK(withDefaults(run).precision == "bf16");
  run.notes = "MLPerf Training v4.1";
  CHECK(withDefaults(run).precision == "fp8");
  run.gpuType = "V100-SXM-32";
  CHECK(withDefaults(run).precision == "fp16");
  // 4 x 8 ranks are no 16 GPUs.
  run.gpus = 16;
  CHECK(withDefaults(run).gpus == 32);
  run.sequence = 512;
  CHECK(withDefaults(run).sequence == 512);
  run.notes += "; padding removed";
  CHECK(withDefaults(run).sequence == 256);
  run.notes = "with LDDL";
  CHECK(withDefaults(run).sequence == 384);
  run.notes = "without LDDL";
  CHECK(withDefaults(run).sequence == 512);
  run.zero = 3;
  CHECK(withDefaults(run).zero == 3);
  run.source = "pytorch/torchtitan";
  CHECK(withDefaults(run).zero == 2);
}

TEST_CASE("what PaxML's configurations keep") {
  MeasuredRun run = run175();
  auto recompute = [&](const char *notes) {
    run.notes = notes;
    return withDefaults(run).recompute;
  };
  CHECK(recompute("GPT-175B PaxML FSDP256") == "full");
  CHECK(recompute("GPT-5B PaxML FSDP256") == "selective");
  CHECK(recompute("GPT-175B") == "");
  run.recompute = "none";
  CHECK(recompute("GPT-175B PaxML") == "none");
}

TEST_CASE("batches that a row leaves open, or that are too small") {
  MeasuredRun run = run175();
  run.globalBatch = 0;
  // 128 GPUs of which 32 make a replica.
  CHECK(withDefaults(run).globalBatch == 4);
  run.globalBatch = 2;
  CHECK(withDefaults(run).context == 2);
  run.globalBatch = 3;
  CHECK(withDefaults(run).context == 1);
  MeasuredRun images;
  images.family = "resnet", images.gpus = 8, images.precision = "fp16";
  CHECK(withDefaults(images).globalBatch == 2048);
  CHECK(withDefaults(images).microBatch == 256);
  images.precision = "fp32";
  CHECK(withDefaults(images).globalBatch == 1024);
  images.family = "diffusion";
  CHECK(withDefaults(images).globalBatch == 0);
}

TEST_CASE("models by name where the columns say nothing") {
  MeasuredRun run;
  run.precision = "bf16";
  std::string reason;
  CHECK(!modelOf(run, reason));
  CHECK(reason == "the model's dimensions are not given");
  for (auto [notes, preset] : {std::pair("Llama3.1 405B", "llama-3-405b"),
                               std::pair("LLAMA3_70B", "llama-3-70b"),
                               std::pair("MT-NLG, 530B", "gpt3-530b"),
                               std::pair("Mixtral-8x7B", "mixtral-8x7b")}) {
    run.notes = notes;
    auto model = modelOf(run, reason);
    REQUIRE(model);
    CHECK(model->preset == preset);
  }
}

TEST_CASE("software by source and notes") {
  MeasuredRun run = run175();
  CHECK(stackOf(run).attention == cost::Attention::Fused);
  CHECK(stackOf(run).dispatch == cost::Dispatch::Fused);
  CHECK(stackOf(run).overlappedSplits == 0);
  run.notes = "CUDA graphs; TP comm overlap";
  CHECK(stackOf(run).dispatch == cost::Dispatch::Captured);
  CHECK(stackOf(run).overlappedSplits == 1);
  run.notes = "scoped_cudagraph; asyncTP; deterministic-mode";
  CHECK(stackOf(run).dispatch == cost::Dispatch::Fused);
  CHECK(stackOf(run).overlappedSplits == 0.5);
  CHECK(stackOf(run).fillsBuffers);
  run.notes = "FSDP + torch.compile, SFT, FP8 DPA";
  run.source = "torchtitan";
  CHECK(stackOf(run).attention == cost::Attention::Portable);
  CHECK(stackOf(run).fusedElementwise);
  CHECK(stackOf(run).packedTokens == 512);
  CHECK(stackOf(run).narrowAttention);
  run.source = run.notes = "";
  run.id = "vtrain1-0001";
  CHECK(stackOf(run).attention == cost::Attention::Unfused);
  // By the year, where no name says it.
  run.id = "other-0001";
  CHECK(stackOf(run).attention == cost::Attention::Fused);
  run.year = 2021;
  CHECK(stackOf(run).attention == cost::Attention::Unfused);
}

TEST_CASE("how rows of experts travel, by source and notes") {
  MeasuredRun run = run175();
  run.family = "moe", run.experts = 128, run.expert = 32, run.gpusPerNode = 8;
  run.precision = "mxfp8";
  CHECK_FALSE(stackOf(run).sendsRowsOnce);
  CHECK_FALSE(stackOf(run).overlapsExchange);
  CHECK_FALSE(stackOf(run).balancesExperts);
  run.notes = "DeepEP; A2A overlap; MoE router force-balanced";
  CHECK(stackOf(run).sendsRowsOnce);
  CHECK(stackOf(run).overlapsExchange);
  CHECK(stackOf(run).balancesExperts);
  // Recipes of Megatron-Bridge: overlap across nodes of 8, and since 26.06.
  run.notes = "";
  run.source = "NVIDIA-NeMo/Megatron-Bridge performance-summary section 26.04";
  CHECK(stackOf(run).sendsRowsOnce);
  CHECK(stackOf(run).overlapsExchange);
  CHECK_FALSE(stackOf(run).narrowAttention);
  run.gpusPerNode = 4;
  CHECK_FALSE(stackOf(run).overlapsExchange);
  run.notes = "GPT OSS 120B";
  CHECK_FALSE(stackOf(run).sendsRowsOnce);
  for (const char *later :
       {"section 26.06", "section 26.11", "section 27.01"}) {
    run.source = std::string("Megatron-Bridge ") + later;
    run.precision = "mxfp8";
    CHECK(stackOf(run).sendsRowsOnce);
    CHECK(stackOf(run).overlapsExchange);
    CHECK(stackOf(run).narrowAttention);
    CHECK(stackOf(run).dispatch == cost::Dispatch::Captured);
    run.precision = "bf16";
    CHECK_FALSE(stackOf(run).overlapsExchange);
  }
  // Recipes that drop and pad rows give each expert an equal share.
  run = run175();
  run.source = "NVIDIA/dgxc-benchmarking v25.02 grok1/README_314b.md";
  CHECK(stackOf(run).balancesExperts);
  run.source = "NVIDIA/dgxc-benchmarking v25.05 llama4/README.md";
  CHECK(!stackOf(run).balancesExperts);
}

TEST_CASE("whole experts lie over the split of attention too") {
  MeasuredRun run = run175();
  run.experts = 64, run.chosenExperts = 4, run.ffn = 1024;
  run.tensor = 2, run.pipeline = 1, run.data = 64, run.expert = 16;
  run.sequenceParallel = true;
  std::string reason;
  auto sizes = [&] {
    auto plan = planOf(run, layered(96), reason);
    REQUIRE(plan);
    std::vector<std::pair<std::string, int64_t>> axes;
    for (const planner::Axis &axis : plan->form.stages[0].axes)
      axes.emplace_back(axis.name, axis.size);
    return axes;
  };
  using Axes = std::vector<std::pair<std::string, int64_t>>;
  CHECK(sizes() == Axes{{"r0", 4}, {"e0", 16}, {"t0", 2}});
  CHECK_FALSE(stackOf(run).sendsPositions);
  run.source = "NVIDIA-NeMo/Megatron-Bridge";
  CHECK(sizes() == Axes{{"r0", 8}, {"e0", 8}, {"t1", 2}});
  CHECK(stackOf(run).sendsPositions);
}

TEST_CASE("software that keeps scores, and steps compiled as a whole") {
  MeasuredRun run = run175();
  run.source = "NVIDIA/NeMo-Framework-Launcher@23.05 README.md";
  CHECK(stackOf(run).attention == cost::Attention::Unfused);
  run.source = "NVIDIA/NeMo-Framework-Launcher@23.11 README.md";
  CHECK(stackOf(run).attention == cost::Attention::Fused);
  CHECK(stackOf(run).dispatch == cost::Dispatch::Fused);
  // Without Transformer Engine, whose kernels alone compute in 8 bits and cut
  // sequences, unless another kernel is named.
  run.source = "gpt3_mcore_tp1_pp2", run.precision = "bf16";
  CHECK(stackOf(run).attention == cost::Attention::Unfused);
  run.notes = "attention-backend flash";
  CHECK(stackOf(run).attention == cost::Attention::Fused);
  run.notes = "", run.context = 2;
  CHECK(stackOf(run).attention == cost::Attention::Fused);
  run.context = 1, run.precision = "fp8";
  CHECK(stackOf(run).attention == cost::Attention::Fused);
  // Gradients of attention that are the same each time, by device.
  run.source = "measured", run.notes = "deterministic-mode";
  CHECK(stackOf(run).attention == cost::Attention::Fused);
  for (const char *type : {"A100-SXM-80", "GB200-NVL72"}) {
    run.gpuType = type;
    CHECK(stackOf(run).attention == cost::Attention::Portable);
  }
  run.gpuType = "H100-SXM-80";
  run.source = "NVIDIA/JAX-Toolbox", run.notes = "PaxML FSDP bf16";
  CHECK(stackOf(run).attention == cost::Attention::Unfused);
  run.notes = "PaxML FSDP bf16 TE";
  CHECK(stackOf(run).attention == cost::Attention::Fused);
  CHECK(stackOf(run).dispatch == cost::Dispatch::Captured);
  run.notes = "MaxText";
  CHECK(stackOf(run).attention == cost::Attention::Fused);
  run.source = "MLPerf", run.notes = "", run.family = "bert";
  run.year = 2020;
  CHECK(stackOf(run).dispatch == cost::Dispatch::Fused);
  run.year = 2021;
  CHECK(stackOf(run).dispatch == cost::Dispatch::Captured);
  run.family = "resnet";
  CHECK(stackOf(run).fusedElementwise);
  run.source = "lambdal/deeplearning-benchmark", run.year = 2024;
  CHECK(!stackOf(run).fusedElementwise);
  run.family = "t5";
  CHECK(stackOf(run).attention == cost::Attention::Unfused);
  // A vocabulary as the table prints it, and gradients of 2 bytes.
  CHECK(!stackOf(run).keepsOddRows);
  run.source = "mosaicml/llm-foundry", run.notes = "MP mode PURE";
  CHECK(stackOf(run).gradientBytes == 2);
  run.notes = "Megatron-DeepSpeed";
  CHECK(stackOf(run).keepsOddRows);
}

TEST_CASE("GPUs by names that people write") {
  for (auto [name, type] :
       {std::pair("NVIDIA H100 80GB HBM3", "H100-SXM-80"),
        std::pair("h100-pcie", "H100-PCIe-80"),
        std::pair("A100-SXM4-80GB", "A100-SXM-80"),
        std::pair("A800", "A100-SXM-80"), std::pair("H800", "H100-SXM-80"),
        std::pair("A100-SXM", "A100-SXM-80"), std::pair("GH200", "GH200-96"),
        std::pair("GB200-NVL72", "GB200-NVL72"), std::pair("L40S", "L40S"),
        std::pair("RTX A6000", "RTXA6000"), std::pair("TPU v4", "TPU v4")}) {
    MeasuredRun run = run175();
    run.gpuType = name;
    CHECK(withDefaults(run).gpuType == type);
  }
}

TEST_CASE("families and recompute by names that people write") {
  for (auto [name, family] :
       {std::pair("GPT-3", "gpt"), std::pair("megatron-gpt", "gpt"),
        std::pair("LLaMA", "llama"),
        std::pair("Llama-2-70B LoRA", "llama-lora"),
        std::pair("bert-large", "bert"), std::pair("ResNet-101", "resnet101"),
        std::pair("ssd300-resnet50", "ssd300-resnet50"),
        std::pair("MoE", "moe")}) {
    MeasuredRun run = run175();
    run.family = name;
    CHECK(withDefaults(run).family == family);
  }
  for (auto [text, mode] :
       {std::pair("full (uniform)", "full"), std::pair("Full", "full"),
        std::pair("core_attn", "selective"), std::pair("none", "none"),
        std::pair("no activation checkpointing", "no activation checkpointing"),
        std::pair("partial", "partial")}) {
    MeasuredRun run = run175();
    run.recompute = text;
    CHECK(withDefaults(run).recompute == mode);
  }
}

TEST_CASE("a family may be a model's name") {
  MeasuredRun run = run175();
  run.layers = run.hidden = run.heads = 0;
  run.source = "measured";
  std::string reason;
  run.family = "llama-3.1-405b";
  auto model = modelOf(withDefaults(run), reason);
  REQUIRE(model);
  CHECK(model->preset == "llama-3-405b");
  run.family = "ssd300-resnet50";
  CHECK(!modelOf(withDefaults(run), reason));
  CHECK(reason == "the model's dimensions are not given");
}

TEST_CASE("nodes and widths that a row leaves open") {
  MeasuredRun run = run175();
  run.gpusPerNode = 0;
  CHECK(withDefaults(run).gpusPerNode == 8);
  run.gpuType = "GB200";
  CHECK(withDefaults(run).gpusPerNode == 4);
  // Llama 2 7B, and Llama 3 8B.
  run.family = "Llama-2", run.ffn = 0, run.hidden = 4096;
  run.heads = run.keyHeads = 32;
  CHECK(withDefaults(run).ffn == 11008);
  run.keyHeads = 8;
  CHECK(withDefaults(run).ffn == 14336);
  run.family = "nemotron";
  CHECK(withDefaults(run).ffn == 16384);
}

TEST_CASE("nodes of other sizes than the usual") {
  MeasuredRun run = run175();
  run.gpuType = "GH200-96", run.gpus = run.gpusPerNode = 8;
  std::string reason;
  Diagnostics diagnostics;
  auto catalogue = Catalogue::load(diagnostics);
  auto cluster =
      parseCluster(*clusterOf(run, reason), "c", *catalogue, diagnostics);
  REQUIRE(cluster);
  CHECK(cluster->rankCount() == 8);
}

TEST_CASE("families that are built like others, and longer samples") {
  MeasuredRun run = run175();
  run.ffn = 4 * run.hidden;
  std::string reason;
  for (auto [family, type] :
       {std::pair("opt", "\"gpt2\""), std::pair("qwen3", "\"llama\""),
        std::pair("llama-vision", "\"llama\""),
        std::pair("starcoder", "\"gpt2\""), std::pair("yi", "\"llama\""),
        std::pair("nemotron", "\"nemotron\"")}) {
    run.family = family;
    auto model = modelOf(run, reason);
    REQUIRE(model);
    CHECK(model->config.find(type) != std::string::npos);
  }
  run.family = "falcon", run.keyHeads = 8;
  CHECK(modelOf(run, reason)->config.find("starcoder2") != std::string::npos);
  run.keyHeads = 0, run.experts = 16, run.chosenExperts = 4;
  for (auto [family, type] :
       {std::pair("dbrx", "\"mixtral\""), std::pair("qwen3", "\"mixtral\""),
        std::pair("gpt", "\"gpt2\"")}) {
    run.family = family;
    auto model = modelOf(run, reason);
    REQUIRE(model);
    CHECK(model->config.find(type) != std::string::npos);
  }
  run.family = "gpt", run.source = "gptoss120b";
  CHECK(modelOf(run, reason)->config.find("qwen3_moe") != std::string::npos);
  run.source = "Llama 4 Scout", run.family = "llama", run.sequence = 8192;
  auto scout = modelOf(run, reason);
  CHECK(scout->preset == "llama-4-scout");
  CHECK(scout->settings[1].second == "8192");
  run.source = "", run.experts = run.chosenExperts = 0;
  run.family = "hybrid-mamba-moe";
  CHECK(!modelOf(run, reason));
  CHECK(reason == "no importer for models of family 'hybrid-mamba-moe'");
  MeasuredRun named;
  named.notes = "Llama-3.1 8B", named.precision = "bf16";
  named.sequence = 131072;
  auto model = modelOf(named, reason);
  REQUIRE(model);
  CHECK(model->settings.front().second == "131072");
}

TEST_CASE("residual networks by their depth") {
  MeasuredRun run;
  run.family = "resnet", run.precision = "fp32";
  run.layers = 152, run.sequence = 224;
  std::string reason;
  auto model = modelOf(run, reason);
  REQUIRE(model);
  CHECK(model->preset == "resnet50");
  CHECK(model->sequence == 0);
  CHECK(model->settings.front().second == "[3,8,36,3]");
  run.layers = 50;
  CHECK(modelOf(run, reason)->settings.empty());
}

TEST_CASE("the positions that BERT's head runs on") {
  MeasuredRun run;
  run.family = "bert", run.precision = "fp16";
  run.layers = 24, run.hidden = 1024, run.heads = 16;
  run.sequence = 512, run.vocabulary = 30522;
  auto predictions = [&](const char *notes) {
    run.notes = notes;
    std::string reason, key = "\"max_predictions_per_seq\": ";
    std::string config = modelOf(run, reason)->config;
    size_t at = config.find(key);
    return at == config.npos ? 0 : std::stoi(config.substr(at + key.size()));
  };
  CHECK(predictions("") == 0);
  CHECK(predictions("masked positions (20 of 128 / 80 of 512)") == 80);
  CHECK(predictions("MLPerf Training v3.0") == 76);
  CHECK(predictions("bert_large_squad") == 1);
}

TEST_CASE("what a run's memory is of") {
  MeasuredRun run;
  auto quantity = [&](const char *notes) {
    run.notes = notes;
    return memoryQuantityOf(run);
  };
  CHECK(quantity("") == MemoryQuantity::Allocated);
  CHECK(quantity("mem = nvidia-smi max rank") == MemoryQuantity::Device);
  CHECK(quantity("mem = max allocated GiB (reserved 5)") ==
        MemoryQuantity::Allocated);
  CHECK(quantity("CI golden value; mem = max allocated GiB") ==
        MemoryQuantity::AllocatedLast);
  run.source = "pytorch/torchtitan benchmarks";
  CHECK(quantity("") == MemoryQuantity::Reserved);
  // 2 times 8, and 4 MiB; 32 each on Hopper and where it is deterministic.
  constexpr int64_t mebibyte = 1 << 20;
  run.gpuType = "A100-SXM-80";
  CHECK(libraryWorkspace(run) == Bytes(20 * mebibyte));
  run.notes = "deterministic-mode";
  CHECK(libraryWorkspace(run) == Bytes(68 * mebibyte));
  run.gpuType = "H100-SXM-80";
  CHECK(libraryWorkspace(run) == Bytes(96 * mebibyte));
}
