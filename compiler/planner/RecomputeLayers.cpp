//===- RecomputeLayers.cpp - layers that recompute in full ----------------===//
//
// Problem: of a stage that holds instances first..last-1, the fewest that
// recompute in full (the first ones, as in Megatron-LM's
// --recompute-num-layers) with which it fits.
// Guarantee: exact where memory falls with each further instance of a run; at
// the ends of runs nothing is taken for granted (a head that recomputes may
// need more).
// Complexity: O(runs + log(instances)) evaluations of the stage's memory.
//
//===----------------------------------------------------------------------===//

#include "compiler/planner/Evaluate.h"

#include <algorithm>

namespace whale::planner {

std::vector<FormCosts::Piece> FormCosts::pieces(int64_t first, int64_t last,
                                                int64_t layers) const {
  std::vector<Piece> result;
  int64_t start = 0;
  for (size_t r = 0; r < table.workload.runs.size(); ++r) {
    int64_t from = std::max(first, start);
    start += table.workload.runs[r].count;
    int64_t to = std::min(last, start);
    int64_t middle = std::clamp(first + layers, from, std::max(from, to));
    if (from < middle)
      result.push_back({r, middle - from, true});
    if (middle < to)
      result.push_back({r, to - middle, false});
  }
  return result;
}

Picoseconds FormCosts::forward(unsigned stage, size_t run) const {
  Picoseconds time = costs[stage][run].forward;
  return again[stage].empty() ? time
                              : std::min(time, again[stage][run].forward);
}

Picoseconds FormCosts::backward(unsigned stage, size_t run) const {
  Picoseconds time = costs[stage][run].backward;
  return again[stage].empty() ? time
                              : std::min(time, again[stage][run].backward);
}

FormCosts::Times FormCosts::recomputed(unsigned stage, int64_t first,
                                       int64_t last) const {
  Times more;
  if (!hasLayers())
    return more;
  int64_t layers = recomputeLayers(stage, first, last);
  for (const Piece &piece : pieces(first, first + layers, layers)) {
    const RunCost &one = costOf(stage, piece);
    more.forward += (one.forward - forward(stage, piece.run)) * piece.count;
    more.backward += (one.backward - backward(stage, piece.run)) * piece.count;
  }
  return more;
}

MemoryParts FormCosts::memory(unsigned stage, int64_t first,
                              int64_t last) const {
  return memoryWith(stage, first, last, recomputeLayers(stage, first, last));
}

bool FormCosts::fitsWith(unsigned stage, int64_t first, int64_t last,
                         int64_t layers) const {
  return memoryWith(stage, first, last, layers).total() <=
         table.hardware.capacity(types[stage]);
}

bool FormCosts::fits(unsigned stage, int64_t first, int64_t last) const {
  return fitsWith(stage, first, last, recomputeLayers(stage, first, last));
}

int64_t FormCosts::recomputeLayers(unsigned stage, int64_t first,
                                   int64_t last) const {
  int64_t layers = form.stages[stage].recomputeLayers;
  if (layers != asNeeded)
    return std::min(layers, last - first);
  auto [it, isNew] = needed.try_emplace({stage, first, last});
  if (isNew)
    it->second = layersNeeded(stage, first, last);
  return it->second;
}

int64_t FormCosts::layersNeeded(unsigned stage, int64_t first,
                                int64_t last) const {
  int64_t bad = 0;
  if (fitsWith(stage, first, last, 0))
    return 0;
  for (const Piece &run : pieces(first, last, last - first)) {
    int64_t good = bad + run.count;
    if (!fitsWith(stage, first, last, good)) {
      bad = good;
      continue;
    }
    while (good - bad > 1) {
      int64_t middle = bad + (good - bad) / 2;
      (fitsWith(stage, first, last, middle) ? good : bad) = middle;
    }
    return good;
  }
  return last - first;
}

} // namespace whale::planner
