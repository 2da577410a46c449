//===- Pipelines.h - the phases of the compiler -----------------*- C++ -*-===//
//
// One table says which phases there are and in which order they run; `whalec
// plan` runs the first few, `whalec compile` all of them, `--emit` stops after
// one and prints what is there.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PASSES_PIPELINES_H
#define WHALE_PASSES_PIPELINES_H

#include "compiler/planner/Strategy.h"
#include "dialects/whale/Whale.h"
#include "passes/lower/Lower.h"
#include "passes/partition/RankTable.h"
#include "passes/plan/ApplyPlan.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

#include <optional>

namespace whale {

/// What phases work on.
struct Compilation {
  /// One `whale.model`; after phase `partition` the ranks' programs.
  mlir::OwningOpRef<mlir::ModuleOp> module;
  /// The scopes of the model's text, set by phase `strategy`; empty where
  /// there are none.
  std::optional<planner::Node> scopes;
  /// The plan, from phase `apply-plan` on.
  planner::NormalForm form;
  plan::ApplyPlanOptions applyOptions;
  /// Set by phase `partition`.
  partition::RankTable ranks;
  lower::LowerOptions lowerOptions;
  /// Set by phase `lower`.
  std::optional<lower::LoweredProgramSet> programs;

  ModelOp model();
};

/// One row of the table.
struct Phase {
  llvm::StringLiteral name, help;
  llvm::LogicalResult (*run)(Compilation &);
};

llvm::ArrayRef<Phase> phases();
/// Null where there is none of that name.
const Phase *findPhase(llvm::StringRef name);

/// The last phase before the plan is applied.
constexpr llvm::StringLiteral lastModelPhase = "differentiate";

enum class PhaseOutcome {
  Done,
  /// A phase refused its input; it said why.
  Refused,
  /// A phase made something that does not verify, or failed without a word.
  Broken,
};

/// Runs the phases behind `after` ("" = from the first) up to and with `last`,
/// each followed by the verifier. Both must name phases.
PhaseOutcome runPhases(Compilation &compilation, llvm::StringRef after,
                       llvm::StringRef last);

} // namespace whale

#endif // WHALE_PASSES_PIPELINES_H
