//===- Function.cpp -------------------------------------------------------===//

#include "runtime/cpu/Function.h"

#include <map>

namespace whale::runtime {

using namespace format;

namespace {

std::map<std::string, CpuFunction> makeTable() {
  std::map<std::string, CpuFunction> table;
  for (const auto &functions :
       {attentionFunctions(), convolutionFunctions(), gatherFunctions(),
        expertFunctions(), initFunctions(), canonicalFunctions()})
    for (const NamedFunction &row : functions)
      table.emplace(row.name, row.function);
  return table;
}

std::string text(const std::vector<int64_t> &dims) {
  std::string out;
  for (int64_t dim : dims)
    out += (out.empty() ? "" : "x") + std::to_string(dim);
  return out;
}

} // namespace

const CpuFunction *findCpuFunction(const std::string &name) {
  static const std::map<std::string, CpuFunction> table = makeTable();
  auto found = table.find(name);
  return found == table.end() ? nullptr : &found->second;
}

bool Shapes::requireFloats(std::initializer_list<size_t> operands) {
  for (size_t i : operands)
    if (!require(isFloat(dtype(i)) && dtype(i) == dtype(*operands.begin()),
                 "operand " + std::to_string(i) + " is " +
                     std::string(nameOf(dtype(i)))))
      return false;
  return true;
}

bool Shapes::requireInts(std::initializer_list<size_t> operands) {
  for (size_t i : operands)
    if (!require(dtype(i) == DType::I32 || dtype(i) == DType::I64,
                 "operand " + std::to_string(i) + " must be i32 or i64"))
      return false;
  return true;
}

bool Shapes::requireRank(size_t operand, size_t rank) {
  return require(dims(operand).size() == rank,
                 "operand " + std::to_string(operand) + " must have " +
                     std::to_string(rank) + " dimensions");
}

bool Shapes::requireDims(size_t operand, const std::vector<int64_t> &wanted) {
  return require(dims(operand) == wanted,
                 "operand " + std::to_string(operand) + " is " +
                     text(dims(operand)) + ", expected " + text(wanted));
}

} // namespace whale::runtime
