//===- Ties.cpp - instances that share a variable -------------------------===//

#include "compiler/planner/Evaluate.h"

namespace whale::planner {

using workload::Run;
using workload::Workload;

std::vector<Tie> ties(const Workload &workload) {
  std::vector<Tie> result;
  auto positionOf = [&](std::string_view path) -> int64_t {
    int64_t start = 0;
    for (const Run &run : workload.runs) {
      for (int64_t i = 0; i < run.count; ++i) {
        std::string prefix = run.path(i) + "/";
        // The rest is a variable or a path within the instance.
        if (path.substr(0, prefix.size()) == prefix)
          return start + i;
      }
      start += run.count;
    }
    return -1;
  };
  int64_t start = 0;
  for (const Run &run : workload.runs) {
    const auto &variables = workload.classes[run.moduleClass].variables;
    for (uint32_t v = 0; v < variables.size(); ++v)
      if (!variables[v].tied.empty())
        if (int64_t owner = positionOf(variables[v].tied); owner >= 0)
          for (int64_t i = 0; i < run.count; ++i)
            result.push_back({start + i, owner, v});
    start += run.count;
  }
  return result;
}

} // namespace whale::planner
