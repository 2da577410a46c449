//===- SplitWidths.cpp - parts of unequal widths on unequal devices -------===//

#include "compiler/planner/SplitWidths.h"

#include "compiler/planner/Tables.h"

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>

namespace whale::planner {

namespace {

/// On more devices it would take several times as long as the rest, but for
/// small models.
constexpr int64_t mostDevices = 8;
constexpr int64_t fewInstances = 12;
/// What the widths of a split sum to at most: the first of these with which a
/// form has no more than `mostWidths` on its devices.
constexpr int64_t mostUnits[] = {32, 16, 8, 4};
constexpr int64_t mostWidths = 32;

/// What the loops that a split cuts have in common, but for those of tables; 0,
/// which every sum divides, where there are no others.
int64_t commonParts(const workload::Workload &workload, const Axis &split) {
  auto isTable = [](const std::string &dim) {
    return dim == dimOf(Table::Vocabulary) || dim == dimOf(Table::Classes);
  };
  int64_t parts = 0;
  for (const workload::ModuleClass &module : workload.classes)
    for (const workload::Op &op : module.ops)
      for (const std::string &dim : split.dims)
        if (int32_t loop = op.findLoop(dim); loop >= 0) {
          const workload::LoopDim &cut = op.loops[loop];
          if (!isTable(dim))
            parts = std::gcd(parts, cut.extent / cut.multiple);
          break;
        }
  return parts;
}

/// Coordinates along the last axis of a stage, by the types of their devices.
class Kinds {
public:
  Kinds(const cost::Hardware &hardware, const NormalForm &form,
        const DeviceMap &devices, unsigned stage) {
    const std::vector<Axis> &axes = form.stages[stage].axes;
    std::map<std::vector<unsigned>, size_t> known;
    std::vector<std::vector<unsigned>> types(axes.back().size);
    for (int64_t rank = 0; rank < rankCount(form); ++rank) {
      Coordinates at = coordinatesOf(form, rank);
      if (at.stage == stage)
        types[at.axes.back()].push_back(
            hardware.poolOf(devices.deviceOf(form, at)).type);
    }
    for (const std::vector<unsigned> &one : types) {
      auto [it, isNew] = known.try_emplace(one, counts.size());
      if (isNew)
        counts.push_back(0);
      ++counts[it->second];
      kindOf.push_back(it->second);
    }
  }

  size_t number() const { return counts.size(); }

  /// Calls `visit` with the widths of all coordinates for each way to write
  /// `sum` in lowest terms, until it says no.
  void forEach(int64_t sum,
               const std::function<bool(std::vector<int64_t>)> &visit) {
    std::vector<int64_t> widths;
    next(sum, widths, visit);
  }

private:
  bool next(int64_t left, std::vector<int64_t> &widths,
            const std::function<bool(std::vector<int64_t>)> &visit) {
    if (widths.size() == counts.size()) {
      int64_t common = 0;
      for (int64_t width : widths)
        common = std::gcd(common, width);
      if (left != 0 || common != 1)
        return true;
      std::vector<int64_t> all;
      for (size_t kind : kindOf)
        all.push_back(widths[kind]);
      return visit(std::move(all));
    }
    int64_t count = counts[widths.size()];
    bool goesOn = true;
    for (int64_t width = 1; width * count <= left && goesOn; ++width) {
      widths.push_back(width);
      goesOn = next(left - width * count, widths, visit);
      widths.pop_back();
    }
    return goesOn;
  }

  /// Coordinates of each kind; and the kind of each.
  std::vector<int64_t> counts;
  std::vector<size_t> kindOf;
};

/// Of a stage, equal ones first.
std::vector<std::vector<int64_t>> widthsOf(Kinds &kinds, int64_t parts,
                                           int64_t units) {
  std::vector<std::vector<int64_t>> all = {{}};
  if (kinds.number() == 1)
    return all;
  // With one more they are too many.
  for (int64_t sum = 2; sum <= units && std::ssize(all) <= mostWidths + 1;
       ++sum)
    if (parts % sum == 0)
      kinds.forEach(sum, [&](std::vector<int64_t> widths) {
        bool isEqual = std::all_of(widths.begin(), widths.end(),
                                   [&](int64_t w) { return w == widths[0]; });
        if (!isEqual)
          all.push_back(std::move(widths));
        return std::ssize(all) <= mostWidths + 1;
      });
  return all;
}

/// Of all stages, with so many units; nothing where they are too many.
std::optional<std::vector<SplitWidths>>
widthsWith(std::vector<Kinds> &stages, int64_t parts, int64_t units) {
  std::vector<SplitWidths> all = {{}};
  for (Kinds &kinds : stages) {
    std::vector<SplitWidths> longer;
    for (const std::vector<int64_t> &here : widthsOf(kinds, parts, units))
      for (const SplitWidths &before : all) {
        longer.push_back(before);
        longer.back().push_back(here);
      }
    all = std::move(longer);
    if (std::ssize(all) > mostWidths + 1)
      return std::nullopt;
  }
  // All equal ones come first.
  all.erase(all.begin());
  return all;
}

} // namespace

bool seeksWidths(const Problem &problem) {
  return problem.options.space == Space::Full &&
         problem.options.strategy.body.empty() &&
         problem.hardware.pools().size() > 1 &&
         (problem.hardware.deviceCount() <= mostDevices ||
          (isSmall(problem.workload, problem.hardware) &&
           workload::instanceCount(problem.workload) <= fewInstances));
}

std::set<int64_t> sizesAcross(const std::vector<std::set<int64_t>> &ofPools) {
  std::set<int64_t> sizes;
  for (size_t p = 0; p < ofPools.size(); ++p)
    for (size_t q = 0; q < p; ++q)
      for (int64_t one : ofPools[p])
        for (int64_t other : ofPools[q])
          sizes.insert(one + other);
  return sizes;
}

std::vector<SplitWidths> splitWidths(const Problem &problem,
                                     const NormalForm &form,
                                     const DeviceMap &devices) {
  std::vector<Kinds> stages;
  for (unsigned s = 0; s < form.stages.size(); ++s)
    stages.emplace_back(problem.hardware, form, devices, s);
  int64_t parts =
      commonParts(problem.workload, form.stages.front().axes.back());
  for (int64_t units : mostUnits)
    if (auto all = widthsWith(stages, parts, units))
      return *std::move(all);
  return {};
}

void setWidths(NormalForm &form, const SplitWidths &widths) {
  for (size_t s = 0; s < widths.size(); ++s)
    if (!widths[s].empty())
      form.stages[s].axes.back().shares = widths[s];
}

} // namespace whale::planner
