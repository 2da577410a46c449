//===- TrainingSpec.h - the training spec as plain values -------*- C++ -*-===//

#ifndef WHALE_DIALECT_TRAININGSPEC_H
#define WHALE_DIALECT_TRAININGSPEC_H

#include "dialects/whale/Whale.h"

#include <string>
#include <vector>

namespace whale {

enum class OptimizerKind { Sgd, Momentum, AdamW, Adafactor };

/// One optimizer with its constants. Defaults are those of PyTorch's.
struct Optimizer {
  OptimizerKind kind = OptimizerKind::AdamW;
  double learningRate = 1e-3;
  double momentum = 0.9;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  /// Decoupled for AdamW (Loshchilov and Hutter 2019), L2 for the others.
  double weightDecay = 0.0;
};

/// Variables whose path matches `match` (see matchPath) use `optimizer`.
struct ParameterGroup {
  std::string match;
  Optimizer optimizer;
};

enum class ScheduleKind { Constant, Linear, Cosine };

/// Factor on the learning rate: linear warm-up over `warmupSteps`, then by
/// kind down to `finalFraction` at `totalSteps`.
struct LearningRateSchedule {
  ScheduleKind kind = ScheduleKind::Constant;
  int64_t warmupSteps = 0, totalSteps = 0;
  double finalFraction = 0.0;
};

struct TrainingSpec {
  Optimizer optimizer;
  std::vector<ParameterGroup> groups;
  /// 0 = no clipping by global norm.
  double clipNorm = 0.0;
  LearningRateSchedule schedule;
  /// "f32", "bf16" (bf16 compute, f32 master copy) or "f64".
  std::string precision = "f32";
  int64_t seed = 0;
  /// Micro-batches of gradient accumulation that the spec asks for.
  int64_t accumulation = 1;

  /// The optimizer of a variable path: first matching group, else the default.
  const Optimizer &optimizerOf(llvm::StringRef path) const;
};

/// Reads the dictionary of a `whale.training`; unknown keys, wrong types and
/// values out of range are reported through `emitError`. Takes any op so that
/// errors have its place.
llvm::FailureOr<TrainingSpec> readTrainingSpec(TrainingOp op);

/// Whether `path` ("layers.3/attn/q.weight") matches `pattern`: `*` stands for
/// anything but '/', `**` for anything.
bool matchPath(llvm::StringRef pattern, llvm::StringRef path);

} // namespace whale

#endif // WHALE_DIALECT_TRAININGSPEC_H
