//===- CutTree.cpp - branch and bound over the cuts of a form -------------===//

#include "compiler/planner/CutTree.h"

#include "compiler/planner/CutCosts.h"

#include <algorithm>
#include <queue>

namespace whale::planner {

namespace {

/// Bounds nearer than this to the limit are near enough.
constexpr double nearEnough = 2e-3;

/// Where the stages begin: anywhere in these ranges, ends included.
struct Node {
  double bound = 0;
  int64_t number = 0;
  size_t space = 0;
  std::vector<int64_t> least, most;

  bool operator>(const Node &other) const {
    return std::tie(bound, number) > std::tie(other.bound, other.number);
  }
};

/// What a stage takes: of a micro-batch, to send to the next one and back from
/// it, and once a step.
struct StageTimes {
  Parts tasks;
  double there = 0, back = 0, tail = 0;
};

/// The longest way through the tasks of a schedule of one part a stage, as the
/// simulator has it: all tasks in an order in which they can run, each with
/// those it waits for.
class LongestWay {
public:
  LongestWay(const simulator::TaskLists &lists, int64_t microBatches)
      : lists(lists), next(lists.size(), 0),
        forwards(lists.size(), std::vector<int64_t>(microBatches, nobody)),
        inputs(forwards) {
    std::vector<size_t> awake;
    for (size_t s = lists.size(); s-- > 0;)
      awake.push_back(s);
    while (!awake.empty()) {
      size_t s = awake.back();
      awake.pop_back();
      if (!advance(s))
        continue;
      for (size_t near : {s - 1, s + 1})
        if (near < lists.size())
          awake.push_back(near);
    }
    done.resize(tasks.size());
    there.resize(tasks.size());
  }

  double length(const std::vector<StageTimes> &times) {
    for (size_t i = 0; i < tasks.size(); ++i) {
      const Task &task = tasks[i];
      const StageTimes &own = times[task.stage];
      double start = task.before == nobody ? 0 : done[task.before];
      if (task.input != nobody)
        start = std::max(start, there[task.input]);
      double end = start + timeOf(task.kind, own.tasks);
      done[i] = end;
      if (task.queue != nobody)
        end = std::max(end, there[task.queue]);
      there[i] = end + (task.to > task.stage   ? own.there
                        : task.to < task.stage ? times[task.to].back
                                               : 0);
    }
    double longest = 0;
    for (size_t s = 0; s < lists.size(); ++s)
      longest = std::max(longest, done[last[s]] + times[s].tail);
    return longest;
  }

private:
  static constexpr int64_t nobody = -1;

  struct Task {
    simulator::TaskKind kind = simulator::TaskKind::Forward;
    /// Where its result goes.
    int64_t stage = 0, to = 0;
    /// The one before it on its stage, whose result it needs, and whose result
    /// was sent before on the same way.
    int64_t before = nobody, input = nobody, queue = nobody;
  };

  static double timeOf(simulator::TaskKind kind, const Parts &parts) {
    switch (kind) {
    case simulator::TaskKind::Forward:
      return parts.forward;
    case simulator::TaskKind::Backward:
      return parts.input + parts.weight;
    case simulator::TaskKind::BackwardInput:
      return parts.input;
    case simulator::TaskKind::BackwardWeight:
      return parts.weight;
    }
    return 0;
  }

  bool advance(size_t s) {
    size_t begin = next[s];
    last.resize(lists.size(), nobody);
    for (; next[s] < lists[s].size(); ++next[s]) {
      const simulator::Task &listed = lists[s][next[s]];
      auto stage = static_cast<int64_t>(s);
      Task task{listed.kind, stage, stage, last[s]};
      if (!connect(listed.microBatch, task))
        break;
      last[s] = std::ssize(tasks);
      tasks.push_back(task);
    }
    return next[s] > begin;
  }

  /// False where what it needs is not there yet.
  bool connect(int64_t j, Task &task) {
    using enum simulator::TaskKind;
    if (task.kind == BackwardWeight)
      return true;
    auto end = std::ssize(lists) - 1;
    bool forward = task.kind == Forward;
    auto &made = forward ? forwards : inputs;
    if (forward && task.stage > 0)
      task.input = forwards[task.stage - 1][j];
    if (!forward)
      task.input =
          task.stage < end ? inputs[task.stage + 1][j] : forwards[end][j];
    if (task.input == nobody && !(forward && task.stage == 0))
      return false;
    task.to = std::clamp<int64_t>(task.stage + (forward ? 1 : -1), 0, end);
    // The micro-batches follow each other.
    if (task.to != task.stage && j > 0)
      task.queue = made[task.stage][j - 1];
    made[task.stage][j] = std::ssize(tasks);
    return true;
  }

  const simulator::TaskLists &lists;
  std::vector<Task> tasks;
  std::vector<size_t> next;
  /// By stage: its last task so far; by micro-batch: whose results it has.
  std::vector<int64_t> last;
  std::vector<std::vector<int64_t>> forwards, inputs;
  /// When each task is done, and its result where it goes.
  std::vector<double> done, there;
};

class Tree {
public:
  Tree(const NormalForm &form, const ReplicaCosts &costs, Picoseconds limit)
      : costs(costs), stages(std::ssize(form.stages)), limit(limit.asDouble()),
        lists(simulator::makeSchedule(
            {form.schedule, stages, 1, form.microBatches, {}, {}})),
        way(lists, form.microBatches),
        times(costs.size(), std::vector<StageTimes>(stages)) {}

  void addSpace(const CutSpace &space, const CutCosts &held) {
    if (sent.empty())
      addMessages(held.instances());
    spaces.push_back({});
    spaces.back().resize(stages);
    for (int64_t s = 0; s < stages; ++s)
      for (const Range &range : space[s])
        spaces.back()[s].push_back(holdingOf(s, range, held));
    Node all;
    all.space = spaces.size() - 1;
    all.least.assign(stages + 1, 0);
    all.most.assign(stages + 1, held.instances());
    all.least.back() = held.instances(), all.most.front() = 0;
    add(std::move(all));
  }

  CutBound run(int &nodes) {
    for (; nodes > 0 && isOpen(); --nodes) {
      Node node = open.top();
      open.pop();
      int64_t at = widest(node);
      int64_t middle = node.least[at] + (node.most[at] - node.least[at]) / 2;
      Node behind = node;
      node.most[at] = middle, behind.least[at] = middle + 1;
      add(std::move(node));
      add(std::move(behind));
    }
    double bound = open.empty() ? limit : std::min(limit, open.top().bound);
    return {Picoseconds(static_cast<int64_t>(bound)), best};
  }

private:
  /// Messages are not counted.
  struct Holding {
    Range range;
    /// By class of replicas.
    std::vector<StageTimes> times;
  };
  /// By stage.
  using Space = std::vector<std::vector<Holding>>;
  struct Sent {
    double there = 0, back = 0;
  };

  void addMessages(int64_t instances) {
    for (const auto &one : costs) {
      sent.emplace_back();
      for (int64_t s = 0; s + 1 < stages; ++s) {
        sent.back().emplace_back(instances + 1);
        for (int64_t at = 1; at < instances; ++at)
          sent.back()[s][at] = {one->messageThere(s, at).asDouble(),
                                one->messageBack(s, at).asDouble()};
      }
    }
  }

  Holding holdingOf(int64_t s, const Range &range, const CutCosts &held) const {
    Holding holding{range, {}};
    for (size_t c = 0; c < costs.size(); ++c) {
      Parts tasks =
          held.prefix(c, s)[range.last] - held.prefix(c, s)[range.first];
      if (costs[c]->hasRelief())
        tasks += held.relieved(c, s, range.first, range.last);
      holding.times.push_back(
          {tasks, 0, 0, held.tailOf(c, s, range.first, range.last)});
    }
    return holding;
  }

  bool isOpen() const {
    return !open.empty() && open.top().bound < limit * (1 - nearEnough);
  }

  /// Where the stages' beginnings differ most; of several the middle one.
  int64_t widest(const Node &node) const {
    std::vector<int64_t> places;
    double most = 0;
    for (int64_t s = 1; s < stages; ++s) {
      double width = static_cast<double>(node.most[s] - node.least[s]) *
                     layerTime(node, s);
      if (width > most * (1 + 1e-9))
        places.clear();
      if (width > 0 && width >= most * (1 - 1e-9))
        most = std::max(most, width), places.push_back(s);
    }
    return places[places.size() / 2];
  }

  /// What an instance takes, about, on the slower side of a place.
  double layerTime(const Node &node, int64_t s) const {
    double time = 0;
    for (int64_t side : {s - 1, s}) {
      const Holding &any = spaces[node.space][side].front();
      time = std::max(
          time, any.times.front().tasks.sum() /
                    static_cast<double>(any.range.last - any.range.first));
    }
    return time;
  }

  /// A node, unless it holds no cuts that are faster than the limit; one that
  /// holds only one way to cut may be the new limit.
  void add(Node node) {
    if (!tighten(node))
      return;
    node.bound = std::max(node.bound, stepOf(node));
    if (node.bound >= limit)
      return;
    if (node.least == node.most) {
      limit = node.bound, best = node.least;
      return;
    }
    node.number = made++;
    open.push(std::move(node));
  }

  /// Leaves out places from which no cuts come together; false where there are
  /// none. Sets the least times of what the stages hold then.
  bool tighten(Node &node) {
    const Space &space = spaces[node.space];
    const int64_t end = node.least.back();
    setReached(node);
    if (!reached[placeOf(stages, end)])
      return false;
    std::vector<char> behind(end + 1, 0), here;
    behind[end] = 1;
    for (int64_t s = stages; s-- > 0;) {
      here.assign(end + 1, 0);
      forget(s);
      int64_t least = end, most = 0;
      for (const Holding &holding : space[s]) {
        const Range &range = holding.range;
        if (!isIn(node, s, range) || !reached[placeOf(s, range.first)] ||
            !behind[range.last])
          continue;
        here[range.first] = 1;
        least = std::min(least, range.first);
        most = std::max(most, range.first);
        takeLeast(s, holding);
      }
      behind.swap(here);
      node.least[s] = least, node.most[s] = most;
    }
    return true;
  }

  size_t placeOf(int64_t s, int64_t at) const { return s * places + at; }

  /// Where stages can begin, with those before them in the node.
  void setReached(const Node &node) {
    places = node.least.back() + 1;
    reached.assign((stages + 1) * places, 0);
    reached[0] = 1;
    for (int64_t s = 0; s < stages; ++s)
      for (const Holding &holding : spaces[node.space][s])
        if (const Range &range = holding.range;
            isIn(node, s, range) && reached[placeOf(s, range.first)])
          reached[placeOf(s + 1, range.last)] = 1;
  }

  static bool isIn(const Node &node, int64_t s, const Range &range) {
    return range.first >= node.least[s] && range.first <= node.most[s] &&
           range.last >= node.least[s + 1] && range.last <= node.most[s + 1];
  }

  void forget(int64_t s) {
    constexpr double any = 1e300;
    for (auto &ofStages : times)
      ofStages[s] = {{any, any, any}, any, any, any};
  }

  void takeLeast(int64_t s, const Holding &holding) {
    for (size_t c = 0; c < costs.size(); ++c) {
      StageTimes &least = times[c][s];
      const StageTimes &own = holding.times[c];
      least.tasks.forward = std::min(least.tasks.forward, own.tasks.forward);
      least.tasks.input = std::min(least.tasks.input, own.tasks.input);
      least.tasks.weight = std::min(least.tasks.weight, own.tasks.weight);
      least.tail = std::min(least.tail, own.tail);
    }
  }

  /// With the times that tighten() left.
  double stepOf(const Node &node) {
    double step = 0;
    for (size_t c = 0; c < costs.size(); ++c) {
      for (int64_t s = 0; s + 1 < stages; ++s)
        for (int64_t at = node.least[s + 1]; at <= node.most[s + 1]; ++at) {
          const Sent &here = sent[c][s][at];
          times[c][s].there = std::min(times[c][s].there, here.there);
          times[c][s].back = std::min(times[c][s].back, here.back);
        }
      step = std::max(step, way.length(times[c]));
    }
    return step * (1 - 1e-9);
  }

  const ReplicaCosts &costs;
  int64_t stages;
  double limit;
  std::vector<Space> spaces;
  /// By class of replicas, stage, and where the next one begins.
  std::vector<std::vector<std::vector<Sent>>> sent;
  simulator::TaskLists lists;
  LongestWay way;
  /// The least of a node, by class of replicas and stage.
  std::vector<std::vector<StageTimes>> times;
  std::priority_queue<Node, std::vector<Node>, std::greater<>> open;
  int64_t made = 0;
  std::vector<int64_t> best;
  /// By stage and place, in the node that is looked at.
  int64_t places = 0;
  std::vector<char> reached;
};

} // namespace

bool hasCutTree(const CostTable &table, const NormalForm &form) {
  // What one node may take.
  constexpr int64_t mostTasks = 20'000, mostRanges = 100'000;
  auto stages = static_cast<int64_t>(form.stages.size());
  int64_t instances = workload::instanceCount(table.workload);
  return stages > 1 && stages <= instances && form.virtualStages == 1 &&
         !simulator::usesCosts(form.schedule) &&
         form.schedule != Schedule::DualPipe &&
         form.microBatches <= mostTasks / (3 * stages) &&
         instances * instances / 2 * stages <= mostRanges;
}

CutBound treeBound(CostTable &table, const NormalForm &form,
                   const ReplicaCosts &costs, Picoseconds limit, int &nodes) {
  Tree tree(form, costs, limit);
  forEachSpace(table, form, costs, limit,
               [&](const CutSpace &space, const CutCosts &held) {
                 tree.addSpace(space, held);
                 return limit;
               });
  return tree.run(nodes);
}

} // namespace whale::planner
