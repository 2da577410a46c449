//===- GlobalBatch.h - another batch for a model ----------------*- C++ -*-===//

#ifndef WHALE_PASSES_PLAN_GLOBALBATCH_H
#define WHALE_PASSES_PLAN_GLOBALBATCH_H

#include "dialects/whale/Whale.h"

namespace whale::plan {

/// The batch that the model's inputs have; 0 for a model without inputs.
int64_t globalBatchOf(ModelOp model);

/// Rewrites the batch extent of all values of all modules, which are those
/// dimensions that DimensionNames calls `batch`, and verifies the model. A
/// loss count that is a constant multiple of the old batch (but for 1) is
/// scaled; other constants keep their values. Errors: an extent that does not
/// scale to an integer, groups of samples that the batch does not fill.
llvm::LogicalResult setGlobalBatch(ModelOp model, int64_t batch);

} // namespace whale::plan

#endif // WHALE_PASSES_PLAN_GLOBALBATCH_H
