//===- Passes.td - from a differentiated model and a plan to a flat step --===//

#ifndef WHALE_PASSES_PLAN
#define WHALE_PASSES_PLAN

include "mlir/Pass/PassBase.td"

def ApplyPlan : Pass<"whale-apply-plan", "::whale::ModelOp"> {
  let summary = "the flat training step that a plan asks for";
  let description = [{
    Replaces the modules of a differentiated model by `@step` and `@eval`: all
    instances inlined at the shapes of the global batch in execution order,
    gradients wired, the optimizer written out. Every op says its path, phase,
    TaskGraph and splits (passes/plan/FlatStep.h). Without a plan: one device.
  }];
  let options = [
    Option<"plan", "plan", "std::string", "\"\"",
           "plan.json, or a strategy tree alone">,
    Option<"precision", "precision", "std::string", "\"\"",
           "f32, bf16 or f64 instead of the training spec's">,
    Option<"canonical", "canonical", "bool", "false",
           "sums are accumulators: every plan gives the same bits">,
  ];
}

def ReadWorkload : Pass<"whale-read-workload", "::whale::ModelOp"> {
  let summary = "prints the workload of a differentiated model as JSON";
  let options = [
    Option<"precision", "precision", "std::string", "\"\"",
           "f32, bf16 or f64 instead of the training spec's">,
  ];
}

def SetGlobalBatch : Pass<"whale-set-global-batch", "::whale::ModelOp"> {
  let summary = "gives the model another global batch";
  let options = [Option<"batch", "batch", "int64_t", "0", "samples of a step">];
}

def PrintDimensionNames : Pass<"whale-dimension-names", "::whale::ModelOp"> {
  let summary = "prints the names that split(dim) may call each loop";
}

#endif // WHALE_PASSES_PLAN
