//===- StrategyNames.h - do a strategy's names name anything? ---*- C++ -*-===//

#ifndef WHALE_TOOLS_WHALEC_STRATEGYNAMES_H
#define WHALE_TOOLS_WHALEC_STRATEGYNAMES_H

#include "compiler/planner/Strategy.h"
#include "compiler/workload/Workload.h"

namespace whale::cli {

/// Reports dimensions that no op of the model has and path patterns that hold
/// nothing of it, with the nearest name. True where all is well.
bool checkStrategyNames(const planner::Node &strategy,
                        const workload::Workload &workload,
                        Diagnostics &diagnostics);

} // namespace whale::cli

#endif // WHALE_TOOLS_WHALEC_STRATEGYNAMES_H
