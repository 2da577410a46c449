//===- Aceso.h - Aceso's objective on its published profile -----*- C++ -*-===//
//
// What Aceso (microsoft/SuperScaler, MIT; Liu et al., EuroSys'24) says of a
// plan: time and memory from its measured operators (profiles/aceso-gpt-*.csv,
// GPTs of 2,048 positions on V100 with 32 GB). Written from its cost model; its
// published prediction for 350M on one GPU comes out to all digits.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_TEST_PLANNER_ACESO_H
#define WHALE_TEST_PLANNER_ACESO_H

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace whale::test::aceso {

/// Samples of a step, and MiB that a plan may have.
constexpr int64_t batch = 1024;
constexpr double memoryLimit = 28000;

/// Of a micro-batch: microseconds and MiB.
struct Op {
  std::string name;
  double forward = 0, backward = 0, input = 0, output = 0;
  double weights = 0, activations = 0, forwardReserved = 0,
         backwardReserved = 0;

  /// What it keeps: a softmax lies where its dropout's result does.
  double kept() const;
};

/// The embedding, a layer's operators, the last norm and the loss.
struct Ops {
  Op embedding;
  std::vector<Op> layer, head;
};

/// By samples of a micro-batch and GPUs of a tensor split.
using Profile = std::map<std::pair<int64_t, int64_t>, Ops>;
/// profiles/aceso-gpt-NAME.csv.
Profile readProfile(const std::string &name);

/// Microseconds of a message of so many MiB in a node.
double messageTime(double mebibytes);

/// An operator, and whether the backward part computes it again: kept is not
/// what has one that is computed again behind it.
struct Step {
  Op op;
  bool again = false;
};
using Stage = std::vector<Step>;

struct Plan {
  int64_t microBatches = 1;
  std::vector<Stage> stages;

  /// Seconds.
  double time() const;
  /// MiB of the fullest GPU.
  double memory() const;
};

/// What operators take while they run, MiB.
double reservedOf(const Stage &stage);

/// The one operator that Aceso's rule repeats first, and the one behind it.
constexpr const char *repeatedFirst = "enc-attention-dropout",
                     *behindThat = "enc-attention-context";

/// Seconds of the best of all plans whose stages are alike, by a dynamic
/// program over their cuts behind any operator: of a stage's layers some repeat
/// those two operators, and some all.
double optimum(const Profile &profile, int64_t gpus, int64_t layers);

} // namespace whale::test::aceso

#endif // WHALE_TEST_PLANNER_ACESO_H
