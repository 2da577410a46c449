//===- Passes.td - folding of flat models ---------------------------------===//

#ifndef WHALE_FOLD_PASSES
#define WHALE_FOLD_PASSES

include "mlir/Pass/PassBase.td"

def Fold : Pass<"whale-fold", "::whale::ModelOp"> {
  let summary = "repeated blocks of a flat @main become a module and a chain";
  let description = [{
    Runs of equal consecutive blocks in `@main` become one `whale.module
    @block<i>` and `whale.instance @block<i> "layers"(...) repeat n`. A block's
    inputs come from the block before it or are common to all blocks; each has
    variables of its own. New modules are folded again.

    The computed values stay the same; paths change: the variable
    `layers.3.fc.weight` becomes `layers.3/fc.weight` (`layers.` is the part of
    the names before the number, or `layers` where they have none). What is
    keyed by a path changes with it: initial weights, dropout without a common
    key, entries of a checkpoint. `names=true` records the old names in the
    model's attribute `flat_names`. A block whose variables would fall into
    another parameter group of the training spec stays flat, with a warning.

    Instances, losses, inputs and scopes are never part of a block: a model that
    is modular already stays as it is.
  }];
  let options = [Option<"names", "names", "bool", "false",
                        "record the flat names of the folded variables">];
  let dependentDialects = ["::whale::WhaleDialect"];
}

#endif // WHALE_FOLD_PASSES
