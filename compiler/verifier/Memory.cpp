//===- Memory.cpp ---------------------------------------------------------===//

#include "compiler/verifier/Memory.h"

#include "compiler/support/Json.h"

namespace whale::verifier {

/// `predicted.memory_bytes` = [bytes of rank 0, bytes of rank 1, ...].
bool checkMemory(const ProgramSet &set, Diagnostics &diags) {
  if (set.manifest->predicted.empty())
    return true;
  auto predicted = json::parse(set.manifest->predicted, "predicted", diags);
  if (!predicted)
    return false;
  const json::Value *bytes =
      predicted->isObject() ? predicted->find("memory_bytes") : nullptr;
  if (!bytes || !bytes->isArray())
    return true;
  const auto &values = bytes->elements();
  for (uint32_t rank = 0; rank < set.roleOf.size() && rank < values.size();
       ++rank) {
    if (!values[rank].isInteger())
      continue;
    const int64_t promised = values[rank].asInteger();
    const uint64_t arena = set.of(rank).program->arenaBytes;
    if (static_cast<double>(arena) <=
        static_cast<double>(promised) * (1 + layoutAllowance))
      continue;
    diags.error(Place(),
                "the arena of rank " + std::to_string(rank) + " has " +
                    std::to_string(arena) + " bytes, the plan predicts " +
                    std::to_string(promised),
                ExitCode::Finding);
    return false;
  }
  return true;
}

} // namespace whale::verifier
