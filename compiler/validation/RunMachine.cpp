//===- RunMachine.cpp - the cluster of a measured run ---------------------===//

#include "compiler/validation/RunMachine.h"

#include "compiler/support/CheckedMath.h"
#include "compiler/support/Json.h"

#include <fmt/format.h>

namespace whale::validation {

namespace {

/// The catalogue knows GPUs by the tables' names too; the node types that they
/// are usually in, for nodes' links.
struct Machine {
  std::string_view gpuType, node;
};
constexpr Machine machines[] = {
    {"A100-SXM", "dgx-a100"},       {"A100-SXM-80", "dgx-a100"},
    {"A100-SXM-40", "dgx-a100-40"}, {"H100-SXM-80", "dgx-h100"},
    {"H100-SXM-96", "dgx-h100"},    {"H200-SXM-141", "dgx-h200"},
    {"GH200-96", "gh200-node"},     {"B200-SXM-180", "dgx-b200"},
    {"B300-SXM-288", "dgx-b300"},   {"GB200-NVL72", "gb200-nvl72"},
    {"GB300-NVL72", "gb300-nvl72"}, {"RTXPRO6000", "rtx-pro-6000-8"},
    {"V100-SXM-32", "dgx-1-v100"},  {"V100-SXM-16", "dgx-1-v100-16"},
    {"P100-SXM-16", "dgx-1-p100"},  {"MI300X", "mi300x-8"},
    {"MI325X", "mi325x-8"},         {"MI350X", "mi350x-8"},
    {"MI355X", "mi355x-8"},
};

std::string_view usualNode(const MeasuredRun &run) {
  for (const Machine &one : machines)
    if (one.gpuType == run.gpuType)
      return one.node;
  return "";
}

/// Megatron-LM and DeepSpeed before FlashAttention.
cost::Stack megatron2021() {
  cost::Stack stack;
  stack.attention = cost::Attention::Unfused;
  stack.dispatch = cost::Dispatch::Fine;
  stack.overlapsPipeline = false;
  stack.logitCopyBytes = 4;
  stack.scattersMessages = true;
  stack.gathersTwiceBackward = true;
  stack.gathersTensors = true;
  stack.gathersAgain = true;
  stack.selectsAttention = true;
  stack.gradientBytes = 2;
  stack.copiesGradients = true;
  stack.joinsProducts = true;
  stack.addsBiasInProducts = true;
  stack.repeatsActivations = true;
  stack.repeatsLayersOnly = true;
  stack.shardsMasters = true;
  return stack;
}

/// Megatron-Core with Transformer Engine, as NeMo and MLPerf run it.
cost::Stack megatronCore() {
  cost::Stack stack;
  stack.dispatch = cost::Dispatch::Fused;
  stack.logitCopyBytes = 4;
  stack.scattersMessages = true;
  stack.gathersAgain = true;
  stack.selectsAttention = true;
  stack.keepsNarrow = true;
  stack.gathersNarrow = true;
  stack.joinsProducts = true;
  stack.addsBiasInProducts = true;
  stack.repeatsActivations = true;
  stack.repeatsLayersOnly = true;
  stack.shardsMasters = true;
  stack.joinsSequenceReplicas = true;
  stack.overlapsGradients = true;
  return stack;
}

/// The node type of a run; "" where the catalogue has none.
std::string_view nodeOf(const MeasuredRun &run) {
  std::string_view node = usualNode(run);
  // Jean Zay's nodes: GPUs joined pairwise by 4 links instead of a switch.
  if (run.intraNodeLink == "NVLink3 (4 links)")
    return "jean-zay-a100";
  return node == "dgx-1-v100" && run.gpusPerNode == 16 ? "dgx-2" : node;
}

int64_t gpusOf(std::string_view node) {
  return node.starts_with("gb") ? 4 : node == "dgx-2" ? 16 : 8;
}

/// The node type whose measured collectives a node of another size takes.
std::string_view fitOf(std::string_view node) {
  if (node == "dgx-2" || node == "dgx-1-v100-16")
    return "dgx-1-v100";
  if (node == "dgx-a100-40")
    return "dgx-a100";
  bool measured = node.starts_with("dgx-") && node != "dgx-1-p100";
  return measured || node.starts_with("gb") ? node : "";
}

/// Racks of 72 GPUs: jobs that are no multiple of 72 leave two trays of each
/// rack idle, so that groups of powers of two lie within one.
void writeDomain(json::Writer &writer, const MeasuredRun &run,
                 std::string_view node) {
  if (node.starts_with("gb") && node.ends_with("nvl72") && run.gpus > 72 &&
      run.gpus % 72 != 0)
    writer.field("nvlink_domain", 16);
}

void writeNodes(json::Writer &writer, const MeasuredRun &run, int64_t perNode) {
  std::string_view node = nodeOf(run);
  bool sameDevice = run.gpuType != "H100-SXM-96";
  writer.beginObject();
  if (!node.empty() && sameDevice && perNode == gpusOf(node)) {
    writer.field("type", node);
    writeDomain(writer, run, node);
  } else {
    writer.key("gpus").beginObject().field("type", run.gpuType);
    writer.field("count", perNode).endObject();
    if (std::string_view fit = fitOf(node); !fit.empty() && perNode > 1)
      writer.key("collectives").beginObject().field("fit", fit).endObject();
  }
  writer.field("count", ceilDivide(run.gpus, perNode)).endObject();
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

/// FSDP of plain modules: llm-foundry, torchtitan.
cost::Stack fullySharded() {
  cost::Stack stack;
  stack.attention = cost::Attention::Portable;
  stack.logitCopyBytes = 8;
  stack.fusedElementwise = false;
  stack.dispatch = cost::Dispatch::Fused;
  stack.addsPartials = true;
  stack.gathersNarrow = true;
  stack.addsBiasInProducts = true;
  stack.accumulatesInProducts = true;
  stack.repeatsLayersOnly = true;
  stack.joinsSequenceReplicas = true;
  stack.overlapsGradients = true;
  return stack;
}

} // namespace

std::optional<std::string> clusterOf(const MeasuredRun &run,
                                     std::string &reason) {
  if (run.gpus < 1) {
    reason = "the number of GPUs is not given";
    return std::nullopt;
  }
  int64_t perNode = std::min(std::max<int64_t>(run.gpusPerNode, 1), run.gpus);
  json::Writer writer;
  writer.beginObject().field("format_version", 1).key("nodes").beginArray();
  writeNodes(writer, run, perNode);
  writer.endArray();
  // Where the table does not say: one 400 Gb/s adapter a GPU, or a cloud's.
  bool fast = run.gpuType.starts_with("H") || run.gpuType.starts_with("B") ||
              run.gpuType.starts_with("G");
  double link = run.nodeLink > 0
                    ? run.nodeLink
                    : static_cast<double>(perNode) * (fast ? 400 : 12.5);
  if (run.gpus > perNode) {
    writer.key("network").beginObject();
    writer.field("bandwidth_gigabits_per_second", link).endObject();
  }
  return writer.endObject().take();
}

cost::Stack stackOf(const MeasuredRun &run) {
  std::string_view prefix = run.prefix();
  bool old = prefix.starts_with("mlm2") || prefix.starts_with("vtrain") ||
             prefix.starts_with("bs") || prefix == "seqsel" ||
             prefix == "mtnlg" || prefix == "dlebert" || prefix == "bloom" ||
             run.says("DeepSpeed") || run.says("bigscience");
  bool sharded = run.says("llm-foundry") || run.says("torchtitan");
  cost::Stack stack = old       ? megatron2021()
                      : sharded ? fullySharded()
                                : megatronCore();
  // Megatron-LM's tests without Transformer Engine are named "mcore_tp..".
  if (run.says("attention-backend unfused") || run.says("mcore_tp") ||
      run.says("uninstall_te"))
    stack.attention = cost::Attention::Unfused;
  // MLPerf's configurations reduce gradients in bf16.
  if (run.says("MLPerf"))
    stack.gradientBytes = 2;
  if (run.says("CUDA graphs"))
    stack.dispatch = cost::Dispatch::Captured;
  if (run.says("compile") || run.says("XLA"))
    stack.fusedElementwise = stack.repeatsActivations = true;
  if (run.says("llm-foundry")) {
    stack.joinsProducts = true;
    stack.attention = cost::Attention::PortableFirst;
  }
  // Mixed precision as a rewrite of the graph, with float32 variables.
  if (run.says("TensorFlow"))
    stack.widensElementwise = true;
  if (run.says("SFT"))
    stack.packedTokens = packedExample;
  stack.narrowAttention = run.says("FP8 attention");
  stack.fillsBuffers = run.says("deterministic");
  stack.keepsSecondProducts = run.says("torchtitan");
  if (run.says("Megatron-DeepSpeed") || run.says("bigscience")) {
    stack.bucketBytes = deepSpeedBuckets;
    // Its optimizer for bf16 accumulates in float32.
    if (run.precision == "bf16")
      stack.gradientBytes = 4;
  }
  stack.scalesRows = run.precision == "fp8-rowwise";
  if (run.says("TP comm overlap"))
    stack.overlappedSplits = 1;
  else if (run.says("async TP") || run.says("AsyncTP"))
    stack.overlappedSplits = asynchronousShare;
  return stack;
}

} // namespace whale::validation
