//===- WhaleTensor.td - contractions, reductions, shapes, layers ----------===//

#ifndef WHALE_TENSOR
#define WHALE_TENSOR

include "WhaleBase.td"

//===----------------------------------------------------------------------===//
// Contraction and reduction
//===----------------------------------------------------------------------===//

def EinsumOp : Whale_DifferentiableOp<"einsum"> {
  let summary = "contraction of two tensors in einsum notation";
  let description = [{
    `"lhs dims, rhs dims -> result dims"`, names separated by blanks; each name
    at most once in a term. Names in both operands but not in the result are
    summed. These names are the op's loop dimensions and may be split.

    ```mlir
    %q = whale.einsum
      "batch sequence hidden, hidden heads head -> batch sequence heads head"
      %x, %w : tensor<8x64x32xf32>, tensor<32x4x8xf32> -> tensor<8x64x4x8xf32>
    ```
  }];
  let arguments = (ins StrAttr:$equation, Whale_FloatTensor:$lhs,
                       Whale_FloatTensor:$rhs);
  let results = (outs Whale_SumTensor:$result);
  let assemblyFormat = [{
    $equation $lhs `,` $rhs attr-dict `:` type($lhs) `,` type($rhs)
    `->` type($result)
  }];
  let hasVerifier = 1;
}

def ReduceOp : Whale_DifferentiableOp<"reduce"> {
  let summary = "sum, max or min over dimensions, which the result loses";
  let description = [{
    The gradient of max and min is shared equally by the elements that reach it.
  }];
  let arguments = (ins Whale_ReductionKindAttr:$kind, Whale_Tensor:$operand,
                       DenseI64ArrayAttr:$dims);
  let results = (outs Whale_AnyTensor:$result);
  let assemblyFormat = [{
    `` $kind $operand $dims attr-dict `:` type($operand) `->` type($result)
  }];
  let hasVerifier = 1;
}

def RoundSumOp : Whale_ComputeOp<"round_sum"> {
  let summary = "a sum, rounded to the result's type";
  let description = [{
    The one place where a canonical sum is rounded: all its terms, of all ranks
    and micro-batches, are in the operand.
  }];
  let arguments = (ins Whale_AccumulatorTensor:$operand);
  let results = (outs Whale_FloatTensor:$result);
  let assemblyFormat = "$operand attr-dict `:` type($operand) `->` type($result)";
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Shapes
//===----------------------------------------------------------------------===//

def ConstantOp : Whale_ComputeOp<"constant"> {
  let summary = "every element has this value";
  let arguments = (ins AnyAttrOf<[F64Attr, Whale_Int]>:$value);
  let results = (outs Whale_Tensor:$result);
  let assemblyFormat = "custom<Number>($value) attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def IotaOp : Whale_ComputeOp<"iota"> {
  let summary = "the global index along a dimension";
  let arguments = (ins Whale_Int:$dim);
  let results = (outs Whale_Tensor:$result);
  let assemblyFormat = "`dim` $dim attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def StepNumberOp : Whale_ComputeOp<"step_number"> {
  let summary = "the number of the current step, from 0, a scalar";
  let results = (outs Whale_Tensor:$result);
  let assemblyFormat = "attr-dict `:` type($result)";
}

def BroadcastOp : Whale_DifferentiableOp<"broadcast"> {
  let summary = "repeats along the result's other dimensions";
  let description = [{
    Operand dimension i is result dimension `dims[i]`; the other result
    dimensions repeat.
  }];
  let arguments = (ins Whale_Tensor:$operand, DenseI64ArrayAttr:$dims);
  let results = (outs Whale_Tensor:$result);
  let assemblyFormat = [{
    $operand $dims attr-dict `:` type($operand) `->` type($result)
  }];
  let hasVerifier = 1;
}

def ReshapeOp : Whale_DifferentiableOp<"reshape"> {
  let summary = "the same elements in row-major order under another shape";
  let arguments = (ins Whale_Tensor:$operand);
  let results = (outs Whale_Tensor:$result);
  let assemblyFormat = "$operand attr-dict `:` type($operand) `->` type($result)";
  let hasVerifier = 1;
}

def TransposeOp : Whale_DifferentiableOp<"transpose"> {
  let summary = "result dimension i is operand dimension permutation[i]";
  let arguments = (ins Whale_Tensor:$operand, DenseI64ArrayAttr:$permutation);
  let results = (outs Whale_Tensor:$result);
  let assemblyFormat = [{
    $operand $permutation attr-dict `:` type($operand) `->` type($result)
  }];
  let hasVerifier = 1;
}

def SliceOp : Whale_DifferentiableOp<"slice"> {
  let summary = "elements [start, start + extent) along one dimension";
  let arguments = (ins Whale_Tensor:$operand, Whale_Int:$dim, Whale_Int:$start);
  let results = (outs Whale_Tensor:$result);
  let assemblyFormat = [{
    $operand `dim` $dim `from` $start attr-dict
    `:` type($operand) `->` type($result)
  }];
  let hasVerifier = 1;
}

def PadOp : Whale_DifferentiableOp<"pad"> {
  let summary = "`low` and (by the result's extent) high zeros along one dimension";
  let arguments = (ins Whale_Tensor:$operand, Whale_Int:$dim, Whale_Int:$low);
  let results = (outs Whale_Tensor:$result);
  let assemblyFormat = [{
    $operand `dim` $dim `low` $low attr-dict
    `:` type($operand) `->` type($result)
  }];
  let hasVerifier = 1;
}

def ConcatOp : Whale_DifferentiableOp<"concat"> {
  let summary = "operands one after another along a dimension";
  let arguments = (ins Variadic<Whale_Tensor>:$operands, Whale_Int:$dim);
  let results = (outs Whale_Tensor:$result);
  let assemblyFormat = [{
    $operands `dim` $dim attr-dict `:` type($operands) `->` type($result)
  }];
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Gather and scatter
//===----------------------------------------------------------------------===//

def EmbeddingOp : Whale_DifferentiableOp<"embedding"> {
  let summary = "rows of a table: result[i..., :] = table[indices[i...], :]";
  let description = [{
    table [vocabulary, features...], indices [i...] -> [i..., features...].
    Loop dimension `vocabulary` is indexed: split, each shard gives its rows
    and zeros elsewhere, a partial sum. This is also the op's generic gather.
  }];
  let arguments = (ins Whale_FloatTensor:$table, Whale_IntTensor:$indices);
  let results = (outs Whale_SumTensor:$result);
  let assemblyFormat = [{
    $table `,` $indices attr-dict `:` type($table) `,` type($indices)
    `->` type($result)
  }];
  let hasVerifier = 1;
}

def ScatterAddOp : Whale_DifferentiableOp<"scatter_add"> {
  let summary = "result[indices[i...], :] += updates[i..., :], from zero";
  let description = [{
    The adjoint of `embedding`: indices [i...], updates [i..., features...] ->
    [rows, features...]. Indices outside [0, rows) are skipped.
  }];
  let arguments = (ins Whale_IntTensor:$indices, Whale_FloatTensor:$updates);
  let results = (outs Whale_SumTensor:$result);
  let assemblyFormat = [{
    $indices `,` $updates attr-dict `:` type($indices) `,` type($updates)
    `->` type($result)
  }];
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Softmax, norms, cross-entropy
//===----------------------------------------------------------------------===//

def SoftmaxOp : Whale_DifferentiableOp<"softmax",
    [SameOperandsAndResultType, Expandable]> {
  let summary = "softmax over the last dimension";
  let arguments = (ins Whale_FloatTensor:$operand);
  let results = (outs Whale_FloatTensor:$result);
  let assemblyFormat = "$operand attr-dict `:` type($result)";
}

def SoftmaxGradOp : Whale_DifferentiableOp<"softmax_grad",
    [SameOperandsAndResultType, Expandable]> {
  let summary = "y * (dy - sum(y * dy)), y the softmax's result";
  let arguments = (ins Whale_FloatTensor:$result_value,
                       Whale_FloatTensor:$gradient);
  let results = (outs Whale_FloatTensor:$result);
  let assemblyFormat = "$result_value `,` $gradient attr-dict `:` type($result)";
}

def LayerNormOp : Whale_DifferentiableOp<"layer_norm", [Expandable,
    AllTypesMatch<["operand", "result"]>, AllTypesMatch<["scale", "shift"]>]> {
  let summary = "(x - mean) / sqrt(variance + epsilon) * scale + shift, last dim";
  let arguments = (ins Whale_FloatTensor:$operand, Whale_FloatTensor:$scale,
                       Whale_FloatTensor:$shift,
                       DefaultValuedAttr<F64Attr, "1.0e-5">:$epsilon);
  let results = (outs Whale_FloatTensor:$result);
  let assemblyFormat = [{
    $operand `,` $scale `,` $shift (`epsilon` custom<Real>($epsilon)^)? attr-dict
    `:` type($operand) `,` type($scale)
  }];
  let hasVerifier = 1;
}

def LayerNormGradOp : Whale_ComputeOp<"layer_norm_grad", [Expandable]> {
  let summary = "gradients of layer_norm: of x, scale and shift (first_order)";
  let arguments = (ins Whale_FloatTensor:$operand, Whale_FloatTensor:$scale,
                       Whale_FloatTensor:$gradient,
                       DefaultValuedAttr<F64Attr, "1.0e-5">:$epsilon);
  let results = (outs Whale_FloatTensor:$operand_gradient,
                      Whale_FloatTensor:$scale_gradient,
                      Whale_FloatTensor:$shift_gradient);
  let assemblyFormat = [{
    $operand `,` $scale `,` $gradient (`epsilon` custom<Real>($epsilon)^)? attr-dict
    `:` functional-type(operands, results)
  }];
}

def RmsNormOp : Whale_DifferentiableOp<"rms_norm", [Expandable,
    AllTypesMatch<["operand", "result"]>]> {
  let summary = "x / sqrt(mean(x^2) + epsilon) * scale, last dimension";
  let arguments = (ins Whale_FloatTensor:$operand, Whale_FloatTensor:$scale,
                       DefaultValuedAttr<F64Attr, "1.0e-5">:$epsilon);
  let results = (outs Whale_FloatTensor:$result);
  let assemblyFormat = [{
    $operand `,` $scale (`epsilon` custom<Real>($epsilon)^)? attr-dict
    `:` type($operand) `,` type($scale)
  }];
  let hasVerifier = 1;
}

def RmsNormGradOp : Whale_ComputeOp<"rms_norm_grad", [Expandable]> {
  let summary = "gradients of rms_norm: of x and scale (first_order)";
  let arguments = (ins Whale_FloatTensor:$operand, Whale_FloatTensor:$scale,
                       Whale_FloatTensor:$gradient,
                       DefaultValuedAttr<F64Attr, "1.0e-5">:$epsilon);
  let results = (outs Whale_FloatTensor:$operand_gradient,
                      Whale_FloatTensor:$scale_gradient);
  let assemblyFormat = [{
    $operand `,` $scale `,` $gradient (`epsilon` custom<Real>($epsilon)^)? attr-dict
    `:` functional-type(operands, results)
  }];
}

def BatchNormOp : Whale_DifferentiableOp<"batch_norm", [Expandable,
    AllTypesMatch<["operand", "result"]>,
    AllTypesMatch<["scale", "shift", "mean", "variance"]>]> {
  let summary = "normalises each feature (last dim) over groups of samples";
  let description = [{
    Couples samples: statistics are taken over all leading dimensions of
    `over` consecutive samples of the batch (default: the whole global batch).
    Gives the result, and mean and variance [features] averaged over groups for
    running statistics.
  }];
  let arguments = (ins Whale_FloatTensor:$operand, Whale_FloatTensor:$scale,
                       Whale_FloatTensor:$shift, OptionalAttr<Whale_Int>:$over,
                       DefaultValuedAttr<F64Attr, "1.0e-5">:$epsilon);
  let results = (outs Whale_FloatTensor:$result, Whale_FloatTensor:$mean,
                      Whale_FloatTensor:$variance);
  let assemblyFormat = [{
    $operand `,` $scale `,` $shift (`over` $over^)? (`epsilon` custom<Real>($epsilon)^)?
    attr-dict `:` type($operand) `,` type($scale)
  }];
  let hasVerifier = 1;
}

def BatchNormGradOp : Whale_ComputeOp<"batch_norm_grad", [Expandable]> {
  let summary = "gradients of batch_norm: of x, scale and shift (first_order)";
  let arguments = (ins Whale_FloatTensor:$operand, Whale_FloatTensor:$scale,
                       Whale_FloatTensor:$gradient, OptionalAttr<Whale_Int>:$over,
                       DefaultValuedAttr<F64Attr, "1.0e-5">:$epsilon);
  let results = (outs Whale_FloatTensor:$operand_gradient,
                      Whale_FloatTensor:$scale_gradient,
                      Whale_FloatTensor:$shift_gradient);
  let assemblyFormat = [{
    $operand `,` $scale `,` $gradient (`over` $over^)? (`epsilon` custom<Real>($epsilon)^)?
    attr-dict `:` functional-type(operands, results)
  }];
}

def CrossEntropyOp : Whale_DifferentiableOp<"cross_entropy", [Expandable,
    AllTypesMatch<["loss", "log_sum_exp"]>]> {
  let summary = "-log softmax(logits)[label] over the last dimension";
  let description = [{
    logits [i..., classes], labels [i...] -> loss [i...] and log_sum_exp [i...].
    Where the label is outside [0, classes) (for instance -100) the loss and
    its gradient are 0.
  }];
  let arguments = (ins Whale_FloatTensor:$logits, Whale_IntTensor:$labels);
  let results = (outs Whale_FloatTensor:$loss, Whale_FloatTensor:$log_sum_exp);
  let assemblyFormat = [{
    $logits `,` $labels attr-dict `:` type($logits) `,` type($labels)
    `->` type($loss)
  }];
  let hasVerifier = 1;
}

def CrossEntropyGradOp : Whale_ComputeOp<"cross_entropy_grad", [Expandable]> {
  let summary = "(exp(logits - log_sum_exp) - [class == label]) * gradient";
  let description = [{
    First order. `gradient` is [i...]; 0 where the label is outside [0, classes).
  }];
  let arguments = (ins Whale_FloatTensor:$logits, Whale_IntTensor:$labels,
                       Whale_FloatTensor:$log_sum_exp,
                       Whale_FloatTensor:$gradient);
  let results = (outs Whale_FloatTensor:$result);
  let assemblyFormat = [{
    $logits `,` $labels `,` $log_sum_exp `,` $gradient attr-dict
    `:` functional-type(operands, results)
  }];
}

//===----------------------------------------------------------------------===//
// Attention and positions
//===----------------------------------------------------------------------===//

def AttentionOp : Whale_DifferentiableOp<"attention"> {
  let summary = "softmax(q k^T * scale + bias) v, grouped-query";
  let description = [{
    q [batch, sequence, kv_heads, group, head], k [batch, keys, kv_heads, head],
    v [batch, keys, kv_heads, value]; plain multi-head attention has group = 1,
    and value = head but for latent attention. Bias [kv_heads, group, sequence,
    keys]. `causal`: key j is seen by query i where j <= i; `window` w: where
    also i - j < w. Gives the result [batch, sequence, kv_heads, group, value]
    and log_sum_exp [batch, kv_heads, group, sequence].
  }];
  let arguments = (ins Whale_FloatTensor:$query, Whale_FloatTensor:$key,
                       Whale_FloatTensor:$value,
                       Optional<Whale_FloatTensor>:$bias, F64Attr:$scale,
                       UnitAttr:$causal, OptionalAttr<Whale_Int>:$window);
  let results = (outs Whale_FloatTensor:$result, Whale_FloatTensor:$log_sum_exp);
  let assemblyFormat = [{
    $query `,` $key `,` $value (`bias` $bias^)? `scale` custom<Real>($scale)
    (`causal` $causal^)? (`window` $window^)? attr-dict
    `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def AttentionGradOp : Whale_ComputeOp<"attention_grad"> {
  let summary = "gradients of q, k, v and the bias (first_order)";
  let arguments = (ins Whale_FloatTensor:$query, Whale_FloatTensor:$key,
                       Whale_FloatTensor:$value, Whale_FloatTensor:$result_value,
                       Whale_FloatTensor:$log_sum_exp,
                       Whale_FloatTensor:$gradient,
                       Optional<Whale_FloatTensor>:$bias, F64Attr:$scale,
                       UnitAttr:$causal, OptionalAttr<Whale_Int>:$window);
  let results = (outs Whale_FloatTensor:$query_gradient,
                      Whale_FloatTensor:$key_gradient,
                      Whale_FloatTensor:$value_gradient,
                      Optional<Whale_FloatTensor>:$bias_gradient);
  let assemblyFormat = [{
    $query `,` $key `,` $value `,` $result_value `,` $log_sum_exp `,` $gradient
    (`bias` $bias^)? `scale` custom<Real>($scale) (`causal` $causal^)? (`window` $window^)?
    attr-dict `:` functional-type(operands, results)
  }];
}

def RotaryOp : Whale_DifferentiableOp<"rotary", [SameOperandsAndResultType]> {
  let summary = "rotary position embedding, half-split form";
  let description = [{
    x [batch, sequence, ..., head], head even: with h = head / 2 and angle =
    position * theta^(-i / h), (x[i], x[i + h]) is turned by the angle (the form
    of Hugging Face's llama). `scaling` makes angles slower (RotaryScaling.h).
    `inverse` turns back, by the same magnitude: it is the gradient.
  }];
  let arguments = (ins Whale_FloatTensor:$operand,
                       DefaultValuedAttr<F64Attr, "1.0e4">:$theta,
                       OptionalAttr<Whale_RotaryScalingAttr>:$scaling,
                       UnitAttr:$inverse);
  let results = (outs Whale_FloatTensor:$result);
  let assemblyFormat = [{
    $operand `theta` custom<Real>($theta)
    (`scaling` custom<RotaryScaling>($scaling)^)? (`inverse` $inverse^)? attr-dict `:` type($result)
  }];
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Convolution and pooling
//===----------------------------------------------------------------------===//

class Whale_ConvOp<string mnemonic, dag args, list<Trait> traits = []>
    : Whale_DifferentiableOp<mnemonic, traits> {
  let arguments = !con(args, (ins DenseI64ArrayAttr:$strides,
                                  DenseI64ArrayAttr:$padding));
  let results = (outs Whale_SumTensor:$result);
  let hasVerifier = 1;
}

def Conv2dOp : Whale_ConvOp<"conv2d",
    (ins Whale_FloatTensor:$input, Whale_FloatTensor:$filter)> {
  let summary = "2-d convolution, NHWC by HWIO";
  let description = [{
    input [batch, height, width, in], filter [kh, kw, in, out] -> [batch, oh,
    ow, out]; `strides` [h, w], `padding` [top, bottom, left, right] zeros;
    oh = (height + top + bottom - kh) / stride + 1.
  }];
  let assemblyFormat = [{
    $input `,` $filter `strides` $strides `padding` $padding attr-dict
    `:` type($input) `,` type($filter) `->` type($result)
  }];
}

def Conv2dInputGradOp : Whale_ConvOp<"conv2d_input_grad",
    (ins Whale_FloatTensor:$gradient, Whale_FloatTensor:$filter)> {
  let summary = "gradient of conv2d's input; the result type gives its shape";
  let assemblyFormat = [{
    $gradient `,` $filter `strides` $strides `padding` $padding attr-dict
    `:` type($gradient) `,` type($filter) `->` type($result)
  }];
}

def Conv2dFilterGradOp : Whale_ConvOp<"conv2d_filter_grad",
    (ins Whale_FloatTensor:$input, Whale_FloatTensor:$gradient)> {
  let summary = "gradient of conv2d's filter; the result type gives its shape";
  let assemblyFormat = [{
    $input `,` $gradient `strides` $strides `padding` $padding attr-dict
    `:` type($input) `,` type($gradient) `->` type($result)
  }];
}

def Whale_PoolKind : I32EnumAttr<"PoolKind", "pooling", [
    I32EnumAttrCase<"max", 0>, I32EnumAttrCase<"average", 1>]> {
  let cppNamespace = "::whale";
  let genSpecializedAttr = 0;
}
def Whale_PoolKindAttr : EnumAttr<Whale_Dialect, Whale_PoolKind, "pool_kind">;

def PoolOp : Whale_DifferentiableOp<"pool"> {
  let summary = "max or average over windows of [batch, height, width, channels]";
  let description = [{
    `window` [h, w], `strides`, `padding` as conv2d. Max ignores padding, and a
    tie goes to the first; average divides by the whole window.
  }];
  let arguments = (ins Whale_PoolKindAttr:$kind, Whale_FloatTensor:$input,
                       DenseI64ArrayAttr:$window, DenseI64ArrayAttr:$strides,
                       DenseI64ArrayAttr:$padding);
  let results = (outs Whale_FloatTensor:$result);
  let assemblyFormat = [{
    `` $kind $input `window` $window `strides` $strides `padding` $padding
    attr-dict `:` type($input) `->` type($result)
  }];
  let hasVerifier = 1;
}

def PoolGradOp : Whale_ComputeOp<"pool_grad"> {
  let summary = "gradient of pool's input (first_order)";
  let arguments = (ins Whale_PoolKindAttr:$kind, Whale_FloatTensor:$input,
                       Whale_FloatTensor:$gradient,
                       DenseI64ArrayAttr:$window, DenseI64ArrayAttr:$strides,
                       DenseI64ArrayAttr:$padding);
  let results = (outs Whale_FloatTensor:$result);
  let assemblyFormat = [{
    `` $kind $input `,` $gradient `window` $window `strides` $strides
    `padding` $padding attr-dict `:` functional-type(operands, results)
  }];
}

//===----------------------------------------------------------------------===//
// Mixture of experts
//===----------------------------------------------------------------------===//

def TopKOp : Whale_DifferentiableOp<"top_k"> {
  let summary = "the k largest of the last dimension, and their indices";
  let description = [{
    [i..., n] -> values [i..., k] descending, indices [i..., k] i32; a tie goes
    to the lower index. Indices have no gradient.
  }];
  let arguments = (ins Whale_FloatTensor:$operand, Whale_Int:$k);
  let results = (outs Whale_FloatTensor:$values, Whale_IntTensor:$indices);
  let assemblyFormat = [{
    $operand `k` $k attr-dict
    `:` type($operand) `->` type($values) `,` type($indices)
  }];
  let hasVerifier = 1;
}

def ExpertMatmulOp : Whale_DifferentiableOp<"expert_matmul"> {
  let summary = "each row by the matrix of its expert (grouped, dropless)";
  let description = [{
    rows [batch, sequence, choices, in], weights [experts, in, out], experts
    [batch, sequence, choices] -> [batch, sequence, choices, out]. It is run as
    a grouped matrix product over rows sorted by expert.
  }];
  let arguments = (ins Whale_FloatTensor:$rows, Whale_FloatTensor:$weights,
                       Whale_IntTensor:$experts, UnitAttr:$transposed);
  let results = (outs Whale_SumTensor:$result);
  let assemblyFormat = [{
    $rows `,` $weights `,` $experts (`transposed` $transposed^)? attr-dict
    `:` type($rows) `,` type($weights) `,` type($experts) `->` type($result)
  }];
  let hasVerifier = 1;
}

def ExpertOuterOp : Whale_DifferentiableOp<"expert_outer"> {
  let summary = "per expert the sum over its rows of lhs^T rhs";
  let description = [{
    lhs [batch, sequence, choices, in], rhs [batch, sequence, choices, out],
    experts [batch, sequence, choices] -> [experts, in, out]: the gradient of
    expert_matmul's weights.
  }];
  let arguments = (ins Whale_FloatTensor:$lhs, Whale_FloatTensor:$rhs,
                       Whale_IntTensor:$experts);
  let results = (outs Whale_SumTensor:$result);
  let assemblyFormat = [{
    $lhs `,` $rhs `,` $experts attr-dict
    `:` type($lhs) `,` type($rhs) `,` type($experts) `->` type($result)
  }];
  let hasVerifier = 1;
}

def ExpertSlotOp : Whale_ComputeOp<"expert_slot",
    [AllTypesMatch<["experts", "result"]>]> {
  let summary = "position of each choice in its expert's buffer, -1 if dropped";
  let description = [{
    Couples samples. experts [batch, sequence, choices] -> slots of the same
    shape, i32: within each group of `over` consecutive samples, choices are
    counted per expert in the order (choice, sample, position); those from
    `capacity` on are dropped.
  }];
  let arguments = (ins Whale_IntTensor:$experts, Whale_Int:$num_experts,
                       Whale_Int:$capacity, Whale_Int:$over);
  let results = (outs Whale_IntTensor:$result);
  let assemblyFormat = [{
    $experts `experts` $num_experts `capacity` $capacity `over` $over attr-dict
    `:` type($experts)
  }];
  let hasVerifier = 1;
}

def DispatchOp : Whale_DifferentiableOp<"dispatch",
    [AllTypesMatch<["experts", "slots"]>]> {
  let summary = "rows into their experts' buffers";
  let description = [{
    rows [batch, sequence, choices, features], experts and slots [batch,
    sequence, choices] -> [groups, experts, capacity, features] with groups =
    batch / over; slots that nobody has are 0. The adjoint of `collect`.
  }];
  let arguments = (ins Whale_FloatTensor:$rows, Whale_IntTensor:$experts,
                       Whale_IntTensor:$slots);
  let results = (outs Whale_FloatTensor:$result);
  let assemblyFormat = [{
    $rows `,` $experts `,` $slots attr-dict
    `:` type($rows) `,` type($experts) `->` type($result)
  }];
  let hasVerifier = 1;
}

def CollectOp : Whale_DifferentiableOp<"collect",
    [AllTypesMatch<["experts", "slots"]>]> {
  let summary = "rows back from the experts' buffers; dropped ones are 0";
  let arguments = (ins Whale_FloatTensor:$buffers, Whale_IntTensor:$experts,
                       Whale_IntTensor:$slots);
  let results = (outs Whale_FloatTensor:$result);
  let assemblyFormat = [{
    $buffers `,` $experts `,` $slots attr-dict
    `:` type($buffers) `,` type($experts) `->` type($result)
  }];
  let hasVerifier = 1;
}

#endif // WHALE_TENSOR
