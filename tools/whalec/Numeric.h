//===- Numeric.h - N ranks against one rank ---------------------*- C++ -*-===//
//
// Problem:   do the programs compute what the model says?
// Method:    1. the programs and the one-rank program of the model in the
//               folder run two steps on equal inputs and seed; losses compare;
//            2. both are compiled again with an optimizer that stores the
//               gradient (momentum with factor 0), which is what the slots hold
//               after one step; each tensor compares.
// Guarantee: |a - b| <= tolerance * max(1e-2, max|b|) for each loss of the
//            first step and each element of each gradient, b of one rank. The
//            loss of the second step, which depends on the update, gets
//            updateSlack times the tolerance. With `canonical` every loss,
//            every element of every gradient and every variable after each of
//            three steps has equal bits.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_TOOLS_WHALEC_NUMERIC_H
#define WHALE_TOOLS_WHALEC_NUMERIC_H

#include "compiler/support/Diagnostics.h"

#include <cstddef>
#include <string>

namespace whale::cli {

struct NumericResult {
  /// Largest difference relative to the bound above (1 = at the bound), and of
  /// which tensor.
  double worst = 0;
  std::string worstName;
  size_t gradients = 0;
  /// Equal bits were asked for, of the variables too.
  bool canonical = false;
  size_t variables = 0;
  std::string precision;
  double tolerance = 0;
};

/// Adaptive optimizers divide by the size of the gradient: what is noise in one
/// that should be 0 becomes a step of the learning rate.
constexpr double updateSlack = 10;

/// Runs the comparison, `result.canonical` or not. Differences are errors with
/// ExitCode::Finding.
bool verifyNumerically(const std::string &folder, NumericResult &result,
                       Diagnostics &diagnostics);

} // namespace whale::cli

#endif // WHALE_TOOLS_WHALEC_NUMERIC_H
