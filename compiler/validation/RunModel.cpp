//===- RunModel.cpp - the model of a measured run -------------------------===//

#include "compiler/validation/RunModel.h"

#include "compiler/support/Json.h"

namespace whale::validation {

namespace {

std::string gptConfig(const MeasuredRun &run) {
  json::Writer writer;
  writer.beginObject(json::Writer::Layout::Inline);
  writer.field("model_type", "gpt2").field("vocab_size", run.vocabulary);
  writer.field("n_positions", run.sequence).field("n_embd", run.hidden);
  writer.field("n_layer", run.layers).field("n_head", run.heads);
  if (run.ffn)
    writer.field("n_inner", run.ffn);
  for (const char *rate : {"embd_pdrop", "resid_pdrop", "attn_pdrop"})
    writer.field(rate, 0.0);
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

std::string mixtralConfig(const MeasuredRun &run) {
  json::Writer writer;
  writer.beginObject(json::Writer::Layout::Inline);
  writer.field("model_type", "mixtral");
  llamaFields(writer, run);
  writer.field("num_local_experts", run.experts);
  writer.field("num_experts_per_tok", run.chosenExperts);
  return writer.endObject().take();
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
  writer.field("hidden_dropout_prob", 0.0);
  writer.field("attention_probs_dropout_prob", 0.0);
  return writer.endObject().take();
}

} // namespace

std::optional<std::string> arithmeticOf(const MeasuredRun &run) {
  std::string_view text = run.precision;
  auto begins = [&](std::string_view with) { return text.starts_with(with); };
  if (begins("fp16"))
    return "f16";
  if (begins("bf16"))
    return "bf16";
  if (begins("fp8") || begins("mxfp8"))
    return "fp8";
  if (begins("fp4") || begins("nvfp4"))
    return "fp4";
  if (begins("tf32") || begins("fp32/tf32"))
    return "tf32";
  if (begins("fp32"))
    return "f32";
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
  if (!run.layers || !run.hidden || !run.heads || !run.sequence ||
      !run.vocabulary)
    return refuse("the model's dimensions are not given");
  ModelRequest request;
  request.sequence = run.sequence;
  bool single = *arithmetic == "f32" || *arithmetic == "tf32";
  request.precision = single ? "f32" : "bf16";
  if (run.family == "gpt")
    request.config = gptConfig(run);
  else if (run.family == "llama")
    request.config = llamaConfig(run);
  else if (run.family == "moe" && run.experts && run.chosenExperts && run.ffn)
    request.config = mixtralConfig(run);
  else if (run.family == "bert")
    request.config = bertConfig(run);
  else
    return refuse("no importer for models of family '" + run.family + "'");
  return request;
}

} // namespace whale::validation
