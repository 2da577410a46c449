//===- Aceso.cpp - Aceso's objective on its published profile -------------===//

#include "test/unit/planner/Aceso.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>

namespace whale::test::aceso {

namespace {

constexpr const char *softmax = "enc-attention-softmax",
                     *firstOfLayer = "enc-1st-layernorm";

/// Main parameters, gradients and moments beside the parameters, all in
/// multiples of these.
constexpr double statePerWeights = 8;

/// Of a stage's activations: what it does not keep, and the most that is there
/// at once when a part is computed again.
struct Again {
  double saved = 0, most = 0;
};

Again againOf(const Stage &stage) {
  Again result;
  double here = 0;
  auto end = [&] {
    result.most = std::max(result.most, std::exchange(here, 0));
  };
  for (size_t i = 0; i + 1 < stage.size(); ++i) {
    if (!stage[i].again || !stage[i + 1].again) {
      end();
      continue;
    }
    // What goes from layer to layer is kept.
    bool isLast = stage[i + 1].op.name == firstOfLayer;
    result.saved += isLast ? 0 : stage[i].op.kept();
    here += stage[i].op.kept();
    if (isLast)
      end();
  }
  end();
  return result;
}

double stageTime(const Stage &stage) {
  double time =
      messageTime(stage.front().op.input) + messageTime(stage.back().op.output);
  for (const Step &step : stage)
    time += step.op.forward * (step.again ? 2 : 1) + step.op.backward;
  return time / 1e6;
}

double stageMemory(const Stage &stage, size_t behind) {
  double weights = 0, kept = stage.front().op.input;
  for (const Step &step : stage) {
    weights += step.op.weights;
    kept += step.op.kept();
  }
  Again again = againOf(stage);
  return weights * statePerWeights +
         (kept - again.saved) * static_cast<double>(behind + 1) + again.most +
         std::max(reservedOf(stage), weights);
}

} // namespace

double Op::kept() const {
  if (name == softmax)
    return 0;
  return name == repeatedFirst ? activations * 1.5 : activations;
}

Profile readProfile(const std::string &name) {
  std::ifstream file(std::string(WHALE_PROFILES) + "/aceso-gpt-" + name +
                     ".csv");
  REQUIRE(file);
  Profile profile;
  std::string source, units, header, line;
  std::getline(file, source);
  std::getline(file, units);
  std::getline(file, header);
  while (std::getline(file, line)) {
    std::istringstream stream(line);
    std::vector<std::string> cells;
    for (std::string cell; std::getline(stream, cell, ',');)
      cells.push_back(cell);
    REQUIRE(cells.size() == 11);
    auto number = [&](size_t i) { return std::stod(cells[i]); };
    Op op{cells[2],  number(3), number(4), number(5), number(6),
          number(7), number(8), number(9), number(10)};
    Ops &ops = profile[{std::stoll(cells[0]), std::stoll(cells[1])}];
    if (ops.embedding.name.empty())
      ops.embedding = op;
    else if (op.name.starts_with("enc-"))
      ops.layer.push_back(op);
    else
      ops.head.push_back(op);
  }
  return profile;
}

double messageTime(double mebibytes) {
  // profiled-time-eurosys/p2p_intra_node.csv: GB/s of 1, 2, 4... MiB.
  constexpr double speeds[] = {17.22, 24.83, 31.25, 35.88, 39.03, 40.73,
                               41.65, 42.12, 42.37, 42.49, 42.46};
  if (mebibytes <= 0)
    return 0;
  auto index = static_cast<int64_t>(std::log2(mebibytes));
  if (index >= 1)
    --index;
  index = std::clamp<int64_t>(index, 0, std::size(speeds) - 1);
  return mebibytes / (speeds[index] * 0.001);
}

double reservedOf(const Stage &stage) {
  double forward = 0, backward = 0;
  for (size_t i = 0; i + 1 < stage.size(); ++i) {
    forward = std::max(forward, stage[i].op.forwardReserved);
    backward = std::max(backward, stage[i].op.backwardReserved);
  }
  return forward + backward;
}

double Plan::time() const {
  double longest = 0, sum = 0;
  for (const Stage &stage : stages) {
    longest = std::max(longest, stageTime(stage));
    sum += stageTime(stage);
  }
  return longest * static_cast<double>(microBatches - 1) + sum;
}

double Plan::memory() const {
  double most = 0;
  for (size_t s = 0; s < stages.size(); ++s)
    most = std::max(most, stageMemory(stages[s], stages.size() - 1 - s));
  return most;
}

//===----------------------------------------------------------------------===//
// Optimum
//===----------------------------------------------------------------------===//

namespace {

/// All stages of a model on GPUs that are split alike.
class Space {
public:
  Space(const Ops &ops, int64_t layers) : layer(ops.layer) {
    chain.push_back(ops.embedding);
    for (int64_t i = 0; i < layers; ++i)
      chain.insert(chain.end(), layer.begin(), layer.end());
    chain.insert(chain.end(), ops.head.begin(), ops.head.end());
    sums.resize(chain.size() + 1);
    for (size_t i = 0; i < chain.size(); ++i) {
      const Op &op = chain[i];
      sums[i + 1] = sums[i];
      sums[i + 1].time += op.forward + op.backward;
      sums[i + 1].weights += op.weights;
      sums[i + 1].kept += op.kept();
      sums[i + 1].first += op.name == repeatedFirst;
      sums[i + 1].behind += op.name == behindThat;
    }
    for (const Op &op : layer) {
      all.time += op.forward;
      all.kept += op.kept();
      if (op.name == repeatedFirst || op.name == behindThat)
        some.time += op.forward;
      if (op.name == repeatedFirst)
        some.kept = op.kept();
    }
  }

  int64_t size() const { return std::ssize(chain); }

  /// Seconds of operators from..to-1 with so many stages behind; more than
  /// every step where they do not fit, or take `limit` without repeating
  /// anything.
  double stage(int64_t from, int64_t to, int64_t stagesBehind,
               double limit) const {
    const Op &first = chain[from], &last = chain[to - 1];
    double time = sums[to].time - sums[from].time + messageTime(first.input) +
                  messageTime(last.output);
    if (time / 1e6 >= limit)
      return tooLong;
    double weights = sums[to].weights - sums[from].weights;
    double kept = first.input + sums[to].kept - sums[from].kept;
    auto slots = static_cast<double>(stagesBehind + 1);
    double over = weights * statePerWeights + kept * slots +
                  std::max(reserved(from, to), weights) - memoryLimit;
    if (over <= 0)
      return time / 1e6;
    // Its pairs of the two operators, and its whole layers.
    int64_t pairs = std::min(sums[to].first - sums[from].first,
                             sums[to].behind - sums[from].behind);
    int64_t whole = wholeLayers(from, to);
    double least = tooLong, handedOn = layer.back().kept();
    for (int64_t full = 0; full <= whole; ++full) {
      auto rest =
          over - static_cast<double>(full) * (all.kept - handedOn) * slots;
      rest += full > 0 ? all.kept : some.kept;
      auto pairsNeeded = std::max<int64_t>(
          0, static_cast<int64_t>(std::ceil(rest / (some.kept * slots))));
      if (full > 0 && rest <= 0)
        pairsNeeded = 0;
      if (pairsNeeded <= pairs - full)
        least =
            std::min(least, time + static_cast<double>(full) * all.time +
                                static_cast<double>(pairsNeeded) * some.time);
    }
    return least == tooLong ? tooLong : least / 1e6;
  }

private:
  struct Sums {
    double time = 0, weights = 0, kept = 0;
    int64_t first = 0, behind = 0;
  };

  int64_t wholeLayers(int64_t from, int64_t to) const {
    auto each = std::ssize(layer);
    int64_t end = (std::min(to, size() - 2) - 1) / each;
    int64_t begin = from == 0 ? 0 : (from - 1 + each - 1) / each;
    return std::max<int64_t>(0, end - begin);
  }
  double reserved(int64_t from, int64_t to) const {
    double forward = 0, backward = 0;
    for (int64_t i = from; i + 1 < to && i < from + std::ssize(layer) + 1;
         ++i) {
      forward = std::max(forward, chain[i].forwardReserved);
      backward = std::max(backward, chain[i].backwardReserved);
    }
    if (to - 2 > from) {
      forward = std::max(forward, chain[to - 2].forwardReserved);
      backward = std::max(backward, chain[to - 2].backwardReserved);
    }
    return forward + backward;
  }

  static constexpr double tooLong = 1e300;

  std::vector<Op> layer, chain;
  std::vector<Sums> sums;
  /// What repeating a layer takes, and gives free: all of it, or the two.
  struct {
    double time = 0, kept = 0;
  } all, some;
};

/// The longest stage and the sum of all, as far as neither is worse.
using Front = std::vector<std::pair<double, double>>;

void keepBest(Front &front) {
  std::sort(front.begin(), front.end());
  Front best;
  for (auto [most, sum] : front)
    if (best.empty() || sum < best.back().second)
      best.emplace_back(most, sum);
  front = std::move(best);
}

/// The least step below `best` of plans with so many stages.
double leastStep(const Space &space, int64_t stages, int64_t microBatches,
                 double best) {
  auto rounds = static_cast<double>(microBatches);
  int64_t size = space.size();
  // By the operator at which the stages so far, from the last one, begin.
  std::vector<Front> behind(size + 1);
  behind[size] = {{0, 0}};
  for (int64_t s = 0; s < stages; ++s) {
    std::vector<Front> next(size + 1);
    for (int64_t from = 0; from < size; ++from) {
      if ((s + 1 == stages) != (from == 0))
        continue;
      for (int64_t to = from + 1; to <= size; ++to) {
        if (behind[to].empty())
          continue;
        double time = space.stage(from, to, s, best / rounds);
        if (time * rounds < best)
          for (auto [most, sum] : behind[to])
            next[from].emplace_back(std::max(most, time), sum + time);
      }
      keepBest(next[from]);
    }
    behind = std::move(next);
  }
  for (auto [most, sum] : behind[0])
    best = std::min(best, most * (rounds - 1) + sum);
  return best;
}

} // namespace

double optimum(const Profile &profile, int64_t gpus, int64_t layers) {
  double best = 1e300;
  for (const auto &[key, ops] : profile) {
    auto [samples, tensor] = key;
    Space space(ops, layers);
    for (int64_t stages = 1; stages * tensor <= gpus; ++stages)
      if (gpus % (stages * tensor) == 0) {
        int64_t replicas = gpus / (stages * tensor);
        if (batch % (replicas * samples) == 0)
          best = leastStep(space, stages, batch / replicas / samples, best);
      }
  }
  return best;
}

} // namespace whale::test::aceso
