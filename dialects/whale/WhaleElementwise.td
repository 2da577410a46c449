//===- WhaleElementwise.td - elementwise ops ------------------------------===//
//
// Operands are broadcast as in NumPy: dimensions align at the right, a missing
// dimension or one of extent 1 repeats. The result type is inferred.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_ELEMENTWISE
#define WHALE_ELEMENTWISE

include "WhaleBase.td"

/// Any elementwise op; result type = broadcast of the operands.
class Whale_ElementwiseOp<string mnemonic, list<Trait> traits = []>
    : Whale_DifferentiableOp<mnemonic, !listconcat(traits, [
        DeclareOpInterfaceMethods<ScalarOpInterface>])> {
  code spaceDefinition = [{
    ::whale::IterationSpace $cppClass::getIterationSpace() {
      return ::whale::elementwiseSpace(getOperation());
    }
  }];
  let extraClassDefinition = spaceDefinition;
}

class Whale_UnaryOp<string mnemonic, string text, list<Trait> traits = []>
    : Whale_ElementwiseOp<mnemonic, !listconcat([SameOperandsAndResultType],
                                                traits)> {
  let summary = text;
  let arguments = (ins Whale_FloatTensor:$operand);
  let results = (outs Whale_FloatTensor:$result);
  let assemblyFormat = "$operand attr-dict `:` type($result)";
}

def NegOp : Whale_UnaryOp<"neg", "-x">;
def AbsOp : Whale_UnaryOp<"abs", "|x|; the gradient at 0 is 0">;
def SignOp : Whale_UnaryOp<"sign", "-1, 0 or 1; no gradient">;
def ExpOp : Whale_UnaryOp<"exp", "e to the x">;
def LogOp : Whale_UnaryOp<"log", "natural logarithm">;
def SqrtOp : Whale_UnaryOp<"sqrt", "square root">;
def RsqrtOp : Whale_UnaryOp<"rsqrt", "1 / square root">;
def ReciprocalOp : Whale_UnaryOp<"reciprocal", "1 / x">;
def TanhOp : Whale_UnaryOp<"tanh", "hyperbolic tangent">;
def SigmoidOp : Whale_UnaryOp<"sigmoid", "1 / (1 + e to the -x)">;
def ErfOp : Whale_UnaryOp<"erf", "error function">;
def SinOp : Whale_UnaryOp<"sin", "sine">;
def CosOp : Whale_UnaryOp<"cos", "cosine">;
def ReluOp : Whale_UnaryOp<"relu", "max(x, 0); the gradient at 0 is 0">;
def SiluOp : Whale_UnaryOp<"silu", "x * sigmoid(x)">;
def FloorOp : Whale_UnaryOp<"floor", "largest integer not above x; no gradient">;
def StopGradientOp : Whale_UnaryOp<"stop_gradient",
                                   "x, through which no gradient flows">;

def GeluOp : Whale_ElementwiseOp<"gelu", [SameOperandsAndResultType]> {
  let summary = "x * Phi(x), exact by erf, or the tanh approximation";
  let description = [{
    `tanh`: 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) (Hendrycks and
    Gimpel 2016), which GPT-2 uses.
  }];
  let arguments = (ins Whale_FloatTensor:$operand, UnitAttr:$tanh);
  let results = (outs Whale_FloatTensor:$result);
  let assemblyFormat = "$operand (`tanh` $tanh^)? attr-dict `:` type($result)";
}

def GeluGradOp : Whale_ElementwiseOp<"gelu_grad", [SameOperandsAndResultType]> {
  let summary = "dy * gelu'(x)";
  let arguments = (ins Whale_FloatTensor:$operand, Whale_FloatTensor:$gradient,
                       UnitAttr:$tanh);
  let results = (outs Whale_FloatTensor:$result);
  let assemblyFormat = [{
    $operand `,` $gradient (`tanh` $tanh^)? attr-dict `:` type($result)
  }];
}

def SiluGradOp : Whale_ElementwiseOp<"silu_grad", [SameOperandsAndResultType]> {
  let summary = "dy * silu'(x)";
  let arguments = (ins Whale_FloatTensor:$operand, Whale_FloatTensor:$gradient);
  let results = (outs Whale_FloatTensor:$result);
  let assemblyFormat = "$operand `,` $gradient attr-dict `:` type($result)";
}

class Whale_BinaryOp<string mnemonic, string text, list<Trait> traits = []>
    : Whale_ElementwiseOp<mnemonic, !listconcat(traits,
        [DeclareOpInterfaceMethods<InferTypeOpInterface>])> {
  let summary = text;
  let arguments = (ins Whale_Tensor:$lhs, Whale_Tensor:$rhs);
  let results = (outs Whale_Tensor:$result);
  let assemblyFormat = "$lhs `,` $rhs attr-dict `:` type($lhs) `,` type($rhs)";
  let extraClassDefinition = spaceDefinition # [{
    ::llvm::LogicalResult $cppClass::inferReturnTypes(
        ::mlir::MLIRContext *context, ::std::optional<::mlir::Location> location,
        ::mlir::ValueRange operands, ::mlir::DictionaryAttr,
        ::mlir::OpaqueProperties, ::mlir::RegionRange,
        ::llvm::SmallVectorImpl<::mlir::Type> &types) {
      return ::whale::inferBroadcast(location, operands, types);
    }
  }];
}

def AddOp : Whale_BinaryOp<"add", "lhs + rhs", [Commutative]>;
def SubOp : Whale_BinaryOp<"sub", "lhs - rhs">;
def MulOp : Whale_BinaryOp<"mul", "lhs * rhs", [Commutative]>;
def DivOp : Whale_BinaryOp<"div", "lhs / rhs (integers: truncated)">;
def MaxOp : Whale_BinaryOp<"max", "the larger; a tie's gradient goes to lhs">;
def MinOp : Whale_BinaryOp<"min", "the smaller; a tie's gradient goes to lhs">;
def PowOp : Whale_BinaryOp<"pow", "lhs to the rhs, for lhs > 0">;

def CompareOp : Whale_ComputeOp<"compare",
    [DeclareOpInterfaceMethods<ScalarOpInterface>,
     DeclareOpInterfaceMethods<InferTypeOpInterface>]> {
  let summary = "elementwise comparison, gives i1";
  let arguments = (ins Whale_PredicateAttr:$predicate, Whale_Tensor:$lhs,
                       Whale_Tensor:$rhs);
  let results = (outs Whale_BoolTensor:$result);
  let assemblyFormat = [{
    `` $predicate $lhs `,` $rhs attr-dict `:` type($lhs) `,` type($rhs)
  }];
  let extraClassDefinition = [{
    ::whale::IterationSpace $cppClass::getIterationSpace() {
      return ::whale::elementwiseSpace(getOperation());
    }
    ::llvm::LogicalResult $cppClass::inferReturnTypes(
        ::mlir::MLIRContext *context, ::std::optional<::mlir::Location> location,
        ::mlir::ValueRange operands, ::mlir::DictionaryAttr,
        ::mlir::OpaqueProperties, ::mlir::RegionRange,
        ::llvm::SmallVectorImpl<::mlir::Type> &types) {
      return ::whale::inferCompare(context, location, operands, types);
    }
  }];
}

def SelectOp : Whale_ElementwiseOp<"select",
    [DeclareOpInterfaceMethods<InferTypeOpInterface>]> {
  let summary = "condition ? lhs : rhs";
  let arguments = (ins Whale_BoolTensor:$condition, Whale_Tensor:$lhs,
                       Whale_Tensor:$rhs);
  let results = (outs Whale_Tensor:$result);
  let assemblyFormat = [{
    $condition `,` $lhs `,` $rhs attr-dict
    `:` type($condition) `,` type($lhs) `,` type($rhs)
  }];
  let extraClassDefinition = spaceDefinition # [{
    ::llvm::LogicalResult $cppClass::inferReturnTypes(
        ::mlir::MLIRContext *context, ::std::optional<::mlir::Location> location,
        ::mlir::ValueRange operands, ::mlir::DictionaryAttr,
        ::mlir::OpaqueProperties, ::mlir::RegionRange,
        ::llvm::SmallVectorImpl<::mlir::Type> &types) {
      return ::whale::inferSelect(location, operands, types);
    }
  }];
}

def CastOp : Whale_ElementwiseOp<"cast"> {
  let summary = "element type conversion; float to integer truncates";
  let arguments = (ins Whale_Tensor:$operand);
  let results = (outs Whale_Tensor:$result);
  let assemblyFormat = "$operand attr-dict `:` type($operand) `->` type($result)";
  let hasVerifier = 1;
}

def DropoutOp : Whale_DifferentiableOp<"dropout", [SameOperandsAndResultType]> {
  let summary = "zeroes elements with probability rate, scales the rest";
  let description = [{
    Kept elements are divided by 1 - rate. The random number of an element is
    Philox4x32-10 of (seed, step, hash of `key`, global element index); the
    gradient is the same op with the same key. `key` is the op's path and is
    set when instances are inlined; in source text it may be left out.
  }];
  let arguments = (ins Whale_FloatTensor:$operand, F64Attr:$rate,
                       OptionalAttr<StrAttr>:$key);
  let results = (outs Whale_FloatTensor:$result);
  let assemblyFormat = [{
    $operand `rate` custom<Real>($rate) (`key` $key^)? attr-dict `:` type($result)
  }];
  let extraClassDefinition = [{
    ::whale::IterationSpace $cppClass::getIterationSpace() {
      return ::whale::elementwiseSpace(getOperation(),
                                       ::whale::LoopKind::Indexed);
    }
  }];
  let hasVerifier = 1;
}

#endif // WHALE_ELEMENTWISE
