//===- Tables.cpp - tables that can be cut over replicas ------------------===//

#include "compiler/planner/Tables.h"

#include "compiler/planner/Search.h"

#include <algorithm>
#include <set>

namespace whale::planner {

using namespace workload;

namespace {

/// A table with a smaller share of the parameters gains too little to double
/// the space: its gradients are that share of what replicas exchange.
constexpr int64_t leastShare = 20;

/// The first loop of that name that cuts a variable which the op reads.
const LoopDim *loopOver(const ModuleClass &module, const Op &op,
                        std::string_view name, uint32_t variable) {
  for (const Access &operand : op.operands) {
    const Value &value = module.values[operand.value];
    if (value.kind != ValueKind::Variable || value.index != variable)
      continue;
    for (const auto &loops : operand.dims)
      for (uint32_t loop : loops)
        if (op.loops[loop].name == name)
          return &op.loops[loop];
  }
  return nullptr;
}

/// Parameters that a loop cuts.
struct CutParameters {
  int64_t elements = 0, extent = 0;
};

CutParameters cutBy(const Workload &workload, std::string_view name) {
  CutParameters sum;
  for (const Run &run : workload.runs) {
    const ModuleClass &module = workload.classes[run.moduleClass];
    for (uint32_t v = 0; v < module.variables.size(); ++v)
      for (const Op &op : module.ops) {
        const LoopDim *loop = loopOver(module, op, name, v);
        if (!loop)
          continue;
        sum.extent =
            sum.extent ? std::min(sum.extent, loop->extent) : loop->extent;
        if (module.variables[v].tied.empty())
          sum.elements = saturatingAdd(
              sum.elements,
              saturatingMultiply(module.variables[v].elements(), run.count));
        break;
      }
  }
  return sum;
}

} // namespace

std::string_view dimOf(Table table) {
  switch (table) {
  case Table::None:
    return "";
  case Table::Vocabulary:
    return "vocabulary";
  case Table::Classes:
    return "classes";
  }
  return "";
}

LargeTable largeTable(const Workload &workload) {
  LargeTable largest;
  int64_t most = parameterCount(workload) / leastShare;
  for (Table table : {Table::Vocabulary, Table::Classes}) {
    CutParameters cut = cutBy(workload, dimOf(table));
    if (cut.elements <= most)
      continue;
    largest = {table, cut.extent};
    most = cut.elements;
  }
  return largest;
}

std::vector<int64_t> tableGroups(const Problem &problem,
                                 const LargeTable &table, int64_t data,
                                 int64_t each) {
  auto can = [&](int64_t group) {
    return group == 1 ||
           (table.table != Table::None && data % group == 0 &&
            group <= table.extent && problem.options.strategy.body.empty());
  };
  const std::optional<int64_t> &pin = problem.options.pins.vocabulary;
  if (pin)
    return can(*pin) ? std::vector<int64_t>{*pin} : std::vector<int64_t>{};
  // Of unequal devices the shares of every group would be searched.
  bool small = isSmall(problem.workload, problem.hardware);
  if (problem.hardware.pools().size() > 1 && !small)
    return {1};
  std::set<int64_t> groups = {1, data};
  for (const cost::Pool &pool : problem.hardware.pools())
    for (int64_t span : {pool.perNode, pool.perDomain})
      if (span % each == 0)
        groups.insert(span / each);
  if (small)
    for (int64_t group = 2; group < data; ++group)
      groups.insert(group);
  std::erase_if(groups, [&](int64_t group) { return !can(group); });
  return {groups.begin(), groups.end()};
}

} // namespace whale::planner
