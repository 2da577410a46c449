//===- Passes.h - partitioning passes ---------------------------*- C++ -*-===//

#ifndef WHALE_PASSES_PARTITION_PASSES_H
#define WHALE_PASSES_PARTITION_PASSES_H

namespace whale {
/// Makes --whale-partition known to the pass registry.
void registerWhalePartitionPasses();
} // namespace whale

#endif // WHALE_PASSES_PARTITION_PASSES_H
