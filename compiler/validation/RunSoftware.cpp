//===- RunSoftware.cpp - the software of a measured run -------------------===//
//
// Phrases of source and notes (MeasuredRun::says) that stand for switches of
// the cost model, each for what it does to any run; none for a row or a source.
// What no phrase names is as in Megatron-Core, or, of before 2023, as in
// Megatron-LM of 2021.
//
//===----------------------------------------------------------------------===//

#include "compiler/validation/RunSoftware.h"

#include "compiler/validation/RunModel.h"

#include <fmt/format.h>

namespace whale::validation {

namespace {

/// Megatron-LM and DeepSpeed before FlashAttention.
cost::Stack megatron2021() {
  cost::Stack stack;
  stack.attention = cost::Attention::Unfused;
  stack.dispatch = cost::Dispatch::Fine;
  stack.overlapsPipeline = false;
  stack.logitCopyBytes = 4;
  stack.replacesLogits = true;
  stack.scattersMessages = true;
  stack.sendsRowsOnce = false;
  stack.gathersTwiceBackward = true;
  stack.gathersTensors = true;
  stack.gathersAgain = true;
  stack.selectsAttention = true;
  stack.gradientBytes = 2;
  stack.copiesGradients = true;
  stack.keepsOddRows = true;
  stack.joinsProducts = true;
  stack.addsBiasInProducts = true;
  stack.repeatsActivations = true;
  stack.repeatsLayersOnly = true;
  stack.shardsMasters = true;
  stack.holdsGradients = true;
  stack.storesTied = true;
  stack.keepsMasks = true;
  return stack;
}

/// Megatron-Core with Transformer Engine, as NeMo and MLPerf run it.
cost::Stack megatronCore() {
  cost::Stack stack;
  stack.dispatch = cost::Dispatch::Fused;
  stack.logitCopyBytes = 4;
  stack.replacesLogits = true;
  stack.scattersMessages = true;
  stack.sendsRowsOnce = false;
  stack.gathersAgain = true;
  stack.selectsAttention = true;
  stack.keepsNarrow = true;
  stack.gathersNarrow = true;
  stack.joinsProducts = true;
  stack.addsBiasInProducts = true;
  stack.repeatsActivations = true;
  stack.repeatsLayersOnly = true;
  stack.shardsMasters = true;
  stack.holdsGradients = true;
  stack.storesTied = true;
  stack.keepsMasks = true;
  stack.joinsSequenceReplicas = true;
  stack.overlapsGradients = true;
  return stack;
}

/// Tokens of an example of the instruction data sets that fine-tuning packs
/// (SQuAD, Dolly): some hundreds.
constexpr int64_t packedExample = 512;

/// PyTorch's asynchronous tensor parallelism against the user buffers of
/// Transformer Engine: of projections with one input, which are products of
/// their own, only the first hides the gather, and gradients of weights wait.
constexpr double asynchronousShare = 0.5;

/// One for reducing and one for gathering, of 5e8 elements of 2 bytes each:
/// DeepSpeed's reduce_bucket_size and allgather_bucket_size.
constexpr int64_t deepSpeedBuckets = 2'000'000'000;

/// FlashAttention (May 2022) came into the frameworks with their releases of
/// 2023.
constexpr int64_t lastUnfusedYear = 2022;

/// MLPerf Training v0.7; v1.0 (June 2021) is the first with CUDA graphs.
constexpr int64_t lastUncapturedYear = 2020;

/// FSDP of plain modules: llm-foundry, torchtitan.
cost::Stack fullySharded() {
  cost::Stack stack;
  stack.attention = cost::Attention::Portable;
  stack.logitCopyBytes = 8;
  stack.fusedElementwise = false;
  stack.dispatch = cost::Dispatch::Fused;
  stack.sendsRowsOnce = false;
  stack.addsPartials = true;
  stack.gathersNarrow = true;
  stack.addsBiasInProducts = true;
  stack.accumulatesInProducts = true;
  stack.repeatsLayersOnly = true;
  stack.keepsMasks = true;
  stack.joinsSequenceReplicas = true;
  stack.overlapsGradients = true;
  return stack;
}

cost::Stack frameworkOf(const MeasuredRun &run) {
  if (isOld(run))
    return megatron2021();
  return run.says({"llm-foundry", "torchtitan", "PyTorch FSDP", "nanotron",
                   "ColossalAI", "nnscaler"})
             ? fullySharded()
             : megatronCore();
}

/// Jax compiles a step as a whole.
bool usesJax(const MeasuredRun &run) {
  return run.says({"JAX", "PaxML", "MaxText", "T5X"});
}

/// Megatron-LM's tests without Transformer Engine are named "mcore_tp..". Its
/// kernels alone compute in 8 bits and cut sequences.
bool lacksEngine(const MeasuredRun &run) {
  bool needsEngine = run.context > 1 || arithmeticOf(run).value_or("") == "fp8";
  return run.says({"mcore_tp", "uninstall_te"}) && !needsEngine;
}

/// Attention came into one kernel in PaxML and T5X with Transformer Engine
/// (NVTE_FUSED_ATTN, as paxml/configure.sh of dgxc-benchmarking has it), in
/// NeMo with 23.07; nowhere with T5's bias.
bool keepsScores(const MeasuredRun &run) {
  if (run.family == "t5")
    return true;
  if (run.says({"attention-backend flash", "attention-backend fused"}))
    return false;
  if (run.says({"PaxML", "T5X"}))
    return !run.says(
        {"bf16 TE", "fp8 TE", "Transformer Engine", "dgxc-benchmarking"});
  return lacksEngine(run) ||
         run.says({"attention-backend unfused", "unfused attention",
                   "without flash attention", "NeMo-Framework-Launcher@23.05"});
}

/// cuDNN's attention has deterministic gradients on Hopper; before it not, and
/// on Blackwell only in late versions and without dropout: Transformer Engine
/// takes FlashAttention then (get_attention_backend,
/// nvte_get_fused_attn_backend).
bool lacksDeterministicKernel(const MeasuredRun &run) {
  return run.says("deterministic") &&
         !startsWithOneOf(run.gpuType, {"H100", "H200", "GH200"});
}

void setKernels(const MeasuredRun &run, cost::Stack &stack) {
  if (keepsScores(run))
    stack.attention = cost::Attention::Unfused;
  else if (lacksDeterministicKernel(run))
    stack.attention = cost::Attention::Portable;
  // Graphs of a part of the layer leave the rest to the host.
  if (run.says({"CUDA graph", "graph capture"}) &&
      !run.says({"scoped CUDA graph", "attn CUDA graph"}))
    stack.dispatch = cost::Dispatch::Captured;
  // So do MLPerf's programs for small models since v1.0.
  bool isSmall = run.family == "bert" || run.family == "resnet";
  if (isSmall && run.says("MLPerf") && run.year > lastUncapturedYear)
    stack.dispatch = cost::Dispatch::Captured;
  // Elsewhere batch norms, activations and sums of images are kernels each.
  if (run.family.starts_with("resnet") && !run.says("MLPerf"))
    stack.fusedElementwise = false;
  // Compiled from operations that make new values: one more copy.
  if (run.says("cross entropy loss fusion"))
    stack.logitCopyBytes = 8;
  if (run.says({"compile", "XLA"}))
    stack.fusedElementwise = stack.repeatsActivations = true;
  if (usesJax(run))
    stack.dispatch = cost::Dispatch::Captured;
  if (run.says("llm-foundry")) {
    stack.joinsProducts = true;
    stack.attention = cost::Attention::PortableFirst;
  }
  // Mixed precision as a rewrite of the graph, with float32 variables.
  if (run.says("TensorFlow"))
    stack.widensElementwise = true;
  stack.narrowAttention =
      run.says({"FP8 attention", "attention in FP8", "FP8 DPA", "FP8 MHA"});
  stack.scalesRows = run.precision == "fp8-rowwise" ||
                     run.says({"rowwise scaling", "row-wise scaling"});
}

void setSplits(const MeasuredRun &run, cost::Stack &stack) {
  if (run.says({"TP comm overlap", "TP communication overlap", "TP overlap",
                "userbuffer"}))
    stack.overlappedSplits = 1;
  else if (run.says({"async TP", "asynchronous tensor parallel"}) &&
           !run.says("vanilla TP"))
    stack.overlappedSplits = asynchronousShare;
}

/// How rows go to their experts and back.
void setExchange(const MeasuredRun &run, cost::Stack &stack) {
  stack.sendsRowsOnce |= run.says({"DeepEP", "HybridEP"});
  stack.balancesExperts = run.says({"force-balanced", "force load balancing"});
  // Rows beyond an equal share are dropped and missing ones padded there
  // (grok1/grok1_314b.yaml, moe_expert_capacity_factor; NeMo's
  // MegatronTokenDropCallback).
  stack.balancesExperts |=
      run.says("dgxc-benchmarking") && run.says({"Grok-1", "DeepSeek-V3"});
  stack.sendsPositions = splitsWholeExperts(run);
  stack.overlapsExchange =
      run.says({"A2A overlap", "all-to-all overlap", "EP overlap", "DualPipe"});
}

/// Whether a release of the year's last two digits and month, as in "26.06", is
/// `first` or a later one.
bool isReleasedSince(const MeasuredRun &run, int first) {
  constexpr int lastYear = 40;
  for (int year = first / 100; year <= lastYear; ++year)
    for (int month = year == first / 100 ? first % 100 : 1; month <= 12;
         ++month)
      if (run.says(fmt::format("section {}.{:02}", year, month)))
        return true;
  return false;
}

/// What the recipes of Megatron-Bridge (scripts/performance/configs) choose for
/// mixtures of experts and its tables do not print: DeepEP or HybridEP but for
/// GPT OSS; overlap where experts lie on several nodes; since release 26.06 in
/// 8 bits these two, one graph for the iteration, and attention in 8 bits.
void setBridge(const MeasuredRun &run, cost::Stack &stack) {
  if (!run.experts || !run.says("Megatron-Bridge"))
    return;
  bool isGraph =
      isReleasedSince(run, 2606) && arithmeticOf(run).value_or("") == "fp8";
  bool acrossNodes = run.expert > run.gpusPerNode && run.gpusPerNode == 8;
  stack.sendsRowsOnce |= isGraph || !run.says("GPT OSS");
  stack.overlapsExchange |= isGraph || (stack.sendsRowsOnce && acrossNodes);
  if (!isGraph)
    return;
  stack.narrowAttention = true;
  stack.dispatch = cost::Dispatch::Captured;
}

} // namespace

bool isOld(const MeasuredRun &run) {
  if (run.says("MLPerf"))
    return false;
  return (run.year > 0 && run.year <= lastUnfusedYear) ||
         run.says({"DeepSpeed", "Megatron-DeepSpeed", "bigscience", "vtrain",
                   "mlm20", "mlm21", "bs176", "bsv", "seqsel", "mtnlg",
                   "DeepLearningExamples", "bloom", "Megatron-LM 2021",
                   "Megatron-LM v2"});
}

bool splitsWholeExperts(const MeasuredRun &run) {
  return run.says({"Megatron-Bridge", "expert TP=1", "etp1"});
}

cost::Stack stackOf(const MeasuredRun &run) {
  cost::Stack stack = frameworkOf(run);
  setKernels(run, stack);
  setSplits(run, stack);
  setExchange(run, stack);
  setBridge(run, stack);
  // MLPerf's configurations reduce gradients in bf16; so does Composer in its
  // mode PURE.
  if (run.says({"MLPerf", "MP mode PURE"}))
    stack.gradientBytes = 2;
  if (run.says({"SFT", "supervised fine", "instruction tuning"}))
    stack.packedTokens = packedExample;
  stack.fillsBuffers = run.says("deterministic");
  stack.keepsSecondProducts = run.says("torchtitan");
  if (run.says({"Megatron-DeepSpeed", "bigscience"})) {
    stack.bucketBytes = deepSpeedBuckets;
    // Its optimizer for bf16 accumulates in float32.
    if (run.precision == "bf16")
      stack.gradientBytes = 4;
  }
  return stack;
}

MemoryQuantity memoryQuantityOf(const MeasuredRun &run) {
  if (run.says({"nvidia-smi", "device memory used"}))
    return MemoryQuantity::Device;
  if (run.says({"CI golden", "golden value", "functional tests"}))
    return MemoryQuantity::AllocatedLast;
  if (run.says({"max allocated", "allocated memory", "peak allocated"}))
    return MemoryQuantity::Allocated;
  if (run.says({"torchtitan", "max reserved", "reserved memory"}))
    return MemoryQuantity::Reserved;
  return MemoryQuantity::Allocated;
}

Bytes libraryWorkspace(const MeasuredRun &run) {
  constexpr Bytes mebibyte(int64_t(1) << 20);
  bool isHopperOrNewer = run.isHopperOrNewer();
  // PyTorch's documentation of CUBLAS_WORKSPACE_CONFIG: 8 buffers of 4 MiB on
  // Hopper and where results must be deterministic, else 2 and 8 of 16 KiB; for
  // each handle, of which the thread of the backward part has its own.
  Bytes own =
      mebibyte * 2 * (isHopperOrNewer || run.says("deterministic") ? 32 : 8);
  // Transformer Engine's get_cublas_workspace_size_bytes(), and four more for
  // the streams of grouped products (_NUM_MAX_CUBLAS_STREAMS).
  Bytes engine = mebibyte * (isHopperOrNewer ? 32 : 4);
  constexpr int64_t groupedStreams = 4;
  return own + engine * (run.experts ? 1 + groupedStreams : 1);
}

} // namespace whale::validation
