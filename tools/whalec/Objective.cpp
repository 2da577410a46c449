//===- Objective.cpp - plans for other aims than the fastest step ---------===//

#include "tools/whalec/Objective.h"

#include "compiler/cluster/Parts.h"
#include "compiler/cluster/Scale.h"
#include "compiler/report/Economics.h"
#include "compiler/support/Text.h"
#include "tools/whalec/CommandLine.h"
#include "tools/whalec/Measuring.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fmt/format.h>
#include <map>
#include <numeric>
#include <tuple>

using namespace whale;
using namespace whale::cli;

void cli::addGoal(CLI::App &command, Goal &goal) {
  command
      .add_option("--objective", goal.objective,
                  "step-time (default), tokens, cost, energy, gpus")
      ->check(oneOf({"step-time", "tokens", "cost", "energy", "gpus"}));
  command
      .add_option("--deadline", goal.deadline,
                  "longest step, or with --tokens longest training: 900ms, "
                  "30d")
      ->type_name("TIME");
  command
      .add_option("--tokens", goal.tokens,
                  "tokens of the whole training: its time and cost")
      ->check(atLeast(1));
}

std::optional<double> cli::readDuration(std::string_view text,
                                        Diagnostics &diagnostics) {
  double value = 0;
  auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value);
  std::string_view unit = text.substr(static_cast<size_t>(end - text.data()));
  constexpr std::pair<std::string_view, double> units[] = {
      {"ms", 1e-3}, {"s", 1}, {"min", 60}, {"h", 3600}, {"d", 86400}};
  for (auto [name, seconds] : units)
    if (error == std::errc() && unit == name && value > 0 &&
        std::isfinite(value))
      return value * seconds;
  diagnostics.error(Place(),
                    fmt::format("deadline is '{}', expected a time such as "
                                "900ms, 2.5s, 30min, 12h or 30d",
                                text));
  return std::nullopt;
}

namespace {

/// The same question on a part of the cluster.
class Part {
public:
  Part(const Planning &question, const DevicesByClass &devices);

  /// Without runners-up: for comparing sizes.
  std::optional<planner::Plan> quick(planner::Experience &experience) const {
    planner::Options options = question.options;
    options.alternatives = 0;
    options.freesPins = false;
    Diagnostics ignored;
    return planner::solve({question.workload, hardware, options}, ignored,
                          experience)
        .plan;
  }
  /// A plan for the part as one for the whole cluster, costed there. Nothing
  /// where it has no such devices or does not fit.
  std::optional<planner::Plan> onWhole(planner::Plan plan,
                                       planner::CostTable &table) const;

  const Cluster cluster;
  const cost::CatalogueHardware hardware;

private:
  const Planning &question;
  /// The classes that the part has, and their first devices in the whole.
  std::vector<unsigned> classes;
  std::vector<int64_t> begins;
};

Part::Part(const Planning &question, const DevicesByClass &devices)
    : cluster(*withDevices(*question.cluster, devices)), hardware(cluster),
      question(question) {
  for (unsigned c = 0; c < devices.size(); ++c) {
    if (devices[c] == 0)
      continue;
    const NodeClass &nodes = question.cluster->classes[c];
    // The last nodes of the first of several classes, so that the devices of
    // two neighbours are in a row as they are in the part.
    bool last = classes.empty() && cluster.classes.size() > 1;
    classes.push_back(c);
    begins.push_back(nodes.firstRank +
                     (last ? nodes.rankCount() - devices[c] : 0));
  }
}

std::optional<planner::Plan> Part::onWhole(planner::Plan plan,
                                           planner::CostTable &table) const {
  plan.idleDevices += question.cluster->rankCount() - cluster.rankCount();
  if (question.cluster->isHomogeneous() ||
      cluster.rankCount() == question.cluster->rankCount())
    return plan;
  auto devices =
      planner::onWhole(plan.chosen.form, plan.chosen.devices, hardware, begins);
  if (!devices)
    return std::nullopt;
  plan.chosen.devices = std::move(*devices);
  planner::Prediction prediction = planner::evaluate(table, plan.chosen);
  if (prediction.deficit() > Bytes())
    return std::nullopt;
  if (plan.prediction.memoryMeasured) {
    prediction.memoryMeasured = true;
    for (size_t s = 0; s < prediction.stages.size(); ++s) {
      const planner::StagePrediction &measured = plan.prediction.stages[s];
      prediction.stages[s].memory = measured.memory;
      prediction.stages[s].capacity = measured.capacity;
      prediction.stages[s].deviceType = classes[measured.deviceType];
    }
  }
  plan.prediction = std::move(prediction);
  plan.deviceTypes.clear();
  for (const NodeClass &nodes : question.cluster->classes)
    plan.deviceTypes.push_back(nodes.type.device.name);
  return plan;
}

class GoalSearch {
public:
  GoalSearch(const Planning &question, const Goal &goal,
             Diagnostics &diagnostics)
      : question(question), goal(goal), diagnostics(diagnostics),
        all(wholeOf(*question.cluster)),
        table(question.workload, *question.hardware) {}

  planner::Answer run();

private:
  bool readDeadline();
  bool checkGoal();
  bool checkPrices();
  planner::Answer fastest();
  struct Tried {
    planner::SizePoint point;
    /// What the objective makes small, where it does.
    std::optional<double> value;
  };
  Tried look(const DevicesByClass &devices);
  std::optional<double> valueOf(const DevicesByClass &devices);
  bool meetsDeadline(const planner::Plan &plan,
                     const planner::Economics &economics) const;
  double valueOf(const planner::Plan &plan,
                 const planner::Economics &economics) const;
  planner::Answer measuredOn(const DevicesByClass &devices);
  planner::Answer measuredOnPart(const DevicesByClass &devices);
  std::vector<planner::SizePoint> sizes() const;

  const Planning &question;
  const Goal &goal;
  Diagnostics &diagnostics;
  const DevicesByClass all;
  planner::CostTable table;
  std::optional<double> deadline;
  std::map<DevicesByClass, Tried> tried;
  /// Of parts of equal whole nodes.
  planner::Experience experience;
};

} // namespace

bool GoalSearch::readDeadline() {
  if (goal.deadline.empty())
    return true;
  deadline = readDuration(goal.deadline, diagnostics);
  return deadline.has_value();
}

/// Money and energy need to be known of every device.
bool GoalSearch::checkPrices() {
  bool money = goal.objective == "cost";
  for (const NodeClass &nodes : question.cluster->classes) {
    const DeviceType &device = nodes.type.device;
    if (money ? device.dollarsPerHour : device.powerWatts)
      continue;
    diagnostics
        .error(nodes.place, fmt::format("nothing says {} '{}' {}",
                                        money ? "what" : "how much power",
                                        device.name, money ? "costs" : "draws"))
        .hint(money ? "add \"price_per_device_hour\" to the cluster file"
                    : "add \"power\": {\"watts\": ...} to the device type");
    return false;
  }
  return true;
}

bool GoalSearch::checkGoal() {
  if (!readDeadline())
    return false;
  if (goal.objective == "step-time" || goal.objective == "tokens")
    return true;
  if (goal.objective == "gpus" && !deadline) {
    diagnostics.error(Place(), "objective 'gpus' needs a deadline")
        .hint("the fewest devices whose step, or with --tokens whose "
              "training, takes no longer");
    return false;
  }
  return goal.objective == "gpus" || checkPrices();
}

bool GoalSearch::meetsDeadline(const planner::Plan &plan,
                               const planner::Economics &economics) const {
  double takes = economics.training ? economics.training->secondsWithFailures
                                    : toSeconds(plan.prediction.step);
  return !deadline || takes <= *deadline;
}

/// What is to be small; of the fewest devices the fastest.
double GoalSearch::valueOf(const planner::Plan &plan,
                           const planner::Economics &economics) const {
  if (goal.objective == "gpus")
    return toSeconds(plan.prediction.step);
  bool money = goal.objective == "cost";
  if (economics.training)
    return *(money ? economics.training->dollars : economics.training->joules);
  return *(money ? economics.dollarsPerStep : economics.joulesPerStep);
}

/// The best plan on a part of the cluster.
GoalSearch::Tried GoalSearch::look(const DevicesByClass &devices) {
  Tried result;
  planner::SizePoint &point = result.point;
  point.devices = std::accumulate(devices.begin(), devices.end(), int64_t(0));
  if (devices.size() > 1)
    point.byClass = devices;
  Part part(question, devices);
  // Parts of a node and mixtures are machines of their own.
  planner::Experience none;
  bool isLike =
      devices.size() == 1 &&
      devices.front() > question.cluster->classes.front().type.devicesPerNode;
  auto plan = part.quick(isLike ? experience : none);
  auto placed = plan ? part.onWhole(*plan, table) : std::nullopt;
  if (!placed)
    return result;
  plan->prediction.step = placed->prediction.step;
  planner::Economics economics =
      report::economicsOf(*plan, question.workload, part.cluster, goal.tokens);
  point.step = plan->prediction.step;
  point.dollarsPerStep = economics.dollarsPerStep;
  point.joulesPerStep = economics.joulesPerStep;
  point.meetsDeadline = meetsDeadline(*plan, economics);
  if (point.meetsDeadline)
    result.value = valueOf(*plan, economics);
  return result;
}

/// The same, noted; nothing where none fits or it is too late.
std::optional<double> GoalSearch::valueOf(const DevicesByClass &devices) {
  auto found = tried.find(devices);
  if (found == tried.end())
    found = tried.emplace(devices, look(devices)).first;
  return found->second.value;
}

/// What was tried, the fewest devices first.
std::vector<planner::SizePoint> GoalSearch::sizes() const {
  std::vector<planner::SizePoint> result;
  for (const auto &[devices, found] : tried)
    result.push_back(found.point);
  std::sort(result.begin(), result.end(), [](const auto &a, const auto &b) {
    return std::tie(a.devices, a.byClass) < std::tie(b.devices, b.byClass);
  });
  return result;
}

/// The plan on a part, as a plan for all of the cluster; nothing and no errors
/// where it does not hold there.
planner::Answer GoalSearch::measuredOnPart(const DevicesByClass &devices) {
  Part part(question, devices);
  planner::Answer answer =
      solveMeasured(question, part.cluster, part.hardware, diagnostics);
  if (!answer.plan)
    return answer;
  auto placed = part.onWhole(*answer.plan, table);
  if (!placed)
    return {};
  answer.plan->prediction.step = placed->prediction.step;
  placed->economics = report::economicsOf(*answer.plan, question.workload,
                                          part.cluster, goal.tokens);
  answer.plan = std::move(placed);
  return answer;
}

planner::Answer GoalSearch::measuredOn(const DevicesByClass &devices) {
  planner::Answer answer;
  if (devices != all) {
    answer = measuredOnPart(devices);
  } else if ((answer = solveMeasured(question, diagnostics)).plan) {
    answer.plan->economics = report::economicsOf(
        *answer.plan, question.workload, *question.cluster, goal.tokens);
  }
  if (!answer.plan)
    return answer;
  answer.plan->economics->objective = goal.objective;
  answer.plan->economics->sizes = sizes();
  return answer;
}

planner::Answer GoalSearch::fastest() {
  planner::Answer answer = measuredOn(all);
  if (!answer.plan || meetsDeadline(*answer.plan, *answer.plan->economics))
    return answer;
  const planner::Economics &economics = *answer.plan->economics;
  diagnostics.error(
      Place(),
      fmt::format(
          "no plan meets the deadline '{}': the fastest takes {}",
          goal.deadline,
          economics.training
              ? report::formatDuration(economics.training->secondsWithFailures)
              : formatTime(answer.plan->prediction.step)),
      ExitCode::Infeasible);
  return {};
}

planner::Answer GoalSearch::run() {
  if (!checkGoal())
    return {};
  if (goal.objective == "step-time" || goal.objective == "tokens")
    return fastest();
  PartValue value = [&](const DevicesByClass &part) { return valueOf(part); };
  auto search = goal.objective == "gpus" ? smallestPart : leastPart;
  while (auto devices = search(*question.cluster, value)) {
    planner::Answer answer = measuredOn(*devices);
    if (answer.plan || diagnostics.hasErrors())
      return answer;
    // With measured memory the plan is another, which does not hold.
    tried.at(*devices).value.reset();
  }
  // With all devices there may be a plan that says more of why not.
  return fastest();
}

planner::Answer cli::solveGoal(const Planning &question, const Goal &goal,
                               Diagnostics &diagnostics) {
  return GoalSearch(question, goal, diagnostics).run();
}
