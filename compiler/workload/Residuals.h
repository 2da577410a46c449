//===- Residuals.h - what the backward part needs ---------------*- C++ -*-===//
//
// The one definition of the recompute modes: the planner's memory and time, and
// the clones that passes/plan/ApplyPlan makes, both come from here.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_WORKLOAD_RESIDUALS_H
#define WHALE_WORKLOAD_RESIDUALS_H

#include "compiler/workload/Workload.h"

namespace whale::workload {

/// What the backward part computes again instead of keeping it.
enum class Recompute {
  /// Every forward value that the backward part uses is kept.
  None,
  /// Values of `cheap` ops are computed again where all that this needs is kept
  /// anyway, is a variable, or is computed again too. Never longer-lived
  /// values than None, never a contraction twice.
  Selective,
  /// Only the arguments are kept; all forward ops that residuals depend on are
  /// repeated just before the backward part of the instance.
  Full,
};

struct ResidualPlan {
  /// Values kept from the forward to the backward part (arguments and
  /// temporaries, not variables), ascending.
  std::vector<uint32_t> saved;
  /// Forward ops that are repeated before the backward part, ascending.
  std::vector<uint32_t> recomputed;
};

/// O(ops * operands). `module` must have passed check().
ResidualPlan residuals(const ModuleClass &module, Recompute mode);

} // namespace whale::workload

#endif // WHALE_WORKLOAD_RESIDUALS_H
