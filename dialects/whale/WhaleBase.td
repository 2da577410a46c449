//===- WhaleBase.td - the whale dialect: base definitions -----------------===//
//
// Dialect, attributes and op base classes. The ops are in
// WhaleStructure.td (modules, state, training, primitives), WhaleElementwise.td
// and WhaleTensor.td (everything else that computes).
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_BASE
#define WHALE_BASE

include "WhaleInterfaces.td"

include "mlir/IR/OpBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/IR/RegionKindInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/FunctionInterfaces.td"
include "mlir/Interfaces/CallInterfaces.td"

def Whale_Dialect : Dialect {
  let name = "whale";
  let cppNamespace = "::whale";
  let summary = "training models, their training spec and parallel primitives";
  let description = [{
    A training model is a graph of tensor operations with named state, written
    as modules that are defined once and instantiated by name. Shapes are those
    of the global batch on one device; how the work is parallel is said only by
    the primitives replica, split, stage and pipeline.
  }];
  let useDefaultAttributePrinterParser = 1;
  let useDefaultTypePrinterParser = 1;
  let extraClassDeclaration = [{
    /// `whale.replicate` is read as `whale.replica`.
    std::optional<ParseOpHook>
    getParseOperationHook(::llvm::StringRef opName) const override;
  }];
}

//===----------------------------------------------------------------------===//
// Attributes
//===----------------------------------------------------------------------===//

def Whale_InitKind : I32EnumAttr<"InitKind", "how a variable starts", [
    I32EnumAttrCase<"constant", 0>, I32EnumAttrCase<"normal", 1>,
    I32EnumAttrCase<"uniform", 2>, I32EnumAttrCase<"truncated_normal", 3>]> {
  let cppNamespace = "::whale";
  let genSpecializedAttr = 0;
}

def Whale_InitAttr : AttrDef<Whale_Dialect, "Init"> {
  let mnemonic = "init";
  let summary = "initial value of a variable";
  let description = [{
    In a variable: `constant(c)`, `normal(mean, deviation)`, `uniform(low,
    high)`, `truncated_normal(mean, deviation)` (cut at two deviations). Keyed by (seed, variable path, global
    element index), so that no plan changes it.
  }];
  let parameters = (ins EnumParameter<Whale_InitKind>:$kind,
                        APFloatParameter<"first value">:$a,
                        APFloatParameter<"second value, 0 for a constant">:$b);
  let assemblyFormat = "`<` $kind `,` custom<Real>($a) `,` custom<Real>($b) `>`";
}

def Whale_RotaryScalingKind : I32EnumAttr<"RotaryScalingKind",
                                          "how rotary positions are stretched", [
    I32EnumAttrCase<"linear", 0>, I32EnumAttrCase<"llama3", 1>,
    I32EnumAttrCase<"yarn", 2>]> {
  let cppNamespace = "::whale";
  let genSpecializedAttr = 0;
}

def Whale_RotaryScalingAttr : AttrDef<Whale_Dialect, "RotaryScaling"> {
  let mnemonic = "rotary_scaling";
  let summary = "slower rotary angles for longer sequences";
  let description = [{
    In an op: `linear(factor)`, `llama3(factor, low, high, positions)`,
    `yarn(factor, low, high, positions, magnitude)`. Pairs that turn more than
    `high` times in `positions` keep their angle, those that turn less than `low`
    times have it divided by `factor` (RotaryScaling.h).
  }];
  let parameters = (ins EnumParameter<Whale_RotaryScalingKind>:$kind,
                        APFloatParameter<"divides frequencies">:$factor,
                        APFloatParameter<"turns">:$low,
                        APFloatParameter<"turns">:$high,
                        APFloatParameter<"trained positions">:$positions,
                        APFloatParameter<"of the turned pair">:$magnitude);
  let assemblyFormat = [{
    `<` $kind `,` custom<Real>($factor) `,` custom<Real>($low) `,`
    custom<Real>($high) `,` custom<Real>($positions) `,` custom<Real>($magnitude) `>`
  }];
}

def Whale_ReductionKind : I32EnumAttr<"ReductionKind", "how partials combine", [
    I32EnumAttrCase<"sum", 0>, I32EnumAttrCase<"max", 1>,
    I32EnumAttrCase<"min", 2>]> {
  let cppNamespace = "::whale";
  let genSpecializedAttr = 0;
}
def Whale_ReductionKindAttr
    : EnumAttr<Whale_Dialect, Whale_ReductionKind, "reduction">;

def Whale_Predicate : I32EnumAttr<"Predicate", "comparison", [
    I32EnumAttrCase<"eq", 0>, I32EnumAttrCase<"ne", 1>,
    I32EnumAttrCase<"lt", 2>, I32EnumAttrCase<"le", 3>,
    I32EnumAttrCase<"gt", 4>, I32EnumAttrCase<"ge", 5>]> {
  let cppNamespace = "::whale";
  let genSpecializedAttr = 0;
}
def Whale_PredicateAttr : EnumAttr<Whale_Dialect, Whale_Predicate, "predicate">;

def Whale_VariableKind : I32EnumAttr<"VariableKind", "what lives across steps", [
    I32EnumAttrCase<"parameter", 0>, I32EnumAttrCase<"slot", 1>,
    I32EnumAttrCase<"master", 2>, I32EnumAttrCase<"statistic", 3>,
    I32EnumAttrCase<"counter", 4>]> {
  let cppNamespace = "::whale";
  let genSpecializedAttr = 0;
}
def Whale_VariableKindAttr
    : EnumAttr<Whale_Dialect, Whale_VariableKind, "kind">;

/// A signed 64-bit integer.
def Whale_Int
    : TypedSignlessIntegerAttrBase<I64, "int64_t", "64-bit integer attribute">;

//===----------------------------------------------------------------------===//
// Types and op classes
//===----------------------------------------------------------------------===//

def Whale_Accumulator : TypeDef<Whale_Dialect, "Accumulator"> {
  let mnemonic = "accumulator";
  let summary = "a sum of reals that is not rounded yet";
  let description = [{
    Element type of sums in canonical mode: adding is associative, so that the
    order of the terms, and who adds which of them, does not matter. 32 bytes
    (runtime/core/Accumulator.h). Sums give it, `round_sum` takes it.
  }];
  let extraClassDeclaration = "static constexpr int64_t kBytes = 32;";
}

def Whale_Float : AnyTypeOf<[F32, F64, BF16, F16]>;
def Whale_Integer : AnyTypeOf<[I1, I8, I16, I32, I64]>;
def Whale_Tensor : StaticShapeTensorOf<[Whale_Float, Whale_Integer]>;
def Whale_FloatTensor : StaticShapeTensorOf<[Whale_Float]>;
def Whale_IntTensor : StaticShapeTensorOf<[Whale_Integer]>;
def Whale_BoolTensor : StaticShapeTensorOf<[I1]>;
def Whale_AccumulatorTensor : StaticShapeTensorOf<[Whale_Accumulator]>;
/// The result of a sum: rounded, or not yet.
def Whale_SumTensor : StaticShapeTensorOf<[Whale_Float, Whale_Accumulator]>;
/// What ranks exchange.
def Whale_AnyTensor
    : StaticShapeTensorOf<[Whale_Float, Whale_Integer, Whale_Accumulator]>;

class Whale_Op<string mnemonic, list<Trait> traits = []>
    : Op<Whale_Dialect, mnemonic, traits>;

/// A pure tensor op with an iteration space.
class Whale_ComputeOp<string mnemonic, list<Trait> traits = []>
    : Whale_Op<mnemonic, !listconcat(traits, [Pure,
          DeclareOpInterfaceMethods<IterationSpaceOpInterface>])>;

/// ... that has a gradient.
class Whale_DifferentiableOp<string mnemonic, list<Trait> traits = []>
    : Whale_ComputeOp<mnemonic, !listconcat(traits, [
          DeclareOpInterfaceMethods<DifferentiableOpInterface>])>;

def Expandable : DeclareOpInterfaceMethods<ExpandableOpInterface>;

#endif // WHALE_BASE
