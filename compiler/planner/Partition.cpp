//===- Partition.cpp - contiguous stages ----------------------------------===//

#include "compiler/planner/Partition.h"

#include <algorithm>
#include <numeric>

namespace whale::planner {

namespace {

class Cutter {
public:
  explicit Cutter(const PartitionProblem &problem)
      : problem(problem), stages(problem.times.size()) {
    starts.push_back(0);
    for (int64_t count : problem.counts)
      starts.push_back(starts.back() + count);
  }

  std::optional<Partition> run() {
    int64_t total = starts.back();
    if (total < static_cast<int64_t>(stages))
      return std::nullopt;
    Picoseconds high;
    for (unsigned s = 0; s < stages; ++s)
      high = std::max(high, timeOf(s, 0, total));
    if (!feasible(0, 0, high))
      return std::nullopt;
    int64_t low = 0, top = high.value();
    while (low < top) {
      int64_t middle = low + (top - low) / 2;
      if (feasible(0, 0, Picoseconds(middle)))
        top = middle;
      else
        low = middle + 1;
    }
    return balanced(Picoseconds(top));
  }

private:
  Picoseconds timeOf(unsigned s, int64_t first, int64_t last) const {
    Picoseconds time;
    for (size_t r = 0; r < problem.counts.size(); ++r) {
      int64_t n = std::min(last, starts[r + 1]) - std::max(first, starts[r]);
      if (n > 0)
        time += problem.times[s][r] * n;
    }
    return time;
  }

  bool fits(unsigned s, int64_t first, int64_t last) const {
    return !problem.fits || problem.fits(s, first, last);
  }

  /// The furthest end of stage `s` from `first` within `limit`; `first` if not
  /// even one instance goes.
  int64_t reach(unsigned s, int64_t first, Picoseconds limit) const {
    int64_t most = starts.back() - (static_cast<int64_t>(stages) - 1 - s);
    int64_t end = first;
    Picoseconds left = limit;
    for (size_t r = 0; r < problem.counts.size() && end < most; ++r) {
      if (starts[r + 1] <= end)
        continue;
      int64_t n = std::min(starts[r + 1], most) - end;
      Picoseconds each = problem.times[s][r];
      int64_t room = each > Picoseconds() ? left.value() / each.value() : n;
      end += std::min(n, room);
      if (room < n)
        break;
      left -= each * n;
    }
    if (end == first || fits(s, first, end))
      return end;
    int64_t good = first, bad = end;
    while (bad - good > 1) {
      int64_t middle = good + (bad - good) / 2;
      (fits(s, first, middle) ? good : bad) = middle;
    }
    return good;
  }

  /// Whether stages s... can take all from `first`.
  bool feasible(unsigned s, int64_t first, Picoseconds limit) const {
    for (; s < stages; ++s) {
      int64_t end = reach(s, first, limit);
      if (end == first)
        return false;
      first = end;
    }
    return first == starts.back();
  }

  Partition balanced(Picoseconds limit) const {
    Partition result;
    result.cuts.push_back(0);
    for (unsigned s = 0; s < stages; ++s) {
      int64_t first = result.cuts.back();
      int64_t most = reach(s, first, limit), least = first + 1;
      // The smallest end from which the others still can take the rest.
      int64_t high = most;
      while (s + 1 < stages && least < high) {
        int64_t middle = least + (high - least) / 2;
        if (feasible(s + 1, middle, limit))
          high = middle;
        else
          least = middle + 1;
      }
      int64_t end = s + 1 < stages ? equalEnd(s, first, least, most) : most;
      result.bottleneck = std::max(result.bottleneck, timeOf(s, first, end));
      result.cuts.push_back(end);
    }
    return result;
  }

  /// The end in [least, most] nearest to an equal share of what is left.
  int64_t equalEnd(unsigned s, int64_t first, int64_t least,
                   int64_t most) const {
    int64_t share = timeOf(s, first, starts.back()).value() /
                    static_cast<int64_t>(stages - s);
    int64_t end = least;
    while (end < most && timeOf(s, first, end + 1).value() <=
                             share + problem.times[s].front().value() / 2)
      ++end;
    return end;
  }

  const PartitionProblem &problem;
  unsigned stages;
  std::vector<int64_t> starts;
};

} // namespace

std::optional<Partition> partition(const PartitionProblem &problem) {
  return Cutter(problem).run();
}

int64_t partitionCount(int64_t instances, int64_t stages) {
  if (stages < 1 || stages > instances)
    return 0;
  int64_t k = std::min(stages - 1, instances - stages), n = instances - 1;
  int64_t count = 1;
  for (int64_t i = 1; i <= k; ++i) {
    count = saturatingMultiply(count, n - k + i);
    if (count == INT64_MAX)
      return count;
    count /= i;
  }
  return count;
}

void forEachPartition(
    int64_t instances, int64_t stages,
    const std::function<void(const std::vector<int64_t> &)> &visit) {
  if (stages < 1 || stages > instances)
    return;
  std::vector<int64_t> cuts(stages + 1);
  std::iota(cuts.begin(), cuts.end(), 0);
  cuts.back() = instances;
  while (true) {
    visit(cuts);
    int64_t s = stages - 1;
    while (s > 0 && cuts[s] == instances - (stages - s))
      --s;
    if (s == 0)
      return;
    ++cuts[s];
    for (int64_t i = s + 1; i < stages; ++i)
      cuts[i] = cuts[i - 1] + 1;
  }
}

} // namespace whale::planner
