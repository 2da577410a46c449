//===- Tables.h - tables that can be cut over replicas ----------*- C++ -*-===//
//
// A vocabulary (embedding, head) or the classes of a classifier: parameters
// that stand in a model once and may be a large part of it, beside features
// that are few bytes a sample. Whale's hybrid (USENIX ATC'22, figure 1) keeps
// the rest on every replica and cuts them over the replicas' devices.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PLANNER_TABLES_H
#define WHALE_PLANNER_TABLES_H

#include "compiler/planner/Problem.h"

namespace whale::planner {

/// Which loop of a table is cut.
enum class Table : uint8_t { None, Vocabulary, Classes };
/// The loop's name (dialects/whale, importers).
std::string_view dimOf(Table table);

/// The table whose parameters are worth cutting for themselves, if any.
struct LargeTable {
  Table table = Table::None;
  /// Fewest iterations of its loop in an op with parameters of it.
  int64_t extent = 0;
};
LargeTable largeTable(const workload::Workload &workload);

/// Numbers of neighbouring replicas of `each` devices over which the model's
/// table is cut, as pinned or worth trying; 1 = not.
std::vector<int64_t> tableGroups(const Problem &problem,
                                 const LargeTable &table, int64_t data,
                                 int64_t each);

} // namespace whale::planner

#endif // WHALE_PLANNER_TABLES_H
