//===- Rebatch.h - a workload at another global batch -----------*- C++ -*-===//

#ifndef WHALE_WORKLOAD_REBATCH_H
#define WHALE_WORKLOAD_REBATCH_H

#include "compiler/workload/Workload.h"

namespace whale::workload {

/// The same model with `globalBatch` samples a step: loops called like the
/// batch dimension and the dimensions of values that they run along become
/// longer or shorter in proportion. False, with an error, where that has no
/// meaning: samples coupled over the whole batch, extents that do not divide.
/// The hash of the model stays: plans for another batch than the text's can be
/// looked at, not compiled.
bool rebatch(Workload &workload, int64_t globalBatch, Diagnostics &diagnostics);

} // namespace whale::workload

#endif // WHALE_WORKLOAD_REBATCH_H
