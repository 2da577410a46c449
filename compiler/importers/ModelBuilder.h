//===- ModelBuilder.h - writing whale models from C++ -----------*- C++ -*-===//
//
// A thin layer over OpBuilder that lets a model family read like its paper:
//
//   ModelBuilder model(context, "tiny", location, builder.getF32Type());
//   ModuleBuilder mlp = model.module("mlp", {model.real({8, 64, 32})});
//   Value w = mlp.variable("weight", {32, 128}, normal(0.02));
//   Value h = mlp.einsum("up", "batch sequence hidden, hidden ffn"
//                              " -> batch sequence ffn", mlp.argument(0), w);
//   ModuleDefOp definition = mlp.finish({h});
//
// Result types are inferred, every op gets a discardable `name` that is unique
// in its module, and a location that names module and op. Shapes are not
// checked here: the ops' verifiers do that.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_IMPORTERS_MODELBUILDER_H
#define WHALE_IMPORTERS_MODELBUILDER_H

#include "compiler/importers/Lora.h"
#include "dialects/whale/Whale.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"

namespace whale::importers {

using Shape = llvm::ArrayRef<int64_t>;

/// How a variable starts (see InitAttr). Values are rounded to six significant
/// digits, so that the text stays short and reads back equal.
struct Init {
  InitKind kind = InitKind::constant;
  double a = 0, b = 0;
};
inline Init constant(double value) { return {InitKind::constant, value, 0}; }
inline Init normal(double deviation) {
  return {InitKind::normal, 0, deviation};
}
/// Uniform in [-bound, bound).
inline Init uniform(double bound) { return {InitKind::uniform, -bound, bound}; }

/// Rotary positions (RotaryScalingAttr).
struct RotaryScaling {
  RotaryScalingKind kind = RotaryScalingKind::linear;
  double factor = 1, low = 1, high = 2, positions = 1, magnitude = 1;
};
struct Rotary {
  double theta = 1e4;
  std::optional<RotaryScaling> scaling;
};

/// What an attention op sees beside q, k and v.
struct AttentionMask {
  bool causal = false;
  std::optional<int64_t> window;
  /// Added to the scores; null = none.
  mlir::Value bias;
};

class ModelBuilder;

/// One module under construction; `finish` ends it.
class ModuleBuilder {
public:
  mlir::Value argument(unsigned index);
  mlir::Value input(llvm::StringRef name, llvm::ArrayRef<llvm::StringRef> dims,
                    mlir::RankedTensorType type,
                    std::optional<int64_t> range = std::nullopt);

  /// A trained parameter; frozen where the model has adapters.
  mlir::Value variable(llvm::StringRef name, Shape shape, Init init);
  /// A parameter that is not trained.
  mlir::Value frozen(llvm::StringRef name, Shape shape, Init init);
  /// A trained parameter of an adapter; the one of this name if there is one.
  mlir::Value adapter(llvm::StringRef name, Shape shape, Init init);
  /// The variable at `path` of the model once more.
  mlir::Value tied(llvm::StringRef name, llvm::StringRef path, Shape shape,
                   Init init);
  /// A running statistic, and the value that it has after the step.
  mlir::Value statistic(llvm::StringRef name, Shape shape, double start);
  void assign(llvm::StringRef name, mlir::Value value);

  mlir::Value constant(llvm::StringRef name, double value, Shape shape = {});
  mlir::Value integer(llvm::StringRef name, int64_t value);
  /// Global index along `dim`, as a float or an integer tensor.
  mlir::Value iota(llvm::StringRef name, mlir::RankedTensorType type,
                   int64_t dim);

  /// The result's shape follows from the equation.
  mlir::Value einsum(llvm::StringRef name, llvm::StringRef equation,
                     mlir::Value lhs, mlir::Value rhs);
  template <class OpTy>
  mlir::Value unary(llvm::StringRef name, mlir::Value operand) {
    return make<OpTy>(name, operand.getType(), operand)->getResult(0);
  }
  template <class OpTy>
  mlir::Value binary(llvm::StringRef name, mlir::Value lhs, mlir::Value rhs) {
    return make<OpTy>(name, lhs, rhs)->getResult(0);
  }
  mlir::Value add(llvm::StringRef name, mlir::Value lhs, mlir::Value rhs) {
    return binary<AddOp>(name, lhs, rhs);
  }
  mlir::Value mul(llvm::StringRef name, mlir::Value lhs, mlir::Value rhs) {
    return binary<MulOp>(name, lhs, rhs);
  }
  /// `operand` times a constant.
  mlir::Value scale(llvm::StringRef name, mlir::Value operand, double factor);
  mlir::Value gelu(llvm::StringRef name, mlir::Value operand, bool tanh);
  mlir::Value compare(llvm::StringRef name, Predicate predicate,
                      mlir::Value lhs, mlir::Value rhs);
  mlir::Value select(llvm::StringRef name, mlir::Value condition,
                     mlir::Value lhs, mlir::Value rhs);
  mlir::Value cast(llvm::StringRef name, mlir::Value operand,
                   mlir::Type element);
  /// `operand` itself where the rate is 0.
  mlir::Value dropout(llvm::StringRef name, mlir::Value operand, double rate);

  mlir::Value sum(llvm::StringRef name, mlir::Value operand, Shape dims);
  mlir::Value broadcast(llvm::StringRef name, mlir::Value operand, Shape dims,
                        Shape shape);
  mlir::Value reshape(llvm::StringRef name, mlir::Value operand, Shape shape);
  mlir::Value transpose(llvm::StringRef name, mlir::Value operand,
                        Shape permutation);
  /// Elements [start, start + extent) of `dim`; `operand` itself if that is
  /// all.
  mlir::Value slice(llvm::StringRef name, mlir::Value operand, int64_t dim,
                    int64_t start, int64_t extent);
  /// Element `index` of `dim`, which the result loses.
  mlir::Value pick(llvm::StringRef name, mlir::Value operand, int64_t dim,
                   int64_t index);
  mlir::Value concat(llvm::StringRef name, mlir::ValueRange operands,
                     int64_t dim);
  mlir::Value embedding(llvm::StringRef name, mlir::Value table,
                        mlir::Value indices);

  mlir::Value softmax(llvm::StringRef name, mlir::Value operand);
  mlir::Value layerNorm(llvm::StringRef name, mlir::Value operand,
                        mlir::Value scale, mlir::Value shift, double epsilon);
  mlir::Value rmsNorm(llvm::StringRef name, mlir::Value operand,
                      mlir::Value scale, double epsilon);
  BatchNormOp batchNorm(llvm::StringRef name, mlir::Value operand,
                        mlir::Value scale, mlir::Value shift,
                        std::optional<int64_t> over, double epsilon);
  /// Sum of the rows' losses, a scalar.
  mlir::Value crossEntropySum(llvm::StringRef name, mlir::Value logits,
                              mlir::Value labels);

  mlir::Value attention(llvm::StringRef name, mlir::Value query,
                        mlir::Value key, mlir::Value value, double scale,
                        const AttentionMask &mask);
  mlir::Value rotary(llvm::StringRef name, mlir::Value operand,
                     const Rotary &rotary);

  /// Square window and stride, equal padding on all sides.
  mlir::Value conv2d(llvm::StringRef name, mlir::Value input,
                     mlir::Value filter, int64_t stride, int64_t padding);
  mlir::Value maxPool(llvm::StringRef name, mlir::Value input, int64_t window,
                      int64_t stride, int64_t padding);

  /// Values and indices.
  std::pair<mlir::Value, mlir::Value> topK(llvm::StringRef name,
                                           mlir::Value operand, int64_t k);
  mlir::Value expertMatmul(llvm::StringRef name, mlir::Value rows,
                           mlir::Value weights, mlir::Value experts);
  mlir::Value expertSlot(llvm::StringRef name, mlir::Value experts,
                         int64_t count, int64_t capacity, int64_t over);
  mlir::Value dispatch(llvm::StringRef name, mlir::Value rows,
                       mlir::Value experts, mlir::Value slots, Shape shape);
  mlir::Value collect(llvm::StringRef name, mlir::Value buffers,
                      mlir::Value experts, mlir::Value slots);

  /// An instance, or with `repeat` a chain of instances.
  llvm::SmallVector<mlir::Value>
  instance(ModuleDefOp callee, llvm::StringRef name, mlir::ValueRange operands,
           std::optional<int64_t> repeat = std::nullopt);
  /// The states, then the outputs stacked along `dim`.
  llvm::SmallVector<mlir::Value> scan(ModuleDefOp cell, llvm::StringRef name,
                                      mlir::ValueRange states,
                                      mlir::ValueRange sequences, int64_t dim,
                                      bool reverse = false);
  void loss(llvm::StringRef name, mlir::Value sum, mlir::Value count,
            double weight = 1.0);

  /// Ends the module and gives it its type.
  ModuleDefOp finish(mlir::ValueRange results);

  ModelBuilder &owner() { return model; }

private:
  friend class ModelBuilder;
  ModuleBuilder(ModelBuilder &model, ModuleDefOp definition);

  mlir::Location locate(llvm::StringRef name);
  mlir::StringAttr unique(llvm::StringRef name);
  mlir::RankedTensorType typeLike(mlir::Value value, Shape shape);
  mlir::Value read(llvm::StringRef name, Shape shape, Init init,
                   VariableKind kind, llvm::StringRef tied, bool frozen);

  template <class OpTy, class... Args>
  OpTy make(llvm::StringRef name, Args &&...args) {
    mlir::StringAttr own = unique(name);
    auto op = OpTy::create(builder, locate(own), std::forward<Args>(args)...);
    op->setDiscardableAttr("name", own);
    return op;
  }

  ModelBuilder &model;
  ModuleDefOp definition;
  mlir::OpBuilder builder;
  llvm::StringMap<unsigned> uses;
};

/// A model under construction. Owns the ops until `take`.
class ModelBuilder {
public:
  /// `element` is the type of all real tensors. Loads the whale dialect.
  ModelBuilder(mlir::MLIRContext *context, llvm::StringRef name,
               mlir::Location source, mlir::Type element);

  /// Begins a module. Modules are printed in the order in which they are
  /// finished, so that each comes after those that it instantiates.
  ModuleBuilder module(llvm::StringRef name,
                       llvm::ArrayRef<mlir::Type> arguments = {});
  /// The training spec, the model's last op.
  void training(mlir::DictionaryAttr spec);
  /// The model gets adapters: parameters of later modules are frozen.
  void adapt(const Lora &options) { lora = options; }
  /// Null without.
  const Lora *adapters() const { return lora ? &*lora : nullptr; }
  /// Whether `target` has an adapter; noted for `unusedTarget`.
  bool adapts(llvm::StringRef target);
  /// A target that no layer of the model has.
  std::optional<std::string> unusedTarget() const;
  /// The builtin module that holds the model.
  mlir::OwningOpRef<mlir::ModuleOp> take() { return std::move(root); }

  mlir::RankedTensorType real(Shape shape);
  /// i32.
  mlir::RankedTensorType integers(Shape shape);
  mlir::MLIRContext *context() { return element.getContext(); }

private:
  friend class ModuleBuilder;

  mlir::Location source;
  mlir::Type element;
  std::optional<Lora> lora;
  llvm::StringSet<> usedTargets;
  mlir::OwningOpRef<mlir::ModuleOp> root;
  ModelOp op;
};

} // namespace whale::importers

#endif // WHALE_IMPORTERS_MODELBUILDER_H
