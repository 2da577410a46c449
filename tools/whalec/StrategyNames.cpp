//===- StrategyNames.cpp - do a strategy's names name anything? -----------===//

#include "tools/whalec/StrategyNames.h"

#include "compiler/support/PathPattern.h"
#include "compiler/support/Suggest.h"
#include "compiler/support/Text.h"

#include <algorithm>
#include <set>

using namespace whale;
using namespace whale::cli;

namespace {
class NameCheck {
public:
  NameCheck(const workload::Workload &workload, Diagnostics &diagnostics)
      : workload(workload), diagnostics(diagnostics) {
    for (const workload::ModuleClass &module : workload.classes)
      for (const workload::Op &op : module.ops)
        for (const workload::LoopDim &loop : op.loops) {
          dims.insert(loop.name);
          dims.insert(loop.aliases.begin(), loop.aliases.end());
        }
    dims.erase("");
  }

  void visit(const planner::Node &node);

private:
  void checkDim(const planner::Node &node, const std::string &dim);
  void checkPath(const planner::Node &node, const std::string &text);
  bool holdsSomething(const PathPattern &pattern) const;

  const workload::Workload &workload;
  Diagnostics &diagnostics;
  std::set<std::string> dims;
};
} // namespace

void NameCheck::checkDim(const planner::Node &node, const std::string &dim) {
  if (dims.count(dim))
    return;
  Diag &diag = diagnostics.error(
      node.place, "no op has a dimension " + whale::quoted(dim) + " to split");
  std::vector<std::string> known(dims.begin(), dims.end());
  if (auto nearest = suggest(dim, known))
    diag.hint("did you mean " + whale::quoted(*nearest) + "?");
  else
    diag.hint("dimensions: " + quotedList(known));
}

/// Instances, or ops in them; loose ops of @main are named without their run.
bool NameCheck::holdsSomething(const PathPattern &pattern) const {
  for (const workload::Run &run : workload.runs)
    for (int64_t i = 0; i < run.count; ++i) {
      std::string path = run.path(i);
      if (pattern.covers(path))
        return true;
      for (const workload::Op &op : workload.classes[run.moduleClass].ops)
        if (pattern.covers(path + "/" + op.name) || pattern.covers(op.name))
          return true;
    }
  return false;
}

void NameCheck::checkPath(const planner::Node &node, const std::string &text) {
  auto pattern = PathPattern::parse(text, node.place, diagnostics);
  if (!pattern || holdsSomething(*pattern))
    return;
  std::vector<std::string> names;
  for (const workload::Run &run : workload.runs)
    if (!run.name.starts_with("main."))
      names.push_back(run.count > 1 ? run.name + ".*" : run.name);
  Diag &diag = diagnostics.error(node.place, "pattern " + whale::quoted(text) +
                                                 " holds nothing of the model");
  if (auto nearest = suggest(text.substr(0, text.find('/')), names))
    diag.hint("did you mean " + whale::quoted(*nearest) + "?");
  else
    diag.hint("the model holds " + quotedList(names));
}

void NameCheck::visit(const planner::Node &node) {
  for (const std::string &dim : node.dims)
    checkDim(node, dim);
  for (const std::string &path : node.paths)
    checkPath(node, path);
  for (const planner::Node &inner : node.body)
    visit(inner);
}

bool cli::checkStrategyNames(const planner::Node &strategy,
                             const workload::Workload &workload,
                             Diagnostics &diagnostics) {
  size_t before = diagnostics.errorCount();
  NameCheck(workload, diagnostics).visit(strategy);
  return diagnostics.errorCount() == before;
}
