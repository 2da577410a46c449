//===- Gnmt.cpp - Google's neural machine translation ---------------------===//
//
// Wu et al. 2016: an LSTM encoder whose first layer reads in both directions,
// an LSTM decoder, attention, residual connections from the third layer of
// each. As in its widely used second form, attention starts from the first
// decoder layer's results, so that it needs no recurrence of its own, and its
// context is an input of every decoder layer after the first. All states start
// at zero.
//
// An LSTM's inputs meet their weights in one product over all positions; only
// the recurrent part is scanned. Weights are [hidden, gates, units], the gates
// being input, forget, candidate and output, with one bias.
//
// Keys: vocab_size, hidden_size, num_encoder_layers, num_decoder_layers (at
// least 2 each), max_position_embeddings (for the default sequence), attention
// ("dot" or "additive"), dropout_rate (before each layer; default 0.2),
// decoder_sequence (default: as long as the encoder's).
//
//===----------------------------------------------------------------------===//

#include "compiler/importers/Families.h"
#include "compiler/importers/Layers.h"

#include <cmath>

using namespace mlir;
using namespace whale;
using namespace whale::importers;

namespace {
class Gnmt {
public:
  Gnmt(Config &config, const Sizes &sizes, ModelBuilder &model);
  void build();

private:
  ModuleDefOp defineCell();
  Value lstm(ModuleBuilder &m, StringRef name, ArrayRef<Value> inputs,
             bool reverse = false);
  ModuleDefOp embeddings(StringRef name, int64_t length);
  ModuleDefOp bidirectional();
  ModuleDefOp layer(StringRef name, int64_t length, unsigned inputs,
                    bool isResidual);
  ModuleDefOp attention();
  Value score(ModuleBuilder &m, Value query, Value key);
  ModuleDefOp head();
  Value encode(ModuleBuilder &m, Value tokens);
  Value decodeTokens(ModuleBuilder &m, Value tokens, Value memory);

  RankedTensorType activations(int64_t length) {
    return model.real({batch, length, hidden});
  }

  ModelBuilder &model;
  int64_t batch, vocabulary, hidden, encoderLayers, decoderLayers;
  int64_t sequence, targetLength;
  double rate;
  bool isAdditive;
  /// Wu et al., section 6.3: uniform in [-0.04, 0.04].
  Init init = uniform(0.04);
  ModuleDefOp cell;
};
} // namespace

static constexpr int64_t gates = 4;

Gnmt::Gnmt(Config &config, const Sizes &sizes, ModelBuilder &model)
    : model(model), batch(sizes.batch) {
  vocabulary = config.size("vocab_size");
  hidden = config.size("hidden_size");
  encoderLayers = config.size("num_encoder_layers");
  decoderLayers = config.size("num_decoder_layers");
  for (auto [key, layers] : {std::pair<std::string_view, int64_t>{
                                 "num_encoder_layers", encoderLayers},
                             {"num_decoder_layers", decoderLayers}})
    if (layers < 2)
      config.error(key, "'" + std::string(key) + "' is " +
                            std::to_string(layers) + ", expected 2 or more");
  sequence =
      sizes.sequence.value_or(config.size("max_position_embeddings", 50));
  targetLength = config.size("decoder_sequence", sequence);
  isAdditive =
      config.choice("attention", "dot", {"dot", "additive"}) == "additive";
  rate = config.rate("dropout_rate", 0.2);
}

//===----------------------------------------------------------------------===//
// LSTM (Hochreiter and Schmidhuber 1997; Gers et al. 2000)
//===----------------------------------------------------------------------===//

/// (h, c, input's part of the gates) -> (h, c, h).
ModuleDefOp Gnmt::defineCell() {
  RankedTensorType state = model.real({batch, hidden});
  ModuleBuilder m =
      model.module("cell", {state, state, model.real({batch, gates, hidden})});
  Value weight = m.variable("recurrent.weight", {hidden, gates, hidden}, init);
  Value own = m.einsum("recurrent",
                       "batch hidden, hidden gates units -> batch gates units",
                       m.argument(0), weight);
  Value all = m.add("gates", own, m.argument(2));
  Value in = m.unary<SigmoidOp>("in", m.pick("in.gate", all, 1, 0));
  Value forget = m.unary<SigmoidOp>("forget", m.pick("forget.gate", all, 1, 1));
  Value candidate =
      m.unary<TanhOp>("candidate", m.pick("candidate.gate", all, 1, 2));
  Value out = m.unary<SigmoidOp>("out", m.pick("out.gate", all, 1, 3));
  Value kept = m.mul("kept", forget, m.argument(1));
  Value c = m.add("cell", kept, m.mul("added", in, candidate));
  Value h = m.mul("state", out, m.unary<TanhOp>("cell.tanh", c));
  return m.finish({h, c, h});
}

/// An LSTM over dimension 1 of its inputs, whose parts of the gates add up.
Value Gnmt::lstm(ModuleBuilder &m, StringRef name, ArrayRef<Value> inputs,
                 bool reverse) {
  auto named = [&](Twine suffix) { return (name + suffix).str(); };
  Value sum =
      m.variable(named(".bias"), {gates, hidden}, importers::constant(0));
  for (auto [index, input] : llvm::enumerate(inputs)) {
    std::string part =
        named(inputs.size() == 1 ? Twine(".in") : ".in" + Twine(index));
    Value weight = m.variable(part + ".weight", {hidden, gates, hidden}, init);
    Value dropped = m.dropout(part + ".dropout", input, rate);
    Value product = m.einsum(part,
                             "batch sequence hidden, hidden gates units"
                             " -> batch sequence gates units",
                             dropped, weight);
    sum = m.add(part + ".sum", product, sum);
  }
  Value zero = m.constant(named(".zero"), 0, {batch, hidden});
  return m.scan(cell, name, {zero, zero}, sum, 1, reverse).back();
}

//===----------------------------------------------------------------------===//
// Layers
//===----------------------------------------------------------------------===//

ModuleDefOp Gnmt::embeddings(StringRef name, int64_t length) {
  ModuleBuilder m = model.module(name, {model.integers({batch, length})});
  return m.finish({embed(m, "token", m.argument(0), vocabulary, hidden, init)});
}

/// x -> what each direction says.
ModuleDefOp Gnmt::bidirectional() {
  ModuleBuilder m = model.module("bidirectional", {activations(sequence)});
  Value ahead = lstm(m, "forward", m.argument(0));
  Value back = lstm(m, "backward", m.argument(0), /*reverse=*/true);
  return m.finish({ahead, back});
}

/// (x, further inputs...) -> LSTM of all, plus x where residual.
ModuleDefOp Gnmt::layer(StringRef name, int64_t length, unsigned inputs,
                        bool isResidual) {
  SmallVector<Type> types(inputs, activations(length));
  // A decoder's second input is the context, of the same shape.
  ModuleBuilder m = model.module(name, types);
  SmallVector<Value> values;
  for (unsigned i = 0; i < inputs; ++i)
    values.push_back(m.argument(i));
  Value result = lstm(m, "rnn", values);
  if (isResidual)
    result = m.add("residual", m.argument(0), result);
  return m.finish({result});
}

/// How well each key fits each query, [batch, sequence, keys].
Value Gnmt::score(ModuleBuilder &m, Value query, Value key) {
  if (!isAdditive) {
    Value scores = m.einsum("scores",
                            "batch sequence units, batch keys units"
                            " -> batch sequence keys",
                            query, key);
    return m.scale("scores.scaled", scores, 1 / std::sqrt(double(hidden)));
  }
  // Bahdanau et al. 2015: v . tanh(q + k).
  SmallVector<int64_t> shape = {batch, targetLength, sequence, hidden};
  Value wideQuery = m.broadcast("q.wide", query, {0, 1, 3}, shape);
  Value wideKey = m.broadcast("k.wide", key, {0, 2, 3}, shape);
  Value fit = m.unary<TanhOp>("fit", m.add("fit.sum", wideQuery, wideKey));
  return m.einsum("scores",
                  "batch sequence keys units, units -> batch sequence keys",
                  fit, m.variable("score.weight", {hidden}, init));
}

/// (decoder's first layer, encoder's result) -> context.
ModuleDefOp Gnmt::attention() {
  ModuleBuilder m = model.module(
      "attention", {activations(targetLength), activations(sequence)});
  Value query = linear(m, "q", m.argument(0), {"units", hidden, init});
  Value weight = m.variable("k.weight", {hidden, hidden}, init);
  Value key =
      m.einsum("k", "batch keys hidden, hidden units -> batch keys units",
               m.argument(1), weight);
  Value weights = m.softmax("probabilities", score(m, query, key));
  return m.finish({m.einsum("context",
                            "batch sequence keys, batch keys hidden"
                            " -> batch sequence hidden",
                            weights, m.argument(1))});
}

ModuleDefOp Gnmt::head() {
  ModuleBuilder m =
      model.module("head", {activations(targetLength),
                            model.integers({batch, targetLength})});
  Value logits = linear(m, "classifier", m.argument(0),
                        {"vocabulary", vocabulary, init, /*bias=*/true});
  return m.finish({m.crossEntropySum("loss", logits, m.argument(1))});
}

//===----------------------------------------------------------------------===//
// The whole
//===----------------------------------------------------------------------===//

Value Gnmt::encode(ModuleBuilder &m, Value tokens) {
  ModuleDefOp first = embeddings("encoder_embeddings", sequence);
  ModuleDefOp both = bidirectional();
  ModuleDefOp second = layer("encoder_second", sequence, 2, false);
  Value x = m.instance(first, "encoder_embeddings", tokens).front();
  SmallVector<Value> directions = m.instance(both, "encoder_first", x);
  x = m.instance(second, "encoder_second", directions).front();
  if (encoderLayers == 2)
    return x;
  ModuleDefOp rest = layer("encoder_layer", sequence, 1, true);
  return m.instance(rest, "encoder", x, encoderLayers - 2).front();
}

Value Gnmt::decodeTokens(ModuleBuilder &m, Value tokens, Value memory) {
  ModuleDefOp first = embeddings("decoder_embeddings", targetLength);
  ModuleDefOp bottom = layer("decoder_first", targetLength, 1, false);
  ModuleDefOp attend = attention();
  ModuleDefOp second = layer("decoder_second", targetLength, 2, false);
  Value x = m.instance(first, "decoder_embeddings", tokens).front();
  x = m.instance(bottom, "decoder_first", x).front();
  Value context = m.instance(attend, "attention", {x, memory}).front();
  x = m.instance(second, "decoder_second", {x, context}).front();
  if (decoderLayers == 2)
    return x;
  ModuleDefOp rest = layer("decoder_layer", targetLength, 2, true);
  return m.instance(rest, "decoder", {x, context}, decoderLayers - 2).front();
}

void Gnmt::build() {
  cell = defineCell();
  ModuleDefOp last = head();
  ModuleBuilder m = model.module("main");
  RankedTensorType from = model.integers({batch, sequence});
  RankedTensorType to = model.integers({batch, targetLength});
  Value tokens = m.input("tokens", {"batch", "sequence"}, from, vocabulary);
  Value targets =
      m.input("decoder_tokens", {"batch", "decoder_sequence"}, to, vocabulary);
  Value labels =
      m.input("labels", {"batch", "decoder_sequence"}, to, vocabulary);
  Value memory = encode(m, tokens);
  Value x = decodeTokens(m, targets, memory);
  Value sum = m.instance(last, "head", {x, labels}).front();
  m.loss("loss", sum,
         m.constant("count", double(batch) * double(targetLength)));
  m.finish({});
}

bool importers::buildGnmt(Config &config, const Sizes &sizes,
                          ModelBuilder &model) {
  Gnmt gnmt(config, sizes, model);
  if (!config.finish())
    return false;
  gnmt.build();
  return true;
}
