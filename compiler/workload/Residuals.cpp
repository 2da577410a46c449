//===- Residuals.cpp - what the backward part needs -----------------------===//

#include "compiler/workload/Residuals.h"

namespace whale::workload {

namespace {

/// Forward ops by the values that they define, and who needs what.
struct Flow {
  explicit Flow(const ModuleClass &module)
      : module(module), definition(module.values.size(), -1),
        residual(module.values.size(), false) {
    for (size_t i = 0; i < module.ops.size(); ++i) {
      const Op &op = module.ops[i];
      if (op.phase == Phase::Forward) {
        for (const Access &result : op.results)
          definition[result.value] = static_cast<int64_t>(i);
        continue;
      }
      for (const Access &operand : op.operands)
        if (isForward(operand.value))
          residual[operand.value] = true;
    }
  }

  /// An argument or the result of a forward op.
  bool isForward(uint32_t value) const {
    return module.values[value].kind == ValueKind::Argument ||
           definition[value] >= 0;
  }
  bool isVariable(uint32_t value) const {
    return module.values[value].kind == ValueKind::Variable;
  }

  const ModuleClass &module;
  std::vector<int64_t> definition;
  std::vector<bool> residual;
};

/// Per value whether Selective computes it again; operands are decided before
/// their users.
std::vector<bool> cheapValues(const Flow &flow) {
  std::vector<bool> again(flow.module.values.size(), false);
  for (const Op &op : flow.module.ops) {
    if (op.phase != Phase::Forward)
      break;
    bool possible = op.cheap;
    for (const Access &operand : op.operands)
      possible &= flow.isVariable(operand.value) || again[operand.value] ||
                  flow.residual[operand.value];
    for (const Access &result : op.results)
      again[result.value] = possible;
  }
  return again;
}

} // namespace

ResidualPlan residuals(const ModuleClass &module, Recompute mode) {
  Flow flow(module);
  std::vector<bool> again(module.values.size(), false);
  if (mode == Recompute::Selective)
    again = cheapValues(flow);
  if (mode == Recompute::Full)
    for (size_t v = 0; v < again.size(); ++v)
      again[v] = flow.definition[v] >= 0;

  // Backwards over the forward ops: what must be repeated, what kept.
  std::vector<bool> needed = flow.residual;
  ResidualPlan plan;
  std::vector<bool> repeat(module.ops.size(), false);
  for (size_t i = module.ops.size(); i-- > 0;) {
    const Op &op = module.ops[i];
    if (op.phase != Phase::Forward)
      continue;
    for (const Access &result : op.results)
      repeat[i] = repeat[i] || (needed[result.value] && again[result.value]);
    if (repeat[i])
      for (const Access &operand : op.operands)
        needed[operand.value] = true;
  }
  for (size_t i = 0; i < repeat.size(); ++i)
    if (repeat[i])
      plan.recomputed.push_back(static_cast<uint32_t>(i));
  for (uint32_t v = 0; v < needed.size(); ++v)
    if (needed[v] && flow.isForward(v) && !again[v])
      plan.saved.push_back(v);
  return plan;
}

} // namespace whale::workload
