//===- Fragments.cpp - instances cut into fragments -----------------------===//

#include "compiler/workload/Fragments.h"

#include <algorithm>
#include <set>

namespace whale::workload {

namespace {

/// Of the forward op that an op of the backward part comes from.
std::string_view baseName(std::string_view name) {
  return name.substr(0, name.find('#'));
}

/// What two fragments that follow each other exchange: forward values, and for
/// each of them its gradient, or -1.
struct Border {
  std::vector<uint32_t> values;
  std::vector<int64_t> gradients;
};

class Cutter {
public:
  Cutter(const ModuleClass &module, const InnerCuts &cuts);

  /// Whether the fragments together do what the class does.
  bool isValid() const { return valid; }
  /// Of the two sides of the first cut.
  const Border &border() const { return borders[1]; }
  std::vector<ModuleClass> run() const;

private:
  static constexpr int64_t before = -1;

  int64_t last() const { return count - 1; }
  void placeForward();
  void placeBackward();
  void placeVariables();
  void findBorders();
  bool pairGradients(int64_t fragment);
  int64_t placeOf(const Op &backward) const;
  ModuleClass fragment(int64_t index) const;

  const ModuleClass &module;
  const InnerCuts &cuts;
  int64_t count;
  /// By op, and by value: where it is computed; arguments are there before.
  std::vector<int64_t> ofOp, ofValue;
  std::map<std::string_view, int64_t> byName;
  /// By value: the first and the last fragment that use it.
  std::vector<int64_t> firstUse, lastUse;
  std::vector<int64_t> ofVariable;
  /// By value: whether the forward, or the backward part computes it.
  std::vector<bool> isForward, isBackward;
  /// Before each fragment; that of the first is empty.
  std::vector<Border> borders;
  bool valid = true;
};

} // namespace

Cutter::Cutter(const ModuleClass &module, const InnerCuts &cuts)
    : module(module), cuts(cuts), count(std::ssize(cuts) + 1),
      ofOp(module.ops.size()), ofValue(module.values.size(), before),
      firstUse(module.values.size(), count), lastUse(module.values.size(), -1),
      ofVariable(module.variables.size(), -1), isForward(module.values.size()),
      isBackward(module.values.size()), borders(count) {
  placeForward();
  placeBackward();
  placeVariables();
  findBorders();
}

void Cutter::placeForward() {
  for (size_t i = 0; i < module.ops.size(); ++i) {
    const Op &op = module.ops[i];
    if (op.phase != Phase::Forward)
      break;
    ofOp[i] = std::upper_bound(cuts.begin(), cuts.end(), i) - cuts.begin();
    byName[op.name] = ofOp[i];
    for (const Access &result : op.results) {
      ofValue[result.value] = ofOp[i];
      isForward[result.value] = true;
    }
  }
  for (size_t v = 0; v < module.values.size(); ++v) {
    if (module.values[v].kind == ValueKind::Argument)
      isForward[v] = true;
    if (module.values[v].kind == ValueKind::ResultGradient) {
      ofValue[v] = last();
      isBackward[v] = true;
    }
  }
}

/// By its name, but no later than what it uses; sums where their last summand
/// is.
int64_t Cutter::placeOf(const Op &op) const {
  int64_t place = last();
  size_t mark = op.name.rfind('#');
  bool isSum = mark != std::string::npos &&
               std::string_view(op.name).substr(mark).starts_with("#sum");
  if (!isSum)
    if (auto it = byName.find(baseName(op.name)); it != byName.end())
      place = it->second;
  for (const Access &operand : op.operands)
    if (isBackward[operand.value])
      place = std::min(place, ofValue[operand.value]);
  return place;
}

void Cutter::placeBackward() {
  for (size_t i = 0; i < module.ops.size(); ++i) {
    const Op &op = module.ops[i];
    if (op.phase == Phase::Forward)
      continue;
    ofOp[i] = placeOf(op);
    for (const Access &result : op.results) {
      ofValue[result.value] = ofOp[i];
      isBackward[result.value] = true;
    }
  }
  for (size_t i = 0; i < module.ops.size(); ++i)
    for (const Access &operand : module.ops[i].operands) {
      firstUse[operand.value] = std::min(firstUse[operand.value], ofOp[i]);
      lastUse[operand.value] = std::max(lastUse[operand.value], ofOp[i]);
    }
  for (uint32_t result : module.results)
    lastUse[result] = last();
}

void Cutter::placeVariables() {
  auto place = [&](const Access &access, int64_t fragment) {
    const Value &value = module.values[access.value];
    if (value.kind != ValueKind::Variable &&
        value.kind != ValueKind::VariableGradient)
      return;
    int64_t &holder = ofVariable[value.index];
    valid = valid && (holder < 0 || holder == fragment);
    holder = fragment;
  };
  for (size_t i = 0; i < module.ops.size(); ++i) {
    for (const Access &operand : module.ops[i].operands)
      place(operand, ofOp[i]);
    for (const Access &result : module.ops[i].results)
      place(result, ofOp[i]);
  }
}

/// Gradients have the extents of what they are of; where several do, they come
/// in its order.
bool Cutter::pairGradients(int64_t fragment) {
  Border &border = borders[fragment];
  border.gradients.assign(border.values.size(), -1);
  std::set<uint32_t> crossing;
  for (size_t i = 0; i < module.ops.size(); ++i)
    if (module.ops[i].phase != Phase::Forward && ofOp[i] < fragment)
      for (const Access &operand : module.ops[i].operands)
        if (isBackward[operand.value] && ofValue[operand.value] >= fragment)
          crossing.insert(operand.value);
  for (uint32_t gradient : crossing) {
    bool isPaired = false;
    for (size_t k = 0; k < border.values.size() && !isPaired; ++k)
      if (border.gradients[k] < 0 && module.values[border.values[k]].extents ==
                                         module.values[gradient].extents) {
        border.gradients[k] = gradient;
        isPaired = true;
      }
    if (!isPaired)
      return false;
  }
  return true;
}

void Cutter::findBorders() {
  for (uint32_t v = 0; v < module.values.size(); ++v) {
    if (!isForward[v])
      continue;
    // The backward part never goes forward.
    valid = valid && firstUse[v] >= ofValue[v];
    for (int64_t f = std::max<int64_t>(ofValue[v] + 1, 1); f <= lastUse[v]; ++f)
      borders[f].values.push_back(v);
  }
  for (int64_t f = 1; f < count; ++f)
    valid = valid && pairGradients(f);
}

/// One of the fragments: the values that its ops use or that cross its borders.
ModuleClass Cutter::fragment(int64_t index) const {
  ModuleClass result;
  result.name = module.name + "#" + std::to_string(index);
  std::map<uint32_t, uint32_t> values;
  std::map<uint32_t, uint32_t> variables;
  auto add = [&](uint32_t old, std::optional<ValueKind> kind = {},
                 uint32_t number = 0) {
    auto [it, isNew] = values.try_emplace(old, result.values.size());
    if (!isNew)
      return it->second;
    Value value = module.values[old];
    if (value.kind == ValueKind::Variable ||
        value.kind == ValueKind::VariableGradient) {
      auto [variable, isFirst] =
          variables.try_emplace(value.index, result.variables.size());
      if (isFirst)
        result.variables.push_back(module.variables[value.index]);
      value.index = variable->second;
    } else if (kind) {
      value.kind = *kind;
      value.index = number;
    }
    result.values.push_back(std::move(value));
    return it->second;
  };
  bool isFirst = index == 0, isLast = index == last();
  const Border &front = borders[index];
  const std::vector<uint32_t> &arguments =
      isFirst ? module.arguments : front.values;
  for (size_t k = 0; k < arguments.size(); ++k)
    result.arguments.push_back(
        add(arguments[k], ValueKind::Argument, static_cast<uint32_t>(k)));
  if (!isLast) {
    const Border &back = borders[index + 1];
    for (size_t k = 0; k < back.values.size(); ++k)
      if (back.gradients[k] >= 0)
        add(back.gradients[k], ValueKind::ResultGradient,
            static_cast<uint32_t>(k));
  }
  for (size_t i = 0; i < module.ops.size(); ++i) {
    if (ofOp[i] != index)
      continue;
    Op op = module.ops[i];
    // What another fragment uses is written.
    for (const Access &result : op.results)
      op.fused &=
          lastUse[result.value] <= index && firstUse[result.value] >= index;
    for (auto *accesses : {&op.operands, &op.results})
      for (Access &access : *accesses)
        access.value = add(access.value);
    result.ops.push_back(std::move(op));
  }
  for (uint32_t v : isLast ? module.results : borders[index + 1].values)
    result.results.push_back(add(v));
  for (int64_t gradient : isFirst ? module.argumentGradients : front.gradients)
    result.argumentGradients.push_back(
        gradient < 0 ? -1 : int64_t(add(static_cast<uint32_t>(gradient))));
  return result;
}

std::vector<ModuleClass> Cutter::run() const {
  std::vector<ModuleClass> result;
  for (int64_t i = 0; i < count; ++i)
    result.push_back(fragment(i));
  return result;
}

static bool isHeavy(const Op &op) {
  return op.kind == OpKind::Contraction || op.kind == OpKind::Convolution ||
         op.kind == OpKind::Attention;
}

/// Of all places between two heavy ops the first of those where the least
/// crosses.
InnerCuts innerCuts(const ModuleClass &module, int64_t mostCrossing) {
  InnerCuts result;
  int64_t results = 0;
  for (uint32_t v : module.results)
    results += module.values[v].bytes();
  int64_t most = results * mostCrossing, least = most + 1;
  for (size_t i = 1; i < module.ops.size(); ++i) {
    if (module.ops[i].phase != Phase::Forward)
      break;
    if (isHeavy(module.ops[i - 1]))
      least = most + 1;
    InnerCuts one = {i};
    Cutter alone(module, one);
    int64_t bytes = 0;
    for (uint32_t v : alone.border().values)
      bytes += module.values[v].bytes();
    if (!alone.isValid() || bytes >= least)
      continue;
    InnerCuts all = result;
    // Better than the last one of the same place.
    if (least <= most)
      all.pop_back();
    all.push_back(i);
    if (!Cutter(module, all).isValid())
      continue;
    least = bytes;
    result = std::move(all);
  }
  return result;
}

std::vector<ModuleClass> fragmentsOf(const ModuleClass &module,
                                     const InnerCuts &cuts) {
  Cutter cutter(module, cuts);
  return cutter.isValid() ? cutter.run() : std::vector<ModuleClass>();
}

namespace {

/// Builds a workload whose instances are cut, run by run.
class Fragmenter {
public:
  Fragmenter(const Workload &workload, const CutInstances &cuts)
      : old(workload), cuts(cuts), result(workload) {
    result.runs.clear();
  }

  Workload run() {
    int64_t start = 0;
    for (const Run &one : old.runs) {
      addRun(one, start);
      start += one.count;
    }
    return std::move(result);
  }

private:
  void addRun(const Run &whole, int64_t start);
  void addInstances(const Run &whole, int64_t from, int64_t to);
  void addFragments(const Run &whole, int64_t index, const InnerCuts &at);
  const std::vector<uint32_t> &classesOf(uint32_t moduleClass,
                                         const InnerCuts &at);
  /// Where result `k` of the last instance of an old run comes from now.
  Source sourceOf(const Source &source) const {
    return source.run < 0 ? source : Source{lastOf[source.run], source.result};
  }
  std::vector<Source> argumentsOf(const Run &whole, int64_t index) const;

  const Workload &old;
  const CutInstances &cuts;
  Workload result;
  /// By old run: the new one that its last instance is in, as far as it is
  /// read.
  std::vector<int64_t> lastOf;
  std::map<std::pair<uint32_t, InnerCuts>, std::vector<uint32_t>> classes;
};

} // namespace

const std::vector<uint32_t> &Fragmenter::classesOf(uint32_t moduleClass,
                                                   const InnerCuts &at) {
  auto [it, isNew] = classes.try_emplace({moduleClass, at});
  if (isNew)
    for (ModuleClass &one : fragmentsOf(old.classes[moduleClass], at)) {
      it->second.push_back(static_cast<uint32_t>(result.classes.size()));
      result.classes.push_back(std::move(one));
    }
  return it->second;
}

/// Of instance `index`: the first arguments of those that are not the first of
/// their run are the results of the one before.
std::vector<Source> Fragmenter::argumentsOf(const Run &whole,
                                            int64_t index) const {
  std::vector<Source> sources;
  for (const Source &source : whole.arguments)
    sources.push_back(sourceOf(source));
  size_t chained = old.classes[whole.moduleClass].results.size();
  if (index > 0)
    for (uint32_t k = 0; k < chained; ++k)
      sources[k] = {std::ssize(result.runs) - 1, k};
  return sources;
}

void Fragmenter::addInstances(const Run &whole, int64_t from, int64_t to) {
  if (from >= to)
    return;
  Run run = whole;
  run.arguments = argumentsOf(whole, from);
  run.count = to - from;
  if (run.count != whole.count) {
    run.first = whole.first + from;
    run.of = std::max(whole.of, whole.count);
  }
  result.runs.push_back(std::move(run));
}

/// The ops of a fragment by the shortest paths that no other one has.
static std::vector<std::string> pathsOf(const ModuleClass &whole,
                                        const InnerCuts &at, size_t fragment) {
  size_t end = 0;
  while (end < whole.ops.size() && whole.ops[end].phase == Phase::Forward)
    ++end;
  size_t first = fragment == 0 ? 0 : at[fragment - 1];
  size_t last = fragment < at.size() ? at[fragment] : end;
  auto isElsewhere = [&](std::string_view path) {
    for (size_t i = 0; i < end; ++i) {
      std::string_view name = whole.ops[i].name;
      if ((i < first || i >= last) && name.starts_with(path) &&
          (name.size() == path.size() || name[path.size()] == '/'))
        return true;
    }
    return false;
  };
  std::vector<std::string> paths;
  for (size_t i = first; i < last; ++i) {
    std::string_view name = whole.ops[i].name;
    size_t length = name.find('/');
    while (length != std::string_view::npos &&
           isElsewhere(name.substr(0, length)))
      length = name.find('/', length + 1);
    std::string path(name.substr(0, length));
    if (std::find(paths.begin(), paths.end(), path) == paths.end())
      paths.push_back(std::move(path));
  }
  return paths;
}

void Fragmenter::addFragments(const Run &whole, int64_t index,
                              const InnerCuts &at) {
  const std::vector<uint32_t> &made = classesOf(whole.moduleClass, at);
  for (size_t f = 0; f < made.size(); ++f) {
    Run run = whole;
    run.moduleClass = made[f];
    run.count = 1;
    run.first = whole.first + index;
    run.of = std::max(whole.of, whole.count);
    run.fragment = pathsOf(old.classes[whole.moduleClass], at, f);
    run.arguments.clear();
    if (f == 0)
      run.arguments = argumentsOf(whole, index);
    else
      for (uint32_t k = 0; k < result.classes[made[f]].arguments.size(); ++k)
        run.arguments.push_back({std::ssize(result.runs) - 1, k});
    result.runs.push_back(std::move(run));
  }
}

void Fragmenter::addRun(const Run &whole, int64_t start) {
  int64_t done = 0;
  for (auto it = cuts.lower_bound(start);
       it != cuts.end() && it->first < start + whole.count; ++it) {
    addInstances(whole, done, it->first - start);
    addFragments(whole, it->first - start, it->second);
    done = it->first - start + 1;
  }
  addInstances(whole, done, whole.count);
  lastOf.push_back(std::ssize(result.runs) - 1);
}

Workload withFragments(const Workload &workload, const CutInstances &cuts) {
  return Fragmenter(workload, cuts).run();
}

} // namespace whale::workload
