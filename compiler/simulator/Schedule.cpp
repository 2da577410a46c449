//===- Schedule.cpp - orders, their rules and layouts ---------------------===//

#include "compiler/simulator/Schedule.h"

#include "compiler/simulator/Families.h"

#include <algorithm>
#include <array>
#include <limits>

namespace whale::simulator {

namespace {

/// What is said of an order in one place. `chunks` 0: the spec says how many.
struct OrderRow {
  Order order;
  std::string_view name;
  Placement placement;
  int64_t chunks;
  bool usesCosts, splitBackward;
  TaskLists (*make)(const ScheduleSpec &);
  /// Most (chunk, micro-batch) pairs alive on a stage; -1: to be counted.
  int64_t (*alive)(const ScheduleSpec &, int64_t stage);
};

constexpr Placement loop = Placement::Loop;

//===----------------------------------------------------------------------===//
// Closed forms of what is alive
//===----------------------------------------------------------------------===//

int64_t counted(const ScheduleSpec &, int64_t) { return -1; }
int64_t aliveGPipe(const ScheduleSpec &spec, int64_t) {
  return spec.microBatches;
}
int64_t aliveOneFOneB(const ScheduleSpec &spec, int64_t stage) {
  return std::min(spec.microBatches, spec.stages - stage);
}
int64_t aliveInterleaved(const ScheduleSpec &spec, int64_t stage) {
  return std::min(spec.microBatches * spec.chunks,
                  2 * (spec.stages - 1 - stage) +
                      (spec.chunks - 1) * interleavedGroup(spec) + 1);
}
int64_t aliveH1(const ScheduleSpec &spec, int64_t) {
  return std::min(spec.microBatches, spec.stages);
}
int64_t aliveH2(const ScheduleSpec &spec, int64_t) {
  return std::min(spec.microBatches, 2 * spec.stages - 1);
}
int64_t aliveZeroBubbleV(const ScheduleSpec &spec, int64_t stage) {
  return std::min(spec.microBatches, 2 * spec.stages - stage - 1) +
         std::min(spec.microBatches, stage + 1);
}
int64_t aliveVHalf(const ScheduleSpec &spec, int64_t) {
  return std::min(2 * spec.microBatches, 2 * (spec.stages / 2) + 2);
}
int64_t aliveVMin(const ScheduleSpec &spec, int64_t) {
  return std::min(2 * spec.microBatches, 2 * ((spec.stages + 1) / 3) + 2);
}

constexpr OrderRow rows[] = {
    {Order::GPipe, "gpipe", loop, 1, false, false, makeGPipe, aliveGPipe},
    {Order::OneFOneB, "1f1b", loop, 1, false, false, makeOneFOneB,
     aliveOneFOneB},
    {Order::Interleaved, "interleaved-1f1b", loop, 0, false, false,
     makeInterleaved, aliveInterleaved},
    {Order::ZeroBubbleH1, "zb-h1", loop, 1, false, true, makeZeroBubbleByHand,
     aliveH1},
    {Order::ZeroBubbleH2, "zb-h2", loop, 1, false, true, makeZeroBubbleByHand,
     aliveH2},
    {Order::ZeroBubble1p, "zb-1p", loop, 1, true, true, makeZeroBubbleAutomatic,
     counted},
    {Order::ZeroBubble2p, "zb-2p", loop, 1, true, true, makeZeroBubbleAutomatic,
     counted},
    {Order::ZeroBubbleV, "zb-v", Placement::V, 2, true, true, makeZeroBubbleV,
     aliveZeroBubbleV},
    {Order::VHalf, "v-half", Placement::V, 2, true, true,
     makeControllableMemory, aliveVHalf},
    {Order::VMin, "v-min", Placement::V, 2, true, true, makeControllableMemory,
     aliveVMin},
    {Order::DualPipe, "dualpipe", Placement::Bidirectional, 2, false, true,
     makeDualPipe, counted},
};

constexpr auto orders = [] {
  std::array<Order, std::size(rows)> list{};
  for (size_t i = 0; i < std::size(rows); ++i)
    list[i] = rows[i].order;
  return list;
}();

const OrderRow &rowOf(Order order) { return rows[static_cast<size_t>(order)]; }

std::string quoted(std::string_view name) {
  return "'" + std::string(name) + "'";
}

std::optional<std::string> brokenSize(const ScheduleSpec &spec) {
  auto outside = [](int64_t value, int64_t most) {
    return value < 1 || value > most;
  };
  constexpr int64_t most = std::numeric_limits<int32_t>::max();
  if (outside(spec.stages, most))
    return "a pipeline needs 1 stage or more, found " +
           std::to_string(spec.stages);
  if (outside(spec.microBatches, most))
    return "a pipeline needs 1 micro-batch or more, found " +
           std::to_string(spec.microBatches);
  return std::nullopt;
}

std::optional<std::string> brokenChunks(const ScheduleSpec &spec) {
  const OrderRow &row = rowOf(spec.order);
  auto broken = [&](const std::string &rule) {
    return quoted(row.name) + rule + ", found " + std::to_string(spec.chunks);
  };
  if (row.chunks != 0 && spec.chunks != row.chunks)
    return broken(" has chunks per stage " + std::to_string(row.chunks));
  if (row.chunks == 0 && spec.chunks < 2)
    return broken(" needs 2 chunks per stage or more");
  if (spec.chunks > std::numeric_limits<uint16_t>::max())
    return broken(" cannot have that many chunks per stage");
  return std::nullopt;
}

std::optional<std::string> brokenMicroBatches(const ScheduleSpec &spec) {
  auto broken = [&](const std::string &needs, int64_t found) {
    return quoted(nameOf(spec.order)) + " needs " + needs + ", found " +
           std::to_string(found);
  };
  if (spec.order == Order::Interleaved && spec.microBatches < spec.stages)
    return broken("as many micro-batches as stages (" +
                      std::to_string(spec.stages) + ") or more",
                  spec.microBatches);
  if (spec.order != Order::DualPipe)
    return std::nullopt;
  if (spec.stages % 2 != 0)
    return broken("an even number of stages", spec.stages);
  if (spec.microBatches % 2 != 0 || spec.microBatches < 2 * spec.stages)
    return broken("an even number of micro-batches, at least twice the stages "
                  "(" +
                      std::to_string(2 * spec.stages) + ")",
                  spec.microBatches);
  return std::nullopt;
}

std::optional<std::string> brokenCosts(const ScheduleSpec &spec) {
  int64_t parts = layoutOf(spec).parts();
  if (spec.costs.empty() || std::ssize(spec.costs) == parts)
    return std::nullopt;
  return quoted(nameOf(spec.order)) + " needs the costs of " +
         std::to_string(parts) + " parts, found " +
         std::to_string(spec.costs.size());
}

} // namespace

std::string_view nameOf(Order order) { return rowOf(order).name; }
std::span<const Order> allOrders() { return orders; }
bool usesCosts(Order order) { return rowOf(order).usesCosts; }
bool splitsBackward(Order order) { return rowOf(order).splitBackward; }

int64_t chunksOf(Order order, int64_t given) {
  return rowOf(order).chunks == 0 ? given : rowOf(order).chunks;
}

Layout layoutOf(const ScheduleSpec &spec) {
  return {rowOf(spec.order).placement, spec.stages, spec.chunks,
          spec.microBatches};
}

int64_t Layout::part(Site site) const {
  switch (placement) {
  case Placement::Loop:
    return site.chunk * stages + site.stage;
  case Placement::V:
    return site.chunk == 0 ? site.stage : 2 * stages - 1 - site.stage;
  case Placement::Bidirectional:
    return site.chunk == 0 ? site.stage : stages - 1 - site.stage;
  }
  return 0;
}

Site Layout::site(int64_t part, int64_t microBatch) const {
  switch (placement) {
  case Placement::Loop:
    return {part % stages, part / stages};
  case Placement::V:
    return part < stages ? Site{part, 0} : Site{2 * stages - 1 - part, 1};
  case Placement::Bidirectional:
    return microBatch < microBatches / 2 ? Site{part, 0}
                                         : Site{stages - 1 - part, 1};
  }
  return {};
}

std::optional<std::string> brokenRule(const ScheduleSpec &spec) {
  for (auto rule : {brokenSize, brokenChunks, brokenMicroBatches, brokenCosts})
    if (auto broken = rule(spec))
      return broken;
  return std::nullopt;
}

std::vector<PartCost> costsOf(const ScheduleSpec &spec) {
  if (!spec.costs.empty())
    return spec.costs;
  Picoseconds one(1);
  return std::vector<PartCost>(
      layoutOf(spec).parts(),
      PartCost{one, one, one, {}, {}, Bytes(1), Bytes(1)});
}

TaskLists makeSchedule(const ScheduleSpec &spec) {
  return rowOf(spec.order).make(spec);
}

int64_t mostAlive(const TaskList &tasks) {
  int64_t alive = 0, most = 0;
  for (const Task &task : tasks) {
    if (task.kind == TaskKind::Forward)
      most = std::max(most, ++alive);
    else if (task.kind != TaskKind::BackwardInput)
      --alive;
  }
  return most;
}

Bytes mostSaved(const TaskList &tasks, std::span<const Bytes> saved) {
  Bytes alive, most;
  for (const Task &task : tasks) {
    if (task.kind == TaskKind::Forward)
      most = std::max(most, alive += saved[task.chunk]);
    else if (task.kind != TaskKind::BackwardInput)
      alive -= saved[task.chunk];
  }
  return most;
}

std::vector<int64_t> mostAlive(const ScheduleSpec &spec) {
  std::vector<int64_t> alive;
  for (int64_t s = 0; s < spec.stages; ++s)
    alive.push_back(rowOf(spec.order).alive(spec, s));
  if (alive.front() >= 0)
    return alive;
  alive.clear();
  for (const TaskList &tasks : makeSchedule(spec))
    alive.push_back(mostAlive(tasks));
  return alive;
}

int64_t inFlight(Order order, int64_t stages, int64_t stage,
                 int64_t microBatches) {
  ScheduleSpec spec{order, stages, chunksOf(order, 1), microBatches, {}, {}};
  int64_t alive = rowOf(order).alive(spec, stage);
  return alive >= 0 ? alive : mostAlive(spec)[stage];
}

} // namespace whale::simulator
