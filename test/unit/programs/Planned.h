//===- Planned.h - a preset with the plan that pins ask for -----*- C++ -*-===//

#ifndef WHALE_TEST_UNIT_PROGRAMS_PLANNED_H
#define WHALE_TEST_UNIT_PROGRAMS_PLANNED_H

#include "compiler/cost/CatalogueHardware.h"
#include "compiler/importers/Importers.h"
#include "compiler/planner/Search.h"
#include "passes/Pipelines.h"

#include "mlir/IR/MLIRContext.h"

#include <memory>
#include <optional>
#include <string>

namespace programs {

/// What is asked: as `whalec import --preset` and `whalec plan --pin`.
struct Question {
  std::string preset, pins;
  /// A preset of clusters and how many nodes (of "cpu": ranks) it has.
  std::string cluster = "cpu";
  int64_t nodes = 4;
  /// What a cluster file says, instead.
  std::string clusterText = {};
  whale::ImportOptions import = {};
  /// Scopes of the whole model, as in a strategy's short form; empty: none.
  std::string scopes = {};
  whale::planner::Space space = whale::planner::Space::Default;
  /// Whether a plan is wanted, and not only the model and the cluster.
  bool plan = true;
};

/// A model, its workload, and the plan that answers the question.
class Planned {
public:
  explicit Planned(const Question &question);

  /// Empty, or why there is no plan.
  std::string error() const { return messages + diags.str(); }
  /// All programs of the plan, without kernels; null with an error.
  std::unique_ptr<whale::Compilation> lower();

  mlir::MLIRContext context;
  whale::workload::Workload workload;
  std::unique_ptr<whale::Cluster> cluster;
  std::unique_ptr<whale::cost::CatalogueHardware> hardware;
  std::optional<whale::planner::Plan> plan;
  /// Differentiated.
  mlir::OwningOpRef<mlir::ModuleOp> model;

private:
  bool import(const Question &question);

  std::string messages;
  whale::Diagnostics diags;
  mlir::ScopedDiagnosticHandler handler;
};

} // namespace programs

#endif // WHALE_TEST_UNIT_PROGRAMS_PLANNED_H
