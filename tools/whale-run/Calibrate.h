//===- Calibrate.h - How fast this host is ----------------------*- C++ -*-===//
//
// Times what programs do with the runtime's own device and communicator, on all
// ranks at once: ranks that share cores, caches and memory are as slow as they
// will be in a step.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_TOOLS_WHALERUN_CALIBRATE_H
#define WHALE_TOOLS_WHALERUN_CALIBRATE_H

#include "Job.h"

namespace whale::runtime {

/// Measures with `ranks`, `threads`, `useBlas`, `communicator` and
/// `timeoutSeconds` of the options, and prints one JSON object:
///
///   ranks, memory_bytes (of the host)
///   copy_bytes_per_second (read and written), launch_seconds
///   products: {f32 | f64: {grid: [...], seconds: [m][n][k] flat}}
///   product_flops_per_second: {bf16, f16}
///   all_reduce (two ranks or more): {small_seconds, large_seconds,
///     large_bytes}
Status calibrate(const JobOptions &options);

} // namespace whale::runtime

#endif // WHALE_TOOLS_WHALERUN_CALIBRATE_H
