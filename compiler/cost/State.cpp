//===- State.cpp - what a rank keeps from step to step --------------------===//

#include "compiler/cost/State.h"

#include <algorithm>

namespace whale::cost {

using namespace workload;

/// Calls `visit(part...)` with each part of each of `of`.
template <class F, class... Of> static void forEachPart(F visit, Of &...of) {
  auto weights = [&](auto &...some) {
    visit(some.parameters...);
    visit(some.gradients...);
    visit(some.frozen...);
    visit(some.copies...);
    visit(some.trained...);
  };
  weights(of...);
  weights(of.owned...);
  visit(of.optimizer...);
  visit(of.ownedMasters...);
  visit(of.factored...);
  visit(of.other...);
}

StateBytes &StateBytes::operator+=(const StateBytes &more) {
  forEachPart([](auto &part, const auto &other) { part += other; }, *this,
              more);
  return *this;
}

StateBytes &StateBytes::operator-=(const StateBytes &less) {
  forEachPart([](auto &part, const auto &other) { part -= other; }, *this,
              less);
  return *this;
}

StateBytes StateBytes::operator*(int64_t count) const {
  StateBytes result = *this;
  forEachPart([count](auto &part) { part = part * count; }, result);
  return result;
}

StateBytes StateBytes::dividedBy(int64_t parts) const {
  StateBytes result = *this;
  forEachPart([parts](auto &part) { part = ceilDivide(part, parts); }, result);
  return result;
}

StateBytes StateBytes::notNegative() const {
  StateBytes result = *this;
  forEachPart([](auto &part) { part = std::max(part, {}); }, result);
  return result;
}

/// Whether an op that no kernel is generated for reads a variable.
static bool needsCopy(const ModuleClass &module, uint32_t variable) {
  return std::any_of(module.ops.begin(), module.ops.end(), [&](const Op &op) {
    bool generated =
        op.kind == OpKind::Elementwise || op.kind == OpKind::Reduction;
    return !generated &&
           std::any_of(op.operands.begin(), op.operands.end(),
                       [&](const Access &access) {
                         const Value &value = module.values[access.value];
                         return value.kind == ValueKind::Variable &&
                                value.index == variable;
                       });
  });
}

/// Rows and columns of the matrix that a factored moment takes a tensor for.
static int64_t factoredElements(const Variable &variable,
                                const std::vector<int64_t> &extents) {
  int64_t rows = 1, columns = 1;
  for (size_t d = 0; d < extents.size(); ++d) {
    int64_t &size = d < variable.factorCut ? rows : columns;
    size = saturatingMultiply(size, extents[d]);
  }
  return variable.factorCut > 0 ? rows + columns : columns;
}

/// So many elements of a parameter.
static void addWeights(const Variable &variable, const ParameterGroup &group,
                       bool isCopied, int64_t elements, WeightBytes &sum) {
  Bytes bytes = Bytes(elements) * variable.elementBytes;
  if (!variable.trained()) {
    // Never updated, so never more precise than it is read.
    sum.parameters += bytes;
    sum.frozen += bytes;
    return;
  }
  sum.parameters +=
      group.masterBytes > 0 ? Bytes(elements) * group.masterBytes : bytes;
  if (group.masterBytes > 0 && isCopied)
    sum.copies += bytes;
  sum.gradients += Bytes(elements) * group.gradientBytes;
  sum.trained += elements;
}

StateBytes stateBytes(const Workload &workload, const ModuleClass &module,
                      const ShardedClass &sharded, bool onlyTied) {
  StateBytes state;
  for (uint32_t i = 0; i < module.variables.size(); ++i) {
    const Variable &variable = module.variables[i];
    if (onlyTied && variable.tied.empty())
      continue;
    int64_t elements = sharded.variableElements[i];
    if (variable.kind != VariableKind::Parameter) {
      state.other += Bytes(elements) * variable.elementBytes;
      continue;
    }
    const ParameterGroup &group = workload.groups[variable.group];
    bool isCopied = needsCopy(module, i);
    int64_t owned = sharded.ownedElements[i];
    addWeights(variable, group, isCopied, elements, state);
    addWeights(variable, group, isCopied, owned, state.owned);
    if (!variable.trained())
      continue;
    state.ownedMasters += Bytes(owned) * group.masterBytes;
    for (int64_t slot : group.slotBytes)
      state.optimizer += Bytes(owned) * slot;
    state.factored +=
        Bytes(factoredElements(variable, sharded.variableExtents[i])) *
        group.factoredBytes;
  }
  return state;
}

} // namespace whale::cost
