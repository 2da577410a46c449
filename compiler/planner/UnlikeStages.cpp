//===- UnlikeStages.cpp - a search of stages that differ ------------------===//

#include "compiler/planner/UnlikeStages.h"

#include <algorithm>
#include <numeric>

namespace whale::planner {

/// On more devices it would take several times as long as the rest.
static constexpr int64_t mostDevices = 64;
/// Stages, times instances and some more, times configurations, of all bounds:
/// a second or so.
static constexpr int64_t mostWork = 10'000'000;
static constexpr int64_t workOfStage = 100;
/// Bounds in which what a stage needs and does to fit is looked at first.
static constexpr int64_t workOfMemory = 8;

bool hasUnlikeStages(const NormalForm &form) {
  // The branch and bound knows parts of unequal widths.
  auto plain = [](const StageForm &stage) {
    std::vector<Axis> axes(stage.axes.begin(), stage.axes.end());
    for (Axis &axis : axes)
      if (axis.kind == AxisKind::Split)
        axis.shares.clear();
    return axes;
  };
  return std::any_of(form.stages.begin(), form.stages.end(),
                     [&](const StageForm &stage) {
                       return !(stage.axes == form.stages.front().axes) &&
                              plain(stage) != plain(form.stages.front());
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

bool UnlikeStages::sharesEqually(const Choice &choice) const {
  const workload::Workload &workload = problem.workload;
  int64_t unit = saturatingMultiply(workload.sampleGroup, choice.microBatches);
  return workload.globalBatch % saturatingMultiply(unit, choice.data) == 0;
}

static int64_t ranksOf(const std::vector<StageBlock> &blocks) {
  int64_t ranks = 0;
  for (const StageBlock &block : blocks)
    ranks += block.size;
  return ranks;
}

/// Of modes of recompute one covers the others: that in which layers recompute
/// as needed.
void UnlikeStages::fill(Menu &menu) {
  if (!menu.forms.empty())
    return;
  for (Choice shape : menu.shapes) {
    // As if there were others behind it.
    shape.pipeline = 2;
    std::vector<Choice> all = placements(problem, shape);
    std::erase_if(all, [&](const Choice &c) {
      return !space.allowed(c) || c.pipelineOutside != (c.data > 1);
    });
    bool any = std::any_of(all.begin(), all.end(),
                           [](const Choice &c) { return c.hasLayers(); });
    for (const Choice &choice : all)
      if (!any || choice.hasLayers())
        menu.forms.push_back(formOf(choice, dims).stages.front());
  }
}

/// Stages of equally many devices, as in the shapes of the branch and bound.
void UnlikeStages::addEqual() {
  bool alike = problem.options.space == Space::Default;
  // By stages, micro-batches, devices of a stage and what all replicas are.
  std::map<std::tuple<int64_t, int64_t, int64_t, int64_t>, std::vector<Choice>>
      found;
  for (const Choice &shape : space.shapes())
    if (shape.pipeline > 1 && !shape.pipelineOutside && !shape.colocates() &&
        sharesEqually(shape))
      found[{shape.pipeline, shape.microBatches, shape.ranks() / shape.pipeline,
             alike ? shape.data : 1}]
          .push_back(shape);
  for (auto &[key, shapes] : found) {
    Choice first = shapes.front();
    first.pipelineOutside = first.data > 1;
    Group group{first.microBatches, {}};
    Menu &menu = group.menus[std::get<2>(key)];
    menu.shapes = std::move(shapes);
    fill(menu);
    if (menu.forms.size() < 2)
      continue;
    groups.push_back(std::move(group));
    addMaps(groups.back(), first);
  }
}

/// One node for all orders of the same devices, bounded by what these let them
/// do.
void UnlikeStages::addMaps(Group &group, const Choice &shape) {
  const FormMaps &placed = maps.of(shape);
  int64_t size = shape.ranks() / shape.pipeline;
  for (const std::vector<size_t> &alike : placed.alike) {
    Node node;
    node.group = &group;
    // A pipeline in one block has all stages there.
    bool isOne = placed.maps[alike.front()].kind == DeviceMap::Kind::ByOuter;
    const std::vector<int64_t> &counts = placed.blocks[alike.front()];
    for (size_t pool = 0; pool < counts.size(); ++pool)
      node.blocks.insert(node.blocks.end(),
                         counts[pool] * (isOne ? shape.pipeline : 1),
                         {pool, size});
    if (node.blocks.empty())
      continue;
    for (size_t map : alike)
      node.maps.push_back(&placed.maps[map]);
    node.bound = throughputOf(group, node.blocks);
    push(std::move(node));
  }
}

void UnlikeStages::addUnequal() {
  bool alike = problem.options.space == Space::Default;
  // By micro-batches and what all replicas are.
  std::map<std::pair<int64_t, int64_t>, Group> found;
  for (int64_t size : stageSizes(problem.hardware))
    for (const Choice &shape : space.stageShapes(size))
      if (!shape.colocates() && sharesEqually(shape)) {
        Group &group = found[{shape.microBatches, alike ? shape.data : 1}];
        group.microBatches = shape.microBatches;
        group.menus[size].shapes.push_back(shape);
      }
  int64_t most = workload::instanceCount(problem.workload);
  bool mayIdle = isSmall(problem.workload, problem.hardware);
  for (auto &[key, made] : found) {
    groups.push_back(std::move(made));
    Group &group = groups.back();
    std::set<int64_t> sizes;
    for (const auto &[size, menu] : group.menus)
      sizes.insert(size);
    for (Blocks &blocks :
         unequalStages(problem.hardware, sizes, most, mayIdle)) {
      if (std::ssize(blocks) !=
          problem.options.pins.pipeline.value_or(std::ssize(blocks)))
        continue;
      Node node;
      node.group = &group;
      node.bound = throughputOf(group, blocks);
      node.blocks = std::move(blocks);
      push(std::move(node));
    }
  }
}

/// What pipelines with such blocks take at least. Neighbouring blocks are
/// alike where any are.
Picoseconds UnlikeStages::throughputOf(Group &group, const Blocks &blocks) {
  std::vector<Throughput::Kind> kinds;
  for (size_t i = 0; i < blocks.size(); ++i) {
    if (i > 0 && blocks[i] == blocks[i - 1]) {
      ++kinds.back().second;
      continue;
    }
    Menu &menu = group.menus.at(blocks[i].size);
    auto [least, isNew] = menu.least.try_emplace(blocks[i].pool);
    if (isNew)
      least->second = throughput.leastOf(blocks[i].pool, menu.shapes);
    kinds.emplace_back(&least->second, 1);
  }
  return wholeStep(problem.hardware, ranksOf(blocks),
                   throughput.boundOf(kinds, group.microBatches));
}

/// Keeps what may be faster than the best plan.
void UnlikeStages::push(Node node) {
  node.number = number++;
  if (node.bound < limitStep())
    queue.push(std::move(node));
  else
    leastBound = std::min(leastBound, node.bound);
}

Menus UnlikeStages::menusOf(const Node &node) {
  Menus menus;
  for (const StageBlock &block : node.order->stages) {
    Menu &menu = node.group->menus.at(block.size);
    fill(menu);
    menus.emplace_back(menu.forms.size());
    std::iota(menus.back().begin(), menus.back().end(), 0);
  }
  return menus;
}

/// Stages that have fewer configurations than others repeat their last one.
std::shared_ptr<UnlikeBound> UnlikeStages::costsOf(const Node &node,
                                                   bool memory) {
  std::vector<NormalForm> forms;
  size_t most = 0;
  for (const auto &menu : menusOf(node))
    most = std::max(most, menu.size());
  for (size_t k = 0; k < most; ++k) {
    NormalForm form;
    form.microBatches = node.group->microBatches;
    form.schedule = node.schedule;
    for (const StageBlock &block : node.order->stages) {
      const Menu &menu = node.group->menus.at(block.size);
      form.stages.push_back(menu.forms[std::min(k, menu.forms.size() - 1)]);
    }
    forms.push_back(std::move(form));
  }
  return std::make_shared<UnlikeBound>(table, std::move(forms), node.order->map,
                                       memory);
}

void UnlikeStages::lookInto(const Node &node) {
  if (!node.order)
    return addOrders(node);
  if (!node.chosen.empty())
    return branch(node);
  if (node.menus.empty())
    return addSchedules(node);
  std::shared_ptr<UnlikeBound> costs = costsOf(node, true);
  addMenus(node, costs, costs->worthTrying(node.menus));
}

void UnlikeStages::addOrders(const Node &node) {
  std::vector<StageOrder> orders;
  for (const DeviceMap *map : node.maps)
    orders.push_back({node.blocks, *map});
  if (orders.empty())
    orders = ordersOf(problem.hardware, node.blocks);
  for (StageOrder &order : orders) {
    Node one = node;
    one.order = std::make_shared<StageOrder>(std::move(order));
    one.maps.clear();
    push(std::move(one));
  }
}

/// Nothing where nothing is faster than the best plan.
std::optional<UnlikeBound::Best> UnlikeStages::boundOf(const Node &node,
                                                       UnlikeBound &costs,
                                                       const Menus &menus) {
  UnlikeBound::Best best =
      costs.of(menus, {},
               mostAlone(problem.hardware, ranksOf(node.blocks), limitStep()));
  int64_t each = workOfStage + workload::instanceCount(problem.workload);
  if (!node.menus.empty() && node.chosen.empty())
    each *= workOfMemory;
  work += each * static_cast<int64_t>(menus.size() * costs.configurations());
  if (!best.configurations.empty())
    return best;
  leastBound = std::min(leastBound, limitStep());
  return std::nullopt;
}

/// Of what no schedule makes slower than the best plan.
void UnlikeStages::addSchedules(const Node &node) {
  Menus menus = menusOf(node);
  // Pins may leave a stage nothing.
  if (std::any_of(menus.begin(), menus.end(),
                  [](const auto &menu) { return menu.empty(); }))
    return;
  std::shared_ptr<UnlikeBound> costs = costsOf(node, false);
  std::optional<UnlikeBound::Best> least = boundOf(node, *costs, menus);
  if (!least)
    return;
  Choice shape;
  shape.pipeline = std::ssize(node.blocks);
  shape.microBatches = node.group->microBatches;
  for (const Choice &choice : schedules.of(shape)) {
    if (choice.virtualStages > 1)
      continue;
    costs->setSchedule(choice.schedule);
    if (!(least = boundOf(node, *costs, menus)))
      continue;
    Node one = node;
    one.schedule = choice.schedule;
    one.menus = menus;
    one.bound =
        std::max(node.bound, wholeStep(problem.hardware, ranksOf(node.blocks),
                                       least->bound));
    push(std::move(one));
  }
}

void UnlikeStages::addMenus(const Node &node,
                            std::shared_ptr<UnlikeBound> costs,
                            const Menus &menus) {
  std::optional<UnlikeBound::Best> least = boundOf(node, *costs, menus);
  if (!least)
    return;
  Node one = node;
  one.costs = std::move(costs);
  one.menus = menus;
  one.chosen = std::move(least->configurations);
  one.bound =
      std::max(node.bound,
               wholeStep(problem.hardware, ranksOf(node.blocks), least->bound));
  push(std::move(one));
}

/// Simulates what the bound chose, and leaves all other choices.
void UnlikeStages::branch(const Node &node) {
  const Blocks &stages = node.order->stages;
  bool isAlike = true;
  for (size_t s = 0; s < stages.size(); ++s)
    isAlike &=
        stages[s].size == stages[0].size && node.chosen[s] == node.chosen[0];
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
  const Menu &first = node.group->menus.at(node.blocks.front().size);
  Scored scored{best ? best->choice : first.shapes.front(),
                bestCuts(table, form, node.order->map, toBeat())};
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
  addEqual();
  addUnequal();
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
