//===- Verify.h - helpers of the verifiers ----------------------*- C++ -*-===//

#ifndef WHALE_DIALECT_VERIFY_H
#define WHALE_DIALECT_VERIFY_H

#include "dialects/whale/Whale.h"

namespace whale {

/// Checks that `value`'s shape is `expected`; `what` names the value.
llvm::LogicalResult expectShape(mlir::Operation *op, llvm::StringRef what,
                                mlir::Value value,
                                llvm::ArrayRef<int64_t> expected);
/// Checks the rank.
llvm::LogicalResult expectRank(mlir::Operation *op, llvm::StringRef what,
                               mlir::Value value, int64_t rank);
/// Checks that the element types of the two values agree.
llvm::LogicalResult expectElement(mlir::Operation *op, llvm::StringRef what,
                                  mlir::Value value, mlir::Type expected);
/// Checks that `dim` is a dimension of `value`.
llvm::LogicalResult expectDim(mlir::Operation *op, int64_t dim,
                              mlir::Value value);
/// Checks what the ops of one module owe each other: names, variables and
/// their assigns, inputs, the form of @main (ModelVerify.cpp lists the rules).
llvm::LogicalResult verifyModules(ModelOp model);
/// Text of a shape, "8x64".
std::string shapeText(llvm::ArrayRef<int64_t> shape);

} // namespace whale

#endif // WHALE_DIALECT_VERIFY_H
