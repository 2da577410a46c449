//===- WhaleInterfaces.td - what passes may ask of an op ------------------===//

#ifndef WHALE_INTERFACES
#define WHALE_INTERFACES

include "mlir/IR/OpBase.td"

def IterationSpaceOpInterface : OpInterface<"IterationSpaceOpInterface"> {
  let cppNamespace = "::whale";
  let description = [{
    The one description of an op. Sharding rules, FLOPs, bytes, resharding,
    gradients' placement and emission follow from it (IterationSpace.h).
  }];
  let methods = [
    InterfaceMethod<"Loop dimensions and how operands and results map to them.",
      "::whale::IterationSpace", "getIterationSpace">,
  ];
}

def DifferentiableOpInterface : OpInterface<"DifferentiableOpInterface"> {
  let cppNamespace = "::whale";
  let description = [{
    Reverse-mode rule. `resultGradients` has one value per result, null where
    the result has no influence on a loss. Returns one value per operand, null
    where the operand gets no gradient (integers, cut paths). Failure means
    that the op is `first_order`: the caller reports it.
  }];
  let methods = [
    InterfaceMethod<"Builds the operands' gradients.",
      "::mlir::FailureOr<::llvm::SmallVector<::mlir::Value>>", "buildGradient",
      (ins "::mlir::OpBuilder &":$builder,
           "::mlir::ValueRange":$resultGradients)>,
  ];
}

def ExpandableOpInterface : OpInterface<"ExpandableOpInterface"> {
  let cppNamespace = "::whale";
  let description = [{
    The op written in primitive ops (elementwise, reduce, broadcast, iota).
    Used where a dimension that the fused op needs whole is split, and by the
    fusion pass, which knows primitives only.
  }];
  let methods = [
    InterfaceMethod<"Builds the primitive ops; one value per result.",
      "::llvm::SmallVector<::mlir::Value>", "expand",
      (ins "::mlir::OpBuilder &":$builder)>,
  ];
}

def ScalarOpInterface : OpInterface<"ScalarOpInterface"> {
  let cppNamespace = "::whale";
  let description = [{
    Elementwise ops: the body for one element in arith/math. `operands` are
    scalars of the operands' element types (bf16 and f16 already widened to
    f32); the result has the result's (widened) element type.
  }];
  let methods = [
    InterfaceMethod<"Builds the scalar body.",
      "::mlir::Value", "emitScalar",
      (ins "::mlir::OpBuilder &":$builder, "::mlir::ValueRange":$operands)>,
    InterfaceMethod<"FLOPs of one element (a transcendental counts 1).",
      "int64_t", "getScalarFlops", (ins), [{}], [{ return 1; }]>,
  ];
}

#endif // WHALE_INTERFACES
