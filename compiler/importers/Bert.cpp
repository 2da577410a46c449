//===- Bert.cpp - BERT ----------------------------------------------------===//
//
// Devlin et al. 2019: token, position and segment embeddings; layer norm after
// attention and feed-forward. `heads` (our key) says what it is trained on:
//   both  masked tokens and next sentence, as in the paper
//         (BertForPreTraining)
//   mlm   masked tokens only, no pooler
//   none  no loss: the encoder and the pooler (BertModel)
// Labels of positions that are not masked are negative (-100). With
// `max_predictions_per_seq` (the paper's code) the head runs at so many
// positions of each sample only, given by `masked_positions`; what is not
// needed of them has a negative label.
//
//===----------------------------------------------------------------------===//

#include "compiler/importers/Attention.h"
#include "compiler/importers/Families.h"

#include <cmath>

using namespace mlir;
using namespace whale;
using namespace whale::importers;

namespace {
class Bert {
public:
  Bert(Config &config, const Sizes &sizes, ModelBuilder &model);
  void build();

private:
  ModuleDefOp embeddings();
  ModuleDefOp attention();
  ModuleDefOp mlp();
  ModuleDefOp block();
  ModuleDefOp pooler();
  ModuleDefOp maskedHead();
  ModuleDefOp sentenceHead();
  Value gather(ModuleBuilder &m, Value x, Value places);
  Value countLabels(ModuleBuilder &m, Value labels);
  void maskedLoss(ModuleBuilder &m, ModuleDefOp head, Value x);
  void sentenceLoss(ModuleBuilder &m, ModuleDefOp head, Value pooled);

  RankedTensorType activations() {
    return model.real({batch, sequence, hidden});
  }
  /// Of the head's labels.
  RankedTensorType labelType() {
    return model.integers({batch, predictions ? *predictions : sequence});
  }
  RankedTensorType ids() { return model.integers({batch, sequence}); }
  Init init() const { return normal(deviation); }

  ModelBuilder &model;
  int64_t batch, vocabulary, maxPositions, sequence, segments, layers, hidden;
  int64_t heads, ffn;
  /// Positions of a sample that the masked head sees; unset = all.
  std::optional<int64_t> predictions;
  Activation activation;
  Norm norm;
  double deviation, hiddenRate, attentionRate;
  bool hasMasked, hasPooler, hasSentence;
};
} // namespace

Bert::Bert(Config &config, const Sizes &sizes, ModelBuilder &model)
    : model(model), batch(sizes.batch) {
  vocabulary = config.size("vocab_size");
  maxPositions = config.size("max_position_embeddings");
  sequence = sequenceOf(config, sizes, maxPositions, "max_position_embeddings",
                        maxPositions);
  segments = config.size("type_vocab_size", 2);
  config.alias("layers", "num_hidden_layers");
  layers = config.size("num_hidden_layers");
  hidden = config.size("hidden_size");
  heads = config.size("num_attention_heads");
  config.requireMultiple("hidden_size", hidden, "num_attention_heads", heads);
  ffn = config.size("intermediate_size");
  activation = readActivation(config, "hidden_act", "gelu");
  norm = {NormKind::Layer, config.number("layer_norm_eps", 1e-12)};
  deviation = config.number("initializer_range", 0.02);
  hiddenRate = config.rate("hidden_dropout_prob", 0.1);
  attentionRate = config.rate("attention_probs_dropout_prob", 0.1);
  config.choice("position_embedding_type", "absolute", {"absolute"});
  std::string goal = config.choice("heads", "both", {"both", "mlm", "none"});
  predictions = config.optionalSize("max_predictions_per_seq");
  if (predictions.value_or(1) > sequence)
    config.error("max_predictions_per_seq",
                 "'max_predictions_per_seq' is " +
                     std::to_string(*predictions) + ", more than the " +
                     std::to_string(sequence) + " positions");
  hasMasked = goal != "none";
  hasPooler = goal != "mlm";
  hasSentence = goal == "both";
}

ModuleDefOp Bert::embeddings() {
  ModuleBuilder m = model.module("embeddings", {ids(), ids()});
  Value token = embed(m, "token", m.argument(0), vocabulary, hidden, init());
  Value segment = embed(m, "segment", m.argument(1), segments, hidden, init());
  Value position =
      positions(m, "position", maxPositions, sequence, hidden, init());
  Value x = m.add("token_segment", token, segment);
  x = normalize(m, "norm", m.add("sum", x, position), norm);
  return m.finish({m.dropout("dropout", x, hiddenRate)});
}

ModuleDefOp Bert::attention() {
  ModuleBuilder m = model.module("attention", {activations()});
  Attention spec;
  spec.heads = heads;
  spec.head = hidden / heads;
  spec.bias = spec.outBias = true;
  spec.query = spec.keyValue = spec.out = init();
  spec.scale = 1 / std::sqrt(static_cast<double>(spec.head));
  spec.dropout = attentionRate;
  Value result = attend(m, m.argument(0), m.argument(0), spec);
  return m.finish({m.dropout("dropout", result, hiddenRate)});
}

ModuleDefOp Bert::mlp() {
  ModuleBuilder m = model.module("mlp", {activations()});
  FeedForward spec;
  spec.ffn = ffn;
  spec.activation = activation;
  spec.bias = true;
  spec.in = spec.out = init();
  Value result = feedForward(m, m.argument(0), spec);
  return m.finish({m.dropout("dropout", result, hiddenRate)});
}

ModuleDefOp Bert::block() {
  ModuleDefOp attn = attention(), feed = mlp();
  ModuleBuilder m = model.module("block", {activations()});
  Value x = m.argument(0);
  Value branch = m.instance(attn, "attention", x).front();
  x = normalize(m, "attention_norm", m.add("attention_residual", x, branch),
                norm);
  branch = m.instance(feed, "mlp", x).front();
  return m.finish(
      {normalize(m, "mlp_norm", m.add("mlp_residual", x, branch), norm)});
}

/// tanh of a linear layer of the first token: [batch, pooled].
ModuleDefOp Bert::pooler() {
  ModuleBuilder m = model.module("pooler", {activations()});
  Value first = m.pick("first", m.argument(0), 1, 0);
  Value dense =
      linear(m, "dense", first, {"pooled", hidden, init(), /*bias=*/true});
  return m.finish({m.unary<TanhOp>("tanh", dense)});
}

/// Rows `places` [batch, predictions] of each sample: a product with their
/// marks, so that a place may come twice and its gradients add up.
Value Bert::gather(ModuleBuilder &m, Value x, Value places) {
  SmallVector<int64_t> wide = {batch, *predictions, sequence};
  Value place = m.iota("place", model.integers({sequence}), 0);
  Value repeated = m.broadcast("place.repeated", places, {0, 1}, wide);
  Value mark = m.compare("place.is", Predicate::eq, repeated, place);
  mark = m.cast("place.mark", mark, tensorType(x).getElementType());
  return m.einsum("gathered",
                  "batch predictions keys, batch keys hidden"
                  " -> batch predictions hidden",
                  mark, x);
}

ModuleDefOp Bert::maskedHead() {
  SmallVector<Type> types = {activations(), labelType()};
  if (predictions)
    types.push_back(labelType());
  ModuleBuilder m = model.module("masked_head", types);
  Value x = m.argument(0);
  if (predictions)
    x = gather(m, x, m.argument(2));
  x = linear(m, "transform", x, {"transformed", hidden, init(), /*bias=*/true});
  x = activate(m, "activation", x, activation);
  x = normalize(m, "norm", x, norm);
  Value table = m.tied("decoder.weight", "embeddings/token.weight",
                       {vocabulary, hidden}, init());
  Value bias = m.variable("decoder.bias", {vocabulary}, importers::constant(0));
  Value logits = m.add("decoder.biased", decode(m, "decoder", x, table), bias);
  return m.finish({m.crossEntropySum("loss", logits, m.argument(1))});
}

ModuleDefOp Bert::sentenceHead() {
  ModuleBuilder m = model.module(
      "sentence_head", {model.real({batch, hidden}), model.integers({batch})});
  Value logits =
      linear(m, "decoder", m.argument(0),
             {"classes", 2, init(), /*bias=*/true, /*from=*/"pooled"});
  return m.finish({m.crossEntropySum("loss", logits, m.argument(1))});
}

/// Labels that are not negative, at least 1: a batch without masked tokens has
/// loss 0.
Value Bert::countLabels(ModuleBuilder &m, Value labels) {
  Value masked =
      m.compare("masked", Predicate::ge, labels, m.integer("zero", 0));
  Value ones = m.cast("masked.ones", masked, model.real({}).getElementType());
  Value count = m.sum("masked.sum", ones, {0, 1});
  return m.binary<MaxOp>("masked.count", count, m.constant("one", 1));
}

void Bert::maskedLoss(ModuleBuilder &m, ModuleDefOp head, Value x) {
  // No range: positions that are not masked are negative.
  StringRef dim = predictions ? "predictions" : "sequence";
  Value labels = m.input("masked_labels", {"batch", dim}, labelType());
  SmallVector<Value> operands = {x, labels};
  if (predictions)
    operands.push_back(
        m.input("masked_positions", {"batch", dim}, labelType(), sequence));
  Value sum = m.instance(head, "masked_head", operands).front();
  m.loss("masked_loss", sum, countLabels(m, labels));
}

void Bert::sentenceLoss(ModuleBuilder &m, ModuleDefOp head, Value pooled) {
  Value labels =
      m.input("next_sentence", {"batch"}, model.integers({batch}), 2);
  Value sum = m.instance(head, "sentence_head", {pooled, labels}).front();
  m.loss("sentence_loss", sum, m.constant("sentence_count", double(batch)));
}

void Bert::build() {
  ModuleDefOp first = embeddings(), layer = block();
  ModuleDefOp pool = hasPooler ? pooler() : ModuleDefOp();
  ModuleDefOp masked = hasMasked ? maskedHead() : ModuleDefOp();
  ModuleDefOp sentence = hasSentence ? sentenceHead() : ModuleDefOp();
  ModuleBuilder m = model.module("main");
  Value tokens = m.input("tokens", {"batch", "sequence"}, ids(), vocabulary);
  Value parts = m.input("segments", {"batch", "sequence"}, ids(), segments);
  Value x = m.instance(first, "embeddings", {tokens, parts}).front();
  x = m.instance(layer, "layers", x, layers).front();
  if (masked)
    maskedLoss(m, masked, x);
  if (!pool) {
    m.finish({});
    return;
  }
  Value pooled = m.instance(pool, "pooler", x).front();
  if (sentence)
    sentenceLoss(m, sentence, pooled);
  m.finish(hasMasked ? SmallVector<Value>{} : SmallVector<Value>{x, pooled});
}

bool importers::buildBert(Config &config, const Sizes &sizes,
                          ModelBuilder &model) {
  Bert bert(config, sizes, model);
  if (!config.finish())
    return false;
  bert.build();
  return true;
}
