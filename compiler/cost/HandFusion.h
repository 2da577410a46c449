//===- HandFusion.h - ops that frameworks write as one kernel ---*- C++ -*-===//
//
// What hand-written training software does with a class' ops that the compiler
// would run one by one. Which of it a run does is in its `Stack`:
//  - weights that multiply the same rows in one module (queries, keys and
//    values; gate and up) are one matrix: one product, whose input gradient
//    needs no sum;
//  - a product's epilogue adds the bias;
//  - a product adds its result to the gradient's accumulator.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_COST_HANDFUSION_H
#define WHALE_COST_HANDFUSION_H

#include "compiler/cost/Execution.h"
#include "compiler/cost/Hardware.h"
#include "compiler/workload/Workload.h"

#include <span>
#include <vector>

namespace whale::cost {

class HandFusion {
public:
  /// O(ops * operands * log ops).
  HandFusion(const workload::ModuleClass &module, const Stack &stack);

  /// Another op's kernel does its work: no launch, no traffic, no time.
  bool isAbsent(uint32_t op) const { return absent[op]; }
  /// The ops whose product this one is a part of, itself among them, in their
  /// order; empty where it is alone.
  std::span<const uint32_t> joined(uint32_t op) const;
  /// Whether an exchange of the op's result is another's: what several products
  /// add to one gradient is added first.
  bool isAddedFirst(uint32_t op) const;
  /// Whether the parts lie side by side in the depth of the product instead of
  /// in its columns.
  bool joinsDepth(uint32_t op) const;

private:
  const workload::ModuleClass &module;
  std::vector<bool> absent;
  bool joins = false, addsFirst = false;
  /// Index into `groups`, or -1.
  std::vector<int32_t> groupOf;
  std::vector<std::vector<uint32_t>> groups;

  void joinProducts();
  void dropSums();
  void addInProducts(const Stack &stack);
};

/// One product of the parts' size.
OpWork joinedWork(std::span<const OpWork> parts, bool depth);

} // namespace whale::cost

#endif // WHALE_COST_HANDFUSION_H
