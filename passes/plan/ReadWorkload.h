//===- ReadWorkload.h - what the planner sees of a model --------*- C++ -*-===//
//
// One of the two crossings between IR and planner. A differentiated model
// becomes plain structs (compiler/workload/Workload.h). @main is inlined with
// each top-level chain written once, so that the work follows the classes and
// not the instances; then
//   runs      instances and chains of @main, and the runs of loose ops between
//             them ("main.0", "main.1"...), which are classes of one instance
//   classes   equal ones are merged
//   variables of @main that several runs use belong to the first of them, the
//             others name its path under `tied`
//   fused     elementwise, broadcast, constant and iota ops all of whose users
//             are of that kind, reductions or row ops in the same class and
//             phase: an approximation of passes/lower's fusion
// Adafactor's second moment is two vectors: a group says the bytes of an
// element, a variable where its rows end.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PASSES_PLAN_READWORKLOAD_H
#define WHALE_PASSES_PLAN_READWORKLOAD_H

#include "compiler/workload/Workload.h"
#include "dialects/whale/Whale.h"

#include <string>

namespace whale::plan {

struct ReadWorkloadOptions {
  /// "f32", "bf16", "f64"; empty = as the training spec says.
  std::string precision;
  /// Hash of the model before differentiation (passes/strategy/ModelHash.h).
  std::string modelHash;
};

/// The workload of a differentiated model, which stays as it is. Errors at the
/// ops that they are about.
llvm::FailureOr<workload::Workload>
readWorkload(ModelOp model, const ReadWorkloadOptions &options = {});

} // namespace whale::plan

#endif // WHALE_PASSES_PLAN_READWORKLOAD_H
