//===- UnlikeStages.cpp - a search of stages that differ ------------------===//

#include "compiler/planner/UnlikeStages.h"

#include <algorithm>

namespace whale::planner {

/// On more devices it would take several times as long as the rest.
static constexpr int64_t mostDevices = 64;
/// Stages, times instances and some more, times configurations, of all bounds:
/// a second or so.
static constexpr int64_t mostWork = 5'000'000;
static constexpr int64_t workOfStage = 100;

bool hasUnlikeStages(const NormalForm &form) {
  return std::any_of(form.stages.begin(), form.stages.end(),
                     [&](const StageForm &stage) {
                       return !(stage.axes == form.stages.front().axes);
                     });
}

bool UnlikeStages::covers(const Problem &problem, bool fits) {
  // DualPipe's devices hold the opposite stage, too.
  return problem.hardware.deviceCount() <= mostDevices &&
         problem.options.pins.schedule != Schedule::DualPipe &&
         (fits || isSmall(problem.workload, problem.hardware));
}

Picoseconds UnlikeStages::toBeat() const {
  return best ? std::min(best->result.prediction.step, below) : below;
}

Picoseconds UnlikeStages::limitStep() const {
  return toBeat() - toBeat().scaled(problem.options.tolerance);
}

Picoseconds UnlikeStages::mostAloneOf(const Group &group) const {
  return mostAlone(problem.hardware, group.configurations.front().ranks(),
                   limitStep());
}

bool UnlikeStages::sharesEqually(const Choice &choice) const {
  const workload::Workload &workload = problem.workload;
  int64_t unit = saturatingMultiply(workload.sampleGroup, choice.microBatches);
  return workload.globalBatch % saturatingMultiply(unit, choice.data) == 0;
}

/// A shape with every sharding. Of modes of recompute one covers the others:
/// that in which layers recompute as needed.
std::vector<Choice> UnlikeStages::configurationsOf(const Choice &shape) const {
  std::vector<Choice> all = placements(problem, shape);
  std::erase_if(all, [&](const Choice &c) {
    return !space.allowed(c) || c.pipelineOutside != (c.data > 1);
  });
  if (std::any_of(all.begin(), all.end(),
                  [](const Choice &c) { return c.hasLayers(); }))
    std::erase_if(all, [](const Choice &c) { return !c.hasLayers(); });
  return all;
}

void UnlikeStages::findGroups() {
  bool alike = problem.options.space == Space::Default;
  // By stages, micro-batches and devices of a stage.
  std::map<std::tuple<int64_t, int64_t, int64_t, int64_t>, Group> found;
  for (const Choice &shape : space.shapes()) {
    if (shape.pipeline == 1 || shape.pipelineOutside || shape.colocates() ||
        !sharesEqually(shape))
      continue;
    Group &group =
        found[{shape.pipeline, shape.microBatches,
               shape.ranks() / shape.pipeline, alike ? shape.data : 1}];
    for (const Choice &choice : configurationsOf(shape))
      group.configurations.push_back(choice);
  }
  for (auto &[key, group] : found)
    if (group.configurations.size() > 1)
      groups.push_back(std::move(group));
}

/// One for all orders of the same devices, bounded by what these let them do.
void UnlikeStages::addNodes(const Group &group) {
  const Choice &first = group.configurations.front();
  const FormMaps &placed = maps.of(first);
  for (const std::vector<size_t> &alike : placed.alike) {
    std::vector<int64_t> stages = placed.blocks[alike.front()];
    if (stages.empty())
      continue;
    // The whole pipeline is one block.
    if (placed.maps[alike.front()].kind == DeviceMap::Kind::ByOuter)
      for (int64_t &here : stages)
        here *= first.pipeline;
    Node node;
    node.group = &group;
    for (size_t map : alike)
      node.orders.push_back(&placed.maps[map]);
    node.bound = wholeStep(problem.hardware, first.ranks(),
                           throughput.boundOfAny(group.configurations, stages,
                                                 space.leastTasks(first)));
    push(std::move(node));
  }
}

void UnlikeStages::push(Node node) {
  node.number = number++;
  queue.push(std::move(node));
}

std::shared_ptr<UnlikeBound> UnlikeStages::costsOf(const Node &node,
                                                   bool memory) const {
  std::vector<NormalForm> forms;
  for (const Choice &choice : node.group->configurations) {
    forms.push_back(formOf(choice, dims));
    forms.back().schedule = node.schedule;
  }
  return std::make_shared<UnlikeBound>(table, std::move(forms), *node.map,
                                       memory);
}

void UnlikeStages::lookInto(const Node &node) {
  if (!node.map) {
    for (const DeviceMap *map : node.orders) {
      Node one = node;
      one.map = map;
      one.orders.clear();
      push(std::move(one));
    }
    return;
  }
  if (!node.chosen.empty())
    return branch(node);
  if (node.menus.empty())
    return addSchedules(node);
  std::shared_ptr<UnlikeBound> costs = costsOf(node, true);
  addMenus(node, costs, costs->worthTrying());
}

/// Nothing where nothing is faster than the best plan.
std::optional<UnlikeBound::Best> UnlikeStages::boundOf(const Node &node,
                                                       UnlikeBound &costs,
                                                       const Menus &menus) {
  UnlikeBound::Best best = costs.of(menus, {}, mostAloneOf(*node.group));
  int64_t each = workOfStage + workload::instanceCount(problem.workload);
  work += each * static_cast<int64_t>(menus.size() * costs.configurations());
  if (!best.configurations.empty())
    return best;
  leastBound = std::min(leastBound, limitStep());
  return std::nullopt;
}

/// Of what no schedule makes slower than the best plan.
void UnlikeStages::addSchedules(const Node &node) {
  std::shared_ptr<UnlikeBound> costs = costsOf(node, false);
  const Choice &first = node.group->configurations.front();
  std::vector<size_t> whole(costs->configurations());
  for (size_t k = 0; k < whole.size(); ++k)
    whole[k] = k;
  Menus menus(first.pipeline, whole);
  std::optional<UnlikeBound::Best> least = boundOf(node, *costs, menus);
  if (!least)
    return;
  for (const Choice &choice : schedules.of(first)) {
    if (choice.virtualStages > 1)
      continue;
    Node one = node;
    one.schedule = choice.schedule;
    one.menus = menus;
    one.bound = std::max(
        node.bound, wholeStep(problem.hardware, first.ranks(), least->bound));
    push(std::move(one));
  }
}

void UnlikeStages::addMenus(const Node &node,
                            std::shared_ptr<UnlikeBound> costs,
                            const Menus &menus) {
  const Choice &first = node.group->configurations.front();
  std::optional<UnlikeBound::Best> least = boundOf(node, *costs, menus);
  if (!least)
    return;
  Node one = node;
  one.costs = std::move(costs);
  one.menus = menus;
  one.chosen = std::move(least->configurations);
  one.bound = std::max(
      node.bound, wholeStep(problem.hardware, first.ranks(), least->bound));
  push(std::move(one));
}

/// Simulates what the bound chose, and leaves all other choices.
void UnlikeStages::branch(const Node &node) {
  bool isAlike = std::all_of(node.chosen.begin(), node.chosen.end(),
                             [&](size_t k) { return k == node.chosen[0]; });
  if (!isAlike)
    simulate(node);
  Menus menus = node.menus;
  for (size_t s = 0; s < menus.size(); ++s) {
    Menus others = menus;
    std::erase(others[s], node.chosen[s]);
    if (!others[s].empty())
      addMenus(node, node.costs, others);
    menus[s] = {node.chosen[s]};
  }
}

void UnlikeStages::simulate(const Node &node) {
  NormalForm form = node.costs->formOf(node.chosen);
  Scored scored{best ? best->choice
                     : node.group->configurations[node.chosen.front()],
                bestCuts(table, form, *node.map, toBeat())};
  if (!scored.result.candidate) {
    leastBound = std::min(leastBound, scored.result.bound);
    return;
  }
  simulatedOnes.push_back(scored);
  if (scored.result.prediction.step < toBeat())
    best = std::move(scored);
}

void UnlikeStages::run(std::optional<Scored> &found, Picoseconds limit,
                       const std::function<bool(int64_t)> &mayGoOn) {
  below = limit;
  best = found;
  findGroups();
  for (const Group &group : groups)
    addNodes(group);
  bool isCutShort = false;
  while (!queue.empty() && queue.top().bound < limitStep() && work < mostWork &&
         !isCutShort) {
    Node node = queue.top();
    queue.pop();
    auto before = std::ssize(simulatedOnes);
    lookInto(node);
    isCutShort = !mayGoOn(std::ssize(simulatedOnes) - before);
  }
  settled = queue.empty() || queue.top().bound >= limitStep();
  if (!queue.empty())
    leastBound = std::min(leastBound, queue.top().bound);
  if (!isCutShort)
    tightenAll(table, simulatedOnes, best, {below, problem.options.tolerance});
  for (const Scored &one : simulatedOnes)
    leastBound = std::min(leastBound, one.result.bound);
  found = std::move(best);
}

} // namespace whale::planner
