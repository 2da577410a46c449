//===- Families.h - the table of model families -----------------*- C++ -*-===//
//
// A family = one file or one reader (Decoder.h), one row in the table of
// Families.cpp, its presets and its test.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_IMPORTERS_FAMILIES_H
#define WHALE_IMPORTERS_FAMILIES_H

#include "compiler/importers/Config.h"
#include "compiler/importers/ModelBuilder.h"

#include <span>

namespace whale::importers {

/// Extents that are the user's, not the model's.
struct Sizes {
  int64_t batch = 8;
  /// Unset = as the model says.
  std::optional<int64_t> sequence;
};

/// Reads all its keys, then `config.finish()`, then builds. False after an
/// error, which is reported.
using BuildFamily = bool (*)(Config &config, const Sizes &sizes,
                             ModelBuilder &model);

/// Which optimizer a family is trained with by default.
enum class Recipe { AdamW, Momentum, Adafactor };

struct Family {
  /// Value of `model_type`.
  std::string_view name;
  BuildFamily build;
  Recipe recipe;
  /// One of Hugging Face's model types, or our own.
  bool huggingFace;
};

/// All families, by name.
std::span<const Family> families();

/// The positions of a sample: the user's, or `fallback`. More than `maximal`
/// is reported at `key`.
int64_t sequenceOf(Config &config, const Sizes &sizes, int64_t fallback,
                   std::string_view key, int64_t maximal);

bool buildBert(Config &, const Sizes &, ModelBuilder &);
bool buildGnmt(Config &, const Sizes &, ModelBuilder &);
bool buildM6(Config &, const Sizes &, ModelBuilder &);
bool buildResNet(Config &, const Sizes &, ModelBuilder &);
bool buildT5(Config &, const Sizes &, ModelBuilder &);

} // namespace whale::importers

#endif // WHALE_IMPORTERS_FAMILIES_H
