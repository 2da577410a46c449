//===- Galvatron.h - Galvatron's objective on its published profile -------===//
//
// What Galvatron 2 (PKU-DAIR/Hetu-Galvatron, Apache-2.0) says of a plan: time
// and memory from the profile of its search test, a Llama of 28 layers with
// 8,192 positions on one node of 8 GPUs. Written from its paper and read from
// its cost model; its two published results come out to nine digits.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_TEST_PLANNER_GALVATRON_H
#define WHALE_TEST_PLANNER_GALVATRON_H

#include <cstdint>
#include <vector>

namespace whale::test::galvatron {

constexpr int64_t devices = 8, layerCount = 28, batch = 64;

/// Milliseconds of a sample's forward part; the backward part takes twice that.
/// From Galvatron's own curves through the lengths that were measured.
constexpr double layerForward = 26.015209808803785,
                 vocabularyForward = 59.73722329820906;
/// MiB; parameters in float32, activations of a sample.
constexpr double layerParameters = 973.771484375,
                 layerActivations = 2088.28955078125, layerInput = 56;
/// MiB of a sample between layers.
constexpr double message = 64;

/// Communication slows the computation beside it down, and the reverse.
constexpr double overlapSlowdown = 1.1534195950157762;

/// Embedding, head, or both together: MiB of their state, and of activations.
struct Vocabulary {
  double state = 0, activations = 0;
};
constexpr Vocabulary embedding = {8351.5009765625, 787.1483154296875},
                     head = {8351.5556640625, 5073.4478759765625},
                     both = {16768.54296875, 5487.8828125};

/// MiB a millisecond that an all-reduce of replicas moves.
double replicaBandwidth(int64_t replicas, bool neighbours);
/// Milliseconds of a message of so many MiB between stages.
double sendTime(int64_t stages, double mebibytes);
/// Half of an all-reduce over a tensor split.
double exchangeTime(int64_t tensor, double mebibytes);

/// How many layers do what.
struct Layers {
  int64_t count = 0;
  bool recompute = false, shardsParameters = false;
};

struct Plan {
  int64_t pipeline = 1, tensor = 1, microBatches = 1;
  /// Of each stage.
  std::vector<std::vector<Layers>> stages;
  int64_t vocabularyTensor = 1;
  bool vocabularySharded = false;

  int64_t replicas() const { return devices / pipeline / tensor; }
};

/// Samples a second.
double throughput(const Plan &plan);
/// MiB of the fullest device.
double memory(const Plan &plan);
/// MiB that plans of 36 GB may have.
constexpr double memoryLimit = 36 * 1024 - 7372;

} // namespace whale::test::galvatron

#endif // WHALE_TEST_PLANNER_GALVATRON_H
