//===- Families.cpp - the table of model families -------------------------===//

#include "compiler/importers/Families.h"

#include "compiler/support/Text.h"

using namespace whale;
using namespace whale::importers;

static constexpr Family table[] = {
    {"bert", buildBert, Recipe::AdamW, true},
    {"gnmt", buildGnmt, Recipe::AdamW, false},
    {"gpt2", buildGpt2, Recipe::AdamW, true},
    {"llama", buildLlama, Recipe::AdamW, true},
    {"m6", buildM6, Recipe::Adafactor, false},
    {"mistral", buildLlama, Recipe::AdamW, true},
    {"mixtral", buildLlama, Recipe::AdamW, true},
    {"resnet", buildResNet, Recipe::Momentum, true},
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
