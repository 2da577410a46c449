//===- Memory.h - arenas against what was promised --------------*- C++ -*-===//

#ifndef WHALE_VERIFIER_MEMORY_H
#define WHALE_VERIFIER_MEMORY_H

#include "compiler/verifier/Simulation.h"

namespace whale::verifier {

/// Where `predicted` of the manifest has `memory_bytes` (one number for each
/// rank), no arena may be larger, nor larger than its peak of live bytes by
/// more than `layoutAllowance`.
bool checkMemory(const ProgramSet &set, Diagnostics &diags);

/// design.md section 4: the planner's peak plus a stated layout allowance.
inline constexpr double layoutAllowance = 0.05;

} // namespace whale::verifier

#endif // WHALE_VERIFIER_MEMORY_H
