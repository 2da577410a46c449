//===- RunMachine.h - the cluster of a measured run -------------*- C++ -*-===//

#ifndef WHALE_VALIDATION_RUNMACHINE_H
#define WHALE_VALIDATION_RUNMACHINE_H

#include "compiler/validation/MeasuredRun.h"

namespace whale::validation {

/// The text of a cluster.json, or nothing and why.
std::optional<std::string> clusterOf(const MeasuredRun &run,
                                     std::string &reason);

} // namespace whale::validation

#endif // WHALE_VALIDATION_RUNMACHINE_H
