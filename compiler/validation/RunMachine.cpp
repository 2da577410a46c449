//===- RunMachine.cpp - the cluster of a measured run ---------------------===//

#include "compiler/validation/RunMachine.h"

#include "compiler/support/CheckedMath.h"
#include "compiler/support/Json.h"

#include <fmt/format.h>

namespace whale::validation {

namespace {

/// How the tables spell a GPU, its name in the catalogue, and the node type
/// whose measured collectives hold for it.
struct Machine {
  std::string_view gpuType, device, node;
};
constexpr Machine machines[] = {
    {"A100-SXM", "a100-80", "dgx-a100"},
    {"A100-SXM-80", "a100-80", "dgx-a100"},
    {"A100-SXM-40", "a100-40", "dgx-a100-40"},
    {"A100-PCIe-40", "a100-pcie-40", ""},
    {"A100-PCIe-80", "a100-pcie-80", ""},
    {"A10", "a10", ""},
    {"A30", "a30", ""},
    {"L4", "l4", ""},
    {"L40", "l40", ""},
    {"L40S", "l40s", ""},
    {"H100-PCIe-80", "h100-pcie-80", ""},
    {"H100-SXM-80", "h100-sxm-80", "dgx-h100"},
    {"H100-SXM-96", "h100-sxm-96", "dgx-h100"},
    {"H200-SXM-141", "h200", "dgx-h200"},
    {"H200-NVL-141", "h200-nvl", ""},
    {"GH200-96", "gh200-96", "gh200-node"},
    {"B200-SXM-180", "b200", "dgx-b200"},
    {"B300-SXM-288", "b300", "dgx-b300"},
    {"GB200-NVL72", "gb200", "gb200-nvl72"},
    {"GB300-NVL72", "gb300", "gb300-nvl72"},
    {"RTXPRO6000", "rtx-pro-6000", "rtx-pro-6000-8"},
    {"RTX3090", "rtx-3090", ""},
    {"RTX4090", "rtx-4090", ""},
    {"RTXA5000", "rtx-a5000", ""},
    {"RTXA6000", "rtx-a6000", ""},
    {"RTX6000Ada", "rtx-6000-ada", ""},
    {"RTX8000", "rtx-8000", ""},
    {"T4", "t4", ""},
    {"V100-SXM-32", "v100-32", "dgx-1-v100"},
    {"V100-SXM-16", "v100-16", "dgx-1-v100-16"},
    {"V100-PCIe-16", "v100-pcie-16", ""},
    {"V100-PCIe-32", "v100-pcie-32", ""},
    {"P100-SXM-16", "p100-16", "dgx-1-p100"},
    {"K80", "k80", ""},
    {"MI300X", "mi300x", "mi300x-8"},
    {"MI325X", "mi325x", "mi325x-8"},
    {"MI350X", "mi350x", "mi350x-8"},
    {"MI355X", "mi355x", "mi355x-8"},
};

/// Megatron-LM and DeepSpeed before FlashAttention.
cost::Stack megatron2021() {
  cost::Stack stack;
  stack.fusedAttention = false;
  stack.dispatch = cost::Dispatch::Fine;
  stack.overlapsPipeline = false;
  stack.gradientWireBytes = 2;
  return stack;
}

/// Megatron-Core with Transformer Engine, as NeMo and MLPerf run it.
cost::Stack megatronCore() {
  cost::Stack stack;
  stack.dispatch = cost::Dispatch::Fused;
  stack.shardsMasters = true;
  stack.overlapsGradients = true;
  return stack;
}

/// The node type of a run, if the tables' nodes are whole ones of it.
std::string_view nodeOf(const MeasuredRun &run, const Machine &machine) {
  // Jean Zay's nodes: GPUs joined pairwise by 4 links instead of a switch.
  if (run.intraNodeLink == "NVLink3 (4 links)")
    return "jean-zay-a100";
  if (machine.node == "dgx-1-v100" && run.gpusPerNode == 16)
    return "dgx-2";
  return machine.node;
}

int64_t gpusOf(std::string_view node) {
  return node.starts_with("gb") ? 4 : node == "dgx-2" ? 16 : 8;
}

void writeNodes(json::Writer &writer, const MeasuredRun &run,
                const Machine &machine, int64_t perNode) {
  std::string_view node = nodeOf(run, machine);
  bool sameDevice = machine.gpuType != "H100-SXM-96";
  writer.beginObject();
  if (!node.empty() && sameDevice && perNode == gpusOf(node)) {
    writer.field("type", node);
  } else {
    writer.key("gpus").beginObject().field("type", machine.device);
    writer.field("count", perNode).endObject();
    if (!node.empty() && perNode > 1)
      writer.key("collectives").beginObject().field("fit", node).endObject();
  }
  writer.field("count", ceilDivide(run.gpus, perNode)).endObject();
}

/// FSDP of plain modules: llm-foundry, torchtitan.
cost::Stack fullySharded() {
  cost::Stack stack;
  stack.fusedElementwise = false;
  stack.dispatch = cost::Dispatch::Fused;
  stack.overlapsGradients = true;
  return stack;
}

} // namespace

std::optional<std::string> clusterOf(const MeasuredRun &run,
                                     std::string &reason) {
  const Machine *machine = nullptr;
  for (const Machine &one : machines)
    if (one.gpuType == run.gpuType)
      machine = &one;
  if (!machine || run.gpus < 1) {
    reason = machine ? "the number of GPUs is not given"
                     : fmt::format("GPU type '{}' is not known", run.gpuType);
    return std::nullopt;
  }
  int64_t perNode = std::min(std::max<int64_t>(run.gpusPerNode, 1), run.gpus);
  json::Writer writer;
  writer.beginObject().field("format_version", 1).key("nodes").beginArray();
  writeNodes(writer, run, *machine, perNode);
  writer.endArray();
  // Where the table does not say: one 400 Gb/s adapter a GPU, or a cloud's.
  bool fast = run.gpuType.starts_with("H") || run.gpuType.starts_with("B") ||
              run.gpuType.starts_with("G");
  double link = run.nodeLink > 0 ? run.nodeLink
                                 : static_cast<double>(perNode) *
                                       (fast ? 400 : 12.5);
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
             prefix == "mtnlg" || prefix == "dlebert" || prefix == "bloom";
  bool sharded = prefix == "mpt" || prefix == "titan";
  cost::Stack stack = old       ? megatron2021()
                      : sharded ? fullySharded()
                                : megatronCore();
  if (run.says("attention-backend unfused"))
    stack.fusedAttention = false;
  if (run.says("CUDA graphs"))
    stack.dispatch = cost::Dispatch::Captured;
  if (run.says("compile") || run.says("XLA"))
    stack.fusedElementwise = true;
  if (run.says("TP comm overlap") || run.says("async TP"))
    stack.overlapsSplits = true;
  return stack;
}

} // namespace whale::validation
