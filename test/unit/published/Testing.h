//===- Testing.h - published cases as questions -----------------*- C++ -*-===//

#ifndef WHALE_TEST_PUBLISHED_TESTING_H
#define WHALE_TEST_PUBLISHED_TESTING_H

#include "test/unit/programs/Planned.h"

#include <fmt/format.h>

namespace published {

using programs::Planned;
using programs::Question;

/// Nodes of one type, with so many gigabits a second between them.
inline std::string clusterOf(std::string_view node, int64_t count,
                             int64_t gigabits) {
  return fmt::format(
      R"({{"format_version": 1, "nodes": [{{"type": "{}", "count": {},
          "network": {{"bandwidth_gigabits_per_second": {},
                       "latency_microseconds": 20}}}}]}})",
      node, count, gigabits);
}

/// Whether the model fits in this way, on the first devices of the cluster,
/// with everything recomputed.
inline bool fits(Question question, whale::planner::Choice choice) {
  question.plan = false;
  Planned asked(question);
  choice.recompute = whale::planner::Recompute::Full;
  whale::planner::CostTable table(asked.workload, *asked.hardware);
  whale::planner::NormalForm form =
      whale::planner::formOf(choice, whale::planner::splitDims(asked.workload));
  return whale::planner::bestCuts(table, form, {}).candidate.has_value();
}

/// Most devices among which an axis of the plan for which `holds` communicates
/// within each micro-batch, first to last; 1 where there is no such axis.
template <class F> int64_t widest(const Planned &asked, F holds) {
  const whale::planner::Candidate &chosen = asked.plan->chosen;
  int64_t result = 1;
  for (unsigned s = 0; s < chosen.form.stages.size(); ++s) {
    const auto &axes = chosen.form.stages[s].axes;
    for (unsigned a = 0; a < axes.size(); ++a) {
      if (axes[a].size == 1 || !holds(axes[a]))
        continue;
      whale::cost::Group group = whale::planner::axisGroup(
          chosen.form, chosen.devices,
          {s, std::vector<int64_t>(axes.size(), 0)}, a, *asked.hardware);
      result = std::max(result, group.stride * (group.size - 1) + 1);
    }
  }
  return result;
}

inline bool isSplit(const whale::planner::Axis &axis) {
  return axis.kind == whale::planner::AxisKind::Split;
}

/// Splits, and replicas over whose devices experts are cut.
inline bool cutsExperts(const whale::planner::Axis &axis) {
  auto has = [](const std::vector<std::string> &dims) {
    return std::find(dims.begin(), dims.end(), "experts") != dims.end();
  };
  return has(axis.dims) ||
         std::any_of(axis.colocated.begin(), axis.colocated.end(),
                     [&](const auto &split) { return has(split.dims); });
}

} // namespace published

#endif // WHALE_TEST_PUBLISHED_TESTING_H
