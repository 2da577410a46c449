//===- Equal.h - pipelines of equal parts, for tests ------------*- C++ -*-===//

#ifndef WHALE_TEST_SIMULATOR_EQUAL_H
#define WHALE_TEST_SIMULATOR_EQUAL_H

#include "compiler/simulator/Pipeline.h"

namespace whale::simulator {

/// Times of one stage's work on a micro-batch, whatever its chunks.
struct Work {
  int64_t forward = 0, input = 0, weight = 0, send = 0;
};

/// `work` cut evenly into the chunks of a stage; values saved by a chunk take
/// 1000 bytes, 1000 * `weightShare` of them for the weights' gradient.
inline Problem equalParts(Order order, int64_t stages, int64_t microBatches,
                          Work work, int64_t chunks = 1,
                          double weightShare = 1) {
  Problem problem;
  problem.order = order;
  problem.microBatches = microBatches;
  problem.chunks = chunks;
  bool both = order == Order::DualPipe;
  int64_t cuts = both ? 1 : chunksOf(order, chunks);
  Stage part;
  part.forward = Picoseconds(work.forward / cuts);
  part.weight = Picoseconds(work.weight / cuts);
  part.backward = Picoseconds(work.input / cuts) + part.weight;
  part.sendForward = part.sendBackward = Picoseconds(work.send);
  part.saved = Bytes(1000);
  part.weightSaved = part.saved.scaled(weightShare);
  problem.stages.assign(stages * cuts, part);
  return problem;
}

} // namespace whale::simulator

#endif // WHALE_TEST_SIMULATOR_EQUAL_H
