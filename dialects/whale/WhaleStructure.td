//===- WhaleStructure.td - modules, state, training, primitives -----------===//

#ifndef WHALE_STRUCTURE
#define WHALE_STRUCTURE

include "WhaleBase.td"

//===----------------------------------------------------------------------===//
// Model and modules
//===----------------------------------------------------------------------===//

def ModelOp : Whale_Op<"model", [Symbol, SymbolTable, IsolatedFromAbove,
    NoTerminator, SingleBlock, NoRegionArguments]> {
  let summary = "a training model: modules and the training spec";
  let description = [{
    Holds `whale.module`s, of which `@main` is the root, and one
    `whale.training`. Example:

    ```mlir
    whale.model @tiny {
      whale.module @main() {
        %x = whale.input "x" [batch, features] : tensor<4x8xf32>
        %w = whale.variable "w" normal(0.0, 0.1) : tensor<8x2xf32>
        %y = whale.einsum "batch features, features out -> batch out" %x, %w
          : tensor<4x8xf32>, tensor<8x2xf32> -> tensor<4x2xf32>
        %s = whale.reduce sum %y [0, 1] : tensor<4x2xf32> -> tensor<f32>
        %n = whale.constant 4.0 : tensor<f32>
        whale.loss "loss" %s over %n : tensor<f32>
        whale.return
      }
      whale.training {optimizer = {name = "sgd", learning_rate = 0.1}}
    }
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$sym_name attr-dict-with-keyword $body";
  let hasRegionVerifier = 1;
  let extraClassDeclaration = [{
    /// The root module `@main`; null where the model has none.
    ModuleDefOp getMain();
    /// The training spec; null where the model has none.
    TrainingOp getTraining();
  }];
}

def ModuleDefOp : Whale_Op<"module", [FunctionOpInterface, IsolatedFromAbove,
    HasParent<"ModelOp">, SingleBlock]> {
  let summary = "a module: defined once, instantiated by name";
  let description = [{
    A function of tensors whose body may declare variables. After
    differentiation the body ends with one `whale.backward` region before the
    return. Cycles of instances are refused.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name,
    TypeAttrOf<FunctionType>:$function_type,
    OptionalAttr<DictArrayAttr>:$arg_attrs,
    OptionalAttr<DictArrayAttr>:$res_attrs);
  let regions = (region SizedRegion<1>:$body);
  let hasCustomAssemblyFormat = 1;
  let extraClassDeclaration = [{
    ::llvm::ArrayRef<::mlir::Type> getArgumentTypes() {
      return getFunctionType().getInputs();
    }
    ::llvm::ArrayRef<::mlir::Type> getResultTypes() {
      return getFunctionType().getResults();
    }
    ::mlir::Region *getCallableRegion() { return &getBody(); }
    /// The backward region op; null before differentiation.
    BackwardOp getBackward();
  }];
}

def ReturnOp : Whale_Op<"return", [Pure, Terminator, HasParent<"ModuleDefOp">]> {
  let summary = "results of a module";
  let arguments = (ins Variadic<Whale_Tensor>:$operands);
  let assemblyFormat = "attr-dict ($operands^ `:` type($operands))?";
  let hasVerifier = 1;
}

def YieldOp : Whale_Op<"yield", [Pure, Terminator]> {
  let summary = "results of a region: of a scope, or a module's input gradients";
  let builders = [OpBuilder<(ins), [{ build($_builder, $_state, ::mlir::ValueRange()); }]>];
  let arguments = (ins Variadic<Whale_Tensor>:$operands);
  let assemblyFormat = "attr-dict ($operands^ `:` type($operands))?";
}

def InstanceOp : Whale_Op<"instance",
    [DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "an instance, or a chain of instances, of a module";
  let description = [{
    Without `repeat` the path segment is the name. With `repeat n` the segments
    are `name.0` to `name.(n-1)`; the results of one are the first operands of
    the next, the other operands are the same for all. `shared` instances of
    one name share their variables (weight reuse).

    ```mlir
    %y = whale.instance @block "layers"(%x) repeat 12
      : (tensor<8x64x32xf32>) -> tensor<8x64x32xf32>
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$callee, StrAttr:$name,
    Variadic<Whale_Tensor>:$operands, OptionalAttr<Whale_Int>:$repeat,
    UnitAttr:$shared);
  let results = (outs Variadic<Whale_Tensor>:$results);
  let assemblyFormat = [{
    $callee $name `(` $operands `)` (`repeat` $repeat^)? (`shared` $shared^)?
    attr-dict `:` functional-type($operands, $results)
  }];
  let hasVerifier = 1;
}

def InstanceBackwardOp : Whale_Op<"instance_backward"> {
  let summary = "the backward part of an instance of this module";
  let description = [{
    Inside `whale.backward`. Names a forward instance of the same module; takes
    the gradients of its results, gives those of its operands that have one
    (`operands` lists their indices). Residuals are implied.
  }];
  let arguments = (ins StrAttr:$name, Variadic<Whale_FloatTensor>:$gradients,
    DenseI64ArrayAttr:$operand_indices);
  let results = (outs Variadic<Whale_FloatTensor>:$results);
  let assemblyFormat = [{
    $name `(` $gradients `)` `of` $operand_indices attr-dict
    `:` functional-type($gradients, $results)
  }];
}

def BackwardOp : Whale_Op<"backward", [HasParent<"ModuleDefOp">,
    SingleBlockImplicitTerminator<"YieldOp">]> {
  let summary = "backward part of a module";
  let description = [{
    Block arguments are the gradients of the module's floating-point results;
    the yield gives those of the module's arguments listed in
    `argument_indices`. Forward values that are used inside are the residuals:
    whether each is saved or computed again is decided when a plan is applied.
  }];
  let arguments = (ins DenseI64ArrayAttr:$argument_indices);
  let regions = (region SizedRegion<1>:$body);
  let hasCustomAssemblyFormat = 1;
}

def ScanOp : Whale_Op<"scan", [AttrSizedOperandSegments,
    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "a module applied along a dimension, with carried state";
  let description = [{
    `@cell(state..., slice...) -> (state..., output...)`. `sequences` lose
    dimension `dim` and give one slice a step; outputs are stacked along `dim`.
    All steps share the variables of the instance `name`. `reverse` goes from
    the last slice to the first.

    ```mlir
    %h, %ys = whale.scan @cell "rnn" carry(%h0) over(%xs) dim 1
      : (tensor<4x8xf32>), (tensor<4x16x8xf32>)
      -> tensor<4x8xf32>, tensor<4x16x8xf32>
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$callee, StrAttr:$name,
    Variadic<Whale_Tensor>:$states, Variadic<Whale_Tensor>:$sequences,
    Whale_Int:$dim, UnitAttr:$reverse);
  let results = (outs Variadic<Whale_Tensor>:$results);
  let assemblyFormat = [{
    $callee $name `carry` `(` $states `)` `over` `(` $sequences `)` `dim` $dim
    (`reverse` $reverse^)? attr-dict
    `:` custom<Types>(type($states)) `,` custom<Types>(type($sequences)) `->` type($results)
  }];
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// State, inputs, losses, the training spec
//===----------------------------------------------------------------------===//

def VariableOp : Whale_Op<"variable", [Pure]> {
  let summary = "state that lives across steps; reads its value";
  let description = [{
    Its path is the instance path and the name. `tied` names the path of another
    variable of which this is another view (same shape). `group` names a
    parameter group of the training spec; `frozen` takes no gradient.

    ```mlir
    %w = whale.variable "q.weight" normal(0.0, 0.02)
      : tensor<768x12x64xf32>
    %m = whale.variable "mean" kind statistic constant(0.0)
      : tensor<64xf32>
    ```
  }];
  let arguments = (ins StrAttr:$name,
    DefaultValuedAttr<Whale_VariableKindAttr,
                      "::whale::VariableKind::parameter">:$kind,
    Whale_InitAttr:$init, OptionalAttr<StrAttr>:$tied,
    OptionalAttr<StrAttr>:$group, UnitAttr:$frozen);
  let results = (outs Whale_Tensor:$result);
  let assemblyFormat = [{
    $name (`kind` `` $kind^)? custom<Init>($init) (`tied` $tied^)? (`group` $group^)?
    (`frozen` $frozen^)? attr-dict `:` type($result)
  }];
  let hasVerifier = 1;
}

def AssignOp : Whale_Op<"assign"> {
  let summary = "the value that a variable has after this step";
  let arguments = (ins StrAttr:$name, Whale_Tensor:$value);
  let assemblyFormat = "$name `,` $value attr-dict `:` type($value)";
}

def GradientOp : Whale_Op<"gradient", [SameTypeOperands]> {
  let summary = "adds to the gradient of a variable (inside whale.backward)";
  let arguments = (ins Whale_FloatTensor:$variable, Whale_FloatTensor:$value);
  let assemblyFormat = "$variable `,` $value attr-dict `:` type($variable)";
}

def InputOp : Whale_Op<"input", [Pure]> {
  let summary = "an input of the step, with named dimensions";
  let description = [{
    Dimension 0 must be named `batch`; it is the global batch. For integers
    `range n` says that values are in [0, n).

    ```mlir
    %tokens = whale.input "tokens" [batch, sequence] range 50257
      : tensor<8x1024xi32>
    ```
  }];
  let arguments = (ins StrAttr:$name, StrArrayAttr:$dims,
    OptionalAttr<Whale_Int>:$range);
  let results = (outs Whale_Tensor:$result);
  let assemblyFormat = [{
    $name custom<NameList>($dims) (`range` $range^)? attr-dict `:` type($result)
  }];
  let hasVerifier = 1;
}

def LossOp : Whale_Op<"loss", [SameTypeOperands]> {
  let summary = "a loss term: weight * sum / count over the global batch";
  let description = [{
    Both operands are scalars. The count must depend on inputs and constants
    only, so that it is known before the first micro-batch runs.

    ```mlir
    whale.loss "lm" %sum over %count : tensor<f32>
    whale.loss "balance" %b over %one weight 1.0e-2 : tensor<f32>
    ```
  }];
  let arguments = (ins StrAttr:$name, Whale_FloatTensor:$sum,
    Whale_FloatTensor:$count, DefaultValuedAttr<F64Attr, "1.0">:$weight);
  let assemblyFormat = [{
    $name $sum `over` $count (`weight` custom<Real>($weight)^)? attr-dict `:` type($sum)
  }];
  let hasVerifier = 1;
}

def TrainingOp : Whale_Op<"training", [HasParent<"ModelOp">]> {
  let summary = "the training spec: what defines the numbers";
  let description = [{
    Keys (all optional): `optimizer` {name = "sgd" | "momentum" | "adamw" |
    "adafactor", learning_rate, momentum, beta1, beta2, epsilon, weight_decay},
    `groups`, a list of dictionaries {match = "pattern", and optimizer keys}
    (first match wins; patterns over variable paths), `clip_norm`, `schedule` {kind =
    "constant" | "linear" | "cosine", warmup_steps, total_steps,
    final_fraction}, `precision` = "f32" | "bf16" | "f64", `seed`,
    `accumulation`. Unknown keys are errors.
  }];
  let arguments = (ins DictionaryAttr:$spec);
  let assemblyFormat = "custom<Spec>($spec) attr-dict-with-keyword";
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Primitives: region scopes (source syntax; passes/strategy removes them)
//===----------------------------------------------------------------------===//

class Whale_ScopeOp<string mnemonic, dag args, string format>
    : Whale_Op<mnemonic, [SingleBlockImplicitTerminator<"YieldOp">]> {
  let arguments = args;
  let regions = (region SizedRegion<1>:$body);
  let results = (outs Variadic<Whale_Tensor>:$results);
  let assemblyFormat = format # " attr-dict-with-keyword $body"
                       # " (`->` type($results)^)?";
}

def ReplicaOp : Whale_ScopeOp<"replica",
    (ins OptionalAttr<Whale_Int>:$degree, OptionalAttr<DenseI64ArrayAttr>:$shares,
         OptionalAttr<StrAttr>:$shard),
    "(custom<Degree>($degree)^)? (`shares` $shares^)? (`shard` $shard^)?"> {
  let summary = "copies of the ops inside, each with a share of the batch";
  let hasVerifier = 1;
}

def SplitOp : Whale_ScopeOp<"split",
    (ins OptionalAttr<Whale_Int>:$degree, StrArrayAttr:$dims,
         OptionalAttr<DenseI64ArrayAttr>:$shares, UnitAttr:$colocated),
    "(custom<Degree>($degree)^)? custom<NameList>($dims) (`shares` $shares^)?"
    " (`colocated` $colocated^)?"> {
  let summary = "ops inside are cut along a named loop dimension";
  let description = [{
    `shares`: relative widths of the parts. `colocated`: on the devices of the
    replica around it, which cuts the batch of all other ops.
  }];
  let hasVerifier = 1;
}

def StageOp : Whale_ScopeOp<"stage",
    (ins OptionalAttr<StrAttr>:$recompute,
         OptionalAttr<Whale_Int>:$recompute_layers,
         OptionalAttr<Whale_Int>:$selective_layers,
         OptionalAttr<Whale_Int>:$gathered_layers,
         OptionalAttr<Whale_Int>:$offload_optimizer,
         OptionalAttr<Whale_Int>:$offload_parameters,
         OptionalAttr<Whale_Int>:$offload_activations),
    "(`recompute` $recompute^)? (`recompute_layers` $recompute_layers^)?"
    " (`selective_layers` $selective_layers^)?"
    " (`gathered_layers` $gathered_layers^)?"
    " (`offload_optimizer` $offload_optimizer^)?"
    " (`offload_parameters` $offload_parameters^)?"
    " (`offload_activations` $offload_activations^)?"> {
  let summary = "one stage of a pipeline";
  let description = [{
    The first `recompute_layers` instances of the stage recompute in full, the
    next `selective_layers` selectively, the others as `recompute` says. Where
    replicas cut the parameters, the first `gathered_layers` instances keep
    theirs gathered. Of so many instances the host's memory holds the
    optimizer's state, the parameters with their gradients, and what the
    backward part needs.
  }];
  let hasVerifier = 1;
}

def PipelineOp : Whale_ScopeOp<"pipeline",
    (ins Whale_Int:$micro_batches, OptionalAttr<StrAttr>:$schedule),
    "$micro_batches (`schedule` $schedule^)?"> {
  let summary = "stages that run micro-batches one after another";
  let hasVerifier = 1;
}

def ClusterOp : Whale_ScopeOp<"cluster", (ins OptionalAttr<StrAttr>:$layout,
                                              UnitAttr:$colocated),
    "(`layout` $layout^)? (`colocated` $colocated^)?"> {
  let summary = "Whale's outermost scope; the devices come from cluster.json";
  let description = [{
    `colocated`: the replicas and splits in it, side by side, share devices.
  }];
}

def DefaultStrategyOp : Whale_Op<"set_default_strategy"> {
  let summary = "strategy of the ops after it that are in no scope";
  let description = [{
    Whale's `set_default_strategy`. Each call starts a new TaskGraph, so that
    repeated calls cut pipeline stages.
  }];
  let arguments = (ins StrAttr:$primitive, OptionalAttr<Whale_Int>:$degree,
                       OptionalAttr<StrArrayAttr>:$dims);
  let assemblyFormat = [{
    $primitive (custom<Degree>($degree)^)? custom<OptionalNames>($dims) attr-dict
  }];
  let hasVerifier = 1;
}

#endif // WHALE_STRUCTURE
