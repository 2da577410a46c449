//===- Compile.h - from a preset and a strategy to programs -----*- C++ -*-===//

#ifndef WHALE_TEST_E2E_COMPILE_H
#define WHALE_TEST_E2E_COMPILE_H

#include "compiler/planner/Strategy.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace e2e {

/// A model of the matrix: a preset with settings.
struct ModelCase {
  std::string preset;
  std::vector<std::pair<std::string, std::string>> settings;
  std::string optimizer = "sgd";
  int64_t batch = 8;
  /// Text of `--lora`; empty = no adapters.
  std::string lora = "";
  std::optional<int64_t> sequence = {}; ///< positions of a sample
  std::string precision = "f64";
  bool isCanonical = false;

  auto operator<=>(const ModelCase &) const = default;
};

/// Imports the preset, applies the strategy and writes a programs/ folder.
/// Empty on success, else what went wrong.
std::string compile(const ModelCase &model, const whale::planner::Node &plan,
                    const std::string &folder);

/// Losses and values of all variables after one step of the flat one-device
/// step, by the reference interpreter.
struct Reference {
  double loss = 0;
  std::map<std::string, std::vector<double>> variables;
};
/// `inputs` hold the global batch, row-major.
std::string interpret(const ModelCase &model,
                      const std::map<std::string, std::vector<double>> &inputs,
                      Reference &result);

} // namespace e2e

#endif // WHALE_TEST_E2E_COMPILE_H
