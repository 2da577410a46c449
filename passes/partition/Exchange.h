//===- Exchange.h - which boxes go from one mesh to another -----*- C++ -*-===//

#ifndef WHALE_PASSES_PARTITION_EXCHANGE_H
#define WHALE_PASSES_PARTITION_EXCHANGE_H

#include "passes/partition/Assignment.h"

namespace whale::partition {

/// One message: `box` (of the whole tensor; micro rhythm: of micro-batch 0)
/// from a position of the source mesh to one of the target mesh.
struct Piece {
  size_t source = 0, target = 0;
  llvm::SmallVector<Range> box;
};

/// The messages that give every target position its box, each element from one
/// holder: one in the target's own outer replica where there is one, spread
/// over equal holders by the target's position. Ordered by target, then by the
/// first holder of each source box.
std::vector<Piece> exchange(const Transfer &transfer, const Mesh &source,
                            const Mesh &target);

/// The part of `box` inside `container`, relative to the container.
llvm::SmallVector<Range> relativeTo(llvm::ArrayRef<Range> box,
                                    llvm::ArrayRef<Range> container);

} // namespace whale::partition

#endif // WHALE_PASSES_PARTITION_EXCHANGE_H
