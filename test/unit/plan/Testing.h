//===- Testing.h - models and plans for tests of passes/plan ------*- C++
//-*-===//

#ifndef WHALE_TEST_UNIT_PLAN_TESTING_H
#define WHALE_TEST_UNIT_PLAN_TESTING_H

#include "compiler/planner/Strategy.h"
#include "test/unit/gradients/Harness.h"

#include <random>
#include <string>
#include <vector>

namespace whale::test {

/// Names of the small whole models of the gradient tests.
const std::vector<std::string> &modelNames();

/// The text of one, with `spec` as its training spec.
std::string modelText(const std::string &name, const std::string &spec);

/// The models of the gradient tests are f64; makes one f32.
void toFloat32(whale::ModelOp model);

/// Random inputs for every `whale.input` of module `name`.
reference::TensorMap randomInputs(whale::ModelOp model, llvm::StringRef name,
                                  uint64_t seed);

/// Largest |a - b| / max(1, |b|) over all tensors; infinite where names or
/// shapes differ. Names in `a` alone do not count if they end in a slot's '#'.
double difference(const reference::TensorMap &a, const reference::TensorMap &b);

/// A plan from the words of planner::parseScopes, outermost first.
planner::NormalForm planOf(const std::string &scopes);

} // namespace whale::test

#endif // WHALE_TEST_UNIT_PLAN_TESTING_H
