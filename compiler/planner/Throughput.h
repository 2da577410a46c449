//===- Throughput.h - what the types of devices let a shape do --*- C++ -*-===//
//
// Problem: a lower bound of the step of a shape on devices, without the costs
// of its stages: a search over several types of devices meets a hundred
// thousand pairs of the two, most of them many times slower than the best; and
// one that knows a plan from before need not cost most shapes. The same of
// those that recompute. Rule: an instance takes as long on a type of device as
// the costs of classes say for one replica on the first devices of that type,
// whose groups lie as well as any; evenBound() of these. More samples never
// take less, so that costs are looked up at few numbers of samples, of which
// the next smaller one counts. Replicas on several types have the shares with
// which all samples are done in the least time. Guarantee: no more than
// evenBound() of the shape's own costs, whatever its shares
// (ThroughputTest.cpp). Complexity: O(log samples) look-ups a shape, once costs
// are known.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PLANNER_THROUGHPUT_H
#define WHALE_PLANNER_THROUGHPUT_H

#include "compiler/planner/Bound.h"
#include "compiler/planner/Search.h"

#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace whale::planner {

/// Safe for several threads.
class Throughput {
public:
  Throughput(CostTable &table, const std::vector<std::string> &dims)
      : table(table), dims(dims) {}

  /// Of `microBatches` of the micro-batches that a shape has, without
  /// `wholeStep`. The map has so many blocks in each pool (FormMaps); where it
  /// gives none, or the shape cuts experts or a table over its replicas,
  /// nothing is known (zero).
  Picoseconds bound(const Choice &shape, DeviceMap::Kind kind,
                    const std::vector<int64_t> &blocks, int64_t microBatches);
  /// What an instance of each run takes.
  using Times = std::vector<Parts>;
  /// At least on a stage in a pool that has the splits and replicas of any of
  /// some shapes, which have equally many micro-batches.
  Times leastOf(size_t pool, std::span<const Choice> shapes);
  /// Stages on which instances take the same, and how many there are of them.
  using Kind = std::pair<const Times *, int64_t>;
  Picoseconds boundOf(const std::vector<Kind> &kinds,
                      int64_t microBatches) const;

private:
  /// What decides what instances take: splits, and what is computed again.
  using Splits = std::tuple<int64_t, int64_t, bool, Recompute>;

  /// Of a micro-batch on a pipeline, by step; filled as they are asked for.
  using Steps = std::vector<std::optional<Picoseconds>>;

  Picoseconds ofReplicas(const Choice &shape,
                         const std::vector<int64_t> &replicas, int64_t units);
  Steps &stepsOf(const Choice &shape, const std::vector<int64_t> &stages);
  Picoseconds at(const Choice &shape, const std::vector<int64_t> &stages,
                 size_t step, Steps &steps);
  /// evenBound() of a pipeline with these stages.
  Picoseconds evenTime(int64_t pipeline, const std::vector<Kind> &kinds) const;
  int64_t unitsOf(const Choice &shape) const;
  const Times &timesOn(size_t pool, const Choice &shape, size_t step);
  Times timesOf(size_t pool, const Choice &shape, int64_t samples);

  CostTable &table;
  const std::vector<std::string> &dims;
  std::mutex mutex;
  std::map<std::tuple<Splits, size_t, size_t>, Times> known;
  /// By splits and the stages in each pool.
  std::map<std::pair<Splits, std::vector<int64_t>>, Steps> even;
};

} // namespace whale::planner

#endif // WHALE_PLANNER_THROUGHPUT_H
