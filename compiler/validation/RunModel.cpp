//===- RunModel.cpp - the model of a measured run -------------------------===//

#include "compiler/validation/RunModel.h"

#include "compiler/support/Json.h"
#include "compiler/validation/RunSoftware.h"

#include <algorithm>
#include <span>

namespace whale::validation {

namespace {

/// Of hidden values. Megatron-LM's default (arguments.py, --hidden-dropout),
/// which its functional tests, and tables of before 2023, leave as it is.
double hiddenDropout(const MeasuredRun &run) {
  return isOld(run) || run.says("functional tests") ? 0.1 : 0;
}

/// With experts as in Megatron-LM, whose layers stay GPT's with them.
std::string gptConfig(const MeasuredRun &run) {
  json::Writer writer;
  writer.beginObject(json::Writer::Layout::Inline);
  writer.field("model_type", "gpt2").field("vocab_size", run.vocabulary);
  writer.field("n_positions", run.sequence).field("n_embd", run.hidden);
  writer.field("n_layer", run.layers).field("n_head", run.heads);
  if (run.ffn)
    writer.field("n_inner", run.ffn);
  if (run.experts) {
    writer.field("num_local_experts", run.experts);
    writer.field("num_experts_per_tok", run.chosenExperts);
  }
  for (const char *rate : {"embd_pdrop", "resid_pdrop"})
    writer.field(rate, hiddenDropout(run));
  writer.field("attn_pdrop", 0.0);
  return writer.endObject().take();
}

void llamaFields(json::Writer &writer, const MeasuredRun &run) {
  writer.field("vocab_size", run.vocabulary);
  writer.field("max_position_embeddings", run.sequence);
  writer.field("num_hidden_layers", run.layers);
  writer.field("hidden_size", run.hidden);
  writer.field("num_attention_heads", run.heads);
  writer.field("num_key_value_heads", run.keyHeads ? run.keyHeads : run.heads);
  writer.field("intermediate_size", run.ffn);
}

std::string llamaConfig(const MeasuredRun &run) {
  json::Writer writer;
  writer.beginObject(json::Writer::Layout::Inline);
  writer.field("model_type", "llama");
  llamaFields(writer, run);
  return writer.endObject().take();
}

/// GPT whose heads share keys and values in groups: StarCoder2's layers.
std::string groupedGptConfig(const MeasuredRun &run) {
  json::Writer writer;
  writer.beginObject(json::Writer::Layout::Inline);
  writer.field("model_type", "starcoder2");
  llamaFields(writer, run);
  for (const char *rate : {"embedding_dropout", "residual_dropout"})
    writer.field(rate, hiddenDropout(run));
  return writer.endObject().take();
}

/// NeMo's Nemotron-4: squared ReLU, rotary positions, a head of its own.
std::string nemotronConfig(const MeasuredRun &run) {
  json::Writer writer;
  writer.beginObject(json::Writer::Layout::Inline);
  writer.field("model_type", "nemotron");
  llamaFields(writer, run);
  return writer.endObject().take();
}

std::string mixtralConfig(const MeasuredRun &run) {
  json::Writer writer;
  writer.beginObject(json::Writer::Layout::Inline);
  writer.field("model_type", "mixtral");
  llamaFields(writer, run);
  writer.field("num_local_experts", run.experts);
  writer.field("num_experts_per_tok", run.chosenExperts);
  return writer.endObject().take();
}

/// Qwen3 and models with its shape: heads of `head` elements, whatever the
/// hidden size.
std::string qwenConfig(const MeasuredRun &run, int64_t head) {
  json::Writer writer;
  writer.beginObject(json::Writer::Layout::Inline);
  writer.field("model_type", "qwen3_moe");
  llamaFields(writer, run);
  writer.field("head_dim", head).field("moe_intermediate_size", run.ffn);
  writer.field("num_experts", run.experts);
  writer.field("num_experts_per_tok", run.chosenExperts);
  return writer.endObject().take();
}

struct Known {
  std::string_view words, preset;
};

/// Models whose columns do not say all: by the names in source and notes.
constexpr Known particular[] = {
    {"DeepSeek-V2", "deepseek-v2"},
    {"DeepSeek-V3", "deepseek-v3"},
    {"Llama-4 Scout", "llama-4-scout"},
    {"Llama-4", "llama-4-maverick"},
    {"Grok-1", "grok-1"},
};

/// Models that are known by name where the columns say nothing.
constexpr Known named[] = {
    {"GPT-3 175B", "gpt3-175b"},
    {"GPT 175B", "gpt3-175b"},
    {"GPT-3 22B", "gpt3-22b"},
    {"GPT-3 5B", "gpt3-5b"},
    {"MT-NLG", "gpt3-530b"},
    {"Megatron-Turing", "gpt3-530b"},
    {"BLOOM", "bloom-176b"},
    {"GPT-NeoX", "gpt-neox-20b"},
    {"Llama-2 7B", "llama-2-7b"},
    {"Llama-2 13B", "llama-2-13b"},
    {"Llama-2 70B", "llama-2-70b"},
    {"Llama-3 8B", "llama-3-8b"},
    {"Llama-3.1 8B", "llama-3-8b"},
    {"Llama-3 70B", "llama-3-70b"},
    {"Llama-3.1 70B", "llama-3-70b"},
    {"Llama-3 405B", "llama-3-405b"},
    {"Llama-3.1 405B", "llama-3-405b"},
    {"Mistral 7B", "mistral-7b"},
    {"MPT 7B", "mpt-7b"},
    {"Mixtral 8x7B", "mixtral-8x7b"},
    {"Mixtral 8x22B", "mixtral-8x22b"},
    {"Nemotron-4 15B", "nemotron-4-15b"},
    {"Nemotron-4 340B", "nemotron-4-340b"},
    {"Qwen3 30B", "qwen3-30b-a3b"},
    {"Qwen3 235B", "qwen3-235b-a22b"},
    {"Qwen3 8B", "qwen3-8b"},
    {"BERT-large", "bert-large"},
    {"BERT-base", "bert-base"},
    {"DeepSeek-V2", "deepseek-v2"},
    {"DeepSeek-V3", "deepseek-v3"},
    {"Llama-4 Scout", "llama-4-scout"},
    {"Llama-4 Maverick", "llama-4-maverick"},
    {"T5-large", "t5-large"},
    {"Grok-1", "grok-1"},
    {"ResNet-50", "resnet50"},
};

/// Images have no sequence; deeper networks have more blocks a stage (He et al.
/// 2016, table 1).
void setDepths(const MeasuredRun &run, ModelRequest &request) {
  request.sequence = 0;
  bool isNamed = run.layers == 0;
  if (run.layers == 101 || (isNamed && run.family == "resnet101"))
    request.settings = {{"depths", "[3,4,23,3]"}};
  if (run.layers == 152 || (isNamed && run.family == "resnet152"))
    request.settings = {{"depths", "[3,8,36,3]"}};
}

std::string_view presetOf(const MeasuredRun &run,
                          std::span<const Known> presets) {
  for (const Known &one : presets)
    if (run.says(one.words))
      return one.preset;
  return {};
}

bool setPreset(const MeasuredRun &run, ModelRequest &request) {
  std::string_view preset = presetOf(run, particular);
  if (preset.empty())
    return false;
  request.preset = preset;
  request.settings = {
      {"num_hidden_layers", std::to_string(run.layers)},
      {"max_position_embeddings", std::to_string(run.sequence)}};
  if (run.says("1 dense"))
    request.settings.emplace_back("first_k_dense_replace", "1");
  if (preset.starts_with("llama-4"))
    request.settings.emplace_back("num_local_experts",
                                  std::to_string(run.experts));
  return true;
}

void setExperts(const MeasuredRun &run, ModelRequest &request) {
  if (setPreset(run, request))
    return;
  if (run.says("Qwen3"))
    request.config = qwenConfig(run, 128);
  else if (run.says("GPT OSS"))
    request.config = qwenConfig(run, 64);
  else if (run.says({"gpt3 mcore", "gpt3 moe"}))
    request.config = gptConfig(run);
  else
    request.config = mixtralConfig(run);
}

/// Positions that BERT's head runs on where it is not all: the masked ones, as
/// the notes say or as in MLPerf's reference; of answers to questions the head
/// has two outputs a position, nearly nothing.
int64_t predictedPositions(const MeasuredRun &run) {
  if (run.says("20 of 128"))
    return run.sequence > 128 ? 80 : 20;
  if (run.says("MLPerf"))
    return std::min<int64_t>(76, run.sequence);
  return run.says("squad") ? 1 : 0;
}

std::string bertConfig(const MeasuredRun &run) {
  json::Writer writer;
  writer.beginObject(json::Writer::Layout::Inline);
  writer.field("model_type", "bert").field("vocab_size", run.vocabulary);
  writer.field("max_position_embeddings", run.sequence);
  writer.field("num_hidden_layers", run.layers);
  writer.field("hidden_size", run.hidden);
  writer.field("num_attention_heads", run.heads);
  writer.field("intermediate_size", run.ffn ? run.ffn : 4 * run.hidden);
  if (int64_t positions = predictedPositions(run))
    writer.field("max_predictions_per_seq", positions);
  writer.field("hidden_dropout_prob", 0.1);
  writer.field("attention_probs_dropout_prob", 0.0);
  return writer.endObject().take();
}

/// T5 version 1.1: heads of 64 elements whatever the hidden size, gated but in
/// Megatron-LM; half of the layers are the decoder's, which sees 128 tokens, as
/// the notes of such runs say.
std::string t5Config(const MeasuredRun &run) {
  json::Writer writer;
  writer.beginObject(json::Writer::Layout::Inline);
  writer.field("model_type", "t5").field("vocab_size", run.vocabulary);
  writer.field("d_model", run.hidden).field("d_kv", 64);
  writer.field("num_heads", run.heads).field("d_ff", run.ffn);
  writer.field("num_layers", run.layers / 2);
  writer.field("num_decoder_layers", run.layers - run.layers / 2);
  writer.field("decoder_sequence", 128).field("dropout_rate", 0.1);
  writer.field("feed_forward_proj",
               run.says("Megatron-LM") ? "gelu" : "gated-gelu");
  writer.field("tie_word_embeddings", false);
  return writer.endObject().take();
}

/// Rotary positions go on as far as the samples do.
void setPositions(const MeasuredRun &run, ModelRequest &request) {
  if (run.sequence &&
      startsWithOneOf(request.preset, {"llama-", "mistral", "mixtral"}))
    request.settings = {
        {"max_position_embeddings", std::to_string(run.sequence)}};
}

/// Decoders with the layers of GPT, those with Llama's, and mixtures of experts
/// as Mixtral's, by the beginnings of their families.
bool isLikeGpt(std::string_view family) {
  return startsWithOneOf(family, {"gpt", "opt", "bloom", "falcon", "mpt",
                                  "starcoder", "palm", "pythia"});
}

bool isLikeLlama(std::string_view family) {
  return startsWithOneOf(family, {"llama", "mistral", "qwen", "gemma", "phi",
                                  "yi", "baichuan", "internlm", "chatglm",
                                  "glm", "olmo", "granite", "deepseek"});
}

bool isLikeMixtral(std::string_view family) {
  return startsWithOneOf(family, {"moe", "mixtral", "deepseek", "qwen", "llama",
                                  "grok", "dbrx", "kimi", "glm", "olmo"});
}

bool isNemotron(const MeasuredRun &run) {
  return (run.family == "gpt" && run.vocabulary == 256000) ||
         run.family.starts_with("nemotron");
}

/// The model that the dimensions say, of a family or of one built like it.
bool setConfig(const MeasuredRun &run, ModelRequest &request) {
  bool hasExperts = run.experts && run.chosenExperts && run.ffn;
  bool hasGroups = !run.experts && run.keyHeads && run.keyHeads < run.heads;
  if (hasExperts && (isLikeMixtral(run.family) || run.says("GPT OSS")))
    setExperts(run, request);
  else if (isNemotron(run) && !run.experts)
    request.config = nemotronConfig(run);
  else if (isLikeGpt(run.family) && hasGroups)
    request.config = groupedGptConfig(run);
  else if (isLikeGpt(run.family))
    request.config = gptConfig(run);
  else if (isLikeLlama(run.family) && run.ffn && !run.experts)
    request.config = llamaConfig(run);
  else if (run.family == "t5" && run.ffn)
    request.config = t5Config(run);
  else if (run.family == "bert")
    request.config = bertConfig(run);
  return !request.config.empty() || !request.preset.empty();
}

} // namespace

std::optional<std::string> arithmeticOf(const MeasuredRun &run) {
  struct Spelling {
    std::string_view text, format;
  };
  // In this order: "bf16-fp8" computes in 8 bits, "fp32/tf32" in tf32.
  static constexpr Spelling spellings[] = {
      {"fp4", "fp4"},     {"fp8", "fp8"},       {"e4m3", "fp8"},
      {"bf16", "bf16"},   {"bfloat16", "bf16"}, {"fp16", "f16"},
      {"float16", "f16"}, {"half", "f16"},      {"amp", "f16"},
      {"mixed", "f16"},   {"tf32", "tf32"},     {"fp32", "f32"},
      {"float32", "f32"},
  };
  std::string text = lowerCase(run.precision);
  for (const Spelling &one : spellings)
    if (text.find(one.text) != text.npos)
      return std::string(one.format);
  return std::nullopt;
}

std::optional<ModelRequest> modelOf(const MeasuredRun &run,
                                    std::string &reason) {
  auto refuse = [&](std::string why) {
    reason = std::move(why);
    return std::nullopt;
  };
  std::optional<std::string> arithmetic = arithmeticOf(run);
  if (!arithmetic)
    return refuse("precision '" + run.precision + "' is not known");
  ModelRequest request;
  bool single = *arithmetic == "f32" || *arithmetic == "tf32";
  request.precision = single ? "f32" : "bf16";
  request.sequence = run.sequence;
  if (!run.layers || !run.hidden || !run.heads || !run.sequence ||
      !run.vocabulary) {
    bool isResNet = run.family.starts_with("resnet") && !run.hidden;
    request.preset = isResNet ? "resnet50" : presetOf(run, named);
    if (request.preset.empty())
      return refuse("the model's dimensions are not given");
    if (request.preset == "resnet50")
      setDepths(run, request);
    else
      setPositions(run, request);
    return request;
  }
  request.adapters = run.family == "llama-lora";
  if (!setConfig(run, request) &&
      startsWithOneOf(run.family,
                      {"moe", "mixtral", "deepseek", "grok", "dbrx"}))
    return refuse("the number or the width of the experts is not given");
  if (request.config.empty() && request.preset.empty())
    return refuse("no importer for models of family '" + run.family + "'");
  return request;
}

} // namespace whale::validation
