//===- ReadWorkloadOps.h - one op as the planner sees it --------*- C++ -*-===//

#ifndef WHALE_PASSES_PLAN_READWORKLOADOPS_H
#define WHALE_PASSES_PLAN_READWORKLOADOPS_H

#include "compiler/workload/Workload.h"
#include "passes/plan/DimensionNames.h"
#include "passes/plan/FlatStep.h"

namespace whale::plan {

/// Everything of a workload op that the op itself says: loops with names, cost,
/// flags. Name, phase, operands, results and `fused` are left to the caller.
workload::Op readOp(mlir::Operation *op, const DimensionNames &names);

/// A tensor access with loops in place of a value.
workload::Access readAccess(const Access &access, uint32_t value);

/// Whether the op may run inside a kernel with others around it (`asProducer`:
/// so that its result is never stored).
bool isFusable(mlir::Operation *op, bool asProducer);

/// Bytes of an element; 1 for i1.
int64_t elementBytes(mlir::Value value);

} // namespace whale::plan

#endif // WHALE_PASSES_PLAN_READWORKLOADOPS_H
