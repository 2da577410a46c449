//===- Families.cpp - the table of model families -------------------------===//

#include "compiler/importers/Decoder.h"

#include "compiler/support/Text.h"

using namespace whale;
using namespace whale::importers;

static constexpr Family table[] = {
    {"bert", buildBert, Recipe::AdamW, true},
    {"bloom", buildFamily<readBloom>, Recipe::AdamW, true},
    {"deepseek_v2", buildFamily<readDeepSeek>, Recipe::AdamW, true},
    {"deepseek_v3", buildFamily<readDeepSeek>, Recipe::AdamW, true},
    {"falcon", buildFamily<readFalcon>, Recipe::AdamW, true},
    {"gemma", buildFamily<readGemma>, Recipe::AdamW, true},
    {"gnmt", buildGnmt, Recipe::AdamW, false},
    {"gpt2", buildFamily<readGpt2>, Recipe::AdamW, true},
    {"gpt_neox", buildFamily<readGptNeoX>, Recipe::AdamW, true},
    {"gptj", buildFamily<readGptJ>, Recipe::AdamW, true},
    {"grok-1", buildFamily<readGrok>, Recipe::AdamW, true},
    {"llama", buildFamily<readLlama>, Recipe::AdamW, true},
    {"llama4_text", buildFamily<readLlama4>, Recipe::AdamW, true},
    {"m6", buildM6, Recipe::Adafactor, false},
    {"mistral", buildFamily<readMistral>, Recipe::AdamW, true},
    {"mixtral", buildFamily<readMixtral>, Recipe::AdamW, true},
    {"mpt", buildFamily<readMpt>, Recipe::AdamW, true},
    {"nemotron", buildFamily<readNemotron>, Recipe::AdamW, true},
    {"opt", buildFamily<readOpt>, Recipe::AdamW, true},
    {"phi3", buildFamily<readPhi3>, Recipe::AdamW, true},
    {"qwen2", buildFamily<readQwen2>, Recipe::AdamW, true},
    {"qwen3", buildFamily<readQwen3>, Recipe::AdamW, true},
    {"qwen3_moe", buildFamily<readQwen3Moe>, Recipe::AdamW, true},
    {"resnet", buildResNet, Recipe::Momentum, true},
    {"starcoder2", buildFamily<readStarCoder2>, Recipe::AdamW, true},
    {"t5", buildT5, Recipe::AdamW, true},
};

std::span<const Family> importers::families() { return table; }

int64_t importers::sequenceOf(Config &config, const Sizes &sizes,
                              int64_t fallback, std::string_view key,
                              int64_t maximal) {
  int64_t sequence = sizes.sequence.value_or(fallback);
  if (sequence > maximal)
    config.error(key, "sequence is " + std::to_string(sequence) +
                          ", but the model has " + std::to_string(maximal) +
                          " positions (" + quoted(key) + ")");
  return sequence;
}
