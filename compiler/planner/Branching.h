//===- Branching.h - what is in an entry of the search ----------*- C++ -*-===//
//
// Problem: a step of the branch and bound (Search.cpp): of an entry, the
// narrower entries that are in it, each with a time that nothing in it beats;
// or the best plan of one that is narrow enough.
// Order: a shape has families (recompute, and replicas inside or outside of the
// pipeline), a family members (what is cut over replicas), a member schedules,
// a schedule cuts and shares of the batch. Cheap bounds come first: what one
// shows to be no faster than the best plan is asked for no other.
// Guarantee: no plan in an entry is faster than its bound, and none is lost
// that may be faster than the limit.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PLANNER_BRANCHING_H
#define WHALE_PLANNER_BRANCHING_H

#include "compiler/planner/SearchSpace.h"
#include "compiler/planner/ShardTraffic.h"

namespace whale::planner {

/// All that it is made from must outlive it. Entries may be looked into on
/// several threads, while nothing is set.
class Branching {
public:
  Branching(const Problem &problem, SearchSpace &space, CostTable &table,
            MapTable &maps, Throughput &throughput, ScheduleTable &schedules,
            const std::vector<std::string> &dims)
      : problem(problem), space(space), table(table), maps(maps),
        throughput(throughput), schedules(schedules), dims(dims),
        state(problem), traffic(table) {}

  /// Plans must be faster.
  void setLimit(Picoseconds most) { limit = most; }
  /// What is not faster than this is not looked for.
  Picoseconds limitStep() const {
    return limit - limit.scaled(problem.options.tolerance);
  }
  /// The only cuts that there are.
  void setCuts(std::vector<int64_t> cuts) { fixedCuts = std::move(cuts); }
  /// Whether a throughput is worth its costs: where shapes are many, or a plan
  /// is known before they have costs.
  void useThroughput() { asksThroughput = true; }

  /// Whether the state of a shape fits, whatever its variants do.
  bool mayFit(const Choice &shape) const { return state.mayFit(shape); }
  /// Gives a shape costs and what no variant beats by them: equal stages
  /// without idle time.
  void boundShape(Entry &shape);
  /// The same with idle time, on the devices in their order.
  Picoseconds boundInOrder(const Entry &shape);
  Found lookInto(const Entry &entry);

  /// The form with its shares, and its devices; false where no shares fit.
  bool place(const Entry &entry, NormalForm &form, DeviceMap &devices);
  /// The best candidate of one choice.
  Scored score(const Choice &choice, const NormalForm &form,
               const DeviceMap &devices, Picoseconds below,
               const CutBound *bound = nullptr);

private:
  Found widthsOf(const Entry &any);
  Found familiesOf(Entry shape);
  Found schedulesOf(Entry family);
  Found cutsOf(const Entry &scheduled);
  Found sharesOf(const Entry &scheduled);
  Found simulate(const Entry &entry);

  Picoseconds widestBound(const Entry &any);
  bool boundFamily(Entry &family);
  Picoseconds throughputBound(const Entry &family);
  Picoseconds trafficBound(const Entry &family, const Choice &member);
  void addOrders(const Entry &family, const Choice &member, Found &found,
                 Picoseconds &rest);
  void addSchedules(const Entry &family, const Choice &member, Found &found,
                    Picoseconds &rest);
  void addOthers(const Entry &scheduled, const NormalForm &form,
                 const DeviceMap &devices, Found &found);

  Picoseconds even(const SpreadCosts &costs, const Choice &choice) const;
  Picoseconds stepBound(const SpreadCosts &costs, const Choice &choice,
                        bool anyOrder);
  Picoseconds stepBound(const std::vector<SpreadCosts> &any,
                        const Choice &choice, bool anyOrder);
  Picoseconds wholeStepOf(const Choice &choice, Picoseconds time) const;
  Picoseconds mostAloneOf(const Choice &choice) const;
  std::vector<int64_t> aliveIn(const Choice &choice);

  const Problem &problem;
  SearchSpace &space;
  CostTable &table;
  MapTable &maps;
  Throughput &throughput;
  ScheduleTable &schedules;
  const std::vector<std::string> &dims;
  LeastState state;
  ShardTraffic traffic;
  std::optional<std::vector<int64_t>> fixedCuts;
  bool asksThroughput = false;
  Picoseconds limit = Picoseconds::max();
};

} // namespace whale::planner

#endif // WHALE_PLANNER_BRANCHING_H
