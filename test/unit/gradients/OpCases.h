//===- OpCases.h - one small use of every compute op ------------*- C++ -*-===//
//
// The table that the tests of gradients and of iteration spaces share. An op
// that is added to the dialect is added here: both tests fail where one is
// missing.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_TEST_UNIT_GRADIENTS_OPCASES_H
#define WHALE_TEST_UNIT_GRADIENTS_OPCASES_H

#include "test/reference/Tensor.h"

#include <random>
#include <string>
#include <vector>

namespace reference {

/// One op with operands. In `text`, which follows "whale.", `$0` is operand 0,
/// `$t0` its type and `$r0` the type of result 0.
struct OpCase {
  std::string text;
  /// Tensor types ("3x4xf64"), then where needed the range of the elements,
  /// "low..high": reals in [-1, 1] unless it says otherwise, integers in
  /// [low, high).
  std::vector<std::string> operands, results;
  /// Results that a loss may use: the others are residuals or statistics.
  size_t used = ~size_t(0);

  /// Mnemonic: the first word of the text.
  std::string mnemonic() const { return text.substr(0, text.find(' ')); }
};

/// All cases.
const std::vector<OpCase> &opCases();

/// "tensor<3x4xf64>" of an operand's or result's text.
std::string typeText(const std::string &operand);
/// The case as an operation, with operands `%a0`, `%a1` and results `%r0`.
std::string operationText(const OpCase &opCase);
/// Random elements of the operand's range for a tensor of its type.
void fill(Tensor &tensor, const std::string &operand, std::mt19937_64 &random);

} // namespace reference

#endif // WHALE_TEST_UNIT_GRADIENTS_OPCASES_H
