//===- RoleBuilder.h - writes the program of one role -----------*- C++ -*-===//

#ifndef WHALE_PASSES_PARTITION_ROLEBUILDER_H
#define WHALE_PASSES_PARTITION_ROLEBUILDER_H

#include "dialects/rank/Rank.h"
#include "passes/partition/Exchange.h"
#include "passes/partition/RankTable.h"

#include <map>
#include <string>

namespace whale::partition {

/// Ranks of one stage with equal code, and the rows of the manifest that their
/// programs refer to. Shared by all entries of the role.
struct Role {
  unsigned index = 0, graph = 0;
  /// Positions in the stage's mesh; the first one stands for all.
  llvm::SmallVector<size_t> positions;

  /// Index of the communicator over the axes of `mask`.
  int64_t group(const Mesh &mesh, AxisMask mask);
  /// Index of the peer that is `ranks[i]` for position i of the role.
  int64_t peer(llvm::ArrayRef<int64_t> ranks);
  /// Scalar with `values[i]` for position i and a term for the micro-batch.
  rank::ScalarAttr scalar(mlir::MLIRContext *context,
                          llvm::ArrayRef<int64_t> values, int64_t microStride,
                          llvm::StringRef name);

  std::vector<std::pair<AxisMask, std::string>> groups;
  std::vector<std::vector<int64_t>> peers;
  std::vector<std::pair<std::string, std::vector<int64_t>>> scalars;
};

/// Text that is equal for two positions exactly if they can share a program.
std::string roleSignature(const Assignment &assignment, unsigned graph,
                          size_t position);

/// Writes the ops of `step` that belong to the role's stage, with local shapes
/// and all communication, as a `rank.program`.
mlir::FailureOr<rank::ProgramOp>
buildProgram(mlir::OpBuilder &builder, ModuleDefOp step, llvm::StringRef entry,
             const Assignment &assignment, Role &role);

} // namespace whale::partition

#endif // WHALE_PASSES_PARTITION_ROLEBUILDER_H
