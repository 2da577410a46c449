//===- Shares.cpp - unequal shares for unequal devices --------------------===//

#include "compiler/planner/Shares.h"

#include <algorithm>
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
    total = saturatingAdd(
        total, saturatingMultiply(unitsWithin(worker, limit), worker.count));
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

/// What workers of one kind have: each so many, the first few one more.
struct KindShare {
  int64_t each = 1, more = 0;
};

/// Units that are left when each worker has what `shares` says.
int64_t unitsLeft(int64_t units, std::span<const Worker> workers,
                  const std::vector<KindShare> &shares) {
  for (size_t i = 0; i < workers.size(); ++i)
    units -= shares[i].each * workers[i].count;
  return units;
}

/// Gives one more to those that are done first with it, until nothing is left.
void giveOut(int64_t left, std::span<const Worker> workers,
             std::vector<KindShare> &shares) {
  using Next = std::pair<Picoseconds, size_t>;
  std::priority_queue<Next, std::vector<Next>, std::greater<>> queue;
  auto add = [&](size_t i) {
    if (shares[i].each < workers[i].capacity)
      queue.push({timeOf(workers[i], shares[i].each + 1), i});
  };
  for (size_t i = 0; i < workers.size(); ++i)
    add(i);
  while (left > 0) {
    size_t i = queue.top().second;
    queue.pop();
    if (left < workers[i].count) {
      shares[i].more = left;
      return;
    }
    left -= workers[i].count;
    ++shares[i].each;
    add(i);
  }
}

} // namespace

std::optional<std::vector<int64_t>>
fillShares(int64_t units, std::span<const Worker> workers) {
  int64_t capacity = 0, count = 0;
  for (const Worker &worker : workers) {
    if (worker.capacity < 1)
      return std::nullopt;
    capacity = saturatingAdd(capacity,
                             saturatingMultiply(worker.capacity, worker.count));
    count += worker.count;
  }
  if (units > capacity || units < count || count == 0)
    return std::nullopt;
  Picoseconds start = startingLimit(units, workers);
  std::vector<KindShare> kinds(workers.size());
  if (totalWithin(workers, start) <= units)
    for (size_t i = 0; i < workers.size(); ++i)
      kinds[i].each = unitsWithin(workers[i], start);
  giveOut(unitsLeft(units, workers, kinds), workers, kinds);
  std::vector<int64_t> shares;
  shares.reserve(count);
  for (size_t i = 0; i < workers.size(); ++i) {
    shares.insert(shares.end(), kinds[i].more, kinds[i].each + 1);
    shares.insert(shares.end(), workers[i].count - kinds[i].more,
                  kinds[i].each);
  }
  return shares;
}

Picoseconds slowest(std::span<const Worker> workers,
                    std::span<const int64_t> shares) {
  Picoseconds result;
  size_t next = 0;
  for (const Worker &worker : workers)
    for (int64_t i = 0; i < worker.count; ++i)
      result = std::max(result, timeOf(worker, shares[next++]));
  return result;
}

} // namespace whale::planner
