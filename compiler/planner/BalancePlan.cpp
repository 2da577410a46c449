//===- BalancePlan.cpp - a plan with Whale's balance ----------------------===//

#include "compiler/planner/BalancePlan.h"

#include "compiler/planner/Explain.h"
#include "compiler/support/Text.h"

#include <fmt/format.h>

#include <algorithm>

namespace whale::planner {

namespace {

class Balancer {
public:
  Balancer(const Problem &problem, const Plan &plan)
      : problem(problem), table(problem.workload, problem.hardware),
        candidate(plan.chosen) {
    for (StageForm &stage : candidate.form.stages)
      stage.paths.clear();
    for (const Axis &axis : candidate.form.stages.front().axes)
      if (axis.kind == AxisKind::Replica)
        sizes.push_back(axis.size);
  }

  Candidate run(Balance &balance) {
    if (candidate.form.stages.size() > 1)
      balance = overStages();
    else if (!sizes.empty() && problem.hardware.pools().size() > 1)
      balance = overReplicas();
    return candidate;
  }

  CostTable &costs() { return table; }

private:
  int64_t instances() const {
    return workload::instanceCount(problem.workload);
  }
  FormCosts at(int64_t outermost, int64_t samples) {
    std::vector<int64_t> replica(sizes.size(), 0);
    if (!replica.empty())
      replica.front() = outermost;
    return FormCosts(table, candidate.form, candidate.devices, replica,
                     samples);
  }
  unsigned typeAt(unsigned stage, int64_t outermost) const {
    Coordinates place{stage, {}};
    bool first = true;
    for (const Axis &axis : candidate.form.stages[stage].axes) {
      bool outer = axis.kind == AxisKind::Replica && first;
      place.axes.push_back(outer ? outermost : 0);
      first = first && axis.kind != AxisKind::Replica;
    }
    return problem.hardware
        .poolOf(candidate.devices.deviceOf(candidate.form, place))
        .type;
  }
  BalanceDevice deviceOf(unsigned type, Bytes whole) const {
    Bytes reserve = problem.hardware.reserve(type);
    return {problem.hardware.peak(type, problem.workload.precision),
            problem.hardware.capacity(type) - reserve, whole - reserve};
  }

  /// Batch shares inside of a TaskGraph.
  Balance overReplicas() {
    std::vector<BalanceDevice> devices;
    for (int64_t c = 0; c < sizes.front(); ++c) {
      FormCosts all = at(c, problem.workload.globalBatch);
      devices.push_back(
          deviceOf(typeAt(0, c), all.memory(0, 0, instances()).total()));
    }
    Balance balance = balancePaper("replicas", std::move(devices));
    int64_t unit = candidate.form.microBatches * problem.workload.sampleGroup;
    for (size_t a = 1; a < sizes.size(); ++a)
      unit *= sizes[a];
    std::vector<int64_t> shares =
        wholeShares(balance.loads, problem.workload.globalBatch / unit);
    for (int64_t &share : shares)
      share *= unit;
    SharedVector<Axis> &axes = candidate.form.stages.front().axes;
    std::find_if(axes.begin(), axes.end(), [](const Axis &axis) {
      return axis.kind == AxisKind::Replica;
    })->shares = shares;
    return balance;
  }

  /// Devices and cuts of TaskGraphs.
  Balance overStages() {
    orderByMemory();
    std::vector<ReplicaClass> replicas = replicaClasses(
        problem.workload, problem.hardware, candidate.form, candidate.devices);
    FormCosts costs(table, candidate.form, candidate.devices,
                    replicas.front().coordinates, replicas.front().samples);
    std::vector<BalanceDevice> devices;
    for (unsigned s = 0; s < candidate.form.stages.size(); ++s)
      devices.push_back(
          deviceOf(typeAt(s, 0), costs.memory(s, 0, instances()).total()));
    Balance balance = balancePaper("stages", std::move(devices));
    cut(costs, balance.loads);
    return balance;
  }

  /// Earlier TaskGraphs hold more activations: they get the larger devices.
  void orderByMemory() {
    for (const DeviceMap &map : deviceMaps(candidate.form, problem.hardware)) {
      DeviceMap before = candidate.devices;
      candidate.devices = map;
      bool descending = map.kind == DeviceMap::Kind::ByStage;
      for (unsigned s = 1; s < candidate.form.stages.size(); ++s)
        descending &= problem.hardware.usable(typeAt(s - 1, 0)) >=
                      problem.hardware.usable(typeAt(s, 0));
      if (descending)
        return;
      candidate.devices = before;
    }
  }

  /// In the order of the model, each stage about its load of the FLOPs.
  void cut(const FormCosts &costs, const std::vector<double> &loads) {
    std::vector<double> upTo = {0};
    for (size_t r = 0; r < problem.workload.runs.size(); ++r)
      for (int64_t i = 0; i < problem.workload.runs[r].count; ++i)
        upTo.push_back(upTo.back() + costs.run(0, r).flops.asDouble());
    auto stages = static_cast<int64_t>(loads.size());
    double load = 0;
    candidate.cuts = {0};
    for (int64_t s = 0; s + 1 < stages; ++s) {
      load += loads[s];
      int64_t least = candidate.cuts.back() + 1;
      int64_t most = instances() - (stages - 1 - s), end = least;
      double wanted = load * upTo.back();
      while (end < most && wanted - upTo[end] > upTo[end + 1] - wanted)
        ++end;
      candidate.cuts.push_back(end);
    }
    candidate.cuts.push_back(instances());
  }

  const Problem &problem;
  CostTable table;
  Candidate candidate;
  /// Of the replica axes.
  std::vector<int64_t> sizes;
};

void reportMisfit(const Problem &problem, const Prediction &prediction,
                  const Plan &ours, Diagnostics &diagnostics) {
  size_t worst = 0;
  auto shortBy = [&](size_t s) {
    const StagePrediction &stage = prediction.stages[s];
    return stage.memory.total() - stage.capacity;
  };
  for (size_t s = 1; s < prediction.stages.size(); ++s)
    if (shortBy(s) > shortBy(worst))
      worst = s;
  const StagePrediction &stage = prediction.stages[worst];
  diagnostics
      .error({},
             fmt::format("the published balance does not fit: stage {} on '{}' "
                         "needs {} of {}",
                         worst, problem.hardware.typeName(stage.deviceType),
                         formatBytes(stage.memory.total()),
                         formatBytes(stage.capacity)),
             ExitCode::Infeasible)
      .hint(fmt::format("--balance ours fits, with {} a step",
                        formatTime(ours.prediction.step)));
}

} // namespace

std::optional<Plan> withPaperBalance(const Problem &problem, const Plan &plan,
                                     Diagnostics &diagnostics) {
  Balance balance;
  Balancer balancer(problem, plan);
  Candidate candidate = balancer.run(balance);
  if (balance.devices.empty())
    return plan;
  Prediction prediction = evaluate(balancer.costs(), candidate);
  if (prediction.deficit() > Bytes()) {
    reportMisfit(problem, prediction, plan, diagnostics);
    return std::nullopt;
  }
  Plan result = makePlan(problem, balancer.costs(), candidate, prediction);
  result.simulated = plan.simulated;
  result.bounded = plan.bounded;
  double least = (1 - plan.gap) * plan.prediction.step.asDouble();
  result.gap = std::max(0.0, 1 - least / prediction.step.asDouble());
  result.outcome = plan.outcome == Outcome::Optimal && result.gap > 0
                       ? Outcome::Feasible
                       : plan.outcome;
  result.balance = std::move(balance);
  if (!(result.strategy == plan.strategy)) {
    Alternative ours;
    ours.strategy = plan.strategy;
    ours.step = plan.prediction.step;
    for (const StagePrediction &stage : plan.prediction.stages)
      ours.memory = std::max(ours.memory, stage.memory.total());
    ours.reason = "it has our balance";
    result.alternatives.push_back(std::move(ours));
  }
  result.alternatives.insert(result.alternatives.end(),
                             plan.alternatives.begin(),
                             plan.alternatives.end());
  return result;
}

} // namespace whale::planner
