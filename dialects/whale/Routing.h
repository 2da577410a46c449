//===- Routing.h - what is known of how rows choose experts -----*- C++ -*-===//

#ifndef WHALE_DIALECTS_WHALE_ROUTING_H
#define WHALE_DIALECTS_WHALE_ROUTING_H

#include "llvm/ADT/StringRef.h"

namespace whale {

/// `group_limit = array<i64: 4, 8>` on an expert_matmul: the experts of a row
/// lie in at most 4 of 8 equal groups of them. A hint to the planner.
constexpr llvm::StringLiteral groupLimitAttrName("group_limit");

} // namespace whale

#endif // WHALE_DIALECTS_WHALE_ROUTING_H
