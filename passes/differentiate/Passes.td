//===- Passes.td - unrolling of scans, differentiation --------------------===//

#ifndef WHALE_DIFFERENTIATE_PASSES
#define WHALE_DIFFERENTIATE_PASSES

include "mlir/Pass/PassBase.td"

def UnrollScan : Pass<"whale-unroll-scan", "::whale::ModelOp"> {
  let summary = "scans become one shared instance per step";
  let description = [{
    Step i of `whale.scan @cell "rnn"` becomes the instance "rnn.t<i>" (i counts
    along the dimension, also in reverse), `shared`, with the attributes
    `scan = "rnn"` and `shared_as = "rnn"`: its variables stay under the path
    segment "rnn". Sequences are sliced, outputs are concatenated.
  }];
  let dependentDialects = ["::whale::WhaleDialect"];
}

def Differentiate : Pass<"whale-differentiate", "::whale::ModelOp"> {
  let summary = "modules get their backward parts";
  let description = [{
    Adds a `whale.backward` region to every module through which a loss depends
    on a parameter, callees first. A loss seeds with weight / count. Ops of the
    backward region are named after the forward op that they come from:
    `<name>#d`, sums of gradients `<name>#sum`. A dropout without a key gets its
    name, so that its gradient draws the same numbers.

    An op on the way that has no gradient, or is first order and is met again,
    is an error at its place that names the loss. Models whose `@main` has a
    backward region are left as they are.
  }];
  let dependentDialects = ["::whale::WhaleDialect"];
}

#endif // WHALE_DIFFERENTIATE_PASSES
