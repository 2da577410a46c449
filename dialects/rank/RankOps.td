//===- RankOps.td - the rank dialect: one rank's program ------------------===//
//
// What partitioning makes: local-shape whale ops between the ops below. One
// `rank.program` per role (ranks with equal code) and entry.
//
//===----------------------------------------------------------------------===//

#ifndef RANK_OPS
#define RANK_OPS

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/IR/RegionKindInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "WhaleBase.td"

def Rank_Dialect : Dialect {
  let name = "rank";
  let cppNamespace = "::rank";
  let summary = "one rank's part of a training step";
  let description = [{
    Programs of a role: whale ops on local shapes, collectives, messages and
    state. Every op carries `phase` (prologue, forward, backward, update) and
    `path`; values that cross from forward to backward live per micro-batch.
  }];
  let dependentDialects = ["::whale::WhaleDialect"];
  let useDefaultAttributePrinterParser = 1;
}

def Rank_ScalarAttr : AttrDef<Rank_Dialect, "Scalar"> {
  let mnemonic = "scalar";
  let summary = "an integer known when the instruction runs";
  let description = [{
    constant + sum of coefficient * term. `terms` holds triples (kind, index,
    coefficient); kind 0 = step, 1 = micro-batch, 2 = the rank's scalar `index`
    (a row of the manifest).
  }];
  let parameters = (ins "int64_t":$constant,
                        OptionalArrayRefParameter<"int64_t">:$terms);
  let assemblyFormat = "`<` $constant (`,` `[` $terms^ `]`)? `>`";
  let extraClassDeclaration = [{
    static constexpr int64_t kStep = 0, kMicroBatch = 1, kRank = 2;
  }];
}

class Rank_Op<string mnemonic, list<Trait> traits = []>
    : Op<Rank_Dialect, mnemonic, traits>;

def ProgramOp : Rank_Op<"program", [Symbol, IsolatedFromAbove, NoTerminator,
    SingleBlock, NoRegionArguments]> {
  let summary = "the ops of one role for one entry (step or eval)";
  let description = [{
    Attributes: `role` (index), `entry` ("step" or "eval"), `micro_batches`,
    `schedule` ("gpipe", "1f1b"), `stage` and `stages`, `groups` (names of
    communicator groups, indexed by the collectives), `peers` (count),
    `rank_scalars` (names). The manifest gives each rank its members, peers and
    scalars (RankTable in passes/partition).
  }];
  let arguments = (ins SymbolNameAttr:$sym_name);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$sym_name attr-dict-with-keyword $body";
}

def VariableOp : Rank_Op<"variable", [Pure]> {
  let summary = "the rank's shard of a variable";
  let description = [{
    `global_shape` and `offsets` (one scalar per dimension) say which box of
    the variable this is. Reading gives the value before this step's assigns.
  }];
  let arguments = (ins StrAttr:$variable_path, Whale_VariableKindAttr:$kind,
    Whale_InitAttr:$init, DenseI64ArrayAttr:$global_shape,
    ArrayAttr:$offsets);
  let results = (outs Whale_Tensor:$result);
  let assemblyFormat = [{
    $variable_path `` $kind $init `of` $global_shape `at` $offsets attr-dict
    `->` type($result)
  }];
}

def AssignOp : Rank_Op<"assign"> {
  let summary = "the shard's value after this step";
  let arguments = (ins StrAttr:$variable_path, Whale_Tensor:$value);
  let assemblyFormat = "$variable_path `,` $value attr-dict `:` type($value)";
}

def InputOp : Rank_Op<"input", [Pure]> {
  let summary = "rows [first_sample, + local batch) of an input";
  let description = [{
    `batch` is the global batch (for the loader), `range` that of whale.input.
    In the prologue phase it is the rank's whole share; in forward one
    micro-batch's rows.
  }];
  let arguments = (ins StrAttr:$name, Rank_ScalarAttr:$first_sample,
    Whale_Int:$batch, OptionalAttr<Whale_Int>:$range);
  let results = (outs Whale_Tensor:$result);
  let assemblyFormat = [{
    $name `first` $first_sample `batch` $batch (`range` $range^)? attr-dict
    `->` type($result)
  }];
}

def MetricOp : Rank_Op<"metric", [SameTypeOperands]> {
  let summary = "reports weight * sum / count of a loss term";
  let description = [{
    `sum` holds the whole sum of the step over all ranks and micro-batches
    (phase update). Reported by the ranks whose `leader` scalar is 1.
  }];
  let arguments = (ins StrAttr:$name, Whale_FloatTensor:$sum,
    Whale_FloatTensor:$count, F64Attr:$weight);
  let assemblyFormat = [{
    $name $sum `over` $count `weight` custom<Real>($weight) attr-dict `:` type($sum)
  }];
}

def AccumulateOp : Rank_Op<"accumulate",
    [Pure, SameOperandsAndResultType]> {
  let summary = "the sum of a per-micro-batch value over the micro-batches";
  let description = [{
    The operand belongs to forward or backward, the result is read in update.
    `reduction` other than sum keeps the largest or smallest.
  }];
  let arguments = (ins Whale_AnyTensor:$operand,
    DefaultValuedAttr<Whale_ReductionKindAttr,
                      "::whale::ReductionKind::sum">:$reduction);
  let results = (outs Whale_AnyTensor:$result);
  let assemblyFormat = "$operand (`by` `` $reduction^)? attr-dict `:` type($result)";
}

//===----------------------------------------------------------------------===//
// Collectives: `group` indexes the program's groups
//===----------------------------------------------------------------------===//

def AllReduceOp : Rank_Op<"all_reduce", [SameOperandsAndResultType]> {
  let summary = "reduction over the group; all members have it";
  let arguments = (ins Whale_ReductionKindAttr:$kind, Whale_AnyTensor:$operand,
                       Whale_Int:$group);
  let results = (outs Whale_AnyTensor:$result);
  let assemblyFormat = "`` $kind $operand `group` $group attr-dict `:` type($result)";
}

def AllGatherOp : Rank_Op<"all_gather"> {
  let summary = "members' shards one after another along a dimension";
  let description = [{`counts`: extent of each member's shard along `dim`.}];
  let arguments = (ins Whale_AnyTensor:$operand, Whale_Int:$dim,
                       DenseI64ArrayAttr:$counts, Whale_Int:$group);
  let results = (outs Whale_AnyTensor:$result);
  let assemblyFormat = [{
    $operand `dim` $dim `counts` $counts `group` $group attr-dict
    `:` type($operand) `->` type($result)
  }];
}

def ReduceScatterOp : Rank_Op<"reduce_scatter"> {
  let summary = "sum over the group, of which each member keeps its shard";
  let description = [{`counts`: extent of each member's shard along `dim`.}];
  let arguments = (ins Whale_ReductionKindAttr:$kind, Whale_AnyTensor:$operand,
                       Whale_Int:$dim, DenseI64ArrayAttr:$counts, Whale_Int:$group);
  let results = (outs Whale_AnyTensor:$result);
  let assemblyFormat = [{
    `` $kind $operand `dim` $dim `counts` $counts `group` $group attr-dict
    `:` type($operand) `->` type($result)
  }];
}

def AllToAllOp : Rank_Op<"all_to_all"> {
  let summary = "from shards along `to_split`'s whole to shards along it";
  let description = [{
    The operand is split along `from_dim` over the group (extents `from_counts`)
    and whole along `to_dim`; the result is the reverse (extents `to_counts`).
  }];
  let arguments = (ins Whale_AnyTensor:$operand, Whale_Int:$from_dim,
    DenseI64ArrayAttr:$from_counts, Whale_Int:$to_dim,
    DenseI64ArrayAttr:$to_counts, Whale_Int:$group);
  let results = (outs Whale_AnyTensor:$result);
  let assemblyFormat = [{
    $operand `from` $from_dim $from_counts `to` $to_dim $to_counts
    `group` $group attr-dict `:` type($operand) `->` type($result)
  }];
}

//===----------------------------------------------------------------------===//
// Boxes and messages: `peer` indexes the rank's peers
//===----------------------------------------------------------------------===//

def SliceOp : Rank_Op<"slice", [Pure]> {
  let summary = "the box of the result's shape at `offsets`";
  let arguments = (ins Whale_AnyTensor:$operand, ArrayAttr:$offsets);
  let results = (outs Whale_AnyTensor:$result);
  let assemblyFormat = [{
    $operand `at` $offsets attr-dict `:` type($operand) `->` type($result)
  }];
}

def AssembleOp : Rank_Op<"assemble", [Pure]> {
  let summary = "boxes put together; they cover the result exactly";
  let description = [{`offsets`: per piece a list of static offsets.}];
  let arguments = (ins Variadic<Whale_AnyTensor>:$pieces, ArrayAttr:$offsets);
  let results = (outs Whale_AnyTensor:$result);
  let assemblyFormat = [{
    $pieces `at` $offsets attr-dict `:` type($pieces) `->` type($result)
  }];
}

def SendOp : Rank_Op<"send"> {
  let summary = "sends to a peer; does not wait for the receiver";
  let arguments = (ins Whale_AnyTensor:$operand, Whale_Int:$peer, Whale_Int:$tag);
  let assemblyFormat = "$operand `to` $peer `tag` $tag attr-dict `:` type($operand)";
}

def ReceiveOp : Rank_Op<"receive"> {
  let summary = "waits for a peer's message";
  let arguments = (ins Whale_Int:$peer, Whale_Int:$tag);
  let results = (outs Whale_AnyTensor:$result);
  let assemblyFormat = "`from` $peer `tag` $tag attr-dict `:` type($result)";
}

#endif // RANK_OPS
