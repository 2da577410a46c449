//===- UnlikeBound.h - what no stages of several kinds beat -----*- C++ -*-===//
//
// Problem: each stage of a pipeline may have one of several configurations
// (replicas, splits, what ZeRO cuts) on its devices. A lower bound of the step
// over all ways to choose them and to cut the model, and a choice that comes
// near it.
//
// Method: a stage holds some instances within a time if one of its
// configurations does, by the rows of BoundRows.h: its own times, tail and
// memory are those of that configuration, and of the other stages' instances
// each takes what it takes on the best of the stages where it may be, in the
// best of their configurations. For a limit, the nearest end of each stage for
// each beginning, from the last stage on; the limit by bisection.
// Why it is a bound: rows are sums of times with weights that are not negative,
// so that a smaller time in place of the plan's own makes them no larger; what
// a configuration takes depends on no other stage but for messages, whose time
// depends on the receiver's configuration and on how many devices each of the
// two has, which is given; and for ties, which count the least of all
// configurations.
// Complexity O(stages * instances * configurations) a limit.
//
// Of configurations with the same replicas and splits, one with which a stage
// has room for the whole model and never takes longer than with another, for a
// micro-batch or at the end, is better: what the stage holds fits, and a fixed
// order of tasks is no slower where none of them is.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PLANNER_UNLIKEBOUND_H
#define WHALE_PLANNER_UNLIKEBOUND_H

#include "compiler/planner/CutCosts.h"
#include "compiler/planner/Search.h"

#include <memory>

namespace whale::planner {

/// For each stage the numbers of the configurations that it may have.
using Menus = std::vector<std::vector<size_t>>;

/// For one thread.
class UnlikeBound {
public:
  /// Each of `forms` has one configuration of each stage, and differs from the
  /// others in nothing else. Without `memory` what holds for every schedule
  /// with one chunk a stage, whether it fits or not.
  UnlikeBound(CostTable &table, std::vector<NormalForm> forms,
              const DeviceMap &devices, bool memory);

  /// From then on what holds for this schedule; without memory only.
  void setSchedule(Schedule schedule);

  struct Best {
    /// Without `wholeStep`.
    Picoseconds bound;
    /// By stage; empty where nothing is below the limit.
    std::vector<size_t> configurations;
  };
  /// Nothing is below `known`, and what is not below `limit` does not matter.
  Best of(const Menus &menus, Picoseconds known, Picoseconds limit);

  /// Of each stage, those of its configurations in whose place no other one is
  /// never slower and fits; with memory only.
  Menus worthTrying(const Menus &menus) const;

  /// The form in which each stage has its own.
  NormalForm formOf(const std::vector<size_t> &configurations) const;
  size_t configurations() const { return all.size(); }

private:
  struct Configuration {
    NormalForm form;
    ReplicaCosts costs;
    std::unique_ptr<CutCosts> held;
    /// By boundary between stages, of any cut: the least.
    std::vector<double> there, back;
  };
  /// A row with the messages that it counts.
  struct StageRow {
    Row row;
    double messages = 0;
  };
  /// What stages hold and have.
  struct Filled {
    std::vector<int64_t> cuts;
    std::vector<size_t> configurations;
  };
  struct Limits {
    double limit = 0;
    /// Of stage 0, once a step.
    double tail = 0;
  };

  bool isBetter(size_t one, size_t other, unsigned stage) const;
  void setMenus(const Menus &menus);
  void setMessages();
  double leastTail(int64_t last) const;
  double ties(unsigned stage, int64_t first, int64_t last) const;
  double valueOf(size_t k, unsigned stage, int64_t first, int64_t last,
                 const Limits &limits) const;
  std::optional<size_t> goes(unsigned stage, int64_t first, int64_t last,
                             const Limits &limits) const;
  std::optional<Filled> fill(const Limits &limits) const;
  std::optional<Filled> within(double limit) const;
  double settle(Filled &filled) const;

  CostTable &table;
  bool memory;
  int64_t instances, stages;
  std::vector<Configuration> all;
  std::vector<std::vector<StageRow>> rows;
  const Menus *menus = nullptr;
  /// By stage: what all instances before one take in the stages before it at
  /// least; and what those up to one take in it and those behind.
  std::vector<Prefix> before, behind;
};

} // namespace whale::planner

#endif // WHALE_PLANNER_UNLIKEBOUND_H
