//===- Families.h - the makers of schedules ---------------------*- C++ -*-===//
//
// One function per family, in the file of that name; Schedule.cpp has the table
// that maps an order to its maker. Each requires a spec that breaks no rule.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_SIMULATOR_FAMILIES_H
#define WHALE_SIMULATOR_FAMILIES_H

#include "compiler/simulator/Schedule.h"

namespace whale::simulator {

TaskLists makeGPipe(const ScheduleSpec &spec);
TaskLists makeOneFOneB(const ScheduleSpec &spec);
TaskLists makeInterleaved(const ScheduleSpec &spec);
/// Micro-batches that go through a chunk before the next chunk's turn.
int64_t interleavedGroup(const ScheduleSpec &spec);
TaskLists makeZeroBubbleByHand(const ScheduleSpec &spec);
TaskLists makeZeroBubbleAutomatic(const ScheduleSpec &spec);
TaskLists makeZeroBubbleV(const ScheduleSpec &spec);
TaskLists makeControllableMemory(const ScheduleSpec &spec);
TaskLists makeDualPipe(const ScheduleSpec &spec);

/// Moves the weights' gradients of a schedule, or adds them to one that has
/// none, with at most `mostAlive` values alive on a stage.
TaskLists fillWeights(const ScheduleSpec &spec, const TaskLists &order,
                      int64_t mostAlive);

/// The spec's costs; all tasks alike where it has none.
std::vector<PartCost> costsOf(const ScheduleSpec &spec);

inline Task forwardTask(int64_t chunk, int64_t microBatch) {
  return {TaskKind::Forward, false, static_cast<uint16_t>(chunk),
          static_cast<uint32_t>(microBatch)};
}
inline Task backwardTask(int64_t chunk, int64_t microBatch) {
  return {TaskKind::Backward, false, static_cast<uint16_t>(chunk),
          static_cast<uint32_t>(microBatch)};
}
inline Task inputTask(int64_t chunk, int64_t microBatch) {
  return {TaskKind::BackwardInput, false, static_cast<uint16_t>(chunk),
          static_cast<uint32_t>(microBatch)};
}
inline Task weightTask(int64_t chunk, int64_t microBatch) {
  return {TaskKind::BackwardWeight, false, static_cast<uint16_t>(chunk),
          static_cast<uint32_t>(microBatch)};
}

} // namespace whale::simulator

#endif // WHALE_SIMULATOR_FAMILIES_H
