//===- Whale.h - the whale dialect ------------------------------*- C++ -*-===//
//
// Model graphs, training spec, parallel primitives. See docs/language.md.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_DIALECT_WHALE_H
#define WHALE_DIALECT_WHALE_H

#include "dialects/whale/IterationSpace.h"

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/RegionKindInterface.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/CallInterfaces.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace whale {
class ModuleDefOp;
class TrainingOp;
class BackwardOp;

/// Type inference of the elementwise ops: NumPy broadcasting of equal element
/// types; emits at `location` where shapes or element types do not fit.
llvm::LogicalResult
inferBroadcast(std::optional<mlir::Location> location, mlir::ValueRange operands,
               llvm::SmallVectorImpl<mlir::Type> &types);
/// As inferBroadcast, but gives i1.
llvm::LogicalResult
inferCompare(mlir::MLIRContext *context, std::optional<mlir::Location> location,
             mlir::ValueRange operands,
             llvm::SmallVectorImpl<mlir::Type> &types);
/// Broadcast of three shapes; the element type is that of operands 1 and 2.
llvm::LogicalResult inferSelect(std::optional<mlir::Location> location,
                                mlir::ValueRange operands,
                                llvm::SmallVectorImpl<mlir::Type> &types);

/// The parsed equation of an einsum.
struct Equation {
  llvm::SmallVector<std::string> lhs, rhs, result;
};
/// Splits "a b, b c -> a c"; empty optional where the text is malformed.
std::optional<Equation> parseEquation(llvm::StringRef text);
/// The text of an equation, in canonical spelling.
std::string printEquation(const Equation &equation);

/// Shorthand for a value's ranked tensor type.
inline mlir::RankedTensorType tensorType(mlir::Value value) {
  return llvm::cast<mlir::RankedTensorType>(value.getType());
}
} // namespace whale

#include "dialects/whale/WhaleDialect.h.inc"
#include "dialects/whale/WhaleEnums.h.inc"
#include "dialects/whale/WhaleInterfaces.h.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/whale/WhaleAttrs.h.inc"
#define GET_TYPEDEF_CLASSES
#include "dialects/whale/WhaleTypes.h.inc"
#define GET_OP_CLASSES
#include "dialects/whale/WhaleOps.h.inc"

namespace whale {
/// Whether `value` holds sums that are not rounded yet.
inline bool isAccumulator(mlir::Value value) {
  auto type = llvm::dyn_cast<mlir::RankedTensorType>(value.getType());
  return type && llvm::isa<AccumulatorType>(type.getElementType());
}

/// Attention and its gradients in primitive ops, as ExpandableOpInterface does
/// it for others: one value per result. Only canonical mode wants that.
llvm::SmallVector<mlir::Value> expandAttention(mlir::OpBuilder &builder,
                                               AttentionOp op);
llvm::SmallVector<mlir::Value> expandAttention(mlir::OpBuilder &builder,
                                               AttentionGradOp op);
} // namespace whale

#endif // WHALE_DIALECT_WHALE_H
