//===- Assign.cpp - offsets of buffers in one area ------------------------===//

#include "passes/lower/Assign.h"

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>
#include <tuple>

using namespace whale::lower;

namespace {

/// Placed buffers in buckets of time, so that overlaps are found without
/// looking at all.
class Area {
public:
  Area(const std::vector<Lifetime> &lifetimes, uint64_t alignment)
      : lifetimes(lifetimes), alignment(alignment),
        offsets(lifetimes.size(), 0) {
    for (const Lifetime &life : lifetimes)
      end = std::max(end, life.last + 1);
    width = std::max<int64_t>(1, end / kBuckets);
    buckets.resize(end / width + 1);
    seen.resize(lifetimes.size(), 0);
  }

  void place(size_t index) {
    const Lifetime &life = lifetimes[index];
    collect(life, index);
    std::sort(found.begin(), found.end(), [&](size_t a, size_t b) {
      return offsets[a] != offsets[b] ? offsets[a] < offsets[b] : a < b;
    });
    uint64_t need = padded(life.bytes), cursor = 0, best = 0;
    uint64_t bestGap = std::numeric_limits<uint64_t>::max();
    for (size_t other : found) {
      if (offsets[other] > cursor && offsets[other] - cursor >= need &&
          offsets[other] - cursor < bestGap) {
        bestGap = offsets[other] - cursor;
        best = cursor;
      }
      cursor =
          std::max(cursor, offsets[other] + padded(lifetimes[other].bytes));
    }
    if (bestGap == std::numeric_limits<uint64_t>::max())
      best = cursor;
    offsets[index] = best;
    bytes = std::max(bytes, best + need);
    for (int64_t b = life.first / width; b <= life.last / width; ++b)
      buckets[b].push_back(index);
  }

  uint64_t padded(uint64_t size) const {
    return (size + alignment - 1) / alignment * alignment;
  }

  std::vector<uint64_t> takeOffsets() { return std::move(offsets); }
  uint64_t bytes = 0;

private:
  static constexpr int64_t kBuckets = 256;

  void collect(const Lifetime &life, size_t index) {
    found.clear();
    ++stamp;
    for (int64_t b = life.first / width; b <= life.last / width; ++b)
      for (size_t other : buckets[b]) {
        const Lifetime &o = lifetimes[other];
        if (seen[other] == stamp || o.first > life.last || o.last < life.first)
          continue;
        seen[other] = stamp;
        found.push_back(other);
      }
  }

  const std::vector<Lifetime> &lifetimes;
  uint64_t alignment;
  std::vector<uint64_t> offsets;
  std::vector<std::vector<size_t>> buckets;
  std::vector<uint32_t> seen;
  std::vector<size_t> found;
  uint32_t stamp = 0;
  int64_t end = 1, width = 1;
};

/// Most padded bytes alive at one time, and when that is.
std::pair<uint64_t, int64_t> peakOf(const std::vector<Lifetime> &lifetimes,
                                    uint64_t alignment) {
  std::map<int64_t, int64_t> changes;
  for (const Lifetime &life : lifetimes) {
    int64_t size = (life.bytes + alignment - 1) / alignment * alignment;
    changes[life.first] += size;
    changes[life.last + 1] -= size;
  }
  int64_t live = 0, peak = 0, when = 0;
  for (auto [time, change] : changes)
    if ((live += change) > peak) {
      peak = live;
      when = time;
    }
  return {peak, when};
}

} // namespace

Placement whale::lower::assignOffsets(const std::vector<Lifetime> &lifetimes,
                                      uint64_t alignment) {
  Placement best;
  std::tie(best.peak, best.peakTime) = peakOf(lifetimes, alignment);
  best.bytes = std::numeric_limits<uint64_t>::max();
  std::vector<size_t> order(lifetimes.size());
  auto attempt = [&](auto less) {
    if (best.bytes == best.peak)
      return;
    std::iota(order.begin(), order.end(), size_t(0));
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      bool before = less(lifetimes[a], lifetimes[b]);
      bool after = less(lifetimes[b], lifetimes[a]);
      return before != after ? before : a < b;
    });
    Area area(lifetimes, alignment);
    for (size_t index : order)
      area.place(index);
    if (area.bytes < best.bytes) {
      best.bytes = area.bytes;
      best.offsets = area.takeOffsets();
    }
  };
  auto length = [](const Lifetime &l) { return l.last - l.first; };
  // By size; by length; by time of birth; by bytes times length.
  attempt(
      [](const Lifetime &a, const Lifetime &b) { return a.bytes > b.bytes; });
  attempt([&](const Lifetime &a, const Lifetime &b) {
    return length(a) != length(b) ? length(a) > length(b) : a.bytes > b.bytes;
  });
  attempt(
      [](const Lifetime &a, const Lifetime &b) { return a.first < b.first; });
  attempt([&](const Lifetime &a, const Lifetime &b) {
    return double(a.bytes) * (length(a) + 1) >
           double(b.bytes) * (length(b) + 1);
  });
  return best;
}
