//===- RankTable.h - what the manifest says of each rank --------*- C++ -*-===//

#ifndef WHALE_PASSES_PARTITION_RANKTABLE_H
#define WHALE_PASSES_PARTITION_RANKTABLE_H

#include "mlir/IR/BuiltinAttributes.h"

#include <cstdint>
#include <string>
#include <vector>

namespace whale::partition {

/// One rank. `groups`, `peers` and `scalars` are indexed by the attributes of
/// its role's `rank.program`s.
struct RankRow {
  unsigned role = 0, stage = 0;
  /// Name and value per mesh axis.
  std::vector<std::pair<std::string, int64_t>> coordinates;
  /// Its samples of the global batch.
  int64_t firstSample = 0, samples = 0;
  /// Ordered members of each communicator group, this rank among them.
  std::vector<std::vector<uint32_t>> groups;
  std::vector<uint32_t> peers;
  std::vector<int64_t> scalars;
};

struct RankTable {
  std::vector<RankRow> ranks;
  unsigned roles = 0;
};

/// The table as an attribute, so that a phase's text holds it.
mlir::ArrayAttr toAttribute(mlir::MLIRContext *context, const RankTable &table);
/// The inverse; fails where the attribute does not have the form.
mlir::FailureOr<RankTable> rankTableOf(mlir::ArrayAttr attribute);

} // namespace whale::partition

#endif // WHALE_PASSES_PARTITION_RANKTABLE_H
