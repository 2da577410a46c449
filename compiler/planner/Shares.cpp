//===- Shares.cpp - unequal shares for unequal devices --------------------===//

#include "compiler/planner/Shares.h"

#include <algorithm>
#include <numeric>
#include <queue>

namespace whale::planner {

namespace {

Picoseconds timeOf(const Worker &worker, int64_t units) {
  return worker.fixed + worker.perUnit * units;
}

/// Most units that a worker does within `limit`, at least 1.
int64_t unitsWithin(const Worker &worker, Picoseconds limit) {
  if (worker.perUnit <= Picoseconds())
    return worker.capacity;
  int64_t room = (limit - worker.fixed).value() / worker.perUnit.value();
  return std::clamp<int64_t>(room, 1, worker.capacity);
}

int64_t totalWithin(std::span<const Worker> workers, Picoseconds limit) {
  int64_t total = 0;
  for (const Worker &worker : workers)
    total = saturatingAdd(total, unitsWithin(worker, limit));
  return total;
}

/// The largest limit in which not more than `units` are done: a start from
/// which few units are left.
Picoseconds startingLimit(int64_t units, std::span<const Worker> workers) {
  int64_t low = 0, high = Picoseconds::max().value() / 2;
  while (low < high) {
    int64_t middle = low + (high - low + 1) / 2;
    if (totalWithin(workers, Picoseconds(middle)) <= units)
      low = middle;
    else
      high = middle - 1;
  }
  return Picoseconds(low);
}

} // namespace

std::optional<std::vector<int64_t>>
fillShares(int64_t units, std::span<const Worker> workers) {
  int64_t capacity = 0;
  for (const Worker &worker : workers) {
    if (worker.capacity < 1)
      return std::nullopt;
    capacity = saturatingAdd(capacity, worker.capacity);
  }
  int64_t count = static_cast<int64_t>(workers.size());
  if (units > capacity || units < count || count == 0)
    return std::nullopt;
  Picoseconds start = startingLimit(units, workers);
  std::vector<int64_t> shares(workers.size(), 1);
  if (totalWithin(workers, start) <= units)
    for (size_t i = 0; i < workers.size(); ++i)
      shares[i] = unitsWithin(workers[i], start);
  int64_t left =
      units - std::accumulate(shares.begin(), shares.end(), int64_t(0));
  using Next = std::pair<Picoseconds, size_t>;
  std::priority_queue<Next, std::vector<Next>, std::greater<>> queue;
  for (size_t i = 0; i < workers.size(); ++i)
    if (shares[i] < workers[i].capacity)
      queue.push({timeOf(workers[i], shares[i] + 1), i});
  for (; left > 0; --left) {
    size_t i = queue.top().second;
    queue.pop();
    if (++shares[i] < workers[i].capacity)
      queue.push({timeOf(workers[i], shares[i] + 1), i});
  }
  return shares;
}

Picoseconds slowest(std::span<const Worker> workers,
                    std::span<const int64_t> shares) {
  Picoseconds result;
  for (size_t i = 0; i < workers.size(); ++i)
    result = std::max(result, timeOf(workers[i], shares[i]));
  return result;
}

} // namespace whale::planner
