//===- Memory.h - arenas against what was promised --------------*- C++ -*-===//

#ifndef WHALE_VERIFIER_MEMORY_H
#define WHALE_VERIFIER_MEMORY_H

#include "compiler/verifier/Simulation.h"

namespace whale::verifier {

/// `predicted` of the manifest is that of the plan (compiler/planner/Plan.h):
/// where its memory was measured (`memory_from`), the largest arena must not be
/// above the fullest stage's `memory_bytes` without reserve, nor below it by
/// more than `layoutAllowance`. Programs that keep their gradients need more
/// than was planned and are not compared.
bool checkMemory(const ProgramSet &set, Diagnostics &diags);

/// design.md section 4: the planner's peak plus a stated layout allowance.
inline constexpr double layoutAllowance = 0.05;

} // namespace whale::verifier

#endif // WHALE_VERIFIER_MEMORY_H
