//===- Parts.cpp - which part of a cluster is best ------------------------===//

#include "compiler/cluster/Parts.h"

#include <algorithm>
#include <bit>
#include <numeric>

namespace whale {

namespace {

/// 1, 2, 3, 4, 6, 8, 12, 16... below `most`, and `most`.
std::vector<int64_t> steps(int64_t most) {
  std::vector<int64_t> result;
  for (int64_t power = 1; power < most; power *= 2) {
    result.push_back(power);
    if (power > 1 && power + power / 2 < most)
      result.push_back(power + power / 2);
  }
  result.push_back(most);
  return result;
}

/// 0, and sizes of a class that are tried, from the smallest.
std::vector<int64_t> fewSizes(const NodeClass &nodes) {
  int64_t perNode = nodes.type.devicesPerNode;
  std::vector<int64_t> result = steps(perNode);
  result.insert(result.begin(), 0);
  for (int64_t count : steps(nodes.count))
    if (count > 1)
      result.push_back(count * perNode);
  return result;
}

/// 0, each part of a node, and whole nodes.
std::vector<int64_t> allSizes(const NodeClass &nodes) {
  int64_t perNode = nodes.type.devicesPerNode;
  std::vector<int64_t> result(perNode + 1);
  std::iota(result.begin(), result.end(), 0);
  for (int64_t count = 2; count <= nodes.count; ++count)
    result.push_back(count * perNode);
  return result;
}

class PartSearch {
public:
  PartSearch(const Cluster &cluster, const PartValue &value, bool bySize)
      : value(value), bySize(bySize), whole(wholeOf(cluster)) {
    for (const NodeClass &nodes : cluster.classes)
      sizes.push_back(bySize ? allSizes(nodes) : fewSizes(nodes));
  }

  std::optional<DevicesByClass> least();
  std::optional<DevicesByClass> smallest();

private:
  struct Part {
    DevicesByClass devices;
    /// What it is compared by: value and size, in the order that matters.
    std::pair<double, double> worth;
  };

  std::optional<Part> tryOut(const DevicesByClass &devices) const;
  /// Keeps the better one. Whether that is `other`.
  static bool keep(std::optional<Part> &best, std::optional<Part> other);
  DevicesByClass only(size_t c, int64_t devices) const;
  void tryAlone(std::optional<Part> &best) const;
  void tryTogether(std::optional<Part> &best) const;
  bool tryNeighbours(std::optional<Part> &best) const;
  /// The first of 1..most for which the part will do, if it does for the last.
  template <class PartAt>
  std::optional<Part> bisect(int64_t most, PartAt partAt) const;
  std::optional<Part> shrunkAlike() const;
  std::optional<Part> shrunk(std::optional<Part> from) const;

  const PartValue &value;
  const bool bySize;
  const DevicesByClass whole;
  /// Of each class, from 0 to all of it.
  std::vector<std::vector<int64_t>> sizes;
};

std::optional<PartSearch::Part>
PartSearch::tryOut(const DevicesByClass &devices) const {
  int64_t count = std::accumulate(devices.begin(), devices.end(), int64_t(0));
  auto found = count > 0 ? value(devices) : std::nullopt;
  if (!found)
    return std::nullopt;
  auto size = static_cast<double>(count);
  return Part{devices, bySize ? std::pair(size, *found)
                              : std::pair(*found, size)};
}

bool PartSearch::keep(std::optional<Part> &best, std::optional<Part> other) {
  if (!other || (best && best->worth <= other->worth))
    return false;
  best = std::move(other);
  return true;
}

DevicesByClass PartSearch::only(size_t c, int64_t devices) const {
  DevicesByClass part(sizes.size(), 0);
  part[c] = devices;
  return part;
}

void PartSearch::tryAlone(std::optional<Part> &best) const {
  for (size_t c = 0; c < sizes.size(); ++c)
    for (int64_t devices : sizes[c])
      keep(best, tryOut(only(c, devices)));
}

void PartSearch::tryTogether(std::optional<Part> &best) const {
  // Beyond so many classes the sets are too many to search on each.
  constexpr size_t mostClasses = 8;
  constexpr int mostTogether = 4;
  size_t classes = sizes.size();
  keep(best, tryOut(whole));
  for (size_t set = 1; classes <= mostClasses && set < size_t(1) << classes;
       ++set) {
    int members = std::popcount(set);
    if (members < 2 || members > mostTogether)
      continue;
    DevicesByClass part = whole;
    for (size_t c = 0; c < classes; ++c)
      if (!(set >> c & 1))
        part[c] = 0;
    keep(best, tryOut(part));
  }
}

/// Of the parts with one class one size up or down the best, if it is better.
bool PartSearch::tryNeighbours(std::optional<Part> &best) const {
  const DevicesByClass from = best->devices;
  bool better = false;
  for (size_t c = 0; c < sizes.size(); ++c) {
    auto at = std::find(sizes[c].begin(), sizes[c].end(), from[c]);
    DevicesByClass part = from;
    if (at != sizes[c].begin()) {
      part[c] = at[-1];
      better |= keep(best, tryOut(part));
    }
    if (at + 1 != sizes[c].end()) {
      part[c] = at[1];
      better |= keep(best, tryOut(part));
    }
  }
  return better;
}

std::optional<DevicesByClass> PartSearch::least() {
  std::optional<Part> best, together;
  tryAlone(best);
  if (sizes.size() > 1) {
    tryTogether(together);
    while (best && tryNeighbours(best)) {
    }
    while (together && tryNeighbours(together)) {
    }
    keep(best, std::move(together));
  }
  return best ? std::optional(best->devices) : std::nullopt;
}

template <class PartAt>
std::optional<PartSearch::Part> PartSearch::bisect(int64_t most,
                                                   PartAt partAt) const {
  std::optional<Part> best = tryOut(partAt(most));
  int64_t low = 0, high = most;
  while (best && low < high) {
    int64_t middle = low + (high - low) / 2;
    if (auto part = tryOut(partAt(middle))) {
      best = std::move(part);
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return best;
}

/// All classes at the same fraction of their sizes.
std::optional<PartSearch::Part> PartSearch::shrunkAlike() const {
  size_t most = 0;
  for (const std::vector<int64_t> &each : sizes)
    most = std::max(most, each.size() - 1);
  return bisect(static_cast<int64_t>(most), [&](int64_t step) {
    DevicesByClass part;
    for (const std::vector<int64_t> &each : sizes) {
      size_t last = each.size() - 1;
      part.push_back(each[(static_cast<size_t>(step) * last + most - 1) / most]);
    }
    return part;
  });
}

/// With fewer devices of one class after another.
std::optional<PartSearch::Part>
PartSearch::shrunk(std::optional<Part> from) const {
  bool better = from.has_value();
  while (better) {
    better = false;
    const DevicesByClass start = from->devices;
    for (size_t c = 0; c < sizes.size(); ++c) {
      auto at = std::find(sizes[c].begin(), sizes[c].end(), start[c]);
      better |= keep(from, bisect(at - sizes[c].begin(), [&](int64_t i) {
                       DevicesByClass part = start;
                       part[c] = sizes[c][static_cast<size_t>(i)];
                       return part;
                     }));
    }
  }
  return from;
}

std::optional<DevicesByClass> PartSearch::smallest() {
  std::optional<Part> best;
  for (size_t c = 0; c < sizes.size(); ++c)
    keep(best, bisect(static_cast<int64_t>(sizes[c].size()) - 1,
                      [&](int64_t i) { return only(c, sizes[c][i]); }));
  if (sizes.size() > 1) {
    keep(best, shrunk(shrunkAlike()));
    keep(best, shrunk(tryOut(whole)));
  }
  return best ? std::optional(best->devices) : std::nullopt;
}

} // namespace

DevicesByClass wholeOf(const Cluster &cluster) {
  DevicesByClass whole;
  for (const NodeClass &nodes : cluster.classes)
    whole.push_back(nodes.rankCount());
  return whole;
}

std::optional<DevicesByClass> leastPart(const Cluster &cluster,
                                        const PartValue &value) {
  return PartSearch(cluster, value, /*bySize=*/false).least();
}

std::optional<DevicesByClass> smallestPart(const Cluster &cluster,
                                           const PartValue &value) {
  return PartSearch(cluster, value, /*bySize=*/true).smallest();
}

} // namespace whale
