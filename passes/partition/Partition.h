//===- Partition.h - from the flat step to one program per role -*- C++ -*-===//

#ifndef WHALE_PASSES_PARTITION_PARTITION_H
#define WHALE_PASSES_PARTITION_PARTITION_H

#include "compiler/planner/Strategy.h"
#include "dialects/rank/Rank.h"
#include "passes/partition/RankTable.h"

#include "mlir/IR/BuiltinOps.h"

namespace whale::partition {

struct Partitioned {
  /// `rank.program`s, by role and entry.
  mlir::OwningOpRef<mlir::ModuleOp> programs;
  RankTable table;
};

/// Partitions the flat modules `@step` and `@eval` (where present) of `model`
/// over the ranks of `form`. The global batch is that of the inputs. Fails with
/// an error at the op that cannot be placed as asked.
mlir::FailureOr<Partitioned> partitionModel(ModelOp model,
                                            const planner::NormalForm &form);

} // namespace whale::partition

#endif // WHALE_PASSES_PARTITION_PARTITION_H
