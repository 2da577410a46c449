//===- WhatIf.cpp - whalec what-if ----------------------------------------===//

#include "compiler/report/WhatIf.h"
#include "compiler/cluster/Scale.h"
#include "compiler/planner/Search.h"
#include "compiler/support/Text.h"
#include "compiler/workload/Rebatch.h"
#include "tools/whalec/CommandLine.h"
#include "tools/whalec/Planning.h"

#include <charconv>
#include <cmath>
#include <fmt/format.h>

using namespace whale;
using namespace whale::cli;

namespace {
struct Options {
  std::string model;
  PlanningOptions planning;
  std::vector<std::string> pins, links, memories;
  std::vector<int64_t> devices, batches;
  std::string space = "default";
  bool json = false;
};

/// A change of the cluster, and its name.
struct Variant {
  std::string name = "as it is";
  ClusterScale scale;
};
} // namespace

static void declare(CLI::App &command, Options &options) {
  addModel(command, options.model);
  addClusterFile(command, options.planning.cluster);
  command
      .add_option("--gpus", options.devices,
                  "numbers of devices instead of the cluster's")
      ->type_name("N,...")
      ->delimiter(',')
      ->check(atLeast(1));
  command
      .add_option("--global-batch", options.batches,
                  "samples of a step instead of the model's")
      ->type_name("N,...")
      ->delimiter(',')
      ->check(atLeast(1));
  command
      .add_option("--link", options.links,
                  "also with such links: intra=2x (within nodes), inter=2x "
                  "(between); may be repeated")
      ->type_name("KEY=FACTORx,...");
  command
      .add_option("--memory", options.memories,
                  "also with so much memory per device: 2x; may be repeated")
      ->type_name("FACTORx");
  command.add_option("--pin", options.pins, "fixed decisions, as of plan")
      ->type_name("KEY=VALUE,...")
      ->take_all();
  command.add_option("--space", options.space, "default or full, as of plan")
      ->check(oneOf({"default", "full"}));
  command
      .add_option("--threads", options.planning.threads,
                  "threads of the search (1); the answer is the same")
      ->check(atLeast(1));
  addJson(command, options.json, "the table as JSON");
}

/// "2x" as 2; reports anything else.
static std::optional<double> readFactor(std::string_view text,
                                        std::string_view option,
                                        Diagnostics &diagnostics) {
  double value = 0;
  auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value);
  std::string_view unit = text.substr(static_cast<size_t>(end - text.data()));
  if (error == std::errc() && unit == "x" && value >= 1e-3 && value <= 1e3)
    return value;
  diagnostics.error(Place(), fmt::format("'{}' is '{}', expected a factor from "
                                         "0.001x to 1000x",
                                         option, text));
  return std::nullopt;
}

/// "inter=2x,intra=4x".
static std::optional<Variant> readLinks(const std::string &text,
                                        Diagnostics &diagnostics) {
  Variant variant{text + " links", {}};
  std::vector<std::string> parts = CLI::detail::split(text, ',');
  std::vector<std::pair<std::string, std::string>> pairs;
  if (!readAssignments(parts, "--link", pairs, diagnostics))
    return std::nullopt;
  for (const auto &[key, value] : pairs) {
    if (key != "intra" && key != "inter") {
      diagnostics.error(Place(), fmt::format("unknown link '{}'", key))
          .hint("known are 'intra' (within nodes) and 'inter' (between)");
      return std::nullopt;
    }
    auto factor = readFactor(value, "--link", diagnostics);
    if (!factor)
      return std::nullopt;
    (key == "intra" ? variant.scale.within : variant.scale.network) = *factor;
  }
  return variant;
}

static std::optional<std::vector<Variant>>
readVariants(const Options &options, Diagnostics &diagnostics) {
  std::vector<Variant> variants(1);
  for (const std::string &text : options.links) {
    auto variant = readLinks(text, diagnostics);
    if (!variant)
      return std::nullopt;
    variants.push_back(std::move(*variant));
  }
  for (const std::string &text : options.memories) {
    auto factor = readFactor(text, "--memory", diagnostics);
    if (!factor)
      return std::nullopt;
    Variant variant{text + " memory", {}};
    variant.scale.memory = *factor;
    variants.push_back(std::move(variant));
  }
  return variants;
}

/// The cluster with each number of devices.
static std::optional<std::vector<Cluster>> readSizes(const Options &options,
                                                     const Cluster &cluster,
                                                     Diagnostics &diagnostics) {
  if (options.devices.empty())
    return std::vector<Cluster>{cluster};
  std::vector<Cluster> sizes;
  for (int64_t devices : options.devices) {
    auto other = withDevices(cluster, devices);
    if (!other) {
      const NodeClass &nodes = cluster.classes.front();
      diagnostics
          .error(nodes.place, fmt::format("{} devices cannot be made of the "
                                          "nodes of this cluster",
                                          formatCount(devices)))
          .hint(cluster.isHomogeneous()
                    ? fmt::format("a node has {} devices, and several need a "
                                  "network",
                                  nodes.type.devicesPerNode)
                    : "it has nodes of several kinds");
      return std::nullopt;
    }
    sizes.push_back(std::move(*other));
  }
  return sizes;
}

/// The model at each global batch.
static std::optional<std::vector<workload::Workload>>
readBatches(const Options &options, const workload::Workload &workload,
            Diagnostics &diagnostics) {
  if (options.batches.empty())
    return std::vector<workload::Workload>{workload};
  std::vector<workload::Workload> result;
  for (int64_t batch : options.batches) {
    result.push_back(workload);
    if (!workload::rebatch(result.back(), batch, diagnostics))
      return std::nullopt;
  }
  return result;
}

/// How much faster a plan may be that is not looked for any more: as much as a
/// table of plans can tell.
static constexpr double kTolerance = 0.02;

namespace {
/// Answers one question after another; each begins with what those before it
/// have found.
class Answering {
public:
  explicit Answering(const planner::Options &options) : options(options) {
    this->options.alternatives = 0;
    this->options.tolerance = kTolerance;
  }

  report::WhatIfPoint pointOf(const workload::Workload &workload,
                              const Cluster &cluster, const Variant &variant);

private:
  planner::Options options;
  planner::Experience experience;
  /// What its costs were made for.
  const workload::Workload *costed = nullptr;
  ClusterScale scale;
  int64_t perNode = 0;
};
} // namespace

report::WhatIfPoint Answering::pointOf(const workload::Workload &workload,
                                       const Cluster &cluster,
                                       const Variant &variant) {
  report::WhatIfPoint point;
  point.devices = cluster.rankCount();
  point.globalBatch = workload.globalBatch;
  point.change = variant.name;
  Cluster changed = scaled(cluster, variant.scale);
  cost::CatalogueHardware hardware(changed);
  // Clusters differ in their numbers of nodes, or in the size of the only one.
  int64_t nodeSize = cluster.classes.front().type.devicesPerNode;
  if (costed != &workload || !(scale == variant.scale) || perNode != nodeSize)
    experience.costs = std::make_shared<planner::ClassCosts>();
  costed = &workload, scale = variant.scale, perNode = nodeSize;
  Diagnostics messages;
  point.plan =
      planner::solve({workload, hardware, options}, messages, experience).plan;
  if (point.plan)
    point.plan->economics =
        report::economicsOf(*point.plan, workload, changed, std::nullopt);
  else if (!messages.messages().empty())
    point.reason = messages.messages().front().message;
  return point;
}

static ExitCode runWhatIf(const Options &options, Session &session) {
  Diagnostics &diagnostics = session.diagnostics;
  PlanningOptions planning = options.planning;
  planning.pins = joinLists(options.pins);
  planning.space = spaceOf(options.space);
  auto variants = readVariants(options, diagnostics);
  if (!variants)
    return diagnostics.exitCode();
  auto question = readQuestion(options.model, planning, diagnostics);
  if (!question)
    return diagnostics.exitCode();
  auto sizes = readSizes(options, *question->cluster, diagnostics);
  auto batches = readBatches(options, question->workload, diagnostics);
  if (!sizes || !batches)
    return diagnostics.exitCode();
  Answering answering(question->options);
  std::vector<report::WhatIfPoint> points;
  bool any = false;
  for (const Variant &variant : *variants)
    for (const workload::Workload &workload : *batches)
      for (const Cluster &cluster : *sizes) {
        points.push_back(answering.pointOf(workload, cluster, variant));
        any |= points.back().plan.has_value();
      }
  std::string product;
  if (options.json) {
    json::Writer writer;
    report::write(writer, points);
    product = writer.take();
  } else {
    product = report::print(points);
  }
  writeProduct("", product, diagnostics);
  return any ? diagnostics.exitCode() : ExitCode::Infeasible;
}

void cli::addWhatIf(CLI::App &app, Session &session) {
  addCommand<Options>(app, session, "what-if",
                      "plans for other clusters and batches, as a table",
                      runWhatIf, declare);
}
