//===- Dealing.h - what is dealt out to the parts of a model ----*- C++ -*-===//
//
// The layers: all instances but single ones at both ends (an embedding, a head,
// a first layer of a kind of its own), which stay there.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PLANNER_DEALING_H
#define WHALE_PLANNER_DEALING_H

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace whale::planner {

struct Dealing {
  /// Instances.
  int64_t before = 0, layers = 0, after = 0;
  /// The runs that are dealt out.
  size_t firstRun = 0, endRun = 0;

  /// Of anything with a `count` for each run.
  template <class Runs> explicit Dealing(const Runs &runs) {
    auto isMany = [](const auto &run) { return run.count > 1; };
    endRun = runs.size();
    // A model of single instances has no ends.
    if (std::any_of(runs.begin(), runs.end(), isMany)) {
      while (!isMany(runs[firstRun]))
        ++firstRun, ++before;
      while (!isMany(runs[endRun - 1]))
        --endRun, ++after;
    }
    for (size_t r = firstRun; r < endRun; ++r)
      layers += runs[r].count;
  }
};

} // namespace whale::planner

#endif // WHALE_PLANNER_DEALING_H
