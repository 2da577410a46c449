//===- RunDefaults.cpp - what a row leaves open ---------------------------===//

#include "compiler/validation/RunDefaults.h"

#include "compiler/support/CheckedMath.h"

#include <algorithm>

namespace whale::validation {

/// GPUs without matrix units compute in float32; V100 and Turing know float16
/// only; MLPerf's submissions use 8 bits where the GPU has them.
static std::string usualPrecision(const MeasuredRun &run) {
  auto isOne = [&](std::initializer_list<std::string_view> types) {
    return std::any_of(types.begin(), types.end(), [&](std::string_view type) {
      return run.gpuType.starts_with(type);
    });
  };
  if (isOne({"K80", "P100"}))
    return "fp32";
  if (isOne({"V100", "T4", "RTX8000"}))
    return "fp16";
  bool hasNarrow = isOne({"H100", "H200", "GH200", "B200", "B300", "GB"});
  return hasNarrow && run.says("MLPerf") ? "fp8" : "bf16";
}

/// The printed number is less than one rank each in tables that mix nodes and
/// GPUs.
static int64_t leastGpus(const MeasuredRun &run) {
  int64_t gpus = 1;
  for (int64_t degree : {run.tensor, run.pipeline, run.context})
    gpus = saturatingMultiply(gpus, std::max<int64_t>(degree, 1));
  return gpus;
}

MeasuredRun withDefaults(MeasuredRun run) {
  if (run.precision.empty())
    run.precision = usualPrecision(run);
  if (run.gpus > 0)
    run.gpus = std::max(run.gpus, leastGpus(run));
  // Of sequences cut at 512 tokens the mean length is about half of that.
  if (run.says({"padding removed", "unpadded", "without padding"}))
    run.sequence = (run.sequence + 1) / 2;
  // torchtitan gathers the parameters of a stage once where there are several
  // (`reshard_after_forward` is off with pipelines).
  if (run.says("torchtitan") && run.pipeline > 1 && run.zero == 3)
    run.zero = 2;
  return run;
}

} // namespace whale::validation
