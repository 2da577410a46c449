//===- Layers.cpp - what transformer families have in common --------------===//

#include "compiler/importers/Layers.h"

#include "compiler/support/Suggest.h"
#include "compiler/support/Text.h"

#include "llvm/ADT/StringExtras.h"

#include <cmath>

using namespace mlir;
using namespace whale;
using namespace whale::importers;

static int64_t lastExtent(Value value) {
  return tensorType(value).getShape().back();
}

static std::string with(StringRef name, StringRef suffix) {
  return (name + suffix).str();
}

//===----------------------------------------------------------------------===//
// Activations and norms
//===----------------------------------------------------------------------===//

namespace {
struct ActivationName {
  std::string_view name;
  Activation kind;
};
} // namespace

/// Hugging Face's spellings (transformers/activations.py).
static constexpr ActivationName activationNames[] = {
    {"gelu", Activation::Gelu},
    {"gelu_new", Activation::GeluTanh},
    {"gelu_fast", Activation::GeluTanh},
    {"gelu_pytorch_tanh", Activation::GeluTanh},
    {"relu", Activation::Relu},
    {"relu2", Activation::SquaredRelu},
    {"silu", Activation::Silu},
    {"swish", Activation::Silu},
};

Activation importers::readActivation(Config &config, std::string_view key,
                                     std::string fallback) {
  std::vector<std::string> allowed;
  for (const ActivationName &entry : activationNames)
    allowed.emplace_back(entry.name);
  std::string name = config.choice(key, std::move(fallback), allowed);
  for (const ActivationName &entry : activationNames)
    if (entry.name == name)
      return entry.kind;
  return Activation::Gelu;
}

Value importers::activate(ModuleBuilder &module, StringRef name, Value operand,
                          Activation kind) {
  switch (kind) {
  case Activation::Gelu:
    return module.gelu(name, operand, /*tanh=*/false);
  case Activation::GeluTanh:
    return module.gelu(name, operand, /*tanh=*/true);
  case Activation::Relu:
    return module.unary<ReluOp>(name, operand);
  case Activation::Silu:
    return module.unary<SiluOp>(name, operand);
  case Activation::SquaredRelu: {
    Value positive = module.unary<ReluOp>(with(name, ".relu"), operand);
    return module.mul(name, positive, positive);
  }
  }
  llvm_unreachable("unknown activation");
}

Value importers::normalize(ModuleBuilder &module, StringRef name, Value operand,
                           Norm norm) {
  int64_t features = lastExtent(operand);
  Value scale = module.variable(with(name, ".weight"), {features},
                                importers::constant(1));
  if (norm.kind == NormKind::Rms)
    return module.rmsNorm(name, operand, scale, norm.epsilon);
  Value shift = norm.kind == NormKind::LayerNoBias
                    ? module.constant(with(name, ".shift"), 0, {features})
                    : module.variable(with(name, ".bias"), {features},
                                      importers::constant(0));
  return module.layerNorm(name, operand, scale, shift, norm.epsilon);
}

//===----------------------------------------------------------------------===//
// Linear layers
//===----------------------------------------------------------------------===//

static std::string joined(ArrayRef<std::string> dims) {
  return llvm::join(dims, " ");
}

/// `result` plus the adapter's x A B * scale. `target` names it in the options;
/// q, k and v may share their A.
static Value adapt(ModuleBuilder &module, StringRef name, StringRef target,
                   const Equation &equation, Value operand, Shape shape,
                   Value result) {
  ModelBuilder &model = module.owner();
  bool shared =
      (target == "q" || target == "k" || target == "v") && model.adapts("qkv");
  if (!shared && !model.adapts(target))
    return result;
  const Lora &lora = *model.adapters();
  SmallVector<std::string> rows, contracted, kept;
  SmallVector<int64_t> down, up = {lora.rank};
  for (const std::string &dim : equation.lhs)
    if (!llvm::is_contained(equation.rhs, dim))
      rows.push_back(dim);
  for (auto [dim, extent] : llvm::zip(equation.rhs, shape)) {
    bool isInput = llvm::is_contained(equation.lhs, dim);
    (isInput ? contracted : kept).push_back(dim);
    (isInput ? down : up).push_back(extent);
  }
  double fanIn = 1;
  for (int64_t extent : down)
    fanIn *= double(extent);
  down.push_back(lora.rank);
  Value a = module.adapter(with(shared ? "qkv" : name, ".lora_a.weight"), down,
                           uniform(1 / std::sqrt(fanIn)));
  operand = module.dropout(with(name, ".lora_dropout"), operand, lora.dropout);
  Value low = module.einsum(with(name, ".lora_a"),
                            joined(equation.lhs) + ", " + joined(contracted) +
                                " rank -> " + joined(rows) + " rank",
                            operand, a);
  Value b =
      module.adapter(with(name, ".lora_b.weight"), up, importers::constant(0));
  Value update = module.einsum(with(name, ".lora_b"),
                               joined(rows) + " rank, rank " + joined(kept) +
                                   " -> " + joined(equation.result),
                               low, b);
  update = module.scale(with(name, ".lora_scaled"), update, lora.scale());
  return module.add(with(name, ".adapted"), result, update);
}

Value importers::project(ModuleBuilder &module, StringRef name,
                         StringRef equation, Value operand, Shape shape,
                         Init init, StringRef target) {
  Value weight = module.variable(with(name, ".weight"), shape, init);
  Value result = module.einsum(name, equation, operand, weight);
  return adapt(module, name, target.empty() ? name : target,
               *parseEquation(equation), operand, shape, result);
}

Value importers::linear(ModuleBuilder &module, StringRef name, Value operand,
                        const Linear &spec) {
  std::string rows =
      tensorType(operand).getRank() == 2 ? "batch " : "batch sequence ";
  std::string from = spec.from.str(), dim = spec.dim.str();
  Value result = project(
      module, name, rows + from + ", " + from + " " + dim + " -> " + rows + dim,
      operand, {lastExtent(operand), spec.extent}, spec.init);
  if (!spec.bias)
    return result;
  Value bias = module.variable(with(name, ".bias"), {spec.extent},
                               importers::constant(0));
  return module.add(with(name, ".biased"), result, bias);
}

Value importers::feedForward(ModuleBuilder &module, Value operand,
                             const FeedForward &spec) {
  Linear in = {"ffn", spec.ffn, spec.in, spec.bias};
  Value hidden;
  if (spec.gated) {
    Value gate = linear(module, "gate", operand, in);
    gate = activate(module, "activation", gate, spec.activation);
    hidden = module.mul("gated", gate, linear(module, "up", operand, in));
  } else {
    hidden = linear(module, "up", operand, in);
    hidden = activate(module, "activation", hidden, spec.activation);
  }
  hidden = module.dropout("activation.dropout", hidden, spec.dropout);
  return linear(module, "down", hidden,
                {"hidden", lastExtent(operand), spec.out, spec.bias, "ffn"});
}

//===----------------------------------------------------------------------===//
// Embeddings
//===----------------------------------------------------------------------===//

Value importers::embed(ModuleBuilder &module, StringRef name, Value tokens,
                       int64_t vocabulary, int64_t hidden, Init init) {
  Value table =
      module.variable(with(name, ".weight"), {vocabulary, hidden}, init);
  return module.embedding(name, table, tokens);
}

Value importers::positions(ModuleBuilder &module, StringRef name,
                           int64_t positions, int64_t sequence, int64_t hidden,
                           Init init, int64_t first) {
  Value table =
      module.variable(with(name, ".weight"), {positions, hidden}, init);
  return module.slice(name, table, 0, first, sequence);
}

Value importers::decode(ModuleBuilder &module, StringRef name, Value operand,
                        Value table) {
  return module.einsum(name,
                       "batch sequence hidden, vocabulary hidden"
                       " -> batch sequence vocabulary",
                       operand, table);
}
