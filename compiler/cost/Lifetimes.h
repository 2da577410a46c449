//===- Lifetimes.h - live bytes while a class runs --------------*- C++ -*-===//
//
// Walks a class' ops in the order in which they run and adds up the values that
// are alive: the same lifetimes as buffer assignment has, so that its arena can
// be compared with the prediction. Only materialised values count.
//
// Lifetimes:
//  - a saved value (workload/Residuals.h) from its definition (an argument:
//    from the start) to its last use in the backward part; where the backward
//    part reads only a copy that the forward part made, the copy is saved;
//  - any other value from its definition to its last use in its direction;
//    arguments from the start, results and argument gradients to the end;
//  - values that are computed again: just before the first op that needs them;
//  - a copy (cost/Sharding.h) from its first use, as its value;
//  - what a fused op reads is read when its consumers' kernel runs;
//  - the result of a generated kernel takes the place of an operand of its size
//    that it is the last to read;
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
  /// Those of them that are arguments, and that are results: other instances
  /// may save the same ones. 0 where it is not saved.
  std::vector<Bytes> savedArguments, savedResults;
  /// Largest sums over the ops of values that are not saved.
  Bytes forwardTransient, backwardTransient;
  /// Largest sums of all values, saved ones from definition to last use.
  Bytes forwardTotal, backwardTotal;
  /// The last one where no later micro-batch comes: saved values may be
  /// overwritten.
  Bytes backwardOnce;
};

/// How software keeps what is saved; by default as compiled programs do.
struct SavedForm {
  /// What an all-gather of the forward part made is not kept: the backward part
  /// gathers it again (Korthikanti et al. 2022, arXiv 2205.05198,
  /// section 4.2.2).
  bool gathersAgain = false;
  /// Bytes of an element of what the backward part reads in products of layers
  /// only; 0 = as it is.
  int64_t productBytes = 0;

  auto operator<=>(const SavedForm &) const = default;
};

ClassMemory classMemory(const workload::Workload &workload,
                        const workload::ModuleClass &module,
                        const ShardedClass &sharded,
                        const workload::ResidualPlan &plan,
                        const SavedForm &form = {});

} // namespace whale::cost

#endif // WHALE_COST_LIFETIMES_H
