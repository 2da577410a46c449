//===- Workload.cpp - sizes and consistency of a workload -----------------===//

#include "compiler/workload/Workload.h"

#include "compiler/support/CheckedMath.h"
#include "compiler/support/Text.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace whale::workload {

namespace {

int64_t product(const std::vector<int64_t> &extents) {
  int64_t result = 1;
  for (int64_t extent : extents)
    result = saturatingMultiply(result, extent);
  return result;
}

/// What check() finds in one class.
struct ClassCheck {
  const ModuleClass &module;
  size_t groups;
  Diagnostics &diags;
  std::vector<bool> defined;

  template <class... T>
  void fail(fmt::format_string<T...> text, T &&...values) {
    diags.error({}, fmt::format("class '{}': {}", module.name,
                                fmt::format(text, std::forward<T>(values)...)));
  }

  void variables() {
    for (const Variable &variable : module.variables) {
      if (variable.group >= groups)
        fail("variable '{}' is of group {} of {}", variable.name,
             variable.group, groups);
      if (!variable.dimNames.empty() &&
          variable.dimNames.size() != variable.extents.size())
        fail("variable '{}' has {} dimensions and {} names", variable.name,
             variable.extents.size(), variable.dimNames.size());
      if (variable.elementBytes <= 0)
        fail("variable '{}' has no element size", variable.name);
    }
  }

  void values() {
    defined.assign(module.values.size(), false);
    for (size_t i = 0; i < module.values.size(); ++i) {
      const Value &value = module.values[i];
      if (value.elementBytes <= 0 ||
          std::any_of(value.extents.begin(), value.extents.end(),
                      [](int64_t extent) { return extent <= 0; }))
        fail("value '{}' has no size", value.name);
      bool ofVariable = value.kind == ValueKind::Variable ||
                        value.kind == ValueKind::VariableGradient;
      if (ofVariable && value.index >= module.variables.size())
        fail("value '{}' is of variable {} of {}", value.name, value.index,
             module.variables.size());
      defined[i] = value.kind == ValueKind::Argument ||
                   value.kind == ValueKind::Variable ||
                   value.kind == ValueKind::ResultGradient;
    }
    auto inRange = [&](uint32_t v) { return v < module.values.size(); };
    if (!std::all_of(module.arguments.begin(), module.arguments.end(),
                     inRange) ||
        !std::all_of(module.results.begin(), module.results.end(), inRange))
      fail("an argument or result is no value of the class");
    for (int64_t gradient : module.argumentGradients)
      if (gradient >= static_cast<int64_t>(module.values.size()))
        fail("an argument's gradient is no value of the class");
    if (module.argumentGradients.size() > module.arguments.size())
      fail("more gradients than arguments");
  }

  bool access(const Op &op, const Access &access) {
    if (access.value >= module.values.size()) {
      fail("op '{}' uses value {} of {}", op.name, access.value,
           module.values.size());
      return false;
    }
    const Value &value = module.values[access.value];
    if (access.dims.size() != value.extents.size()) {
      fail("op '{}' maps {} dimensions of '{}', which has {}", op.name,
           access.dims.size(), value.name, value.extents.size());
      return false;
    }
    for (size_t d = 0; d < access.dims.size(); ++d) {
      int64_t extent = 1;
      for (uint32_t loop : access.dims[d]) {
        if (loop >= op.loops.size()) {
          fail("op '{}' uses loop {} of {}", op.name, loop, op.loops.size());
          return false;
        }
        extent = saturatingMultiply(extent, op.loops[loop].extent);
      }
      bool window = std::any_of(
          access.dims[d].begin(), access.dims[d].end(), [&](uint32_t loop) {
            return op.loops[loop].kind == LoopKind::Window;
          });
      if (!access.dims[d].empty() && extent != value.extents[d] && !window)
        fail("op '{}': dimension {} of '{}' has extent {}, its loops {}",
             op.name, d, value.name, value.extents[d], extent);
    }
    return true;
  }

  void ops() {
    bool backward = false;
    for (const Op &op : module.ops) {
      for (const LoopDim &loop : op.loops)
        if (loop.extent <= 0 || loop.multiple <= 0)
          fail("op '{}' has an empty loop", op.name);
      if (op.usedDenominator <= 0 || op.usedNumerator < 0)
        fail("op '{}' computes a share {}/{}", op.name, op.usedNumerator,
             op.usedDenominator);
      if (op.groupsChosen < 1 || op.groupsChosen > op.groups)
        fail("op '{}' has experts in {} of {} groups", op.name, op.groupsChosen,
             op.groups);
      if (op.phase != Phase::Forward)
        backward = true;
      else if (backward)
        fail("forward op '{}' stands after backward ops", op.name);
      for (const Access &operand : op.operands)
        if (access(op, operand) && !defined[operand.value])
          fail("op '{}' uses '{}' before it is computed", op.name,
               module.values[operand.value].name);
      for (const Access &result : op.results)
        if (access(op, result))
          defined[result.value] = true;
    }
  }

  void run() {
    size_t before = diags.errorCount();
    variables();
    values();
    if (diags.errorCount() == before)
      ops();
  }
};

void checkRuns(const Workload &workload, Diagnostics &diags) {
  for (size_t r = 0; r < workload.runs.size(); ++r) {
    const Run &run = workload.runs[r];
    if (run.moduleClass >= workload.classes.size() || run.count <= 0) {
      diags.error(
          {}, fmt::format("run '{}' has no class or no instance", run.name));
      continue;
    }
    const ModuleClass &module = workload.classes[run.moduleClass];
    if (run.arguments.size() != module.arguments.size())
      diags.error({}, fmt::format("run '{}' gives {} arguments, class '{}' "
                                  "takes {}",
                                  run.name, run.arguments.size(), module.name,
                                  module.arguments.size()));
    if (run.count > 1 && module.results.size() > module.arguments.size())
      diags.error({}, fmt::format("run '{}' cannot chain class '{}'", run.name,
                                  module.name));
    for (const Source &source : run.arguments) {
      if (source.run < 0)
        continue;
      if (source.run >= static_cast<int64_t>(r) ||
          source.result >=
              workload.classes[workload.runs[source.run].moduleClass]
                  .results.size())
        diags.error({}, fmt::format("run '{}' takes an argument from a result "
                                    "that is not there",
                                    run.name));
    }
  }
}

} // namespace

bool LoopDim::hasName(std::string_view wanted) const {
  return (!wanted.empty() && name == wanted) ||
         std::find(aliases.begin(), aliases.end(), wanted) != aliases.end();
}

int32_t Op::findLoop(std::string_view wanted) const {
  for (size_t l = 0; l < loops.size(); ++l)
    if (loops[l].hasName(wanted))
      return static_cast<int32_t>(l);
  return -1;
}

int32_t Op::routingLoop() const {
  int32_t experts = findLoop("experts");
  bool meetsOne = experts >= 0 && usedDenominator > 1 &&
                  usedDenominator == loops[experts].extent * usedNumerator;
  return meetsOne ? experts : -1;
}

int64_t Op::points() const {
  int64_t result = 1;
  for (const LoopDim &loop : loops)
    result = saturatingMultiply(result, loop.extent);
  return result;
}

Flops Op::flops() const {
  double used = static_cast<double>(usedNumerator) / usedDenominator;
  if (usedNumerator == usedDenominator)
    return Flops(points()) * flopsPerPoint;
  return Flops(roundToInt64(static_cast<double>(points()) * used)) *
         flopsPerPoint;
}

int64_t Value::elements() const { return product(extents); }
int64_t Variable::elements() const { return product(extents); }

std::string Run::path(int64_t i) const {
  return std::max(count, of) == 1 ? name
                                  : fmt::format("{}.{}", name, first + i);
}

int64_t instanceCount(const Workload &workload) {
  int64_t count = 0;
  for (const Run &run : workload.runs)
    count = saturatingAdd(count, run.count);
  return count;
}

InstanceRef instanceAt(const Workload &workload, int64_t position) {
  InstanceRef ref;
  while (position >= workload.runs[ref.run].count)
    position -= workload.runs[ref.run++].count;
  ref.index = position;
  return ref;
}

int64_t parameterCount(const Workload &workload) {
  int64_t count = 0;
  for (const Run &run : workload.runs)
    for (const Variable &v : workload.classes[run.moduleClass].variables)
      if (v.kind == VariableKind::Parameter && v.tied.empty())
        count =
            saturatingAdd(count, saturatingMultiply(v.elements(), run.count));
  return count;
}

Flops stepFlops(const Workload &workload) {
  if (workload.modelFlops > Flops())
    return workload.modelFlops;
  Flops total;
  for (const Run &run : workload.runs) {
    Flops ofClass;
    for (const Op &op : workload.classes[run.moduleClass].ops)
      if (op.kind == OpKind::Contraction || op.kind == OpKind::Convolution ||
          op.kind == OpKind::Attention)
        ofClass += op.flops();
    total += ofClass * run.count;
  }
  return total;
}

bool check(const Workload &workload, Diagnostics &diagnostics) {
  size_t before = diagnostics.errorCount();
  if (workload.globalBatch <= 0 || workload.sampleGroup <= 0)
    diagnostics.error({}, "global batch and sample group must be positive");
  else if (workload.globalBatch % workload.sampleGroup)
    diagnostics.error(
        {}, fmt::format("global batch {} is not a multiple of the sample "
                        "group {}",
                        workload.globalBatch, workload.sampleGroup));
  for (const ModuleClass &module : workload.classes)
    ClassCheck{module, workload.groups.size(), diagnostics, {}}.run();
  if (workload.runs.empty())
    diagnostics.error({}, "the model has no instances");
  checkRuns(workload, diagnostics);
  return diagnostics.errorCount() == before;
}

} // namespace whale::workload
