//===- T5.cpp - encoder and decoder with relative positions ---------------===//
//
// Raffel et al. 2020: RMS norm before each part, no biases, no scaling of the
// scores; a learned number per head and bucket of distances is added to them.
// The buckets are computed once per stack and the resulting bias is an operand
// of all its layers. Decoder: causal self-attention, then attention to the
// encoder's result. The head, where tied, is scaled by hidden^-0.5.
//
// Inputs: tokens [batch, sequence]; decoder_tokens and labels [batch,
// decoder_sequence] (our key; default: as long as the encoder's).
//
//===----------------------------------------------------------------------===//

#include "compiler/importers/Attention.h"
#include "compiler/importers/Families.h"

#include <cmath>

using namespace mlir;
using namespace whale;
using namespace whale::importers;

namespace {
/// What differs between the two stacks.
struct Stack {
  StringRef name;
  int64_t sequence = 1;
  bool isDecoder = false;
};

class T5 {
public:
  T5(Config &config, const Sizes &sizes, ModelBuilder &model);
  void build();

private:
  ModuleDefOp embeddings(const Stack &stack);
  ModuleDefOp positionBias(const Stack &stack);
  Value bucket(ModuleBuilder &m, const Stack &stack);
  Value farBucket(ModuleBuilder &m, Value distance, int64_t own, int64_t exact);
  ModuleDefOp attention(StringRef name, const Stack &stack, bool isCross);
  ModuleDefOp mlp(const Stack &stack);
  ModuleDefOp block(const Stack &stack);
  ModuleDefOp norm(const Stack &stack);
  ModuleDefOp head();
  Value runStack(ModuleBuilder &m, const Stack &stack, Value tokens,
                 Value memory);

  RankedTensorType activations(const Stack &stack) {
    return model.real({batch, stack.sequence, hidden});
  }
  RankedTensorType biasType(const Stack &stack) {
    return model.real({heads, 1, stack.sequence, stack.sequence});
  }
  RankedTensorType ids(const Stack &stack) {
    return model.integers({batch, stack.sequence});
  }

  struct Definitions {
    ModuleDefOp embeddings, positionBias, block, norm;
  };
  Definitions define(const Stack &stack);

  ModelBuilder &model;
  int64_t batch, vocabulary, hidden, heads, headSize, ffn, buckets, maxDistance;
  int64_t encoderLayers, decoderLayers;
  Stack encoder, decoder;
  Definitions encoderParts, decoderParts;
  Norm rms;
  Activation activation;
  double factor, rate;
  bool isGated, tiedHead;
};
} // namespace

T5::T5(Config &config, const Sizes &sizes, ModelBuilder &model)
    : model(model), batch(sizes.batch) {
  vocabulary = config.size("vocab_size");
  hidden = config.size("d_model");
  heads = config.size("num_heads");
  headSize = config.size("d_kv");
  ffn = config.size("d_ff");
  encoderLayers = config.size("num_layers");
  decoderLayers = config.size("num_decoder_layers", encoderLayers);
  buckets = config.size("relative_attention_num_buckets", 32);
  maxDistance = config.size("relative_attention_max_distance", 128);
  if (buckets % 4)
    config.error("relative_attention_num_buckets",
                 "'relative_attention_num_buckets' is " +
                     std::to_string(buckets) + ", expected a multiple of 4");
  if (maxDistance <= buckets / 2)
    config.error("relative_attention_max_distance",
                 "'relative_attention_max_distance' is " +
                     std::to_string(maxDistance) + ", expected more than " +
                     std::to_string(buckets / 2));
  rms = {NormKind::Rms, config.number("layer_norm_epsilon", 1e-6)};
  factor = config.number("initializer_factor", 1);
  rate = config.rate("dropout_rate", 0.1);
  tiedHead = config.flag("tie_word_embeddings", true);
  std::string form =
      config.choice("feed_forward_proj", "relu",
                    {"relu", "gated-gelu", "gated-silu", "gelu", "silu"});
  isGated = StringRef(form).starts_with("gated-");
  // Hugging Face: "gated-gelu" means the tanh form, "gelu" the exact one.
  activation = form == "relu"         ? Activation::Relu
               : form == "gated-gelu" ? Activation::GeluTanh
               : form == "gelu"       ? Activation::Gelu
                                      : Activation::Silu;
  int64_t length = sizes.sequence.value_or(config.size("n_positions", 512));
  encoder = {"encoder", length, false};
  decoder = {"decoder", config.size("decoder_sequence", length), true};
}

ModuleDefOp T5::embeddings(const Stack &stack) {
  ModuleBuilder m =
      model.module((stack.name + "_embeddings").str(), {ids(stack)});
  SmallVector<int64_t> shape = {vocabulary, hidden};
  Value table = stack.isDecoder
                    ? m.tied("token.weight", "encoder_embeddings/token.weight",
                             shape, normal(factor))
                    : m.variable("token.weight", shape, normal(factor));
  Value x = m.embedding("token", table, m.argument(0));
  return m.finish({m.dropout("dropout", x, rate)});
}

//===----------------------------------------------------------------------===//
// Relative positions
//===----------------------------------------------------------------------===//

/// Number of the bucket of each (query, key) pair: distances below half of the
/// buckets have their own, greater ones share them logarithmically up to
/// maxDistance. The encoder uses half of the buckets for keys ahead. Integers
/// but for the logarithm, so that positions are exact in any precision.
Value T5::bucket(ModuleBuilder &m, const Stack &stack) {
  RankedTensorType type = model.integers({stack.sequence, stack.sequence});
  int64_t own = stack.isDecoder ? buckets : buckets / 2, exact = own / 2;
  Value query = m.iota("query.position", type, 0);
  Value key = m.iota("key.position", type, 1);
  Value ahead = m.binary<SubOp>("ahead", key, query);
  Value zero = m.integer("zero", 0);
  Value behind = m.binary<SubOp>("behind", zero, ahead);
  Value distance =
      m.binary<MaxOp>("distance", behind, stack.isDecoder ? zero : ahead);
  Value isNear =
      m.compare("near", Predicate::lt, distance, m.integer("exact.end", exact));
  Value number =
      m.select("bucket", isNear, distance, farBucket(m, distance, own, exact));
  if (stack.isDecoder)
    return number;
  Value isAhead = m.compare("ahead.is", Predicate::gt, ahead, zero);
  Value shifted = m.add("bucket.ahead", number, m.integer("half", own));
  return m.select("bucket.both", isAhead, shifted, number);
}

/// min(exact + trunc(log(d / exact) / log(maxDistance / exact) * (own -
/// exact)), own - 1). Smaller distances than `exact` give some number that is
/// not used.
Value T5::farBucket(ModuleBuilder &m, Value distance, int64_t own,
                    int64_t exact) {
  Value far = m.binary<MaxOp>("far", distance, m.integer("one", 1));
  far = m.cast("far.real", far, model.real({}).getElementType());
  far = m.unary<LogOp>("far.log", m.scale("far.ratio", far, 1.0 / exact));
  double step = (own - exact) / std::log(double(maxDistance) / double(exact));
  far = m.scale("far.step", far, step);
  far = m.cast("far.number", far, model.integers({}).getElementType());
  far = m.add("far.bucket", far, m.integer("exact", exact));
  return m.binary<MinOp>("far.last", far, m.integer("last", own - 1));
}

/// The stack's bias, [heads, 1, sequence, keys].
ModuleDefOp T5::positionBias(const Stack &stack) {
  ModuleBuilder m = model.module((stack.name + "_positions").str());
  Value numbers = bucket(m, stack);
  Value table = m.variable("relative.weight", {buckets, heads, 1},
                           normal(factor / std::sqrt(double(hidden))));
  Value bias = m.embedding("relative", table, numbers);
  return m.finish({m.transpose("bias", bias, {2, 3, 0, 1})});
}

//===----------------------------------------------------------------------===//
// Layers
//===----------------------------------------------------------------------===//

/// Self-attention takes the stack's bias, cross attention the encoder's result.
ModuleDefOp T5::attention(StringRef name, const Stack &stack, bool isCross) {
  SmallVector<Type> types = {activations(stack),
                             isCross ? activations(encoder) : biasType(stack)};
  ModuleBuilder m = model.module(name, types);
  double width = double(heads) * double(headSize);
  Attention spec;
  spec.heads = heads;
  spec.head = headSize;
  spec.query = normal(factor / std::sqrt(double(hidden) * double(headSize)));
  spec.keyValue = normal(factor / std::sqrt(double(hidden)));
  spec.out = normal(factor / std::sqrt(width));
  spec.mask.causal = stack.isDecoder && !isCross;
  if (!isCross)
    spec.mask.bias = m.argument(1);
  spec.dropout = rate;
  Value memory = isCross ? m.argument(1) : m.argument(0);
  Value result = attend(m, m.argument(0), memory, spec);
  return m.finish({m.dropout("dropout", result, rate)});
}

ModuleDefOp T5::mlp(const Stack &stack) {
  ModuleBuilder m =
      model.module((stack.name + "_mlp").str(), {activations(stack)});
  FeedForward spec;
  spec.ffn = ffn;
  spec.activation = activation;
  spec.gated = isGated;
  spec.in = normal(factor / std::sqrt(double(hidden)));
  spec.out = normal(factor / std::sqrt(double(ffn)));
  spec.dropout = rate;
  Value result = feedForward(m, m.argument(0), spec);
  return m.finish({m.dropout("dropout", result, rate)});
}

/// (x, bias) -> x, in the decoder (x, bias, encoder's result) -> x.
ModuleDefOp T5::block(const Stack &stack) {
  ModuleDefOp self =
      attention((stack.name + "_attention").str(), stack, /*isCross=*/false);
  ModuleDefOp cross;
  SmallVector<Type> types = {activations(stack), biasType(stack)};
  if (stack.isDecoder) {
    cross = attention("cross_attention", stack, /*isCross=*/true);
    types.push_back(activations(encoder));
  }
  ModuleDefOp feed = mlp(stack);
  ModuleBuilder m = model.module((stack.name + "_block").str(), types);
  Value x = m.argument(0);
  Value branch = normalize(m, "attention_norm", x, rms);
  branch = m.instance(self, "attention", {branch, m.argument(1)}).front();
  x = m.add("attention_residual", x, branch);
  if (cross) {
    branch = normalize(m, "cross_norm", x, rms);
    branch = m.instance(cross, "cross", {branch, m.argument(2)}).front();
    x = m.add("cross_residual", x, branch);
  }
  branch = normalize(m, "mlp_norm", x, rms);
  branch = m.instance(feed, "mlp", branch).front();
  return m.finish({m.add("mlp_residual", x, branch)});
}

ModuleDefOp T5::norm(const Stack &stack) {
  ModuleBuilder m =
      model.module((stack.name + "_norm").str(), {activations(stack)});
  Value x = normalize(m, "norm", m.argument(0), rms);
  return m.finish({m.dropout("dropout", x, rate)});
}

ModuleDefOp T5::head() {
  ModuleBuilder m = model.module("head", {activations(decoder), ids(decoder)});
  Value x = m.argument(0);
  SmallVector<int64_t> shape = {vocabulary, hidden};
  Value table;
  if (tiedHead) {
    x = m.scale("scaled", x, 1 / std::sqrt(double(hidden)));
    table = m.tied("decoder.weight", "encoder_embeddings/token.weight", shape,
                   normal(factor));
  } else {
    table = m.variable("decoder.weight", shape, normal(factor));
  }
  Value logits = decode(m, "decoder", x, table);
  return m.finish({m.crossEntropySum("loss", logits, m.argument(1))});
}

//===----------------------------------------------------------------------===//
// The whole
//===----------------------------------------------------------------------===//

T5::Definitions T5::define(const Stack &stack) {
  Definitions parts;
  parts.embeddings = embeddings(stack);
  parts.positionBias = positionBias(stack);
  parts.block = block(stack);
  parts.norm = norm(stack);
  return parts;
}

Value T5::runStack(ModuleBuilder &m, const Stack &stack, Value tokens,
                   Value memory) {
  auto named = [&](StringRef suffix) { return (stack.name + suffix).str(); };
  const Definitions &parts = stack.isDecoder ? decoderParts : encoderParts;
  Value x = m.instance(parts.embeddings, named("_embeddings"), tokens).front();
  Value bias = m.instance(parts.positionBias, named("_positions"), {}).front();
  SmallVector<Value> operands = {x, bias};
  if (memory)
    operands.push_back(memory);
  x = m.instance(parts.block, stack.name, operands,
                 stack.isDecoder ? decoderLayers : encoderLayers)
          .front();
  return m.instance(parts.norm, named("_norm"), x).front();
}

void T5::build() {
  encoderParts = define(encoder);
  decoderParts = define(decoder);
  ModuleDefOp last = head();
  ModuleBuilder m = model.module("main");
  Value tokens =
      m.input("tokens", {"batch", "sequence"}, ids(encoder), vocabulary);
  Value targets = m.input("decoder_tokens", {"batch", "decoder_sequence"},
                          ids(decoder), vocabulary);
  Value labels = m.input("labels", {"batch", "decoder_sequence"}, ids(decoder),
                         vocabulary);
  Value memory = runStack(m, encoder, tokens, Value());
  Value x = runStack(m, decoder, targets, memory);
  Value sum = m.instance(last, "head", {x, labels}).front();
  m.loss("loss", sum,
         m.constant("count", double(batch) * double(decoder.sequence)));
  m.finish({});
}

bool importers::buildT5(Config &config, const Sizes &sizes,
                        ModelBuilder &model) {
  T5 t5(config, sizes, model);
  if (!config.finish())
    return false;
  t5.build();
  return true;
}
