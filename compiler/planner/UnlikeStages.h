//===- UnlikeStages.h - a search of stages that differ ----------*- C++ -*-===//
//
// Problem: the branch and bound (Search.h) gives all stages of a pipeline the
// same replicas, splits and ZeRO. Stages may differ in these: of unlike devices
// some have little memory, and the first stages keep more than the last ones.
//
// Space: pipelines without scopes around them and with one chunk a stage, but
// DualPipe, whose stages each lie in one pool and share the samples of a
// micro-batch equally. They have equally many devices, or those of
// StageSizes.h. Each stage has the replicas, splits and sharding of any
// placement that the branch and bound knows of so many devices, but for those
// with experts or a table over their replicas; in the default space all have
// equally many replicas. Method: best-first, as there: micro-batches and what
// devices stages have, bounded by what these let them do (Throughput.h); then
// in every order; then with every schedule; then with fewer and fewer
// configurations of each stage, all by UnlikeBound.h, whose choice of
// configurations is what is simulated next. One that was is taken off by
// excluding its configuration of one stage after the other (Lawler, 1972).
// Guarantee: bound() holds for all of the space where isSettled(). Complexity
// O(mostWork).
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PLANNER_UNLIKESTAGES_H
#define WHALE_PLANNER_UNLIKESTAGES_H

#include "compiler/planner/SearchSpace.h"
#include "compiler/planner/StageSizes.h"
#include "compiler/planner/UnlikeBound.h"

#include <list>
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
  /// What a stage of so many devices may have.
  struct Menu {
    std::vector<Choice> shapes;
    /// These with every sharding, once they are asked for.
    std::vector<StageForm> forms;
    /// By pool: what instances take on them at least.
    std::map<size_t, Throughput::Times> least;
  };
  /// Pipelines with equally many micro-batches, and in the default space
  /// replicas: what their stages may have, by the number of devices.
  struct Group {
    int64_t microBatches = 1;
    std::map<int64_t, Menu> menus;
  };
  using Blocks = std::vector<StageBlock>;
  struct Node {
    Picoseconds bound;
    int64_t number = 0;
    Group *group = nullptr;
    /// Set once the stages have an order; until then any of `maps`, or of all.
    std::shared_ptr<const StageOrder> order;
    Blocks blocks;
    std::vector<const DeviceMap *> maps;
    Schedule schedule = Schedule::OneFOneB;
    /// Set once its memory is looked at.
    std::shared_ptr<UnlikeBound> costs;
    Menus menus;
    std::vector<size_t> chosen;

    bool operator>(const Node &other) const {
      return std::tie(bound, number) > std::tie(other.bound, other.number);
    }
  };

  bool sharesEqually(const Choice &choice) const;
  void addEqual();
  void addUnequal();
  void addMaps(Group &group, const Choice &shape);
  void fill(Menu &menu);
  Picoseconds throughputOf(Group &group, const Blocks &blocks);
  void push(Node node);
  void lookInto(const Node &node);
  void addOrders(const Node &node);
  void addSchedules(const Node &node);
  void addMenus(const Node &node, std::shared_ptr<UnlikeBound> costs,
                const Menus &menus);
  void branch(const Node &node);
  std::optional<UnlikeBound::Best> boundOf(const Node &node, UnlikeBound &costs,
                                           const Menus &menus);
  void simulate(const Node &node);
  std::shared_ptr<UnlikeBound> costsOf(const Node &node, bool memory);
  Menus menusOf(const Node &node);
  Picoseconds limitStep() const;
  Picoseconds toBeat() const;

  const Problem &problem;
  SearchSpace &space;
  CostTable &table;
  MapTable &maps;
  Throughput &throughput;
  ScheduleTable &schedules;
  const std::vector<std::string> &dims;
  std::list<Group> groups;
  std::priority_queue<Node, std::vector<Node>, std::greater<>> queue;
  std::optional<Scored> best;
  std::vector<Scored> simulatedOnes;
  Picoseconds below, leastBound = Picoseconds::max();
  int64_t number = 0, work = 0;
  bool settled = false;
};

} // namespace whale::planner

#endif // WHALE_PLANNER_UNLIKESTAGES_H
