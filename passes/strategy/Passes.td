//===- Passes.td - passes about the strategy ------------------------------===//

#ifndef WHALE_PASSES_STRATEGY
#define WHALE_PASSES_STRATEGY

include "mlir/Pass/PassBase.td"

def NameOps : Pass<"whale-name-ops", "::whale::ModelOp"> {
  let summary = "gives every op a name that is unique in its module";
  let description = [{
    `<mnemonic>.<ordinal in its module>`, for ops without one. Decisions attach
    to (instance path, op name), so names are given before anything else
    changes the model. Dropouts get their random number key the same way.
  }];
}

#endif // WHALE_PASSES_STRATEGY
