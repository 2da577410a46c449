//===- Cuts.cpp - where the stages begin ----------------------------------===//

#include "compiler/planner/Search.h"

#include "compiler/planner/Partition.h"
#include "compiler/support/PathPattern.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

namespace whale::planner {

namespace {

/// A form's costs for each class of replicas.
std::vector<std::unique_ptr<FormCosts>>
formCosts(CostTable &table, const NormalForm &form, const DeviceMap &devices) {
  std::vector<std::unique_ptr<FormCosts>> costs;
  for (const ReplicaClass &replica :
       replicaClasses(table.workload, table.hardware, form, devices))
    costs.push_back(std::make_unique<FormCosts>(
        table, form, devices, replica.coordinates, replica.samples));
  return costs;
}

/// Weighted times as in lowerBound().
PartitionProblem
weighted(const workload::Workload &workload, const NormalForm &form,
         const std::vector<std::unique_ptr<FormCosts>> &costs) {
  PartitionProblem problem;
  for (const workload::Run &run : workload.runs)
    problem.counts.push_back(run.count);
  int64_t m = form.microBatches;
  int64_t stages = static_cast<int64_t>(form.stages.size());
  for (unsigned s = 0; s < form.stages.size(); ++s) {
    int64_t w = std::min<int64_t>(m, stages - s);
    problem.times.emplace_back();
    for (size_t r = 0; r < workload.runs.size(); ++r) {
      Picoseconds time;
      for (const auto &one : costs)
        time = std::max(time, one->forward(s, r) * (m - w) +
                                  one->backward(s, r) * (m - 1));
      problem.times.back().push_back(time);
    }
  }
  return problem;
}

/// The least that one micro-batch takes through all stages.
Picoseconds leastTotal(const workload::Workload &workload,
                       const NormalForm &form, const FormCosts &costs) {
  Picoseconds total;
  for (size_t r = 0; r < workload.runs.size(); ++r) {
    Picoseconds least = Picoseconds::max();
    for (unsigned s = 0; s < form.stages.size(); ++s)
      least = std::min(least, costs.forward(s, r) + costs.backward(s, r));
    total += least * workload.runs[r].count;
  }
  return total;
}

/// Keeps the better of what it has and a new one.
void consider(CostTable &table, const NormalForm &form,
              const DeviceMap &devices, const std::vector<int64_t> &cuts,
              CutResult &best) {
  Candidate candidate{form, cuts, devices};
  Prediction prediction = evaluate(table, candidate);
  if (prediction.deficit() > Bytes())
    return;
  if (!best.candidate || prediction.step < best.prediction.step) {
    best.candidate = std::move(candidate);
    best.prediction = std::move(prediction);
  }
}

} // namespace

Picoseconds lowerBound(CostTable &table, const NormalForm &form,
                       const DeviceMap &devices) {
  Picoseconds bound;
  auto costs = formCosts(table, form, devices);
  PartitionProblem problem = weighted(table.workload, form, costs);
  // A partition that is best for the slowest class bounds them all.
  std::optional<Partition> best;
  if (form.microBatches > 1 && form.stages.size() > 1)
    best = partition(problem);
  for (const auto &one : costs) {
    Picoseconds total = leastTotal(table.workload, form, *one);
    if (form.stages.size() == 1)
      total = total * form.microBatches;
    bound = std::max(bound, total);
  }
  if (best && costs.size() == 1)
    bound += best->bottleneck;
  return wholeStep(table.hardware, form, bound);
}

CutResult bestCuts(CostTable &table, const NormalForm &form,
                   const DeviceMap &devices) {
  CutResult best;
  int64_t instances = workload::instanceCount(table.workload);
  int64_t stages = static_cast<int64_t>(form.stages.size());
  if (stages == 1 || partitionCount(instances, stages) <= exactPartitions) {
    best.exact = true;
    forEachPartition(instances, stages, [&](const std::vector<int64_t> &cuts) {
      consider(table, form, devices, cuts, best);
    });
    return best;
  }
  auto costs = formCosts(table, form, devices);
  PartitionProblem problem = weighted(table.workload, form, costs);
  problem.fits = [&](unsigned stage, int64_t first, int64_t last) {
    return std::all_of(costs.begin(), costs.end(), [&](const auto &one) {
      return one->fits(stage, first, last);
    });
  };
  if (form.microBatches == 1)
    // No weight tells stages apart: balance their times.
    for (unsigned s = 0; s < form.stages.size(); ++s)
      for (size_t r = 0; r < table.workload.runs.size(); ++r)
        problem.times[s][r] =
            costs[0]->run(s, r).forward + costs[0]->run(s, r).backward;
  if (std::optional<Partition> found = partition(problem))
    consider(table, form, devices, found->cuts, best);
  return best;
}

void polishCuts(CostTable &table, CutResult &result) {
  // A few rounds: cuts of equal layers are near the optimum already.
  for (int round = 0; round < 4 && result.candidate && !result.exact; ++round) {
    std::vector<int64_t> start = result.candidate->cuts;
    for (size_t s = 1; s + 1 < start.size(); ++s)
      for (int64_t step : {-1, 1}) {
        std::vector<int64_t> cuts = result.candidate->cuts;
        cuts[s] += step;
        if (cuts[s] <= cuts[s - 1] || cuts[s] >= cuts[s + 1])
          continue;
        NormalForm form = result.candidate->form;
        DeviceMap devices = result.candidate->devices;
        consider(table, form, devices, cuts, result);
      }
    if (result.candidate->cuts == start)
      return;
  }
}

std::optional<CutResult> balancedCuts(CostTable &table, const NormalForm &form,
                                      const DeviceMap &devices) {
  auto costs = formCosts(table, form, devices);
  PartitionProblem problem = weighted(table.workload, form, costs);
  for (unsigned s = 0; s < form.stages.size(); ++s)
    for (size_t r = 0; r < table.workload.runs.size(); ++r)
      problem.times[s][r] =
          costs[0]->run(s, r).forward + costs[0]->run(s, r).backward;
  std::optional<Partition> found = partition(problem);
  if (!found)
    return std::nullopt;
  CutResult result;
  result.candidate = Candidate{form, found->cuts, devices};
  result.prediction = evaluate(table, *result.candidate);
  return result;
}

std::vector<std::string> pathsOf(const workload::Workload &workload,
                                 int64_t first, int64_t last) {
  std::vector<std::string> paths;
  int64_t start = 0;
  for (const workload::Run &run : workload.runs) {
    int64_t from = std::max(first, start) - start;
    int64_t to = std::min(last, start + run.count) - start;
    if (from < to && (run.count == 1 || to - from == 1))
      paths.push_back(run.path(from));
    else if (from < to)
      paths.push_back(fmt::format("{}.{}..{}", run.name, from, to - 1));
    start += run.count;
  }
  return paths;
}

std::optional<std::vector<int64_t>> cutsOf(const NormalForm &form,
                                           const workload::Workload &workload,
                                           Diagnostics &diagnostics) {
  int64_t count = workload::instanceCount(workload);
  if (form.stages.size() == 1)
    return std::vector<int64_t>{0, count};
  std::vector<std::vector<PathPattern>> patterns(form.stages.size());
  for (size_t s = 0; s < form.stages.size(); ++s)
    for (const std::string &path : form.stages[s].paths)
      if (auto pattern = PathPattern::parse(path, {}, diagnostics))
        patterns[s].push_back(*pattern);
  std::vector<int64_t> cuts = {0};
  size_t stage = 0;
  for (int64_t i = 0; i < count; ++i) {
    workload::InstanceRef ref = workload::instanceAt(workload, i);
    std::string path = workload.runs[ref.run].path(ref.index);
    std::vector<size_t> holders;
    for (size_t s = 0; s < patterns.size(); ++s)
      if (std::any_of(patterns[s].begin(), patterns[s].end(),
                      [&](const auto &p) { return p.covers(path); }))
        holders.push_back(s);
    if (holders.size() != 1) {
      diagnostics.error({}, fmt::format("'{}' is in {} stages, expected one",
                                        path, holders.size()));
      return std::nullopt;
    }
    if (holders[0] == stage + 1 && i > cuts.back()) {
      cuts.push_back(i);
      ++stage;
    } else if (holders[0] != stage) {
      diagnostics.error({}, fmt::format("'{}' is in stage {}, but comes after "
                                        "instances of stage {}",
                                        path, holders[0], stage));
      return std::nullopt;
    }
  }
  cuts.push_back(count);
  if (cuts.size() != form.stages.size() + 1) {
    diagnostics.error({}, "a stage holds no instance of the model");
    return std::nullopt;
  }
  return cuts;
}

} // namespace whale::planner
