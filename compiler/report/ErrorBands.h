//===- ErrorBands.h - how far off predictions were --------------*- C++ -*-===//

#ifndef WHALE_REPORT_ERRORBANDS_H
#define WHALE_REPORT_ERRORBANDS_H

#include "compiler/cluster/Catalogue.h"
#include "compiler/planner/Insight.h"

namespace whale::report {

/// The errors of measured runs on such devices, in the class of sizes that
/// `devices` is in (below 8, 8 to 63, 64 or more); count 0 where there were
/// none. From catalogue/execution/error-bands.json, which
/// tools/fit/error_bands.py makes: each run by a fit without its family.
planner::ErrorBand errorBand(const DeviceType &type, int64_t devices);

/// How much more than predicted measured runs on such devices took; count 0
/// where there were none.
planner::MemoryBand memoryBand(const DeviceType &type);

/// "+-7.1 % (p90 of 230 measured runs on h100-sxm-80, 64 devices or more)".
std::string print(const planner::ErrorBand &band);
/// "9 of 10 of 48 measured runs on a100-80 took at most 15.5 % more; median
/// error 5.1 %".
std::string print(const planner::MemoryBand &band);

} // namespace whale::report

#endif // WHALE_REPORT_ERRORBANDS_H
