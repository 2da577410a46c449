//===- Schedule.h - in which order a pipeline runs its tasks ----*- C++ -*-===//
//
// A model is cut into parts, in order. A stage (one set of devices) holds one
// or more of them, its chunks. For each micro-batch a part has a forward and a
// backward task; schedules of the zero-bubble family split the backward into
// the gradient of the input, for which the part before waits, and the gradient
// of the weights, for which nobody waits.
//
// A schedule is one list of tasks per stage. It is a pure function of a
// ScheduleSpec. One file makes one family of schedules; CheckSchedule.cpp knows
// what a schedule must satisfy and nothing of how they are made.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_SIMULATOR_SCHEDULE_H
#define WHALE_SIMULATOR_SCHEDULE_H

#include "compiler/support/Units.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace whale::simulator {

/// `p` stages, `m` micro-batches, `s` a stage.
enum class Order : uint8_t {
  /// All forwards, then all backwards, both in the micro-batches' order
  /// (Huang et al., NeurIPS'19).
  GPipe,
  /// min(m, p - s) forwards, then backward and forward in turn (Narayanan et
  /// al., SOSP'19, with a flush).
  OneFOneB,
  /// 1F1B over several chunks per stage (Narayanan et al., SC'21).
  Interleaved,
  /// Zero bubble by hand: as little memory as 1F1B, or twice as much (Qi et
  /// al., ICLR'24).
  ZeroBubbleH1,
  ZeroBubbleH2,
  /// Zero bubble by the paper's heuristic for given times and a memory limit of
  /// p, or 2p, micro-batches.
  ZeroBubble1p,
  ZeroBubble2p,
  /// Two chunks per stage on a path that turns at the last stage, so that the
  /// loss is at the first: memory of 1F1B (ZBV, Qi et al.), about half of it,
  /// about a third of it (Qi et al., NeurIPS'24).
  ZeroBubbleV,
  VHalf,
  VMin,
  /// Micro-batches enter at both ends; every stage holds two parts (DeepSeek-V3
  /// report, 2024).
  DualPipe,
};

/// The name that messages and files use, `1f1b` for instance.
std::string_view nameOf(Order order);
/// All orders, in the enumeration's order.
std::span<const Order> allOrders();

enum class TaskKind : uint8_t {
  Forward,
  /// Gradients of input and weights together.
  Backward,
  BackwardInput,
  BackwardWeight,
};

struct Task {
  TaskKind kind = TaskKind::Forward;
  /// Runs at once with the task that follows (a forward with a backward).
  bool paired = false;
  uint16_t chunk = 0;
  uint32_t microBatch = 0;

  bool operator==(const Task &) const = default;
};

using TaskList = std::vector<Task>;
/// By stage.
using TaskLists = std::vector<TaskList>;

/// Which part of the model a stage's chunk is.
enum class Placement : uint8_t {
  /// Part k on stage k mod p.
  Loop,
  /// Parts 0..p-1 on stages 0..p-1, parts p..2p-1 back from p-1 to 0.
  V,
  /// Stage s has part s for the first half of the micro-batches, which enter at
  /// stage 0, and part p-1-s for the second half, which enter at stage p-1.
  Bidirectional,
};

/// A chunk of a stage.
struct Site {
  int64_t stage = 0, chunk = 0;

  bool operator==(const Site &) const = default;
};

/// Where the parts of the model lie.
struct Layout {
  Placement placement = Placement::Loop;
  int64_t stages = 1, chunks = 1, microBatches = 1;

  int64_t parts() const {
    return placement == Placement::Bidirectional ? stages : stages * chunks;
  }
  /// The part that a site holds, and the site where a micro-batch meets a part.
  int64_t part(Site site) const;
  Site site(int64_t part, int64_t microBatch) const;
};

/// What one micro-batch takes and leaves in one part of the model; automatic
/// schedules arrange by it.
struct PartCost {
  Picoseconds forward, backwardInput, backwardWeight;
  /// To the next part after a forward, to the previous one after a backward.
  Picoseconds sendForward, sendBackward;
  /// Kept from the forward to the input's gradient, and of it what the weights'
  /// gradient needs.
  Bytes saved, weightSaved;
};

struct ScheduleSpec {
  Order order = Order::OneFOneB;
  int64_t stages = 1;
  /// Per stage; 1 or 2 where the order says so.
  int64_t chunks = 1;
  int64_t microBatches = 1;
  /// For the zero-bubble orders but H1 and H2: by part; none: all tasks alike.
  std::vector<PartCost> costs;
  /// For ZB-1p and -2p: most bytes of saved values per stage instead of p or 2p
  /// micro-batches'; 0: not given. One micro-batch always fits.
  Bytes savedLimit;
};

/// Chunks per stage of an order; `given` where the order leaves it open.
int64_t chunksOf(Order order, int64_t given);
Layout layoutOf(const ScheduleSpec &spec);

/// Does the order arrange tasks by `costs`?
bool usesCosts(Order order);
/// Does the order split the backward task?
bool splitsBackward(Order order);

/// The rule that a spec breaks, as a message; nothing if it can be scheduled.
std::optional<std::string> brokenRule(const ScheduleSpec &spec);

/// Requires that `brokenRule` finds nothing. Complexity O(tasks) for the orders
/// without costs; see the families' files for the others.
TaskLists makeSchedule(const ScheduleSpec &spec);

/// What is wrong with lists of tasks: a task that is missing, twice or not
/// possible, an order that can never run, or a stage that has more than
/// `mostAlive` micro-batches' values of its chunks alive (from the forward to
/// the last part of the backward). Nothing if the schedule is right.
std::optional<std::string>
checkSchedule(const Layout &layout, const TaskLists &lists, int64_t mostAlive);

/// Most values of (chunk, micro-batch) alive at once, each from its forward to
/// the last part of its backward.
int64_t mostAlive(const TaskList &tasks);
/// The same in bytes, where a micro-batch leaves `saved` of each chunk.
Bytes mostSaved(const TaskList &tasks, std::span<const Bytes> saved);
/// mostAlive() of every stage of a schedule, by closed forms where its family
/// has them. Requires that `brokenRule` finds nothing.
std::vector<int64_t> mostAlive(const ScheduleSpec &spec);

/// The tasks of stage `stage` of `stages` with one chunk each.
TaskList stageOrder(Order order, int64_t stages, int64_t stage,
                    int64_t microBatches);

/// Micro-batches whose saved values are alive at once on a stage with one
/// chunk: m for GPipe, min(m, p - s) for 1F1B, by counting for others.
int64_t inFlight(Order order, int64_t stages, int64_t stage,
                 int64_t microBatches);

} // namespace whale::simulator

#endif // WHALE_SIMULATOR_SCHEDULE_H
