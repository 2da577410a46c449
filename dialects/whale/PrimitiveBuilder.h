//===- PrimitiveBuilder.h - short names for primitive ops -------*- C++ -*-===//
//
// What gradient rules are written with: one method per primitive op at a fixed
// place. Elementwise methods broadcast as the ops do.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_DIALECT_PRIMITIVEBUILDER_H
#define WHALE_DIALECT_PRIMITIVEBUILDER_H

#include "dialects/whale/Whale.h"

namespace whale {

class PrimitiveBuilder {
public:
  /// Builds with `builder` at the place of `op`.
  PrimitiveBuilder(mlir::OpBuilder &builder, mlir::Operation *op)
      : builder(builder), location(op->getLoc()) {}

  /// A scalar of the element type of `like`, which elementwise ops broadcast.
  mlir::Value scalar(double value, mlir::Value like);

  mlir::Value add(mlir::Value lhs, mlir::Value rhs);
  mlir::Value sub(mlir::Value lhs, mlir::Value rhs);
  mlir::Value mul(mlir::Value lhs, mlir::Value rhs);
  mlir::Value div(mlir::Value lhs, mlir::Value rhs);
  mlir::Value compare(Predicate predicate, mlir::Value lhs, mlir::Value rhs);
  mlir::Value select(mlir::Value condition, mlir::Value lhs, mlir::Value rhs);
  /// With a number on one side.
  mlir::Value add(mlir::Value lhs, double rhs);
  mlir::Value mul(mlir::Value lhs, double rhs);
  /// `value` where `condition` holds, else 0.
  mlir::Value mask(mlir::Value condition, mlir::Value value);

  /// A unary op whose result has the operand's type.
  template <typename OpTy> mlir::Value unary(mlir::Value operand) {
    return OpTy::create(builder, location, operand.getType(), operand);
  }

  /// Sum over `dims` (ascending), which the result loses.
  mlir::Value sum(mlir::Value operand, llvm::ArrayRef<int64_t> dims);
  /// Repeats `operand` so that it has the shape of `type`; its dimension i is
  /// dimension `dims[i]` there. The element type is the operand's.
  mlir::Value broadcast(mlir::Value operand, mlir::RankedTensorType type,
                        llvm::ArrayRef<int64_t> dims);
  /// Repeats `operand` along the new last dimension of `type`.
  mlir::Value broadcastRows(mlir::Value operand, mlir::RankedTensorType type);
  mlir::Value reshape(mlir::Value operand, llvm::ArrayRef<int64_t> shape);
  /// Sums away what NumPy broadcasting repeated: the gradient of an operand of
  /// `type` from one of the result's shape.
  mlir::Value sumToShape(mlir::Value gradient, mlir::RankedTensorType type);

  mlir::OpBuilder &builder;
  mlir::Location location;
};

} // namespace whale

#endif // WHALE_DIALECT_PRIMITIVEBUILDER_H
