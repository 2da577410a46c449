//===- Parameters.cpp - how many parameters a model has -------------------===//
//
// Each module is counted once, callees first: time and depth follow the number
// of modules, not that of instances.
//
//===----------------------------------------------------------------------===//

#include "dialects/whale/Parameters.h"

#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;
using namespace whale;

namespace {
class ParameterCounter {
public:
  explicit ParameterCounter(ModelOp model) : symbols(model) {}

  /// Parameters of one instance.
  std::optional<int64_t> count(ModuleDefOp module) {
    if (auto known = counts.find(module.getSymName()); known != counts.end())
      return known->second;
    std::optional<int64_t> total = 0;
    // A variable may be read several times.
    llvm::StringSet<> shared, variables;
    module.walk([&](Operation *op) {
      if (auto variable = dyn_cast<VariableOp>(op)) {
        if (variables.insert(variable.getName()).second)
          add(total, elements(variable), 1);
      } else if (auto scan = dyn_cast<ScanOp>(op))
        add(total, callee(scan.getCallee()), 1);
      else if (auto instance = dyn_cast<InstanceOp>(op))
        if (!instance.getShared() || shared.insert(instance.getName()).second)
          add(total, callee(instance.getCallee()),
              instance.getRepeat().value_or(1));
    });
    counts[module.getSymName()] = total;
    return total;
  }

private:
  std::optional<int64_t> callee(StringRef name) {
    return count(symbols.lookup<ModuleDefOp>(name));
  }

  static std::optional<int64_t> elements(VariableOp variable) {
    if (variable.getKind() != VariableKind::parameter || variable.getTied())
      return 0;
    std::optional<int64_t> product = 1;
    for (int64_t extent : tensorType(variable).getShape())
      product = multiply(product, extent);
    return product;
  }

  static std::optional<int64_t> multiply(std::optional<int64_t> a, int64_t b) {
    int64_t product;
    if (!a || __builtin_mul_overflow(*a, b, &product))
      return std::nullopt;
    return product;
  }

  /// total += part * times; nothing once one of them is unknown.
  static void add(std::optional<int64_t> &total, std::optional<int64_t> part,
                  int64_t times) {
    std::optional<int64_t> more = multiply(part, times);
    int64_t sum;
    if (!total || !more || __builtin_add_overflow(*total, *more, &sum))
      total.reset();
    else
      total = sum;
  }

  SymbolTable symbols;
  llvm::StringMap<std::optional<int64_t>> counts;
};
} // namespace

std::optional<int64_t> whale::countParameters(ModelOp model) {
  ModuleDefOp main = model.getMain();
  return main ? ParameterCounter(model).count(main) : 0;
}
