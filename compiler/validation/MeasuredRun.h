//===- MeasuredRun.h - published measurements of training steps -*- C++ -*-===//
//
// One row of a table of measured training runs: what was trained, where, cut
// how, and how long a step took. The columns are those of `training.csv`
// (docs/cost-model.md, "Validation").
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_VALIDATION_MEASUREDRUN_H
#define WHALE_VALIDATION_MEASUREDRUN_H

#include "compiler/support/Diagnostics.h"

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace whale::validation {

struct MeasuredRun {
  Place place;
  std::string id, source, family, notes;
  std::string gpuType, intraNodeLink, recompute, precision, metric;
  /// 0 = not given.
  int64_t layers = 0, hidden = 0, ffn = 0, heads = 0, keyHeads = 0;
  int64_t sequence = 0, vocabulary = 0, experts = 0, chosenExperts = 0;
  int64_t gpus = 0, gpusPerNode = 0;
  /// Of the measurement, or of what it was published with.
  int64_t year = 0;
  int64_t globalBatch = 0, microBatch = 0;
  int64_t tensor = 0, pipeline = 0, virtualStages = 0, context = 0;
  int64_t expert = 0, data = 0, zero = 0;
  bool sequenceParallel = false;
  /// Billions.
  double parameters = 0;
  /// Of a node, one direction; gigabits per second; 0 = not given.
  double nodeLink = 0;
  double metricValue = 0;
  /// Per GPU, as printed; 0 = not given.
  double memory = 0;

  /// The id up to its last '-' with digits: "vtrain1".
  std::string_view prefix() const;
  /// `tier=A` of the notes; "" where there is none.
  std::string_view tier() const;
  /// Whether the notes, the source or the id have one of these phrases: from
  /// the beginning of a word, whatever the case and what stands between words
  /// ("TP comm overlap" is "tp-comm-overlap"), and not denied ("no CUDA
  /// graphs", "TP comm overlap: off").
  bool says(std::initializer_list<std::string_view> phrases) const;
  bool says(std::string_view phrase) const { return says({phrase}); }
  /// The whole number behind `key` in the notes ("FSDP group=128"), else 0.
  int64_t noted(std::string_view key) const;
  /// H100 and what came after it, by the beginning of the name.
  bool isHopperOrNewer() const;
  /// Measured seconds of a step; nothing where the metric does not give them.
  std::optional<double> stepSeconds() const;
};

std::string lowerCase(std::string_view text);
bool startsWithOneOf(std::string_view text,
                     std::initializer_list<std::string_view> beginnings);

/// Reads RFC 4180 CSV with a header line. Errors with places: missing columns,
/// fields that are no numbers, rows of another length.
std::optional<std::vector<MeasuredRun>> readRuns(std::string_view text,
                                                 std::string_view file,
                                                 Diagnostics &diagnostics);

} // namespace whale::validation

#endif // WHALE_VALIDATION_MEASUREDRUN_H
