//===- Saved.cpp - values that instances of a stage have in common --------===//
//
// What several instances save of one value counts once; a gradient that several
// add to waits for the last of them.
//
//===----------------------------------------------------------------------===//

#include "compiler/planner/Evaluate.h"

#include <algorithm>

namespace whale::planner {

using cost::ClassCost;
using workload::Run;

std::vector<FormCosts::Saved>
FormCosts::savedOf(unsigned stage, int64_t first, int64_t last,
                   const std::vector<Piece> &pieces) const {
  const std::vector<Run> &runs = table.workload.runs;
  std::vector<std::pair<int64_t, uint32_t>> seen;
  // Positions of a run's first instance, and of the first behind it.
  auto startOf = [&](size_t r) {
    int64_t start = 0;
    for (size_t before = 0; before < r; ++before)
      start += runs[before].count;
    return start;
  };
  // Whether another instance of the stage saves what comes from `source`.
  auto isSavedTwice = [&](const workload::Source &source) {
    std::pair<int64_t, uint32_t> key{source.run, source.result};
    if (std::find(seen.begin(), seen.end(), key) != seen.end())
      return true;
    seen.push_back(key);
    if (source.run < 0)
      return false;
    int64_t maker = startOf(source.run) + runs[source.run].count - 1;
    // The last piece of the maker's run.
    auto piece = std::find_if(pieces.rbegin(), pieces.rend(), [&](auto &one) {
      return one.run == static_cast<size_t>(source.run);
    });
    return maker >= first && maker < last &&
           costOf(stage, *piece).cost->memory->savedResults[source.result] >
               Bytes();
  };
  std::vector<Saved> result;
  result.reserve(pieces.size());
  const cost::ClassMemory *before = nullptr;
  for (size_t p = 0; p < pieces.size(); ++p) {
    size_t r = pieces[p].run;
    const cost::ClassMemory &m = *costOf(stage, pieces[p]).cost->memory;
    Saved saved{m.saved, m.saved};
    size_t chained = runs[r].count > 1 ? m.savedResults.size() : 0;
    bool goesOn = p > 0 && pieces[p - 1].run == r;
    bool isFirst = startOf(r) >= first && !goesOn;
    for (size_t k = 0; k < m.savedArguments.size(); ++k) {
      if (m.savedArguments[k] == Bytes())
        continue;
      // What the maker keeps in the host's memory is needed here as well.
      bool isFetched =
          goesOn && pieces[p - 1].savedAway && !pieces[p].savedAway;
      bool isTwice =
          goesOn && k < chained
              ? before->savedResults[k] > Bytes() && !isFetched
              : (isFirst || k >= chained) && isSavedTwice(runs[r].arguments[k]);
      if (isTwice)
        saved.first -= m.savedArguments[k];
      if (k >= chained || m.savedResults[k] > Bytes())
        saved.each -= m.savedArguments[k];
    }
    result.push_back(saved);
    before = &m;
  }
  return result;
}

std::vector<Bytes> FormCosts::waitingGradients(unsigned stage, int64_t first,
                                               int64_t last) const {
  const std::vector<Run> &runs = table.workload.runs;
  // The last run of the stage that adds to each value's gradient.
  std::map<std::pair<int64_t, uint32_t>, std::pair<int64_t, Bytes>> values;
  forEachRun(first, last, [&](size_t r, int64_t n) {
    const ClassCost &cost = run(stage, r);
    for (size_t k = 0; k < runs[r].arguments.size(); ++k) {
      const workload::Source &source = runs[r].arguments[k];
      bool isShared = n > 1 && k >= cost.memory->savedResults.size();
      if (source.run >= 0 && cost.argumentGradientBytes[k] > Bytes())
        values[{source.run, source.result}] = {
            static_cast<int64_t>(r) + isShared, cost.argumentGradientBytes[k]};
    }
  });
  std::vector<Bytes> result(runs.size());
  forEachRun(first, last, [&](size_t r, int64_t) {
    for (const auto &[source, use] : values)
      if (source.first < int64_t(r) && use.first > int64_t(r))
        result[r] += use.second;
  });
  return result;
}

} // namespace whale::planner
