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

} // namespace whale::test::aceso
