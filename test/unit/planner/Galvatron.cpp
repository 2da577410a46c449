//===- Galvatron.cpp - Galvatron's objective on its published profile -----===//

#include "test/unit/planner/Galvatron.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace whale::test::galvatron {

namespace {

/// MiB a sample and device: of ZeRO-3 all state is cut, of ZeRO-2 seven
/// eighths; with several micro-batches gradients have a buffer more.
double stateShare(int64_t shards, bool parameters, int64_t microBatches) {
  if (shards == 1)
    return 1;
  double cut = 1 / static_cast<double>(shards) + 0.003;
  double share = parameters ? cut : 7 * cut / 8 + 1.0 / 8;
  return microBatches == 1 ? share : share * 5 / 4;
}

/// Of a layer's reduction of gradients beside its backward part.
double overlapped(double traffic, double perMebibyte, double backward) {
  double slowTraffic = traffic * perMebibyte * overlapSlowdown;
  double slowBackward = backward * overlapSlowdown;
  if (slowTraffic > slowBackward)
    return slowBackward +
           (traffic - slowBackward / (perMebibyte * overlapSlowdown)) *
               perMebibyte;
  return slowTraffic + backward - slowTraffic / overlapSlowdown;
}

double samplesOf(const Plan &plan, int64_t replicas) {
  return static_cast<double>(batch / plan.microBatches / replicas);
}

/// Of one layer and micro-batch; `last` also reduces the gradients.
double layerTime(const Plan &plan, const Layers &what, bool last) {
  int64_t replicas = plan.replicas();
  double samples = samplesOf(plan, replicas);
  auto tensor = static_cast<double>(plan.tensor);
  double forward = layerForward * samples / tensor;
  double backward = forward * (what.recompute ? 3 : 2);
  double time = forward + backward;
  double parts = static_cast<double>(replicas);
  double perMebibyte =
      replicas > 1 ? 1 / replicaBandwidth(replicas, plan.tensor == 1) : 0;
  double traffic = (parts - 1) / parts * layerParameters / tensor;
  if (last && replicas > 1)
    time = forward + overlapped(traffic, perMebibyte, backward);
  if (plan.tensor > 1)
    time +=
        exchangeTime(plan.tensor, samples * message) * (what.recompute ? 9 : 6);
  if (what.shardsParameters)
    time += traffic / 2 * perMebibyte;
  if (plan.pipeline > 1)
    time += static_cast<double>(plan.pipeline) * 2 *
            sendTime(plan.pipeline, samples * message) / layerCount;
  return time;
}

bool isLast(const Plan &plan, size_t stage) {
  return stage + 1 == plan.stages.size();
}

Vocabulary vocabularyOf(const Plan &plan, size_t stage) {
  if (plan.pipeline == 1)
    return both;
  return stage == 0 ? embedding : isLast(plan, stage) ? head : Vocabulary();
}

int64_t vocabularyReplicas(const Plan &plan) {
  return devices / plan.pipeline / plan.vocabularyTensor;
}

/// Embedding and head share their time equally.
double vocabularyTime(const Plan &plan, size_t stage) {
  int ends = (stage == 0) + isLast(plan, stage);
  int64_t replicas = vocabularyReplicas(plan);
  auto tensor = static_cast<double>(plan.vocabularyTensor);
  double samples = samplesOf(plan, replicas), parts = replicas;
  double forward = vocabularyForward * samples / tensor * ends / 2;
  double gathered = 0;
  if (replicas > 1 && plan.vocabularySharded)
    gathered = vocabularyOf(plan, stage).state / tensor / 4 / 2 * (parts - 1) /
               parts / replicaBandwidth(replicas, plan.vocabularyTensor == 1) /
               2;
  auto beside = [](double compute, double traffic) {
    double slow = compute * overlapSlowdown;
    return traffic + std::max(slow - traffic, 0.0) / overlapSlowdown;
  };
  double exchanges =
      plan.vocabularyTensor > 1
          ? ends * exchangeTime(plan.vocabularyTensor, samples * message)
          : 0;
  return beside(forward, gathered) + beside(forward * 2, gathered) + exchanges;
}

double stageMemory(const Plan &plan, size_t stage) {
  double samples = samplesOf(plan, plan.replicas());
  auto tensor = static_cast<double>(plan.tensor);
  double inFlight =
      plan.pipeline == 1 ? 1 : static_cast<double>(plan.pipeline - stage);
  double sum = 0;
  for (const Layers &some : plan.stages[stage]) {
    double kept = some.recompute ? layerInput : layerActivations;
    double one = 4 * layerParameters / tensor *
                     stateShare(plan.replicas(), some.shardsParameters,
                                plan.microBatches) +
                 kept * inFlight * samples / tensor;
    sum += static_cast<double>(some.count) * std::ceil(one);
  }
  int64_t replicas = vocabularyReplicas(plan);
  auto own = static_cast<double>(plan.vocabularyTensor);
  Vocabulary part = vocabularyOf(plan, stage);
  double alive = plan.pipeline > 1 && stage == 0 ? inFlight : 1;
  sum += std::ceil(
      part.state / own *
          stateShare(replicas, plan.vocabularySharded, plan.microBatches) +
      part.activations / own * alive * samplesOf(plan, replicas) + 1024);
  // What tensor splits gather goes to one buffer.
  int64_t widest = std::max(plan.tensor, plan.vocabularyTensor);
  return sum + std::floor(samplesOf(plan, devices / plan.pipeline / widest) *
                          message);
}

} // namespace

double replicaBandwidth(int64_t replicas, bool neighbours) {
  switch (replicas) {
  case 2:
    return neighbours ? 155.647 : 153.933;
  case 4:
    return neighbours ? 164.272 : 165.493;
  default:
    return 160.445;
  }
}

double sendTime(int64_t stages, double mebibytes) {
  return mebibytes / (stages == 2 ? 147.32 : stages == 4 ? 133.469 : 108.616);
}

double exchangeTime(int64_t tensor, double mebibytes) {
  // All-reduces of 64 to 1,024 MiB.
  static const std::map<int64_t, std::vector<double>> measured = {
      {2, {0.3924, 0.7417, 1.3887, 2.6886, 5.1594}},
      {4, {0.5848, 1.0725, 2.0709, 3.7352, 7.1874}},
      {8, {0.6519, 1.2826, 2.3584, 4.6768, 8.1409}}};
  const std::vector<double> &times = measured.at(tensor);
  double parts = mebibytes / message;
  if (parts <= 1)
    return times.front() * parts / 2;
  size_t at = 0;
  while (at + 1 < times.size() && parts >= 2)
    ++at, parts /= 2;
  double next = at + 1 < times.size() ? times[at + 1] : times[at] * 2;
  return (times[at] + (next - times[at]) * (parts - 1)) / 2;
}

double throughput(const Plan &plan) {
  std::vector<double> times, ends;
  for (size_t s = 0; s < plan.stages.size(); ++s) {
    double time = 0, end = 0;
    for (const Layers &some : plan.stages[s]) {
      auto count = static_cast<double>(some.count);
      time += count * layerTime(plan, some, false);
      end += count * layerTime(plan, some, true);
    }
    times.push_back(time + vocabularyTime(plan, s));
    ends.push_back(end);
  }
  double before = 0, late = 0;
  for (double time : times)
    before += time;
  auto micro = static_cast<double>(plan.microBatches);
  auto stages = static_cast<double>(plan.pipeline);
  // The last stage in steady state; or the first one, with the way there and
  // back in which it has at most `stages` micro-batches, a third of it forward.
  double first = times.front(), others = before - first;
  double filled = std::min(stages - 1, micro - 1) * first;
  double step = std::max(before + times.back() * (micro - 1),
                         std::max(filled / 3, others / 3) +
                             std::max(filled * 2 / 3, others * 2 / 3) +
                             first * std::max(0.0, micro + 1 - stages));
  before = 0;
  for (size_t s = 0; s < times.size(); ++s) {
    before += times[s];
    late = std::max(late, ends[s] - before);
  }
  return batch / ((step + late) / 1000);
}

double memory(const Plan &plan) {
  double most = 0;
  for (size_t s = 0; s < plan.stages.size(); ++s)
    most = std::max(most, stageMemory(plan, s));
  return most;
}

} // namespace whale::test::galvatron
