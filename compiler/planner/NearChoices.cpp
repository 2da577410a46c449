//===- NearChoices.cpp - choices to compare the winner with ---------------===//

#include "compiler/planner/SearchEntry.h"

#include <algorithm>
#include <map>

namespace whale::planner {

static std::vector<Choice> allowedVariants(const Problem &problem,
                                           const Choice &shape,
                                           const ChoiceFilter &allowed) {
  std::vector<Choice> result = variants(problem, shape);
  std::erase_if(result, [&](const Choice &c) { return !allowed(c); });
  return result;
}

/// What makes a choice need less memory, the most effective first.
static auto thrift(const Choice &c) {
  return std::tuple(
      c.offload.optimizer == asNeeded,
      c.recompute == Recompute::Full || c.recomputeLayers == asNeeded,
      c.recompute, c.shard, !c.hybrid, c.schedule == Schedule::OneFOneB,
      c.sequence, c.group, c.microBatches);
}

std::vector<Choice> mostFrugal(const Problem &problem,
                               const ChoiceFilter &allowed) {
  std::map<std::tuple<int64_t, int64_t, int64_t, int64_t>, Choice> most;
  for (const Choice &shape : enumerate(problem)) {
    std::vector<Choice> all = allowedVariants(problem, shape, allowed);
    if (all.empty())
      continue;
    Choice least = *std::max_element(all.begin(), all.end(),
                                     [&](const Choice &a, const Choice &b) {
                                       return thrift(a) < thrift(b);
                                     });
    auto key =
        std::tuple(least.data, least.tensor, least.context, least.pipeline);
    auto [it, isNew] = most.try_emplace(key, least);
    if (!isNew && thrift(it->second) < thrift(least))
      it->second = least;
  }
  std::vector<Choice> result;
  for (const auto &[key, choice] : most)
    result.push_back(choice);
  return result;
}

std::vector<Choice> neighbours(const Problem &problem, const Choice &choice,
                               const ChoiceFilter &allowed) {
  std::vector<Choice> result;
  auto differences = [&](const Choice &other) {
    return (other.recompute != choice.recompute) +
           (other.shard != choice.shard || other.hybrid != choice.hybrid) +
           (other.schedule != choice.schedule ||
            other.virtualStages != choice.virtualStages) +
           (other.pipelineOutside != choice.pipelineOutside) +
           (other.microBatches != choice.microBatches) +
           (other.sequence != choice.sequence) +
           (other.experts != choice.experts || other.table != choice.table);
  };
  for (const Choice &shape : enumerate(problem)) {
    bool near = shape.data == choice.data && shape.tensor == choice.tensor &&
                shape.pipeline == choice.pipeline &&
                shape.context == choice.context &&
                (shape.microBatches == choice.microBatches ||
                 shape.microBatches == choice.microBatches * 2 ||
                 shape.microBatches * 2 == choice.microBatches);
    if (!near)
      continue;
    for (const Choice &other : allowedVariants(problem, shape, allowed))
      if (differences(other) == 1)
        result.push_back(other);
  }
  return result;
}

} // namespace whale::planner
