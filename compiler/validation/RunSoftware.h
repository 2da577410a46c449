//===- RunSoftware.h - the software of a measured run -----------*- C++ -*-===//

#ifndef WHALE_VALIDATION_RUNSOFTWARE_H
#define WHALE_VALIDATION_RUNSOFTWARE_H

#include "compiler/cost/Execution.h"
#include "compiler/support/Units.h"
#include "compiler/validation/MeasuredRun.h"

namespace whale::validation {

/// Whether its software is of before fused attention: by name, or by the year.
bool isOld(const MeasuredRun &run);

/// The software that a run's source and notes name.
cost::Stack stackOf(const MeasuredRun &run);

/// Whether a rank has whole experts, also where attention is split
/// (expert_tensor_parallel_size 1, as in the recipes of Megatron-Bridge): else
/// the split of attention cuts them as far as there are ranks.
bool splitsWholeExperts(const MeasuredRun &run);

/// What a run's memory is of.
enum class MemoryQuantity {
  /// Buffers in use, on the fullest rank.
  Allocated,
  /// The same on the last rank, which writes Megatron-LM's logs.
  AllocatedLast,
  /// What an allocator that keeps freed blocks has reserved.
  Reserved,
  /// All that the device has given away.
  Device,
};
MemoryQuantity memoryQuantityOf(const MeasuredRun &run);

/// What the allocator of the framework has given to cuBLAS, which counts as
/// allocated.
Bytes libraryWorkspace(const MeasuredRun &run);

} // namespace whale::validation

#endif // WHALE_VALIDATION_RUNSOFTWARE_H
