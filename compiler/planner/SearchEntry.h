//===- SearchEntry.h - what the search looks into ---------------*- C++ -*-===//
//
// Entries of the queue of the branch and bound (Search.cpp), what looking into
// one gives, and how many are looked into at once.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PLANNER_SEARCHENTRY_H
#define WHALE_PLANNER_SEARCHENTRY_H

#include "compiler/planner/Restrict.h"
#include "compiler/planner/SplitWidths.h"

#include <atomic>
#include <functional>
#include <memory>
#include <thread>

namespace whale::planner {

/// f(0) ... f(count - 1), on `threads` threads.
template <class F> void parallelFor(size_t count, unsigned threads, F f) {
  std::atomic<size_t> next = 0;
  auto work = [&] {
    for (size_t i; (i = next++) < count;)
      f(i);
  };
  std::vector<std::thread> others;
  for (unsigned t = 1; t < threads && t < count; ++t)
    others.emplace_back(work);
  work();
  for (std::thread &thread : others)
    thread.join();
}

inline PipelineShape pipelineOf(const Choice &choice) {
  return {choice.schedule, choice.pipeline, choice.virtualStages,
          choice.microBatches};
}
inline std::optional<Choice> firstOf(const std::vector<Choice> &choices) {
  return choices.empty() ? std::nullopt : std::optional(choices.front());
}

inline bool splits(const NormalForm &form) {
  return !form.stages.front().axes.back().dims.empty();
}
/// Whether tasks take as long as those of a shape, which recomputes nothing:
/// layers that do make none shorter.
inline bool takesTheSame(const Choice &choice, const Choice &shape) {
  return choice.recompute == Recompute::None &&
         choice.pipelineOutside == shape.pipelineOutside;
}

/// Placements of a shape whose tasks take the same time, but for what is
/// gathered and scattered where gradients are cut: those of one recompute and
/// order.
struct Family {
  std::vector<Choice> members;
  /// By schedule, in the order of scheduled(): what no member beats, without
  /// `wholeStep`.
  std::vector<Picoseconds> steps;
  /// Whether the bounds are the family's own, not its shape's.
  bool isBounded = false;
  /// Then, of what nothing is cut in: one of these is the least.
  std::shared_ptr<const std::vector<SpreadCosts>> costs = nullptr;
};

/// Something that the search may still look into, with a time that nothing in
/// it beats.
struct Entry {
  enum class Kind : uint8_t {
    /// A shape with any unequal widths of its splits.
    Widths,
    /// All variants of a choice's shape, bounded by its costs.
    Shape,
    /// All schedules of the members of a family.
    Family,
    /// One schedule, bounded by its own costs.
    Scheduled,
    /// The same with any shares of the batch but those it starts with.
    Shares,
    /// The same with those, bounded by its best cuts.
    Cut,
  };
  Picoseconds bound;
  /// Order of entries with equal bounds.
  int64_t number = 0;
  Kind kind = Kind::Shape;
  Choice choice;
  /// Index of the devices among those of the shape's form; of several that
  /// differ in their order, the first.
  size_t map = 0;
  /// Of a shape, without recompute and sharding: one of these is the least.
  std::shared_ptr<const std::vector<SpreadCosts>> costs = nullptr;
  /// Of a schedule, without `wholeStep`.
  Picoseconds step = {};
  /// Of the best cuts.
  std::shared_ptr<const CutBound> cuts = nullptr;
  std::shared_ptr<const Family> family = nullptr;
  /// Of a shape or a family: all of several orders of the devices.
  std::shared_ptr<const std::vector<size_t>> orders = nullptr;
  /// Of the splits; unset: equal.
  std::shared_ptr<const SplitWidths> widths = nullptr;

  bool operator>(const Entry &other) const {
    return std::tie(bound, number) > std::tie(other.bound, other.number);
  }
};

/// A simulated candidate with what decides between equal ones.
struct Scored {
  Choice choice;
  CutResult result;

  bool better(const std::optional<Scored> &other) const {
    if (!result.candidate)
      return false;
    if (!other || !other->result.candidate)
      return true;
    if (result.prediction.step != other->result.prediction.step)
      return result.prediction.step < other->result.prediction.step;
    auto simplicity = [](const Choice &c) {
      return std::tuple(c.recompute, c.shard, c.hybrid,
                        c.schedule != Schedule::OneFOneB, c.virtualStages,
                        c.experts, c.table, c.sequence, c.context, c.pipeline,
                        c.tensor, c.microBatches);
    };
    return simplicity(choice) < simplicity(other->choice);
  }
};

/// What looking into an entry gave.
struct Found {
  std::vector<Entry> entries;
  std::optional<Scored> scored;
};

/// Entries that a dive looks into at most.
constexpr int mostInDive = 64;

/// What plans must be faster than, and by which share of the best step.
struct Wanted {
  Picoseconds below = Picoseconds::max();
  double tolerance = 0;
};
/// Better bounds and cuts of candidates whose bounds are below the best one's
/// step, the most promising first; the best one may become one of them
/// (Tighten.cpp).
void tightenAll(CostTable &table, std::vector<Scored> &candidates,
                std::optional<Scored> &best, const Wanted &wanted);

using ChoiceFilter = std::function<bool(const Choice &)>;
/// For each degree the allowed choice that needs the least memory.
std::vector<Choice> mostFrugal(const Problem &problem,
                               const ChoiceFilter &allowed);
/// Allowed choices that differ from one in one thing.
std::vector<Choice> neighbours(const Problem &problem, const Choice &choice,
                               const ChoiceFilter &allowed);

/// The branch and bound over a problem whose pins hold what its strategy says.
Answer searchPinned(const Problem &problem, const Restriction &restriction,
                    Experience &experience, Diagnostics &diagnostics);
/// A tree that is costed as it stands: nothing of it is searched but its cuts,
/// where it does not give them.
Answer asWritten(const Problem &problem, Diagnostics &diags);

} // namespace whale::planner

#endif // WHALE_PLANNER_SEARCHENTRY_H
