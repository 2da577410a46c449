//===- Emitter.h - writes ops of the flat step ------------------*- C++ -*-===//

#ifndef WHALE_PASSES_PLAN_EMITTER_H
#define WHALE_PASSES_PLAN_EMITTER_H

#include "passes/plan/FlatStep.h"

#include <string>

namespace whale::plan {

/// Builds ops that belong together: one path prefix, phase and TaskGraph. Paths
/// are `<base>.<ordinal>`. Elementwise ops broadcast; real constants take the
/// element type of the value beside them.
class Emitter {
public:
  Emitter(mlir::OpBuilder &builder, mlir::Location loc, std::string base,
          Phase phase, int64_t graph)
      : builder(builder), loc(loc), base(std::move(base)), phase(phase),
        graph(graph) {}

  mlir::MLIRContext *context() { return builder.getContext(); }
  /// Marks all further ops as about this parameter.
  void setParameter(mlir::StringAttr path) { parameter = path; }

  mlir::Value add(mlir::Value a, mlir::Value b) { return binary<AddOp>(a, b); }
  mlir::Value sub(mlir::Value a, mlir::Value b) { return binary<SubOp>(a, b); }
  mlir::Value mul(mlir::Value a, mlir::Value b) { return binary<MulOp>(a, b); }
  mlir::Value div(mlir::Value a, mlir::Value b) { return binary<DivOp>(a, b); }
  mlir::Value max(mlir::Value a, mlir::Value b) { return binary<MaxOp>(a, b); }
  mlir::Value min(mlir::Value a, mlir::Value b) { return binary<MinOp>(a, b); }
  mlir::Value pow(mlir::Value a, mlir::Value b) { return binary<PowOp>(a, b); }
  mlir::Value add(mlir::Value a, double b) { return add(a, like(a, b)); }
  mlir::Value mul(mlir::Value a, double b) { return mul(a, like(a, b)); }
  mlir::Value max(mlir::Value a, double b) { return max(a, like(a, b)); }
  mlir::Value min(mlir::Value a, double b) { return min(a, like(a, b)); }
  mlir::Value sub(double a, mlir::Value b) { return sub(like(b, a), b); }
  mlir::Value pow(double a, mlir::Value b) { return pow(like(b, a), b); }
  mlir::Value div(double a, mlir::Value b) { return div(like(b, a), b); }

  template <typename Op> mlir::Value unary(mlir::Value a) {
    return create<Op>(a.getType(), a);
  }
  mlir::Value square(mlir::Value a) { return mul(a, a); }
  /// Sum over `dims`.
  mlir::Value sum(mlir::Value a, llvm::ArrayRef<int64_t> dims);
  /// Sum over everything, a scalar.
  mlir::Value sum(mlir::Value a);
  /// `a` with its dimension i as dimension dims[i] of `shape`.
  mlir::Value broadcast(mlir::Value a, llvm::ArrayRef<int64_t> shape,
                        llvm::ArrayRef<int64_t> dims);
  mlir::Value cast(mlir::Value a, mlir::Type element);
  mlir::Value select(mlir::Value condition, mlir::Value a, mlir::Value b);
  mlir::Value less(mlir::Value a, mlir::Value b);
  /// A scalar of the element type of `value`.
  mlir::Value like(mlir::Value value, double number);
  mlir::Value constant(mlir::Type type, double number);
  /// A new variable that starts at 0, in phase prologue; `path` = its path.
  mlir::Value slot(const llvm::Twine &path, mlir::RankedTensorType type);
  void assign(llvm::StringRef path, mlir::Value value);

  /// Creates an op and sets its attributes.
  template <typename Op, typename... Args> Op make(Args &&...args) {
    auto op = Op::create(builder, loc, std::forward<Args>(args)...);
    tag(op);
    return op;
  }
  template <typename Op, typename... Args> mlir::Value create(Args &&...args) {
    return make<Op>(std::forward<Args>(args)...)->getResult(0);
  }

private:
  template <typename Op> mlir::Value binary(mlir::Value a, mlir::Value b) {
    return create<Op>(a, b);
  }
  void tag(mlir::Operation *op);

  mlir::OpBuilder &builder;
  mlir::Location loc;
  std::string base;
  Phase phase;
  int64_t graph;
  mlir::StringAttr parameter;
  unsigned ordinal = 0;
};

} // namespace whale::plan

#endif // WHALE_PASSES_PLAN_EMITTER_H
