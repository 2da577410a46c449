//===- Economics.cpp - what training with a plan costs --------------------===//

#include "compiler/report/Economics.h"

#include "compiler/report/PlanReport.h"
#include "compiler/support/Text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace whale::report {

using namespace planner;

double bestCheckpointInterval(double checkpointSeconds, double mtbfSeconds) {
  double c = checkpointSeconds, m = mtbfSeconds;
  if (c >= 2 * m)
    return m;
  double ratio = c / (2 * m);
  return std::sqrt(2 * c * m) * (1 + std::sqrt(ratio) / 3 + ratio / 9) - c;
}

double timeWithFailures(double work, double interval, double checkpointSeconds,
                        double restartSeconds, double mtbfSeconds) {
  double m = mtbfSeconds;
  return m * std::exp(restartSeconds / m) *
         std::expm1((interval + checkpointSeconds) / m) * work / interval;
}

int64_t tokensPerSample(const workload::Workload &workload) {
  int64_t longest = 1;
  for (const workload::ModuleClass &module : workload.classes)
    for (const workload::Op &op : module.ops)
      for (const workload::LoopDim &loop : op.loops)
        if (loop.hasName("sequence"))
          longest = std::max(longest, loop.extent);
  return longest;
}

namespace {

/// Dollars of an hour of the whole cluster; nothing where a price is missing.
std::optional<double> dollarsPerHour(const Cluster &cluster) {
  double sum = 0;
  for (const NodeClass &nodes : cluster.classes) {
    if (!nodes.type.device.dollarsPerHour)
      return std::nullopt;
    sum += *nodes.type.device.dollarsPerHour *
           static_cast<double>(nodes.rankCount());
  }
  return sum;
}

/// Watts of the devices that the plan uses.
std::optional<double> watts(const Plan &plan, const Cluster &cluster) {
  const Candidate &chosen = plan.chosen;
  double sum = 0;
  int64_t ranks = rankCount(chosen.form);
  for (int64_t rank = 0; rank < ranks; ++rank) {
    int64_t device =
        chosen.devices.deviceOf(chosen.form, coordinatesOf(chosen.form, rank));
    const NodeClass &nodes = cluster.classOf(device);
    if (!nodes.type.device.powerWatts)
      return std::nullopt;
    if (cluster.isHomogeneous())
      return *nodes.type.device.powerWatts * static_cast<double>(ranks);
    sum += *nodes.type.device.powerWatts;
  }
  return sum;
}

std::optional<double> times(std::optional<double> rate, double amount) {
  return rate ? std::optional(*rate * amount) : std::nullopt;
}

TrainingCost trainingOf(const Economics &economics, double stepSeconds,
                        const Reliability &reliability, int64_t tokens) {
  TrainingCost training;
  training.tokens = tokens;
  training.steps = ceilDivide(tokens, economics.tokensPerStep);
  training.seconds = static_cast<double>(training.steps) * stepSeconds;
  training.secondsWithFailures = training.seconds;
  if (reliability.mtbfHoursPerDevice) {
    double mtbf = *reliability.mtbfHoursPerDevice * 3600 /
                  static_cast<double>(economics.devices);
    training.mtbfSeconds = mtbf;
    // A checkpoint that costs nothing may follow each step.
    double interval =
        reliability.checkpointSeconds > 0
            ? bestCheckpointInterval(reliability.checkpointSeconds, mtbf)
            : stepSeconds;
    training.checkpointInterval =
        std::clamp(interval, stepSeconds, training.seconds);
    training.secondsWithFailures = timeWithFailures(
        training.seconds, training.checkpointInterval,
        reliability.checkpointSeconds, reliability.restartSeconds, mtbf);
  }
  double steps = training.secondsWithFailures / stepSeconds;
  if (!std::isfinite(training.secondsWithFailures))
    training.secondsWithFailures = std::numeric_limits<double>::max();
  training.dollars = times(economics.dollarsPerStep, steps);
  training.joules = times(economics.joulesPerStep, steps);
  return training;
}

std::string energy(double joules) {
  double kilowattHours = joules / 3.6e6;
  return kilowattHours >= 1000 ? fmt::format("{:.4g} MWh", kilowattHours / 1000)
                               : fmt::format("{:.4g} kWh", kilowattHours);
}

} // namespace

Economics economicsOf(const Plan &plan, const workload::Workload &workload,
                      const Cluster &cluster, std::optional<int64_t> tokens) {
  Economics economics;
  double step = toSeconds(plan.prediction.step);
  economics.tokensPerStep =
      saturatingMultiply(plan.globalBatch, tokensPerSample(workload));
  economics.devices = cluster.rankCount();
  economics.tokensPerSecond =
      static_cast<double>(economics.tokensPerStep) / step;
  economics.dollarsPerStep = times(dollarsPerHour(cluster), step / 3600);
  economics.joulesPerStep = times(watts(plan, cluster), step);
  if (tokens)
    economics.training =
        trainingOf(economics, step, cluster.reliability, *tokens);
  return economics;
}

std::string formatDuration(double seconds) {
  struct Unit {
    double seconds;
    const char *name;
  };
  for (Unit unit : {Unit{86400 * 365.25, "years"}, Unit{86400, "days"},
                    Unit{3600, "h"}, Unit{60, "min"}})
    if (seconds >= 2 * unit.seconds)
      return fmt::format("{:.3g} {}", seconds / unit.seconds, unit.name);
  return fmt::format("{:.3g} s", seconds);
}

namespace {

std::string trainingLine(const TrainingCost &t) {
  std::string out =
      fmt::format("{} tokens: {} steps, {}", formatCount(t.tokens),
                  formatCount(t.steps), formatDuration(t.seconds));
  if (t.mtbfSeconds > 0)
    out += fmt::format("; with failures {} (one every {}, a checkpoint every "
                       "{})",
                       formatDuration(t.secondsWithFailures),
                       formatDuration(t.mtbfSeconds),
                       formatDuration(t.checkpointInterval));
  if (t.dollars)
    out += fmt::format(", $ {:.4g}", *t.dollars);
  if (t.joules)
    out += fmt::format(", {} at most", energy(*t.joules));
  return out + "\n";
}

/// "on 16"; of several classes of nodes "on 8 + 0 + 4".
std::string sizeOf(const SizePoint &point) {
  if (point.byClass.empty())
    return "on " + formatCount(point.devices);
  return fmt::format("on {}", fmt::join(point.byClass, " + "));
}

/// What was compared for the objective.
std::string sizesTable(const Economics &e) {
  std::vector<std::vector<std::string>> rows;
  for (const SizePoint &point : e.sizes)
    rows.push_back({sizeOf(point),
                    point.step ? formatTime(*point.step) : "does not fit",
                    point.dollarsPerStep
                        ? fmt::format("{:.4g}", *point.dollarsPerStep)
                        : "-",
                    point.joulesPerStep ? energy(*point.joulesPerStep) : "-",
                    point.meetsDeadline ? "" : "too late"});
  return table({"devices", "step", "$/step", "energy", ""}, rows);
}

} // namespace

std::string print(const Economics &e) {
  std::string out = fmt::format(
      "{:.4g} tokens/s, {} tokens a step on {} devices", e.tokensPerSecond,
      formatCount(e.tokensPerStep), formatCount(e.devices));
  if (e.dollarsPerStep)
    out += fmt::format(", $ {:.4g} a step", *e.dollarsPerStep);
  if (e.joulesPerStep)
    out += fmt::format(", {} a step at most", energy(*e.joulesPerStep));
  out += "\n";
  if (e.training)
    out += trainingLine(*e.training);
  if (!e.sizes.empty())
    out += sizesTable(e);
  return out;
}

} // namespace whale::report
