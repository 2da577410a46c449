//===- Shares.h - unequal shares for unequal devices ------------*- C++ -*-===//
//
// Problem: give `units` equal pieces of work (groups of samples) to workers of
// different speed and memory, at least one each.
// Objective: the smallest time of the slowest worker.
// Guarantee: optimal (a worker's time grows with its units, so giving each unit
// to the worker that is done first with it is optimal); ties go to the first
// worker. Complexity O(units log N) for N kinds of workers at worst; units that
// all can hold by their speed are given at once, so it is O(N log N) in
// practice, and one step for each worker to say what it has. Where times are
// no line, a worker is asked for its time with O(log units) numbers of units.
// Source: water-filling, as notes/whale.md 2.2 asks in place of Whale's
// Algorithm 1 (Jia et al., USENIX ATC'22).
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PLANNER_SHARES_H
#define WHALE_PLANNER_SHARES_H

#include "compiler/support/Units.h"

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <vector>

namespace whale::planner {

struct Worker {
  /// Time without any unit, and for each.
  Picoseconds fixed, perUnit;
  /// Most units that its memory holds.
  int64_t capacity = INT64_MAX;
  /// So many workers like it, one after another.
  int64_t count = 1;
};

/// Units of each of all workers, in their order; nothing where the capacities
/// do not hold them all, they take longer than 53 days (half of what
/// Picoseconds hold) or there are fewer units than workers.
std::optional<std::vector<int64_t>> fillShares(int64_t units,
                                               std::span<const Worker> workers);

/// The time of the slowest of all workers.
Picoseconds slowest(std::span<const Worker> workers,
                    std::span<const int64_t> shares);

/// Equal workers whose time is any function that does not fall with their
/// units; max where their memory does not hold these. It is asked once for each
/// number.
class TimedWorkers {
public:
  TimedWorkers(int64_t count, std::function<Picoseconds(int64_t)> ask)
      : count(count), ask(std::move(ask)) {}

  Picoseconds time(int64_t units);
  /// Most units, up to `most`, that one of them does within `limit`; 0 where
  /// not even one. Looked for from numbers on that were asked for already.
  int64_t unitsWithin(Picoseconds limit, int64_t most);

  int64_t count;

  /// The most units that are known to go within `limit`, and the fewest, up to
  /// `most` + 1, that are known not to.
  std::pair<int64_t, int64_t> knownWithin(Picoseconds limit,
                                          int64_t most) const;

private:
  std::function<Picoseconds(int64_t)> ask;
  std::map<int64_t, Picoseconds> known;
};

/// Whether they do all units within `limit`, at least one each. Asks for little
/// where they are far from it: of each kind what it has in `guess`, and what it
/// must do if the others do as much as they may.
bool canDoWithin(int64_t units, std::span<TimedWorkers> kinds,
                 Picoseconds limit, std::span<const int64_t> guess);

/// As fillShares(), for any times; the better `guess` is, the less is asked.
std::optional<std::vector<int64_t>> fillByTimes(int64_t units,
                                                std::span<TimedWorkers> kinds,
                                                std::span<const int64_t> guess);

/// The time of the slowest of all workers.
Picoseconds slowest(std::span<TimedWorkers> kinds,
                    std::span<const int64_t> shares);

/// Calls `visit` with all shares with which each worker takes less than
/// `limit`, which it returns for those that follow; workers of one kind have
/// the largest first.
void forEachShares(
    int64_t units, std::span<TimedWorkers> kinds, Picoseconds limit,
    const std::function<Picoseconds(const std::vector<int64_t> &)> &visit);

} // namespace whale::planner

#endif // WHALE_PLANNER_SHARES_H
