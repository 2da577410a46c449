//===- SearchSpace.cpp - the choices that a search may make ---------------===//

#include "compiler/planner/SearchSpace.h"

#include <algorithm>

namespace whale::planner {

std::vector<Choice> SearchSpace::shapes() {
  std::vector<Choice> result;
  for (const Choice &shape : enumerate(problem)) {
    if ((shape.tensor > 1 && !splits(formOf(shape, dims))) ||
        !isLongEnough(shape))
      continue;
    result.push_back(shape);
    if (dependsOnOrder(shape) && shape.data > 1 && shape.pipeline > 1) {
      result.push_back(shape);
      result.back().pipelineOutside = true;
    }
  }
  return result;
}

std::vector<Entry> SearchSpace::entries(MapTable &maps,
                                        Throughput *throughput) {
  std::vector<Entry> result;
  for (const Choice &shape : shapes()) {
    const FormMaps &placed = maps.of(shape);
    for (const auto &alike : placed.alike) {
      size_t map = alike.front();
      Entry entry{{}, std::ssize(result), Entry::Kind::Shape, shape, map};
      if (throughput)
        entry.bound =
            wholeStep(problem.hardware, shape.ranks(),
                      throughput->bound(shape, placed.maps[map].kind,
                                        placed.blocks[map], leastTasks(shape)));
      if (alike.size() > 1)
        entry.orders = std::make_shared<std::vector<size_t>>(alike);
      result.push_back(entry);
      bool mayBeUnequal = shape.tensor > 1 && shape.context == 1 &&
                          placed.blocks[map].empty() && seeksWidths(problem);
      if (!mayBeUnequal)
        continue;
      entry.number = std::ssize(result);
      entry.kind = Entry::Kind::Widths;
      result.push_back(std::move(entry));
    }
  }
  return result;
}

std::vector<Entry> SearchSpace::withWidths(const Entry &any,
                                           MapTable &maps) const {
  NormalForm form = formOf(any.choice, dims);
  std::vector<Entry> result;
  for (SplitWidths &widths :
       splitWidths(problem, form, maps.of(any.choice).maps[any.map])) {
    result.push_back(any);
    result.back().kind = Entry::Kind::Shape;
    result.back().widths = std::make_shared<SplitWidths>(std::move(widths));
  }
  return result;
}

int64_t SearchSpace::leastTasks(const Choice &choice) const {
  bool half = problem.options.pins.schedule == Schedule::DualPipe;
  return half ? choice.microBatches / 2 : choice.microBatches;
}

/// Whether all ops are long enough for the splits that must cut them.
bool SearchSpace::isLongEnough(const Choice &shape) {
  Choice key = shape;
  key.pipeline = key.microBatches = 1;
  if (!key.colocates())
    key.data = 1;
  auto [it, isNew] = shortDims.try_emplace(key);
  if (isNew)
    it->second = shortDim(problem.workload, formOf(shape, dims).stages.front(),
                          0, workload::instanceCount(problem.workload));
  if (it->second && !firstShort)
    firstShort = it->second;
  return !it->second;
}

bool SearchSpace::allowed(const Choice &choice) const {
  return choice.data == 1 || choice.pipeline == 1 ||
         choice.pipelineOutside ==
             restriction.pipelineOutside.value_or(choice.pipelineOutside);
}

std::vector<Choice> SearchSpace::variantsOf(const Choice &shape) const {
  std::vector<Choice> result = variants(problem, shape);
  std::erase_if(result, [&](const Choice &c) { return !allowed(c); });
  return result;
}

bool SearchSpace::dependsOnOrder(const Choice &shape) const {
  const cost::Pool &pool = problem.hardware.pools().front();
  int64_t split = shape.tensor * shape.context;
  auto isAligned = [&](int64_t size) {
    return size % split == 0 || split % size == 0;
  };
  return isMixed() || shape.colocates() || !isAligned(pool.perNode) ||
         !isAligned(pool.perDomain);
}

std::vector<std::vector<size_t>> byDegrees(const std::vector<Entry> &entries) {
  std::map<std::tuple<int64_t, int64_t, int64_t>, std::vector<size_t>> alike;
  for (size_t i = 0; i < entries.size(); ++i)
    if (const Choice &c = entries[i].choice;
        entries[i].map < 2 && entries[i].kind == Entry::Kind::Shape)
      alike[{c.tensor, c.context, c.pipeline}].push_back(i);
  auto key = [&](size_t i) {
    const Picoseconds &bound = entries[i].bound;
    return std::tuple(bound == Picoseconds(), bound, i);
  };
  auto isLess = [&](size_t a, size_t b) { return key(a) < key(b); };
  std::vector<std::vector<size_t>> groups;
  for (auto &[degrees, group] : alike) {
    std::sort(group.begin(), group.end(), isLess);
    groups.push_back(std::move(group));
  }
  std::sort(groups.begin(), groups.end(), [&](const auto &a, const auto &b) {
    return isLess(a.front(), b.front());
  });
  return groups;
}

} // namespace whale::planner
