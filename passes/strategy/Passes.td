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

def Strategy : Pass<"whale-strategy", "::whale::ModelOp"> {
  let summary = "takes scopes out of the model and keeps their strategy tree";
  let description = [{
    The tree becomes attribute `strategy` of the model. With a file, the file's
    tree takes the place of the scopes (passes/strategy/Strategy.h).
  }];
  let options = [
    Option<"file", "file", "std::string", "\"\"",
           "strategy file: a tree, or pattern -> scopes">,
  ];
}

def PrintModelHash : Pass<"whale-model-hash", "::whale::ModelOp"> {
  let summary = "prints the hash of the model without annotations";
}

#endif // WHALE_PASSES_STRATEGY
