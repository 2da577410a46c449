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

/// The node type of a run; "" where the catalogue has none.
std::string_view nodeOf(const MeasuredRun &run) {
  std::string_view node = usualNode(run);
  // Jean Zay's nodes: GPUs joined pairwise by 4 links instead of a switch.
  if (run.intraNodeLink == "NVLink3 (4 links)")
    return "jean-zay-a100";
  return node == "dgx-1-v100" && run.gpusPerNode == 16 ? "dgx-2" : node;
}

int64_t gpusOf(std::string_view node) {
  if (node.starts_with("gh"))
    return 1;
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

/// Gigabits per second and GPU where the table does not say: the adapters that
/// the vendor's nodes have, or a cloud's.
double usualAdapter(const MeasuredRun &run) {
  if (run.isHopperOrNewer() || run.gpuType.starts_with("MI3"))
    return 400;
  if (run.gpuType.starts_with("A100-SXM"))
    return 200;
  return startsWithOneOf(run.gpuType, {"V100-SXM", "P100-SXM"}) ? 50 : 12.5;
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
  double link = run.nodeLink > 0
                    ? run.nodeLink
                    : static_cast<double>(perNode) * usualAdapter(run);
  if (run.gpus > perNode) {
    writer.key("network").beginObject();
    writer.field("bandwidth_gigabits_per_second", link).endObject();
  }
  return writer.endObject().take();
}

} // namespace whale::validation
