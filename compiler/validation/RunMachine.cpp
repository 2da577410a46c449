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
    {"A100-SXM-40", "a100-40", "dgx-a100"},
    {"H100-SXM-80", "h100-sxm-80", "dgx-h100"},
    {"H100-SXM-96", "h100-sxm-80", "dgx-h100"},
    {"H200-SXM-141", "h200", "dgx-h200"},
    {"B200-SXM-180", "b200", "dgx-b200"},
    {"B300-SXM-288", "b300", "dgx-b300"},
    {"GB200-NVL72", "gb200", "gb200-nvl72"},
    {"GB300-NVL72", "gb300", "gb300-nvl72"},
    {"V100-SXM-32", "v100-32", "dgx-1-v100"},
    {"V100-SXM-16", "v100-16", "dgx-1-v100"},
};

/// Sources that share software.
struct Software {
  std::string_view words;
  cost::Stack stack;
};

cost::Stack megatron2021() {
  cost::Stack stack;
  stack.fusedAttention = false;
  stack.eager = true;
  stack.overlapsPipeline = false;
  stack.gradientWireBytes = 2;
  return stack;
}

cost::Stack megatronCore() {
  cost::Stack stack;
  stack.eager = true;
  stack.shardsMasters = true;
  stack.overlapsGradients = true;
  return stack;
}

/// GPUs of a node joined pairwise by 4 links of 25 GB/s instead of a switch.
void writeFourLinks(json::Writer &writer) {
  writer.key("within").beginObject().field("level", "nvlink");
  writer.field("bandwidth_gigabytes_per_second", 100);
  writer.field("latency_microseconds", 3.0).endObject();
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
  writer.beginObject().key("gpus").beginObject();
  writer.field("type", machine->device).field("count", perNode).endObject();
  writer.field("count", ceilDivide(run.gpus, perNode));
  if (run.intraNodeLink == "NVLink3 (4 links)")
    writeFourLinks(writer);
  else if (perNode > 1)
    writer.key("collectives").beginObject().field("fit", machine->node)
        .endObject();
  writer.endObject().endArray();
  if (run.gpus > perNode && run.nodeLink > 0) {
    writer.key("network").beginObject();
    writer.field("bandwidth_gigabits_per_second", run.nodeLink).endObject();
  }
  return writer.endObject().take();
}

cost::Stack stackOf(const MeasuredRun &run) {
  std::string_view prefix = run.prefix();
  bool old = prefix.starts_with("mlm2") || prefix.starts_with("vtrain") ||
             prefix.starts_with("bs") || prefix == "seqsel" ||
             prefix == "mtnlg" || prefix == "dlebert" || prefix == "bloom";
  cost::Stack stack = old ? megatron2021() : megatronCore();
  if (run.says("attention-backend unfused"))
    stack.fusedAttention = false;
  if (run.says("CUDA graphs"))
    stack.eager = false;
  if (run.says("TP comm overlap") || run.says("async TP"))
    stack.overlapsSplits = true;
  return stack;
}

} // namespace whale::validation
