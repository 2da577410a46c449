//===- Objective.cpp - plans for other aims than the fastest step ---------===//

#include "tools/whalec/Objective.h"

#include "compiler/cluster/Scale.h"
#include "compiler/report/Economics.h"
#include "compiler/support/Text.h"
#include "tools/whalec/CommandLine.h"
#include "tools/whalec/Measuring.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fmt/format.h>

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

/// 1, 2, 3, 4, 6, 8, 12, 16... below `most`, and `most`.
std::vector<int64_t> steps(int64_t most) {
  std::vector<int64_t> result;
  for (int64_t power = 1; power < most; power *= 2) {
    result.push_back(power);
    if (power > 1 && power + power / 2 < most)
      result.push_back(power + power / 2);
  }
  result.push_back(most);
  return result;
}

/// The same question on fewer devices.
class Part {
public:
  Part(const Planning &question, int64_t devices)
      : cluster(*withDevices(*question.cluster, devices)), hardware(cluster),
        question(question) {}

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

  const Cluster cluster;
  const cost::CatalogueHardware hardware;

private:
  const Planning &question;
};

class GoalSearch {
public:
  GoalSearch(const Planning &question, const Goal &goal,
             Diagnostics &diagnostics)
      : question(question), goal(goal), diagnostics(diagnostics),
        all(question.cluster->rankCount()) {}

  planner::Answer run();

private:
  bool readDeadline();
  bool checkGoal();
  bool checkPrices();
  planner::Answer fastest();
  std::optional<int64_t> cheapest();
  std::optional<int64_t> fewest();
  std::vector<int64_t> sizes() const;
  planner::Economics economicsOn(int64_t devices, const planner::Plan &plan);
  bool meetsDeadline(const planner::Plan &plan,
                     const planner::Economics &economics) const;
  std::optional<double> valueOf(const planner::Economics &economics) const;
  std::optional<planner::SizePoint> tryOut(int64_t devices);
  planner::Answer measuredOn(int64_t devices);

  const Planning &question;
  const Goal &goal;
  Diagnostics &diagnostics;
  const int64_t all;
  std::optional<double> deadline;
  std::vector<planner::SizePoint> tried;
  /// Of the sizes tried.
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
  if (goal.objective != "gpus" && !checkPrices())
    return false;
  if (question.cluster->isHomogeneous())
    return true;
  diagnostics
      .error(question.cluster->classes[1].place,
             fmt::format("objective '{}' is for clusters of one kind of node",
                         goal.objective),
             ExitCode::Unsupported)
      .hint("this is another kind than the first");
  return false;
}

/// Sizes for which there is a cluster, from the smallest.
std::vector<int64_t> GoalSearch::sizes() const {
  const NodeClass &nodes = question.cluster->classes.front();
  int64_t perNode = nodes.type.devicesPerNode;
  std::vector<int64_t> result = steps(perNode);
  for (int64_t count : steps(nodes.count))
    if (count > 1)
      result.push_back(count * perNode);
  return result;
}

planner::Economics GoalSearch::economicsOn(int64_t devices,
                                           const planner::Plan &plan) {
  if (devices == all)
    return report::economicsOf(plan, question.workload, *question.cluster,
                               goal.tokens);
  return report::economicsOf(plan, question.workload,
                             *withDevices(*question.cluster, devices),
                             goal.tokens);
}

bool GoalSearch::meetsDeadline(const planner::Plan &plan,
                               const planner::Economics &economics) const {
  double takes = economics.training ? economics.training->secondsWithFailures
                                    : toSeconds(plan.prediction.step);
  return !deadline || takes <= *deadline;
}

/// What is to be small.
std::optional<double>
GoalSearch::valueOf(const planner::Economics &economics) const {
  bool money = goal.objective == "cost";
  if (economics.training)
    return money ? economics.training->dollars : economics.training->joules;
  return money ? economics.dollarsPerStep : economics.joulesPerStep;
}

/// The best plan on so many devices, noted; nothing where none fits or it is
/// too late.
std::optional<planner::SizePoint> GoalSearch::tryOut(int64_t devices) {
  planner::SizePoint point;
  point.devices = devices;
  // Parts of a node are machines of their own.
  if (devices <= question.cluster->classes.front().type.devicesPerNode)
    experience.costs = std::make_shared<planner::ClassCosts>();
  auto plan = Part(question, devices).quick(experience);
  bool good = false;
  if (plan) {
    planner::Economics economics = economicsOn(devices, *plan);
    point.step = plan->prediction.step;
    point.dollarsPerStep = economics.dollarsPerStep;
    point.joulesPerStep = economics.joulesPerStep;
    point.value = valueOf(economics);
    good = point.meetsDeadline = meetsDeadline(*plan, economics);
  }
  tried.push_back(point);
  return good ? std::optional(point) : std::nullopt;
}

std::optional<int64_t> GoalSearch::cheapest() {
  std::optional<planner::SizePoint> best;
  for (int64_t devices : sizes()) {
    auto point = tryOut(devices);
    if (point && (!best || point->value < best->value))
      best = point;
  }
  return best ? std::optional(best->devices) : std::nullopt;
}

std::optional<int64_t> GoalSearch::fewest() {
  const NodeClass &nodes = question.cluster->classes.front();
  int64_t perNode = nodes.type.devicesPerNode;
  // The i-th size: 1..perNode devices, then whole nodes.
  auto sizeAt = [&](int64_t i) {
    return i < perNode ? i + 1 : (i - perNode + 2) * perNode;
  };
  int64_t low = 0, high = perNode + nodes.count - 2;
  if (!tryOut(sizeAt(high)))
    return std::nullopt;
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    if (tryOut(sizeAt(middle)))
      high = middle;
    else
      low = middle + 1;
  }
  return sizeAt(high);
}

/// The plan on the first devices of the cluster, as a plan for all of it.
planner::Answer GoalSearch::measuredOn(int64_t devices) {
  planner::Answer answer;
  if (devices == all) {
    answer = solveMeasured(question, diagnostics);
  } else {
    Part part(question, devices);
    answer = solveMeasured(question, part.cluster, part.hardware, diagnostics);
  }
  if (!answer.plan)
    return answer;
  answer.plan->economics = economicsOn(devices, *answer.plan);
  answer.plan->economics->objective = goal.objective;
  std::sort(tried.begin(), tried.end(),
            [](const auto &a, const auto &b) { return a.devices < b.devices; });
  answer.plan->economics->sizes = std::move(tried);
  answer.plan->idleDevices += all - devices;
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
  auto devices = goal.objective == "gpus" ? fewest() : cheapest();
  // With all devices there may be a plan that says more of why not.
  return devices ? measuredOn(*devices) : fastest();
}

planner::Answer cli::solveGoal(const Planning &question, const Goal &goal,
                               Diagnostics &diagnostics) {
  return GoalSearch(question, goal, diagnostics).run();
}
