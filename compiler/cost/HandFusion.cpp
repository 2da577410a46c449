//===- HandFusion.cpp - ops that frameworks write as one kernel -----------===//

#include "compiler/cost/HandFusion.h"

#include "compiler/support/CheckedMath.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace whale::cost {

using namespace workload;

namespace {

/// The module that an op was written in: "attention/q" -> "attention".
std::string_view writtenIn(const Op &op) {
  std::string_view name = op.name;
  return name.substr(0, std::min(name.rfind('/'), name.size()));
}

/// Number of the variable that an op reads, or -1.
int64_t variableOf(const ModuleClass &module, const Op &op) {
  for (const Access &operand : op.operands)
    if (const Value &value = module.values[operand.value];
        value.kind == ValueKind::Variable)
      return value.index;
  return -1;
}

/// How often each value is read.
std::vector<int64_t> readersOf(const ModuleClass &module) {
  std::vector<int64_t> readers(module.values.size(), 0);
  for (const Op &op : module.ops)
    for (const Access &operand : op.operands)
      ++readers[operand.value];
  for (uint32_t result : module.results)
    ++readers[result];
  return readers;
}

/// The op that makes each value, or -1.
std::vector<int64_t> makersOf(const ModuleClass &module) {
  std::vector<int64_t> makers(module.values.size(), -1);
  for (size_t i = 0; i < module.ops.size(); ++i)
    for (const Access &result : module.ops[i].results)
      makers[result.value] = static_cast<int64_t>(i);
  return makers;
}

} // namespace

HandFusion::HandFusion(const ModuleClass &module, const Stack &stack)
    : module(module), absent(module.ops.size(), false),
      joins(stack.joinsProducts),
      addsFirst(stack.joinsProducts || stack.addsPartials),
      groupOf(module.ops.size(), -1) {
  if (addsFirst)
    joinProducts();
  if (joins)
    dropSums();
  if (stack.addsBiasInProducts || stack.accumulatesInProducts)
    addInProducts(stack);
}

std::span<const uint32_t> HandFusion::joined(uint32_t op) const {
  if (!joins || groupOf[op] < 0)
    return {};
  return groups[groupOf[op]];
}

bool HandFusion::isAddedFirst(uint32_t op) const {
  return addsFirst && groupOf[op] >= 0 && groups[groupOf[op]].front() != op &&
         module.ops[op].phase == Phase::BackwardInput;
}

bool HandFusion::joinsDepth(uint32_t op) const {
  return module.ops[op].phase == Phase::BackwardInput;
}

/// Products with a weight go by the rows that they read; what makes the rows'
/// gradient by the rows that its weight is read with in the forward part; what
/// makes the weight's gradient by the rows again.
void HandFusion::joinProducts() {
  using Key = std::tuple<Phase, uint32_t, std::string_view, bool>;
  std::map<Key, std::vector<uint32_t>> found;
  std::map<int64_t, std::pair<uint32_t, bool>> rowsOf;
  std::map<std::pair<uint32_t, std::string_view>, bool> isTrained;
  for (uint32_t i = 0; i < module.ops.size(); ++i) {
    const Op &op = module.ops[i];
    if (op.kind != OpKind::Contraction || op.operands.size() != 2)
      continue;
    int64_t variable = variableOf(module, op);
    if (variable >= 0 && op.phase == Phase::Forward) {
      uint32_t first = op.operands[0].value;
      bool swapped = module.values[first].kind == ValueKind::Variable;
      uint32_t rows = op.operands[swapped].value;
      bool trained = module.variables[variable].trained();
      rowsOf[variable] = {rows, trained};
      isTrained[{rows, writtenIn(op)}] = trained;
      found[{op.phase, rows, writtenIn(op), trained}].push_back(i);
    } else if (variable >= 0 && op.phase == Phase::BackwardInput) {
      if (auto it = rowsOf.find(variable); it != rowsOf.end())
        found[{op.phase, it->second.first, writtenIn(op), it->second.second}]
            .push_back(i);
    } else if (variable < 0 && op.phase == Phase::BackwardWeight) {
      for (const Access &operand : op.operands)
        if (isTrained.contains({operand.value, writtenIn(op)})) {
          found[{op.phase, operand.value, writtenIn(op), true}].push_back(i);
          break;
        }
    }
  }
  for (auto &[key, ops] : found) {
    if (ops.size() < 2)
      continue;
    for (uint32_t op : ops)
      groupOf[op] = static_cast<int32_t>(groups.size());
    groups.push_back(std::move(ops));
  }
}

/// The sums of the input gradients of joined products are in the product. A
/// fused one that no other sum reads stands for reading the whole.
void HandFusion::dropSums() {
  std::vector<int64_t> makers = makersOf(module);
  auto sums = [&](const Op &op) {
    if (op.kind != OpKind::Elementwise || op.phase != Phase::BackwardInput ||
        op.linearity != Linearity::Joint || op.operands.size() < 2)
      return int32_t(-1);
    int32_t group = -1;
    for (const Access &operand : op.operands) {
      int64_t maker = makers[operand.value];
      int32_t from = maker < 0 ? -1 : groupOf[maker];
      if (from < 0 || (group >= 0 && group != from))
        return int32_t(-1);
      group = from;
    }
    return group;
  };
  for (uint32_t i = 0; i < module.ops.size(); ++i) {
    int32_t group = sums(module.ops[i]);
    if (group < 0)
      continue;
    absent[i] = !module.ops[i].fused;
    // Sums that read this one belong to the group; products' members stay.
    groupOf[i] = group;
    for (const Access &operand : module.ops[i].operands)
      if (int64_t maker = makers[operand.value];
          module.ops[maker].kind == OpKind::Elementwise)
        absent[maker] = true;
  }
  for (uint32_t i = 0; i < module.ops.size(); ++i)
    if (module.ops[i].kind == OpKind::Elementwise)
      groupOf[i] = -1;
}

/// An elementwise op with a kernel of its own that reads, besides variables,
/// only what a product makes for it: a bias, or the cast to the accumulator.
void HandFusion::addInProducts(const Stack &stack) {
  std::vector<int64_t> makers = makersOf(module), readers = readersOf(module);
  for (uint32_t i = 0; i < module.ops.size(); ++i) {
    const Op &op = module.ops[i];
    bool asked = op.phase == Phase::Forward ? stack.addsBiasInProducts
                 : op.phase == Phase::BackwardWeight
                     ? stack.accumulatesInProducts
                     : false;
    if (!asked || op.kind != OpKind::Elementwise || op.fused)
      continue;
    int64_t made = 0, products = 0;
    for (const Access &operand : op.operands) {
      if (module.values[operand.value].kind == ValueKind::Variable)
        continue;
      ++made;
      int64_t maker = makers[operand.value];
      products += maker >= 0 && readers[operand.value] == 1 &&
                  module.ops[maker].kind == OpKind::Contraction &&
                  module.ops[maker].phase == op.phase;
    }
    bool linear = op.linearity == Linearity::Joint;
    absent[i] = linear && made == 1 && products == 1;
  }
}

OpWork joinedWork(std::span<const OpWork> parts, bool depth) {
  OpWork whole = parts.front();
  for (const OpWork &part : parts.subspan(1)) {
    whole.flops += part.flops;
    whole.bytes += part.bytes;
    int64_t &side = depth ? whole.k : whole.n;
    side = saturatingAdd(side, depth ? part.k : part.n);
  }
  return whole;
}

} // namespace whale::cost
