//===- ExpertWidth.cpp - a name for the width of experts ------------------===//
//
// The rows of the last product of an expert ("down") are as long as the expert
// is wide. From there the name follows values through all ops of the class, as
// dimensions and loops meet, until nothing is left to name.
//
//===----------------------------------------------------------------------===//

#include "compiler/validation/ExpertWidth.h"

#include <set>
#include <utility>

namespace whale::validation {

namespace {

using workload::Access;
using workload::ModuleClass;
using workload::Op;

class Namer {
public:
  explicit Namer(ModuleClass &module) : module(module) {}

  void run() {
    for (Op &op : module.ops)
      if (op.name.ends_with("/down") && op.routingLoop() >= 0)
        if (int32_t loop = op.findLoop("in"); loop >= 0)
          name(op, static_cast<uint32_t>(loop));
    while (std::exchange(changed, false))
      for (Op &op : module.ops)
        visit(op);
  }

private:
  void name(Op &op, uint32_t loop) {
    if (op.loops[loop].hasName(expertWidth))
      return;
    op.loops[loop].aliases.emplace_back(expertWidth);
    changed = true;
  }

  void visit(Op &op) {
    for (auto *list : {&op.operands, &op.results})
      for (const Access &access : *list)
        for (size_t d = 0; d < access.dims.size(); ++d)
          if (access.dims[d].size() == 1)
            meet(op, access.dims[d].front(), {access.value, d});
  }

  void meet(Op &op, uint32_t loop, std::pair<uint32_t, size_t> dim) {
    if (op.loops[loop].hasName(expertWidth))
      changed |= wide.insert(dim).second;
    else if (wide.count(dim))
      name(op, loop);
  }

  ModuleClass &module;
  /// Dimensions of values.
  std::set<std::pair<uint32_t, size_t>> wide;
  bool changed = false;
};

} // namespace

void nameExpertWidth(workload::Workload &workload) {
  for (ModuleClass &module : workload.classes)
    Namer(module).run();
}

} // namespace whale::validation
