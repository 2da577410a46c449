//===- Decoder.h - decoder-only transformers --------------------*- C++ -*-===//
//
// What the families of causal language models have in common. A family reads
// its configuration into a `Decoder`; `buildDecoder` makes the model of it:
//
//   embeddings  token (+ trained positions) (, norm)
//   layers      chains of blocks: attention, then a feed-forward or experts
//   head        norm, decoder, cross-entropy
//
// Equal layers are one chain, `layers`, after `dense_layers` where the first
// ones have no experts. A pattern that comes again and again is a chain of
// `period`s, each with one block per layer; what is left are blocks `layer0`,
// `layer1`, ...
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_IMPORTERS_DECODER_H
#define WHALE_IMPORTERS_DECODER_H

#include "compiler/importers/Attention.h"
#include "compiler/importers/Experts.h"
#include "compiler/importers/Families.h"

namespace whale::importers {

/// How branches a (attention) and f (feed-forward) join the stream.
enum class Residual {
  /// x += a(norm(x)); x += f(norm(x)).
  Sequential,
  /// x += norm(a(norm(x))); the same for f (Grok-1).
  Sandwich,
  /// x + a(norm(x)) + f(norm(x)) with two norms (GPT-NeoX, Falcon-40B).
  Parallel,
  /// The same with one norm (GPT-J, Falcon-7B).
  ParallelOneNorm,
};

/// What may differ from layer to layer.
struct LayerKind {
  bool experts = false;
  bool rotary = true;
  bool operator==(const LayerKind &) const = default;
};

struct Decoder {
  int64_t batch = 1, vocabulary = 1, sequence = 1, hidden = 1;
  Init init;
  Norm norm;

  /// Rows of the table of trained positions, 0 = none; the first that is used.
  int64_t positions = 0, firstPosition = 0;
  bool embeddingNorm = false;
  double embeddingScale = 1, embeddingRate = 0;

  int64_t layers = 1;
  /// The first so many of them have no experts; the others repeat `period`.
  int64_t denseLayers = 0;
  std::vector<LayerKind> period = {LayerKind()};
  Residual residual = Residual::Sequential;
  Attention attention;
  std::optional<Latent> latent;
  /// Positions by linear biases.
  bool linearBias = false;
  FeedForward mlp;
  Experts experts;
  /// Dropout of the branches.
  double residualRate = 0;

  bool finalNorm = true, tiedHead = false, headBias = false;
  double logitScale = 1;
};

void buildDecoder(const Decoder &decoder, ModelBuilder &model);

/// Builds what `read` made of the configuration. False after an error.
using ReadDecoder = Decoder (*)(Config &config, const Sizes &sizes);
template <ReadDecoder read>
bool buildFamily(Config &config, const Sizes &sizes, ModelBuilder &model) {
  Decoder decoder = read(config, sizes);
  if (!config.finish())
    return false;
  buildDecoder(decoder, model);
  return true;
}

/// Names and defaults of the keys that most families share.
struct CommonKeys {
  const char *positions = "max_position_embeddings";
  const char *layers = "num_hidden_layers";
  const char *hidden = "hidden_size";
  const char *heads = "num_attention_heads";
  /// Null: as many as heads.
  const char *keyHeads = "num_key_value_heads";
  /// Null: hidden / heads.
  const char *head = "head_dim";
  /// Without `ffn`, the feed-forward is 4 * hidden wide.
  const char *ffn = "intermediate_size";
  bool ffnRequired = true;
  /// Null: `activation`.
  const char *activationKey = "hidden_act";
  const char *activation = "silu";
  const char *epsilon = "rms_norm_eps";
  double epsilonDefault = 1e-6;
  const char *deviation = "initializer_range";
  NormKind norm = NormKind::Rms;
  bool tied = false;
};
/// Sizes, norm, activation, initial values, tying; plain causal attention.
Decoder readCommon(Config &config, const Sizes &sizes, const CommonKeys &keys);

/// Rotary positions from `thetaKey` and `rope_scaling`, on `rotaryDims`
/// elements of a head (0 = all), which `key` says.
void readRotary(Config &config, Decoder &decoder, int64_t rotaryDims = 0,
                std::string_view key = "head_dim",
                std::string_view thetaKey = "rope_theta");
/// The magnitude of YaRN's `mscale`.
double yarnMagnitude(double factor, double weight);
/// Elements of a head that `key`, a share of them, says are turned; even.
int64_t partialDims(Config &config, const Decoder &decoder,
                    std::string_view key, double fallback);
/// `sliding_window`; one that reaches over the whole sequence masks nothing.
void readWindow(Config &config, Decoder &decoder);
/// The balance loss of `output_router_logits` and `router_aux_loss_coef`.
void readBalance(Config &config, Decoder &decoder);
/// Experts in all layers, as wide as the feed-forward and with its activation;
/// `count` is the key of their number.
void readExpertLayers(Config &config, Decoder &decoder, const char *count,
                      int64_t fallback);
/// Reports more choices than experts.
void checkExperts(Config &config, const Decoder &decoder,
                  std::string_view chosenKey);

//===----------------------------------------------------------------------===//
// Families, by the name of their model type
//===----------------------------------------------------------------------===//

Decoder readBloom(Config &, const Sizes &);
Decoder readDeepSeek(Config &, const Sizes &);
Decoder readFalcon(Config &, const Sizes &);
Decoder readGemma(Config &, const Sizes &);
Decoder readGpt2(Config &, const Sizes &);
Decoder readGptJ(Config &, const Sizes &);
Decoder readGptNeoX(Config &, const Sizes &);
Decoder readGrok(Config &, const Sizes &);
Decoder readLlama(Config &, const Sizes &);
Decoder readLlama4(Config &, const Sizes &);
Decoder readMistral(Config &, const Sizes &);
Decoder readMixtral(Config &, const Sizes &);
Decoder readMpt(Config &, const Sizes &);
Decoder readNemotron(Config &, const Sizes &);
Decoder readOpt(Config &, const Sizes &);
Decoder readPhi3(Config &, const Sizes &);
Decoder readQwen2(Config &, const Sizes &);
Decoder readQwen3(Config &, const Sizes &);
Decoder readQwen3Moe(Config &, const Sizes &);
Decoder readStarCoder2(Config &, const Sizes &);

} // namespace whale::importers

#endif // WHALE_IMPORTERS_DECODER_H
