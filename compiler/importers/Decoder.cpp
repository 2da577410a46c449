//===- Decoder.cpp - decoder-only transformers ----------------------------===//

#include "compiler/importers/Decoder.h"

#include <map>

using namespace mlir;
using namespace whale;
using namespace whale::importers;

namespace {
class DecoderBuilder {
public:
  DecoderBuilder(const Decoder &spec, ModelBuilder &model)
      : spec(spec), model(model) {}
  void build();

private:
  ModuleDefOp embeddings();
  ModuleDefOp bias();
  ModuleDefOp attention(const LayerKind &kind);
  ModuleDefOp mlp();
  ModuleDefOp experts();
  ModuleDefOp feedForwardOf(const LayerKind &kind);
  ModuleDefOp block(const LayerKind &kind);
  ModuleDefOp period(ArrayRef<LayerKind> kinds);
  ModuleDefOp head();
  SmallVector<Value> stack(ModuleBuilder &m, SmallVector<Value> stream);

  Value attend(ModuleBuilder &m, const LayerKind &kind, Value x);
  SmallVector<Value> feed(ModuleBuilder &m, const LayerKind &kind, Value x);
  Value branchEnd(ModuleBuilder &m, StringRef name, Value branch);

  int64_t routedLayers() const;
  bool hasBalance() const { return spec.experts.balanceWeight > 0; }
  RankedTensorType activations() {
    return model.real({spec.batch, spec.sequence, spec.hidden});
  }
  RankedTensorType ids() { return model.integers({spec.batch, spec.sequence}); }
  RankedTensorType biasType() {
    return model.real({spec.attention.heads * spec.attention.group, 1,
                       spec.sequence, spec.sequence});
  }
  RankedTensorType balanceType() {
    return model.real(
        {spec.batch / spec.experts.groupSamples, spec.experts.count});
  }
  /// What a block takes: the activations, then the two balance sums, then the
  /// bias of the scores, which is not a result.
  SmallVector<Type> blockTypes();
  std::string prefixOf(const LayerKind &kind) const;

  const Decoder &spec;
  ModelBuilder &model;
  /// Modules made so far, by name.
  std::map<std::string, ModuleDefOp> made;
};
} // namespace

//===----------------------------------------------------------------------===//
// Parts
//===----------------------------------------------------------------------===//

SmallVector<Type> DecoderBuilder::blockTypes() {
  SmallVector<Type> types = {activations()};
  if (hasBalance())
    types.append({balanceType(), balanceType()});
  if (spec.linearBias)
    types.push_back(biasType());
  return types;
}

/// Names of what is not like in most layers: "dense_", "unturned_".
std::string DecoderBuilder::prefixOf(const LayerKind &kind) const {
  std::string prefix;
  if (!kind.rotary)
    prefix += "unturned_";
  if (!kind.experts && spec.experts.count)
    prefix += "dense_";
  return prefix;
}

ModuleDefOp DecoderBuilder::embeddings() {
  ModuleBuilder m = model.module("embeddings", {ids()});
  Value x =
      embed(m, "token", m.argument(0), spec.vocabulary, spec.hidden, spec.init);
  if (spec.embeddingScale != 1)
    x = m.scale("token.scaled", x, spec.embeddingScale);
  if (spec.positions) {
    Value position = positions(m, "position", spec.positions, spec.sequence,
                               spec.hidden, spec.init, spec.firstPosition);
    x = m.add("sum", x, position);
  }
  if (spec.embeddingNorm)
    x = normalize(m, "norm", x, spec.norm);
  return m.finish({m.dropout("dropout", x, spec.embeddingRate)});
}

ModuleDefOp DecoderBuilder::bias() {
  ModuleBuilder m = model.module("linear_bias");
  return m.finish({linearBias(m, biasType().getShape()[0], spec.sequence)});
}

ModuleDefOp DecoderBuilder::attention(const LayerKind &kind) {
  std::string name = kind.rotary ? "attention" : "unturned_attention";
  if (made[name])
    return made[name];
  SmallVector<Type> types = {activations()};
  if (spec.linearBias)
    types.push_back(biasType());
  ModuleBuilder m = model.module(name, types);
  Attention own = spec.attention;
  if (spec.linearBias)
    own.mask.bias =
        m.reshape("bias", m.argument(1),
                  {own.heads, own.group, spec.sequence, spec.sequence});
  if (!kind.rotary) {
    own.rotary.reset();
    own.headNorm = HeadNorm::None;
  }
  Value x = m.argument(0);
  Value result = spec.latent ? attendLatent(m, x, own, *spec.latent)
                             : importers::attend(m, x, x, own);
  return made[name] =
             m.finish({m.dropout("dropout", result, spec.residualRate)});
}

ModuleDefOp DecoderBuilder::mlp() {
  ModuleBuilder m = model.module("mlp", {activations()});
  Value result = feedForward(m, m.argument(0), spec.mlp);
  return m.finish({m.dropout("dropout", result, spec.residualRate)});
}

/// (x, balance sums) -> (x, balance sums).
ModuleDefOp DecoderBuilder::experts() {
  ModuleDefOp shared;
  if (spec.experts.shared) {
    ModuleBuilder m = model.module("shared_experts", {activations()});
    FeedForward all = spec.mlp;
    all.ffn = spec.experts.shared;
    all.activation = spec.experts.activation;
    shared = m.finish({feedForward(m, m.argument(0), all)});
  }
  SmallVector<Type> types = {activations()};
  if (hasBalance())
    types.append({balanceType(), balanceType()});
  ModuleBuilder m = model.module("experts", types);
  Value x = m.argument(0);
  SmallVector<Value> results = {Value()};
  for (unsigned i = 1; i < types.size(); ++i)
    results.push_back(m.argument(i));
  Route chosen = route(m, x, spec.experts);
  if (hasBalance())
    addBalance(m, chosen, spec.experts,
               MutableArrayRef<Value>(results).drop_front());
  results[0] = applyExperts(m, x, chosen, spec.experts);
  if (shared)
    results[0] = m.add("all", results[0],
                       m.instance(shared, "shared_experts", x).front());
  return m.finish(results);
}

ModuleDefOp DecoderBuilder::feedForwardOf(const LayerKind &kind) {
  ModuleDefOp &known = made[kind.experts ? "experts" : "mlp"];
  if (!known)
    known = kind.experts ? experts() : mlp();
  return known;
}

//===----------------------------------------------------------------------===//
// Blocks
//===----------------------------------------------------------------------===//

Value DecoderBuilder::branchEnd(ModuleBuilder &m, StringRef name,
                                Value branch) {
  if (spec.residual != Residual::Sandwich)
    return branch;
  return normalize(m, (name + "_end_norm").str(), branch, spec.norm);
}

Value DecoderBuilder::attend(ModuleBuilder &m, const LayerKind &kind, Value x) {
  SmallVector<Value> operands = {x};
  if (spec.linearBias)
    operands.push_back(m.argument(blockTypes().size() - 1));
  Value branch = m.instance(attention(kind), "attention", operands).front();
  return branchEnd(m, "attention", branch);
}

/// The branch, and the balance sums after it.
SmallVector<Value> DecoderBuilder::feed(ModuleBuilder &m, const LayerKind &kind,
                                        Value x) {
  SmallVector<Value> balance;
  for (unsigned i = 1; hasBalance() && i <= 2; ++i)
    balance.push_back(m.argument(i));
  SmallVector<Value> operands = {x};
  if (kind.experts)
    operands.append(balance);
  SmallVector<Value> results = m.instance(
      feedForwardOf(kind), kind.experts ? "experts" : "mlp", operands);
  if (!kind.experts)
    results.append(balance);
  results[0] = branchEnd(m, "mlp", results[0]);
  return results;
}

ModuleDefOp DecoderBuilder::block(const LayerKind &kind) {
  std::string name = prefixOf(kind) + "block";
  if (made[name])
    return made[name];
  attention(kind);
  feedForwardOf(kind);
  ModuleBuilder m = model.module(name, blockTypes());
  Value x = m.argument(0);
  bool isParallel = spec.residual == Residual::Parallel ||
                    spec.residual == Residual::ParallelOneNorm;
  Value input = normalize(m, "attention_norm", x, spec.norm);
  Value middle = m.add("attention_residual", x, attend(m, kind, input));
  if (spec.residual != Residual::ParallelOneNorm)
    input = normalize(m, "mlp_norm", isParallel ? x : middle, spec.norm);
  SmallVector<Value> results = feed(m, kind, input);
  results[0] = m.add("mlp_residual", middle, results[0]);
  return made[name] = m.finish(results);
}

/// One block per kind, named `layer0`, `layer1`, ...
ModuleDefOp DecoderBuilder::period(ArrayRef<LayerKind> kinds) {
  for (const LayerKind &kind : kinds)
    block(kind);
  ModuleBuilder m = model.module("period", blockTypes());
  SmallVector<Value> stream;
  for (unsigned i = 0; i < blockTypes().size(); ++i)
    stream.push_back(m.argument(i));
  for (auto [index, kind] : llvm::enumerate(kinds)) {
    SmallVector<Value> results =
        m.instance(block(kind), ("layer" + llvm::Twine(index)).str(), stream);
    llvm::copy(results, stream.begin());
  }
  if (spec.linearBias)
    stream.pop_back();
  return m.finish(stream);
}

SmallVector<Value> DecoderBuilder::stack(ModuleBuilder &m,
                                         SmallVector<Value> stream) {
  auto chain = [&](ModuleDefOp layer, const std::string &name,
                   std::optional<int64_t> repeat) {
    SmallVector<Value> results = m.instance(layer, name, stream, repeat);
    llvm::copy(results, stream.begin());
  };
  if (spec.denseLayers)
    chain(block(LayerKind()), "dense_layers", spec.denseLayers);
  int64_t rest = spec.layers - spec.denseLayers;
  int64_t length = spec.period.size(), count = rest / length;
  if (count)
    chain(length == 1 ? block(spec.period[0]) : period(spec.period), "layers",
          count);
  for (int64_t i = 0; i < rest % length; ++i)
    chain(block(spec.period[i]), "layer" + std::to_string(i), std::nullopt);
  return stream;
}

//===----------------------------------------------------------------------===//
// The whole
//===----------------------------------------------------------------------===//

ModuleDefOp DecoderBuilder::head() {
  ModuleBuilder m = model.module("head", {activations(), ids()});
  Value x = m.argument(0);
  if (spec.finalNorm)
    x = normalize(m, "norm", x, spec.norm);
  SmallVector<int64_t> shape = {spec.vocabulary, spec.hidden};
  Value table = spec.tiedHead
                    ? m.tied("decoder.weight", "embeddings/token.weight", shape,
                             spec.init)
                    : m.variable("decoder.weight", shape, spec.init);
  Value logits = decode(m, "decoder", x, table);
  if (spec.headBias)
    logits = m.add("decoder.biased", logits,
                   m.variable("decoder.bias", {spec.vocabulary}, constant(0)));
  if (spec.logitScale != 1)
    logits = m.scale("decoder.scaled", logits, spec.logitScale);
  return m.finish({m.crossEntropySum("loss", logits, m.argument(1))});
}

int64_t DecoderBuilder::routedLayers() const {
  int64_t rest = spec.layers - spec.denseLayers, length = spec.period.size();
  int64_t routed = 0;
  for (auto [index, kind] : llvm::enumerate(spec.period))
    if (kind.experts)
      routed += rest / length + (int64_t(index) < rest % length);
  return routed;
}

void DecoderBuilder::build() {
  ModuleDefOp first = embeddings();
  ModuleDefOp scores = spec.linearBias ? bias() : ModuleDefOp();
  if (spec.denseLayers)
    block(LayerKind());
  for (const LayerKind &kind : spec.period)
    block(kind);
  ModuleDefOp last = head();
  ModuleBuilder m = model.module("main");
  Value tokens =
      m.input("tokens", {"batch", "sequence"}, ids(), spec.vocabulary);
  Value labels =
      m.input("labels", {"batch", "sequence"}, ids(), spec.vocabulary);
  SmallVector<Value> stream = m.instance(first, "embeddings", tokens);
  if (hasBalance())
    for (StringRef name : {"balance.chosen", "balance.probability"})
      stream.push_back(m.constant(name, 0, balanceType().getShape()));
  if (scores)
    stream.append(m.instance(scores, "linear_bias", {}));
  stream = stack(m, stream);
  Value sum = m.instance(last, "head", {stream[0], labels}).front();
  m.loss("loss", sum,
         m.constant("count", double(spec.batch) * double(spec.sequence)));
  if (hasBalance())
    balanceLoss(m, ArrayRef<Value>(stream).slice(1, 2), spec.experts,
                routedLayers(), spec.sequence);
  m.finish({});
}

void importers::buildDecoder(const Decoder &decoder, ModelBuilder &model) {
  DecoderBuilder(decoder, model).build();
}
