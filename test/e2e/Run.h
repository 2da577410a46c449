//===- Run.h - runs a programs/ folder in this process ----------*- C++ -*-===//

#ifndef WHALE_TEST_E2E_RUN_H
#define WHALE_TEST_E2E_RUN_H

#include "runtime/core/Loader.h"

#include <map>
#include <string>
#include <vector>

namespace e2e {

/// What a run leaves: all numbers as doubles.
struct RunResult {
  std::string error;          ///< empty = fine
  std::vector<double> losses; ///< by step
  /// Whole tensors by path, before the first and after each step. Boxes of
  /// several ranks must agree bit by bit.
  std::vector<std::map<std::string, std::vector<double>>> variables;
};

/// What a program set does across ranks.
struct Traffic {
  bool isSplit = false; ///< some variable or input is not whole on all ranks
  uint64_t bytes = 0;   ///< of collectives' inputs and messages in a step
};
Traffic trafficOf(const whale::runtime::ProgramSet &set);

/// Runs `init` and `steps` steps on all ranks as threads.
RunResult run(const whale::runtime::ProgramSet &set, int64_t steps);

/// The global batch of step 0, by input.
std::map<std::string, std::vector<double>>
inputsOf(const whale::runtime::ProgramSet &set);

/// First difference beyond `tolerance` * max(1e-3, max|b|) of any tensor or
/// loss; empty = none. With `changes` the change of a variable in the first
/// step is compared instead of its value: the gradients, in plain SGD.
std::string compare(const RunResult &a, const RunResult &b, double tolerance,
                    bool changes);

/// First loss or element whose bits differ, at any moment; empty = none.
std::string compareBits(const RunResult &a, const RunResult &b);

} // namespace e2e

#endif // WHALE_TEST_E2E_RUN_H
