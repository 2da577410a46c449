//===- Statistics.h - predicted against measured ----------------*- C++ -*-===//

#ifndef WHALE_VALIDATION_STATISTICS_H
#define WHALE_VALIDATION_STATISTICS_H

#include "compiler/support/Json.h"
#include "compiler/validation/MeasuredRun.h"

namespace whale::validation {

/// What came of one row.
struct Outcome {
  const MeasuredRun *run = nullptr;
  std::optional<double> measuredSeconds, predictedSeconds;
  /// In the unit of the table.
  std::optional<double> measuredMemory, predictedMemory;
  /// Why there is no prediction; "" where there is one.
  std::string reason;

  bool supported() const { return reason.empty(); }
};

/// Relative errors of a set of predictions, as fractions.
struct Errors {
  std::vector<double> signedErrors;

  void add(double predicted, double measured);
  size_t count() const { return signedErrors.size(); }
  /// Requires at least one.
  double mean() const;
  double median() const { return quantile(0.5); }
  double p90() const { return quantile(0.9); }
  double largest() const { return quantile(1); }
  /// Mean of the signed errors: positive = predicted too slow.
  double bias() const;

private:
  /// Of the absolute errors, the nearest rank.
  double quantile(double q) const;
};

/// A set of rows that differ in the plan only.
struct Ranking {
  /// First row's id.
  std::string id;
  size_t plans = 0;
  /// Measured time of the plan that is predicted fastest over that of the one
  /// measured fastest, less 1; of equal predictions the slowest counts.
  double regret = 0;
};

/// Groups of five or more different plans whose model, cluster, batch, sequence
/// and precision columns are equal, in the table's order.
std::vector<Ranking> rankings(const std::vector<Outcome> &outcomes);

/// Tables for people.
std::string printStatistics(const std::vector<Outcome> &outcomes);
/// `{"rows": [...], ...}`: one object per row, in order.
void writeStatistics(json::Writer &writer,
                     const std::vector<Outcome> &outcomes);

} // namespace whale::validation

#endif // WHALE_VALIDATION_STATISTICS_H
