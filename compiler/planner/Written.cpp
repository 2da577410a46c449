//===- Written.cpp - a strategy that leaves nothing open ------------------===//

#include "compiler/planner/Explain.h"
#include "compiler/planner/SearchEntry.h"

#include <algorithm>

namespace whale::planner {

Answer asWritten(const Problem &problem, Diagnostics &diags) {
  std::optional<NormalForm> form =
      normalize(problem.options.strategy, diags, problem.options.space);
  if (!form)
    return {};
  CostTable table(problem.workload, problem.hardware);
  std::optional<std::vector<int64_t>> cuts;
  bool paths = std::any_of(form->stages.begin(), form->stages.end(),
                           [](const auto &s) { return !s.paths.empty(); });
  if (paths && !(cuts = cutsOf(*form, problem.workload, diags)))
    return {};
  if (!checkShares(*form, problem.workload, diags))
    return {};
  CutResult best;
  std::vector<std::pair<NormalForm, DeviceMap>> tried;
  for (const DeviceMap &map : deviceMaps(*form, problem.hardware)) {
    CutResult result;
    tried.emplace_back(*form, map);
    if (cuts) {
      result.candidate = Candidate{*form, *cuts, map};
      result.prediction = evaluate(table, *result.candidate);
      if (result.prediction.deficit() > Bytes())
        result.candidate.reset();
    } else {
      result = bestCuts(table, *form, map);
    }
    if (result.candidate &&
        (!best.candidate || result.prediction.step < best.prediction.step))
      best = std::move(result);
  }
  if (!best.candidate) {
    explainInfeasible(table, problem, tried, diags);
    return {};
  }
  const Candidate &chosen = *best.candidate;
  for (size_t s = 0; s < chosen.form.stages.size(); ++s)
    for (auto [first, last] : rangesOf(chosen.form, chosen.cuts, s))
      if (auto found =
              shortDim(problem.workload, chosen.form.stages[s], first, last)) {
        reportShortDim(*found, problem.options.strategy, diags);
        return {};
      }
  Answer answer;
  answer.outcome = Outcome::Optimal;
  answer.plan = makePlan(problem, table, chosen, best.prediction);
  answer.plan->simulated = static_cast<int64_t>(tried.size());
  return answer;
}

} // namespace whale::planner
