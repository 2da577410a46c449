//===- Sensitivity.cpp - what a plan's time hangs on ----------------------===//

#include "compiler/report/Sensitivity.h"

#include "compiler/cost/CatalogueHardware.h"
#include "compiler/report/ErrorBands.h"
#include "compiler/support/Text.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace whale::report {

using namespace planner;

namespace {

/// Of the memory of a device, from which on it is named as what binds.
constexpr double fullMemory = 0.9;
/// Memory that the marginal value is asked for.
constexpr Bytes moreMemory = Bytes(int64_t(8) << 30);

/// Something that can be twice as fast.
struct Resource {
  std::string name;
  ClusterScale twice;
};

/// "nvlink, pcie": the links within the cluster's nodes.
std::string linksWithin(const Cluster &cluster) {
  std::set<std::string> names;
  for (const NodeClass &nodes : cluster.classes)
    names.insert(std::string(linkLevelName(nodes.type.within.level)));
  return fmt::format("{}", fmt::join(names, ", "));
}

std::vector<Resource> resourcesOf(const Cluster &cluster) {
  std::vector<Resource> resources(2);
  resources[0].name = "arithmetic";
  resources[0].twice.arithmetic = 2;
  resources[1].name = "memory bandwidth";
  resources[1].twice.memoryBandwidth = 2;
  bool several = std::any_of(
      cluster.classes.begin(), cluster.classes.end(),
      [](const NodeClass &nodes) { return nodes.type.devicesPerDomain() > 1; });
  if (several) {
    resources.push_back({linksWithin(cluster), {}});
    resources.back().twice.within = 2;
  }
  if (cluster.nodeCount() > 1) {
    resources.push_back({"network", {}});
    resources.back().twice.network = 2;
  }
  return resources;
}

Picoseconds stageTime(const StagePrediction &stage) {
  return stage.busy + stage.gradientSync + stage.update;
}

class Analyst {
public:
  Analyst(const Plan &plan, const workload::Workload &workload,
          const Cluster &cluster, const Replan &replan)
      : plan(plan), workload(workload), cluster(cluster), replan(replan) {}

  Insight run() {
    base = on({});
    insight.stages.resize(base.stages.size());
    for (const Resource &resource : resourcesOf(cluster))
      attribute(resource);
    for (size_t s = 0; s < base.stages.size(); ++s)
      finish(s);
    addMarginals();
    const Candidate &chosen = plan.chosen;
    int64_t first =
        chosen.devices.deviceOf(chosen.form, coordinatesOf(chosen.form, 0));
    const DeviceType &type = cluster.deviceOf(first);
    insight.band = errorBand(type, rankCount(chosen.form));
    insight.memoryBand = memoryBand(type);
    return std::move(insight);
  }

private:
  Prediction on(const ClusterScale &scale) const {
    Cluster other = scaled(cluster, scale);
    cost::CatalogueHardware hardware(other);
    CostTable table(workload, hardware);
    return evaluate(table, plan.chosen);
  }

  void attribute(const Resource &resource) {
    Prediction other = on(resource.twice);
    for (size_t s = 0; s < base.stages.size(); ++s) {
      Picoseconds whole = stageTime(base.stages[s]);
      Picoseconds saved = whole - stageTime(other.stages[s]);
      Picoseconds time = std::clamp(2 * saved, Picoseconds(), whole);
      insight.stages[s].resources.push_back({resource.name, time});
    }
    Marginal marginal;
    marginal.change = resource.name + " twice as fast";
    marginal.step = other.step;
    ask(resource.twice, marginal);
    marginals.push_back(std::move(marginal));
  }

  /// What the best plan would be on a changed cluster.
  void ask(const ClusterScale &scale, Marginal &marginal) const {
    // The search's bounds do not follow faster arithmetic.
    if (!replan || scale.arithmetic != 1)
      return;
    std::optional<Plan> best = replan(scaled(cluster, scale), marginal.step);
    marginal.planned = marginal.step;
    if (!best || best->prediction.step >= marginal.step)
      return;
    marginal.planned = best->prediction.step;
    if (!(best->strategy == plan.strategy))
      marginal.strategy = printStrategy(best->strategy);
  }

  void addMarginals() {
    ClusterScale device;
    device.arithmetic = device.memoryBandwidth = 2;
    marginals.push_back({"devices twice as fast", on(device).step, {}, ""});
    ClusterScale memory;
    memory.moreMemory = moreMemory;
    Marginal more{
        formatBytes(moreMemory) + " more memory per device", base.step, {}, ""};
    ask(memory, more);
    marginals.push_back(std::move(more));
    insight.marginal = std::move(marginals);
  }

  void finish(size_t s) {
    const StagePrediction &stage = base.stages[s];
    StageInsight &result = insight.stages[s];
    result.idle = base.step - std::min(base.step, stageTime(stage));
    result.boundBy = "idle";
    Picoseconds most = result.idle;
    for (const ResourceTime &each : result.resources)
      if (each.time > most) {
        most = each.time;
        result.boundBy = each.resource;
      }
    // Measured memory is nearer to the truth than the model's.
    const StagePrediction &said = plan.prediction.stages[s];
    result.memoryUsed =
        said.memory.total().asDouble() / said.capacity.asDouble();
    if (result.memoryUsed >= fullMemory)
      result.boundBy += ", memory capacity";
    addTraffic(s, said);
  }

  //===--------------------------------------------------------------------===//
  // Links
  //===--------------------------------------------------------------------===//

  /// The slowest link between the members of a group.
  LinkLevel levelOf(const cost::Group &group) const {
    GroupLinks links = cluster.linksOf(group.parts());
    return links.network ? LinkLevel::Network : links.within.level;
  }

  /// The slowest link that the axes of a kind use.
  LinkLevel levelOfAxes(unsigned s, AxisKind kind) const {
    const Candidate &chosen = plan.chosen;
    const StageForm &stage = chosen.form.stages[s];
    Coordinates origin{s, std::vector<int64_t>(stage.axes.size(), 0)};
    cost::CatalogueHardware hardware(cluster);
    LinkLevel level = LinkLevel::Same;
    for (unsigned a = 0; a < stage.axes.size(); ++a)
      if (stage.axes[a].kind == kind && stage.axes[a].size > 1)
        level = std::max(level, levelOf(axisGroup(chosen.form, chosen.devices,
                                                  origin, a, hardware)));
    return level;
  }

  LinkLevel levelToNext(unsigned s) const {
    const Candidate &chosen = plan.chosen;
    unsigned last = static_cast<unsigned>(chosen.form.stages.size()) - 1;
    LinkLevel level = LinkLevel::Same;
    auto device = [&](unsigned stage) {
      Coordinates origin{stage, std::vector<int64_t>(
                                    chosen.form.stages[stage].axes.size(), 0)};
      return chosen.devices.deviceOf(chosen.form, origin);
    };
    for (unsigned other : {s > 0 ? s - 1 : s, s < last ? s + 1 : s})
      if (other != s)
        level = std::max(level,
                         cluster.linkBetween(device(s), device(other)).level);
    return level;
  }

  void addTraffic(size_t s, const StagePrediction &stage) {
    unsigned number = static_cast<unsigned>(s);
    auto add = [&](std::string purpose, Bytes bytes, auto level) {
      if (bytes > Bytes())
        insight.stages[s].traffic.push_back(
            {std::move(purpose), std::string(linkLevelName(level())), bytes});
    };
    add("split axes", stage.splitTraffic, [&] {
      return std::max(levelOfAxes(number, AxisKind::Split),
                      colocatedLevel(number));
    });
    add("between stages", stage.boundaryTraffic,
        [&] { return levelToNext(number); });
    add("gradients", stage.gradientTraffic,
        [&] { return levelOfAxes(number, AxisKind::Replica); });
  }

  /// Splits on the devices of replicas send over the replicas' links.
  LinkLevel colocatedLevel(unsigned s) const {
    const StageForm &stage = plan.chosen.form.stages[s];
    bool any = std::any_of(stage.axes.begin(), stage.axes.end(),
                           [](const Axis &a) { return !a.colocated.empty(); });
    return any ? levelOfAxes(s, AxisKind::Replica) : LinkLevel::Same;
  }

  const Plan &plan;
  const workload::Workload &workload;
  const Cluster &cluster;
  const Replan &replan;
  Prediction base;
  std::vector<Marginal> marginals;
  Insight insight;
};

} // namespace

Insight insightOf(const Plan &plan, const workload::Workload &workload,
                  const Cluster &cluster, const Replan &replan) {
  return Analyst(plan, workload, cluster, replan).run();
}

} // namespace whale::report
