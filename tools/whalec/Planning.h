//===- Planning.h - the planner's question, from files ----------*- C++ -*-===//

#ifndef WHALE_TOOLS_WHALEC_PLANNING_H
#define WHALE_TOOLS_WHALEC_PLANNING_H

#include "compiler/cluster/Cluster.h"
#include "compiler/cost/CatalogueHardware.h"
#include "compiler/planner/Search.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"

#include <memory>
#include <optional>
#include <string>

namespace whale::cli {

struct PlanningOptions {
  std::string cluster, strategy, pins;
  /// Of the arithmetic, instead of the model's; empty = the model's.
  std::string precision;
  std::optional<int64_t> globalBatch;
  planner::Space space = planner::Space::Default;
  unsigned threads = 1;
};

/// Of `--space`: "default" or "full".
planner::Space spaceOf(std::string_view name);

/// A problem and all that it refers to.
class Planning {
public:
  /// The model as it was read.
  std::unique_ptr<mlir::MLIRContext> context;
  mlir::OwningOpRef<mlir::ModuleOp> model;
  workload::Workload workload;
  std::unique_ptr<Cluster> cluster;
  std::unique_ptr<cost::CatalogueHardware> hardware;
  planner::Options options;
  /// The arithmetic is not the model's.
  bool changesPrecision = false;
  /// What a search of the same problem has left, if there was one.
  planner::Experience experience;

  planner::Problem problem() const { return {workload, *hardware, options}; }
};

/// Reads model, cluster and strategy, differentiates the model and asks the
/// planner's check(). Nothing after an error.
std::optional<Planning> readQuestion(const std::string &model,
                                     const PlanningOptions &options,
                                     Diagnostics &diagnostics);

} // namespace whale::cli

#endif // WHALE_TOOLS_WHALEC_PLANNING_H
