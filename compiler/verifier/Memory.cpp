//===- Memory.cpp ---------------------------------------------------------===//

#include "compiler/verifier/Memory.h"

#include "compiler/support/Json.h"

#include <algorithm>

namespace whale::verifier {

namespace {

/// Bytes of the fullest stage without reserve; 0 where nothing was promised.
int64_t promisedBytes(const json::Value &predicted) {
  const json::Value *stages =
      predicted.isObject() ? predicted.find("memory_bytes") : nullptr;
  if (!stages || !stages->isArray() || !predicted.find("memory_from"))
    return 0;
  int64_t most = 0;
  for (const json::Value &stage : stages->elements()) {
    if (!stage.isObject())
      continue;
    auto bytes = [&](const char *key) {
      const json::Value *value = stage.find(key);
      return value && value->isInteger() ? value->asInteger() : 0;
    };
    most = std::max(most, bytes("total") - bytes("reserve"));
  }
  return most;
}

bool keepsGradients(const format::ProgramT &program) {
  return std::any_of(program.variables.begin(), program.variables.end(),
                     [](const auto &variable) {
                       return variable->kind == format::VariableKind::Gradient;
                     });
}

} // namespace

bool checkMemory(const ProgramSet &set, Diagnostics &diags) {
  if (set.manifest->predicted.empty())
    return true;
  auto predicted = json::parse(set.manifest->predicted, "predicted", diags);
  if (!predicted)
    return false;
  const int64_t promised = promisedBytes(*predicted);
  uint64_t largest = 0;
  uint32_t rank = 0;
  for (uint32_t i = 0; i < set.roleOf.size(); ++i) {
    const format::ProgramT &program = *set.of(i).program;
    if (promised == 0 || keepsGradients(program))
      return true;
    if (program.arenaBytes > largest) {
      largest = program.arenaBytes;
      rank = i;
    }
  }
  const double arena = static_cast<double>(largest);
  const double limit = static_cast<double>(promised);
  if (arena <= limit && arena >= limit * (1 - layoutAllowance))
    return true;
  diags.error(Place(),
              "the largest arena, of rank " + std::to_string(rank) + ", has " +
                  std::to_string(largest) + " bytes, the plan predicts " +
                  std::to_string(promised),
              ExitCode::Finding);
  return false;
}

} // namespace whale::verifier
