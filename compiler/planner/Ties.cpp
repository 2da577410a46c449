//===- Ties.cpp - instances that share a variable -------------------------===//

#include "compiler/planner/Evaluate.h"

#include <algorithm>
#include <cstdlib>

namespace whale::planner {

using workload::Run;
using workload::Workload;

std::vector<Tie> ties(const Workload &workload) {
  std::vector<Tie> result;
  // Fragments of an instance share its path.
  auto has = [&](uint32_t moduleClass, std::string_view name) {
    const auto &variables = workload.classes[moduleClass].variables;
    return std::any_of(variables.begin(), variables.end(),
                       [&](const auto &v) { return v.name == name; });
  };
  auto positionOf = [&](std::string_view path) -> int64_t {
    int64_t start = 0;
    for (const Run &run : workload.runs) {
      for (int64_t i = 0; i < run.count; ++i) {
        std::string prefix = run.path(i) + "/";
        // The rest is a variable or a path within the instance.
        if (path.substr(0, prefix.size()) == prefix &&
            (run.fragment.empty() ||
             has(run.moduleClass, path.substr(prefix.size()))))
          return start + i;
      }
      start += run.count;
    }
    return -1;
  };
  int64_t start = 0;
  for (const Run &run : workload.runs) {
    const auto &variables = workload.classes[run.moduleClass].variables;
    for (uint32_t v = 0; v < variables.size(); ++v)
      if (!variables[v].tied.empty())
        if (int64_t owner = positionOf(variables[v].tied); owner >= 0)
          for (int64_t i = 0; i < run.count; ++i)
            result.push_back({start + i, owner, v});
    start += run.count;
  }
  return result;
}

Picoseconds FormCosts::tieTime(const Tie &tie, unsigned user,
                               unsigned owner) const {
  size_t run = workload::instanceAt(table.workload, tie.user).run;
  // Two ranks: each sends its sum to the other.
  auto firstOf = [&](unsigned stage) {
    Coordinates first;
    first.stage = stage;
    first.axes.assign(form.stages[stage].axes.size(), 0);
    return devices.deviceOf(form, first);
  };
  // Of unequal stages the smaller one serves several ranks of the other.
  int64_t some = innerDevices(user), others = innerDevices(owner);
  Bytes bytes = this->run(user, run).tiedState.gradients *
                ceilDivide(std::max(some, others), std::min(some, others));
  Picoseconds time =
      table.hardware.sendTime(firstOf(user), firstOf(owner), 1, bytes);
  for (const auto &other : views)
    time = std::max(time, other->tieTime(tie, user, owner));
  return time;
}

Picoseconds FormCosts::leastTies(unsigned stage, int64_t first,
                                 int64_t last) const {
  int64_t instances = workload::instanceCount(table.workload);
  auto stages = static_cast<int64_t>(form.stages.size());
  Picoseconds sum;
  for (const Tie &tie : table.ties) {
    auto holds = [&](int64_t at) { return first <= at && at < last; };
    // A stage that may hold both would have none.
    bool mayMeet = std::abs(tie.user - tie.owner) <= instances - stages;
    if (mayMeet || holds(tie.user) == holds(tie.owner))
      continue;
    int64_t other = holds(tie.user) ? tie.owner : tie.user;
    Picoseconds least = Picoseconds::max();
    // Each stage has an instance.
    for (int64_t s = std::max<int64_t>(0, stages - (instances - other));
         s <= std::min(other, stages - 1); ++s)
      if (s != stage)
        least = std::min(least, holds(tie.user) ? tieTime(tie, stage, s)
                                                : tieTime(tie, s, stage));
    sum += least;
  }
  return sum;
}

} // namespace whale::planner
