//===- Lifetimes.h - live bytes while a class runs --------------*- C++ -*-===//
//
// Walks a class' ops in the order in which they run and adds up the values that
// are alive: the same lifetimes as buffer assignment has, so that its arena can
// be compared with the prediction. Only materialised values count.
//
// Lifetimes:
//  - a saved value (workload/Residuals.h) from its definition (an argument:
//    from the start) to its last use in the backward part;
//  - any other value from its definition to its last use in its direction;
//    arguments from the start, results and argument gradients to the end;
//  - values that are computed again: from the repeated op (all repeated ops run
//    first in the backward part) to their last use there;
//  - a copy made by an all-gather or all-to-all as its value, in one direction;
//  - an op's workspace while it runs;
//  - a variable's gradient is added to its accumulator by the op that makes it,
//    without a buffer, where the op is a contraction or elementwise (a cast of
//    a contraction's result) and of the accumulator's type.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_COST_LIFETIMES_H
#define WHALE_COST_LIFETIMES_H

#include "compiler/cost/Sharding.h"
#include "compiler/workload/Residuals.h"

namespace whale::cost {

/// Live bytes of one instance, one micro-batch, on the largest shard.
struct ClassMemory {
  /// All saved values.
  Bytes saved;
  /// Those of them that are also saved results of another instance of the same
  /// class before it in a chain: the same buffer, counted there.
  Bytes savedTwice;
  /// Largest sums over the ops of values that are not saved.
  Bytes forwardTransient, backwardTransient;
  /// Largest sums of all values, saved ones from definition to last use.
  Bytes forwardTotal, backwardTotal;
};

ClassMemory classMemory(const workload::Workload &workload,
                        const workload::ModuleClass &module,
                        const ShardedClass &sharded,
                        const workload::ResidualPlan &plan);

} // namespace whale::cost

#endif // WHALE_COST_LIFETIMES_H
