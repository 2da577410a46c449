//===- ChunkBound.cpp - bounds and cuts of stages with several chunks -----===//
//
// spreadBound of a chunked schedule: before stage s begins, its first
// micro-batch has come through s parts of at least q instances each (and in
// schedules that do not split the backward part the last one still returns
// through them), which are the first of the model; then s runs m micro-batches.
// Hence, with P(n) the time of the first n instances, the mean over the stages
// of P(q s) + m T_s, whatever T_s are; and for a stage that holds neither the
// first nor the last part, P(q s) + m q v times a layer.
//
// cutBound: of given parts with times f_k and b_k (of which the next stage
// waits for i_k), for every stage s with parts k0 ... kl:
//   sum_{k<k0} f_k + m T_s + sum_{k<k0} b_k, the last term only where the
//   backward part is not split, and
//   sum f_k + sum_{k>kl} i_k + m T_s - w_s + the same: w_s are the longest
//   forward parts that may run before its first backward part, as many as it
//   can keep; with the messages on the way; and
//   m sum_c L_c / n_s: the values of a micro-batch live in part c of s while it
//   goes to the end of the model and comes back, L_c, and n_s of them are alive
//   at most.
// ChunksTest.cpp compares both with the simulator.
//
//===----------------------------------------------------------------------===//

#include "compiler/planner/Bound.h"
#include "compiler/planner/Dealing.h"
#include "compiler/planner/Partition.h"
#include "compiler/planner/Search.h"

#include <algorithm>
#include <numeric>

namespace whale::planner {

namespace {

/// Up to so many ways to cut a small model are all tried.
constexpr int64_t mostChunkings = 2000;

bool triesAll(bool small, int64_t instances, int64_t parts) {
  return small && partitionCount(instances, parts) <= mostChunkings;
}

/// The fewest instances that a part has.
int64_t leastInPart(const SpreadCosts &costs, int64_t parts, bool all) {
  return all ? 1 : std::max<int64_t>(1, Dealing(costs.runs).layers / parts);
}

/// The shortest of the layers that are dealt out, on a stage's device.
double shortestLayer(const SpreadCosts &costs, int64_t stage) {
  Dealing dealt(costs.runs);
  auto timeOf = [&](size_t run) {
    return (costs.kindOf.empty() ? costs.runs[run].each
                                 : costs.kinds[costs.kindOf[stage]].each[run])
        .sum();
  };
  double least = timeOf(dealt.firstRun);
  for (size_t r = dealt.firstRun; r < dealt.endRun; ++r)
    least = std::min(least, timeOf(r));
  return least;
}

/// Times of the first instances.
double timeOfFirst(const SpreadCosts &costs, int64_t instances, bool backward) {
  double time = 0;
  for (const SpreadCosts::Run &run : costs.runs) {
    int64_t n = std::min(instances, run.count);
    time +=
        static_cast<double>(n) * (backward ? run.each.sum() : run.each.forward);
    instances -= n;
  }
  return time;
}

/// A bound by each stage of a pipeline whose parts are known.
class PartsBound {
public:
  using Part = ChunkBounds::Part;

  PartsBound(const NormalForm &form, const simulator::Layout &layout,
             const std::vector<Part> &parts, const std::vector<int64_t> &alive)
      : layout(layout), parts(parts), alive(alive),
        m(static_cast<double>(form.microBatches)),
        splits(simulator::splitsBackward(form.schedule)) {
    there.reserve(parts.size() + 1);
    back.reserve(parts.size() + 1);
    for (const Part &part : parts) {
      Picoseconds weight = std::min(part.weight, part.backward);
      Picoseconds input = splits ? part.backward - weight : part.backward;
      there.push_back(there.back() +
                      (part.forward + part.sendForward).asDouble());
      back.push_back(back.back() + (input + part.sendBackward).asDouble());
    }
  }

  /// Up to the first stage that has `limit` or more.
  double run(double limit) const {
    double most = 0;
    for (int64_t s = 0; s < layout.stages && most < limit; ++s)
      most = std::max({most, byWork(s), byMemory(s)});
    return most;
  }

private:
  const Part &partOf(int64_t s, int64_t chunk) const {
    return parts[layout.part({s, chunk})];
  }

  double byWork(int64_t s) const {
    double work = 0;
    int64_t last = 0;
    for (int64_t c = 0; c < layout.chunks; ++c) {
      work += (partOf(s, c).forward + partOf(s, c).backward).asDouble();
      last = std::max(last, layout.part({s, c}));
    }
    double way = there.back() + back.back() - back[last + 1] - warmUp(s);
    // The message from a part to the one before is its own.
    double returns = splits ? 0
                            : back[s] + parts[s].sendBackward.asDouble() -
                                  parts.front().sendBackward.asDouble();
    return m * work + returns + std::max(there[s], way);
  }

  /// By how long the values of a micro-batch live in the parts of a stage.
  double byMemory(int64_t s) const {
    double time = 0;
    for (int64_t c = 0; c < layout.chunks; ++c) {
      int64_t part = layout.part({s, c});
      time += there.back() - there[part] + back.back() - back[part + 1] +
              parts[part].backward.asDouble();
    }
    return m * time / static_cast<double>(alive[s]);
  }

  /// Forward parts that may run before the first backward part.
  double warmUp(int64_t s) const {
    std::vector<double> times;
    times.reserve(layout.chunks);
    for (int64_t c = 0; c < layout.chunks; ++c)
      times.push_back(partOf(s, c).forward.asDouble());
    std::sort(times.rbegin(), times.rend());
    double time = 0, left = static_cast<double>(alive[s]);
    for (double one : times) {
      double count = std::min(left, m);
      time += count * one;
      left -= count;
    }
    return time;
  }

  const simulator::Layout &layout;
  const std::vector<Part> &parts;
  const std::vector<int64_t> &alive;
  double m;
  bool splits;
  /// Of a micro-batch through the parts before each one, and back through them,
  /// with the messages that they send.
  std::vector<double> there = {0}, back = {0};
};

} // namespace

std::vector<std::vector<int64_t>> chunkCuts(const CostTable &table,
                                            const NormalForm &form) {
  bool all = triesAll(isSmall(table.workload, table.hardware),
                      workload::instanceCount(table.workload), partCount(form));
  return all ? allCuts(table.workload, form) : dealtCuts(table.workload, form);
}

Picoseconds chunkedSpread(const SpreadCosts &costs,
                          const PipelineShape &shape) {
  int64_t parts = shape.stages * shape.chunks, instances = 0;
  for (const SpreadCosts::Run &run : costs.runs)
    instances += run.count;
  bool all = triesAll(costs.isSmall, instances, parts);
  int64_t each = leastInPart(costs, parts, all);
  bool returns = !simulator::splitsBackward(shape.schedule);
  auto m = static_cast<double>(shape.microBatches);
  double sum = m * costs.all.sum();
  for (int64_t s = 0; s < shape.stages; ++s)
    sum += timeOfFirst(costs, s * each, returns);
  double step = sum / static_cast<double>(shape.stages);
  simulator::ScheduleSpec spec;
  spec.order = shape.schedule;
  spec.stages = shape.stages;
  spec.chunks = shape.chunks;
  // The last stage that does not hold the last part.
  bool endsThere =
      simulator::layoutOf(spec).site(parts - 1, 0).stage == shape.stages - 1;
  int64_t inside = shape.stages - (endsThere ? 2 : 1);
  for (int64_t stage = 1; !all && stage <= inside; ++stage)
    step = std::max(step, timeOfFirst(costs, stage * each, returns) +
                              m * shortestLayer(costs, stage) *
                                  static_cast<double>(each * shape.chunks));
  return std::max(evenBound(costs, shape.stages, shape.microBatches),
                  hairBelow(step));
}

ChunkBounds::ChunkBounds(const NormalForm &form, const ReplicaCosts &costs)
    : form(form), costs(costs), layout(partLayout(form)), known(costs.size()) {
  for (unsigned s = 0; s < form.stages.size(); ++s)
    alive.push_back(costs.front()->alive(s));
}

const ChunkBounds::Part &ChunkBounds::partOf(size_t replicaClass, int64_t part,
                                             const std::vector<int64_t> &cuts) {
  auto places = static_cast<uint64_t>(cuts.back() + 1);
  uint64_t key = (static_cast<uint64_t>(part) * places + cuts[part]) * places +
                 cuts[part + 1];
  auto [it, isNew] = known[replicaClass].try_emplace(key);
  if (isNew) {
    StagePrediction one = costs[replicaClass]->partOf(part, cuts);
    it->second = {one.forward, one.backward, one.weight, one.sendForward,
                  one.sendBackward};
  }
  return it->second;
}

Picoseconds ChunkBounds::of(const std::vector<int64_t> &cuts,
                            Picoseconds limit) {
  // Beyond what hairBelow() takes off.
  double enough = limit.asDouble() * (1 + 1e-8) + 1;
  double most = 0;
  std::vector<Part> parts;
  parts.reserve(cuts.size());
  for (size_t c = 0; c < costs.size() && most < enough; ++c) {
    parts.clear();
    for (int64_t part = 0; part + 1 < std::ssize(cuts); ++part)
      parts.push_back(partOf(c, part, cuts));
    most = std::max(most, PartsBound(form, layout, parts, alive).run(enough));
  }
  return hairBelow(most);
}

bool chunksMayFit(const NormalForm &form, const ReplicaCosts &costs,
                  const std::vector<int64_t> &cuts) {
  for (const auto &one : costs)
    for (unsigned s = 0; s < form.stages.size(); ++s) {
      FormCosts::Chunked chunked = one->chunked(s, cuts);
      Bytes least = Bytes::max();
      for (const StagePrediction &part : chunked.parts)
        least = std::min(least, part.memory.activations);
      MemoryParts memory = chunked.whole.memory;
      memory.activations += least * one->alive(s);
      one->addAllowance(s, memory);
      if (memory.total() > chunked.whole.capacity)
        return false;
    }
  return true;
}

} // namespace whale::planner
