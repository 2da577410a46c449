//===- Programs.h - compiled sets of the end-to-end tests -------*- C++ -*-===//

#ifndef WHALE_TEST_E2E_PROGRAMS_H
#define WHALE_TEST_E2E_PROGRAMS_H

#include "Matrix.h"
#include "Run.h"

#include <filesystem>
#include <memory>

namespace e2e {

/// A compiled set and the folder that its kernels are in.
struct Compiled {
  explicit Compiled(const std::string &name);
  ~Compiled();
  Compiled(const Compiled &) = delete;
  Compiled &operator=(const Compiled &) = delete;

  std::filesystem::path path;
  whale::runtime::ProgramSet set;
};

/// Compiles, proves and loads; null with `error` where something goes wrong.
std::unique_ptr<Compiled> build(const ModelCase &model,
                                const whale::planner::Node &plan,
                                std::string &error);

/// The same of a row, whose plan must have as many ranks as it says.
std::unique_ptr<Compiled> build(const Row &row, std::string &error);

/// Steps of a model on one rank, made once.
const RunResult &oneRank(const ModelCase &model, int64_t steps = 1);

/// Steps of a comparison of bits.
constexpr int64_t bitSteps = 3;
/// Empty, or in which bits the row's plan differs from one rank, after
/// `bitSteps` steps. `one`: the model that one rank runs.
std::string checkBits(const Row &row, const ModelCase &one);

/// |a - b| <= this * max(1e-3, max|b|), f64: gradients of plain SGD.
constexpr double tolerance = 1e-12;
/// Optimizers that divide by the gradient's size blow up the rounding of those
/// that are zero in exact arithmetic (biases of keys): 1e-17 / 1e-8.
constexpr double optimizerTolerance = 1e-8;

} // namespace e2e

#endif // WHALE_TEST_E2E_PROGRAMS_H
