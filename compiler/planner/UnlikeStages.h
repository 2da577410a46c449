//===- UnlikeStages.h - a search of stages that differ ----------*- C++ -*-===//
//
// Problem: the branch and bound (Search.h) gives all stages of a pipeline the
// same replicas, splits and ZeRO. Stages may differ in these: of unlike devices
// some have little memory, and the first stages keep more than the last ones.
//
// Space: pipelines without scopes around them and with one chunk a stage, but
// DualPipe, whose stages have equally many devices, each in one pool, and share
// the samples of a micro-batch equally. Each stage has the replicas, splits and
// sharding of any placement that the branch and bound knows of so many devices,
// but for those with experts or a table over their replicas; in the default
// space all have equally many replicas.
// Method: best-first, as there: numbers of stages, devices and micro-batches on
// a map, bounded by what the devices let them do (Throughput.h); then with
// every schedule; then with fewer and fewer configurations of each stage, all
// by UnlikeBound.h, whose choice of configurations is what is simulated next.
// One that was is taken off by excluding its configuration of one stage after
// the other (Lawler, 1972).
// Guarantee: bound() holds for all of the space where isSettled(). Complexity
// O(mostWork).
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PLANNER_UNLIKESTAGES_H
#define WHALE_PLANNER_UNLIKESTAGES_H

#include "compiler/planner/SearchSpace.h"
#include "compiler/planner/UnlikeBound.h"

#include <queue>

namespace whale::planner {

/// Whether some stage has other axes than the first.
bool hasUnlikeStages(const NormalForm &form);

/// All arguments must outlive it.
class UnlikeStages {
public:
  UnlikeStages(const Problem &problem, SearchSpace &space, CostTable &table,
               MapTable &maps, Throughput &throughput, ScheduleTable &schedules,
               const std::vector<std::string> &dims)
      : problem(problem), space(space), table(table), maps(maps),
        throughput(throughput), schedules(schedules), dims(dims) {}

  /// Whether such plans are looked for at all: where nothing else fits only of
  /// small problems.
  static bool covers(const Problem &problem, bool fits);

  /// Plans that are faster than `best` and `below`, in place of its cuts and
  /// form; `mayGoOn` is told how many more were simulated.
  void run(std::optional<Scored> &best, Picoseconds below,
           const std::function<bool(int64_t)> &mayGoOn);

  /// What no such plan is faster than, where it is not the best one; and
  /// whether that is so of all of them, not only of those that were looked at.
  Picoseconds bound() const { return leastBound; }
  bool isSettled() const { return settled; }

private:
  /// Pipelines that differ in what their stages have.
  struct Group {
    std::vector<Choice> configurations;
  };
  struct Node {
    Picoseconds bound;
    int64_t number = 0;
    const Group *group = nullptr;
    /// Of the group's devices; unset: any of `orders`.
    const DeviceMap *map = nullptr;
    std::vector<const DeviceMap *> orders;
    Schedule schedule = Schedule::OneFOneB;
    /// Set once its memory is looked at.
    std::shared_ptr<UnlikeBound> costs;
    Menus menus;
    std::vector<size_t> chosen;

    bool operator>(const Node &other) const {
      return std::tie(bound, number) > std::tie(other.bound, other.number);
    }
  };

  void findGroups();
  bool sharesEqually(const Choice &choice) const;
  std::vector<Choice> configurationsOf(const Choice &shape) const;
  void addNodes(const Group &group);
  void push(Node node);
  void lookInto(const Node &node);
  void addSchedules(const Node &node);
  void addMenus(const Node &node, std::shared_ptr<UnlikeBound> costs,
                const Menus &menus);
  void branch(const Node &node);
  std::optional<UnlikeBound::Best> boundOf(const Node &node, UnlikeBound &costs,
                                           const Menus &menus);
  void simulate(const Node &node);
  std::shared_ptr<UnlikeBound> costsOf(const Node &node, bool memory) const;
  Picoseconds limitStep() const;
  Picoseconds mostAloneOf(const Group &group) const;
  Picoseconds toBeat() const;

  const Problem &problem;
  SearchSpace &space;
  CostTable &table;
  MapTable &maps;
  Throughput &throughput;
  ScheduleTable &schedules;
  const std::vector<std::string> &dims;
  std::vector<Group> groups;
  std::priority_queue<Node, std::vector<Node>, std::greater<>> queue;
  std::optional<Scored> best;
  std::vector<Scored> simulatedOnes;
  Picoseconds below, leastBound = Picoseconds::max();
  int64_t number = 0, work = 0;
  bool settled = false;
};

} // namespace whale::planner

#endif // WHALE_PLANNER_UNLIKESTAGES_H
