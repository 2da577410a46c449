//===- Tighten.cpp - better bounds and cuts of what was simulated ---------===//
//
// Problem: a search ends where no bound in its queue is below the best plan,
// but bounds of what it simulated may be: the gap is theirs.
//
// Method: those that are nearly as fast as the best have single instances
// moved, which makes the limit smaller for all; then each one's cuts are
// searched by a tree (CutTree.h), with the best step as its limit.
// Complexity O(nodesOfAll * tasks) at most; few have so many.
//
//===----------------------------------------------------------------------===//

#include "compiler/planner/SearchEntry.h"

#include <algorithm>

namespace whale::planner {

namespace {

/// Most are done with few nodes.
constexpr int mostTightened = 1024, nodesOfEach = 16'000;
constexpr int nodesOfAll = 64 * nodesOfEach;
/// Nearer to the best than this, and so many: polished.
constexpr double near = 0.02;
constexpr int mostPolished = 8;

class Tightener {
public:
  Tightener(CostTable &table, std::optional<Scored> &best, const Wanted &wanted)
      : table(table), best(best), wanted(wanted) {}

  void run(std::vector<Scored> &candidates) {
    std::stable_sort(candidates.begin(), candidates.end(),
                     [](const Scored &a, const Scored &b) {
                       return a.result.bound < b.result.bound;
                     });
    int left = mostPolished;
    for (Scored &one : candidates)
      if (mayBeFaster(one) && isNear(one) && left-- > 0) {
        polishCuts(table, one.result);
        take(one);
      }
    left = mostTightened;
    int nodesLeft = nodesOfAll;
    for (Scored &one : candidates)
      if (mayBeFaster(one) && nodesLeft > 0 && left-- > 0) {
        int nodes = std::min(nodesOfEach, nodesLeft), kept = nodesLeft - nodes;
        tightenCuts(table, one.result, toBeat(), nodes);
        nodesLeft = kept + nodes;
        take(one);
      }
  }

private:
  Picoseconds bestStep() const {
    return best ? best->result.prediction.step : Picoseconds::max();
  }
  Picoseconds toBeat() const { return std::min(bestStep(), wanted.below); }

  bool mayBeFaster(const Scored &one) const {
    return one.result.bound < toBeat() - toBeat().scaled(wanted.tolerance);
  }
  bool isNear(const Scored &one) const {
    return one.result.prediction.step < bestStep() + bestStep().scaled(near);
  }

  void take(const Scored &one) {
    if (one.better(best) && one.result.prediction.step < wanted.below)
      best = one;
  }

  CostTable &table;
  std::optional<Scored> &best;
  const Wanted &wanted;
};

} // namespace

void tightenAll(CostTable &table, std::vector<Scored> &candidates,
                std::optional<Scored> &best, const Wanted &wanted) {
  Tightener(table, best, wanted).run(candidates);
}

} // namespace whale::planner
