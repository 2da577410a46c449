//===- ReadWorkload.cpp - what the planner sees of a model ----------------===//

#include "passes/plan/ReadWorkload.h"

#include "dialects/whale/TrainingSpec.h"
#include "passes/plan/Inline.h"
#include "passes/plan/Optimizers.h"
#include "passes/plan/Precision.h"
#include "passes/plan/ReadWorkloadOps.h"
#include "passes/plan/Training.h"
#include "passes/strategy/NameOps.h"

#include "llvm/ADT/MapVector.h"

#include <map>
#include <numeric>

using namespace mlir;
using namespace whale;
using namespace whale::plan;
using workload::ValueKind;

namespace {

/// One run while it is read.
struct Item {
  StringRef name;
  /// Null for loose ops.
  const TopLevel *instance = nullptr;
  SmallVector<Operation *> forward, backward;
  /// Flat values in the order of the class's arguments and results.
  SmallVector<Value> arguments, results;
};

class Reader {
public:
  Reader(Flat &flat, const TrainingSpec &spec)
      : flat(flat), spec(spec), names(flat.module) {}

  void run(workload::Workload &result);

private:
  void collectItems();
  void findBoundaries(Item &item);
  workload::ModuleClass readClass(Item &item);
  workload::Run readRun(Item &item, uint32_t moduleClass);
  void readBatch(workload::Workload &result);
  Item *itemOfOp(Operation *op) {
    auto it = byName.find(itemOf(op));
    return it == byName.end() ? nullptr : &items[it->second];
  }

  Flat &flat;
  const TrainingSpec &spec;
  DimensionNames names;
  std::vector<Item> items;
  llvm::StringMap<size_t> byName;
  /// First run that uses a variable of @main.
  llvm::DenseMap<Value, std::string> owners;
  friend class ClassReader;
};

/// Fills one class.
class ClassReader {
public:
  ClassReader(Reader &reader, Item &item) : reader(reader), item(item) {}
  workload::ModuleClass read();

private:
  uint32_t valueOf(Value value);
  uint32_t variableOf(VariableOp op);
  uint32_t addValue(Value value, ValueKind kind, uint32_t index);
  void addOp(Operation *op);
  bool isInternal(Value value) const {
    Operation *op = value.getDefiningOp();
    return itemOf(op) == item.name && phaseOf(op) != Phase::Prologue;
  }
  uint32_t gradientIndex(Value value) const;
  bool isFused(Operation *op) const;
  void markWeightGradients();
  Value argumentGradient(size_t index) const;

  Reader &reader;
  Item &item;
  workload::ModuleClass result;
  llvm::DenseMap<Value, uint32_t> values;
  llvm::DenseMap<Operation *, uint32_t> variables;
  SmallVector<Operation *> ops;
};

} // namespace

//===----------------------------------------------------------------------===//
// Items
//===----------------------------------------------------------------------===//

/// Ops that compute; variables, inputs, losses and gradients are values' ends.
static bool computes(Operation *op) {
  return isa<IterationSpaceOpInterface>(op) && phaseOf(op) != Phase::Prologue;
}

void Reader::collectItems() {
  for (Operation &op : blockOf(flat.module)) {
    if (!computes(&op) || itemOf(&op).empty())
      continue;
    auto [it, inserted] = byName.try_emplace(itemOf(&op), items.size());
    if (inserted)
      items.emplace_back().name = it->first();
    Item &item = items[it->second];
    (phaseOf(&op) == Phase::Backward ? item.backward : item.forward)
        .push_back(&op);
  }
  for (const TopLevel &top : flat.items) {
    InstanceOp source = top.source;
    std::string name = source.getName().str();
    if (source.getRepeat())
      name += ".0";
    if (auto it = byName.find(name); it != byName.end())
      items[it->second].instance = &top;
  }
}

/// Arguments: what the forward part takes from elsewhere. Results: what others
/// take from it.
void Reader::findBoundaries(Item &item) {
  if (item.instance) {
    // An argument or a result that nobody uses may be gone.
    for (Value value : item.instance->arguments)
      if (value && !isa<VariableOp>(value.getDefiningOp()))
        item.arguments.push_back(value);
    for (Value value : item.instance->results)
      if (value)
        item.results.push_back(value);
    return;
  }
  llvm::SetVector<Value> arguments, results;
  for (Operation *op : item.forward) {
    for (Value value : op->getOperands()) {
      Operation *producer = value.getDefiningOp();
      if (!isa<VariableOp>(producer) && itemOf(producer) != item.name &&
          phaseOf(producer) != Phase::Prologue)
        arguments.insert(value);
    }
    for (Value value : op->getResults())
      for (Operation *user : value.getUsers())
        if (phaseOf(user) == Phase::Forward && computes(user) &&
            itemOf(user) != item.name)
          results.insert(value);
  }
  item.arguments = arguments.takeVector();
  item.results = results.takeVector();
}

//===----------------------------------------------------------------------===//
// Classes
//===----------------------------------------------------------------------===//

uint32_t ClassReader::addValue(Value value, ValueKind kind, uint32_t index) {
  workload::Value entry;
  entry.kind = kind;
  entry.index = index;
  Operation *op = value.getDefiningOp();
  StringRef path = pathOf(op);
  path.consume_front(item.name);
  path.consume_front("/");
  entry.name = path.str();
  llvm::append_range(entry.extents, tensorType(value).getShape());
  entry.elementBytes = elementBytes(value);
  result.values.push_back(entry);
  return values[value] = result.values.size() - 1;
}

uint32_t ClassReader::variableOf(VariableOp op) {
  auto [it, inserted] = variables.try_emplace(op, result.variables.size());
  if (!inserted)
    return it->second;
  workload::Variable variable;
  StringRef path = variablePath(op);
  path.consume_front(item.name);
  path.consume_front("/");
  variable.name = path.str();
  variable.kind = op.getKind() == VariableKind::parameter
                      ? workload::VariableKind::Parameter
                  : op.getKind() == VariableKind::counter
                      ? workload::VariableKind::Counter
                      : workload::VariableKind::Statistic;
  llvm::append_range(variable.extents, tensorType(op.getResult()).getShape());
  for (unsigned dim = 0; dim < variable.extents.size(); ++dim) {
    auto names = reader.names.dimNames(op.getResult(), dim);
    variable.dimNames.push_back(names.empty() ? "" : names.front().str());
  }
  variable.elementBytes = elementBytes(op.getResult());
  for (Operation *user : op.getResult().getUsers())
    if (isa<CastOp>(user) && phaseOf(user) == Phase::Prologue)
      variable.elementBytes = elementBytes(user->getResult(0));
  variable.frozen = op.getFrozen();
  auto [owner, first] = reader.owners.try_emplace(
      op.getResult(), (item.name + "/" + variable.name).str());
  if (!first)
    variable.tied = owner->second;
  for (auto [index, group] : llvm::enumerate(reader.spec.groups))
    if (!variable.group && matchPath(group.match, variablePath(op)))
      variable.group = index + 1;
  const Optimizer &optimizer =
      variable.group ? reader.spec.groups[variable.group - 1].optimizer
                     : reader.spec.optimizer;
  if (optimizer.kind == OptimizerKind::Adafactor && variable.extents.size() > 1)
    variable.factorCut = factorCut(variable.extents);
  result.variables.push_back(variable);
  return it->second;
}

/// Which result of the item a gradient from elsewhere is about.
uint32_t ClassReader::gradientIndex(Value value) const {
  if (item.instance) {
    InstanceOp source = item.instance->source;
    auto gradients = ArrayRef(item.instance->resultGradients);
    unsigned position = 0;
    for (auto [flat, result] :
         llvm::zip_equal(item.instance->results, source.getResults())) {
      bool real = isa<FloatType>(tensorType(result).getElementType());
      if (real && !gradients.empty()) {
        if (flat && gradients.front() == value)
          return position;
        gradients = gradients.drop_front();
      }
      position += flat != Value();
    }
    return 0;
  }
  for (const TopLevel &other : reader.flat.items)
    for (auto [argument, gradient] :
         llvm::zip(other.arguments, other.argumentGradients))
      if (gradient == value)
        if (auto it = llvm::find(item.results, argument);
            it != item.results.end())
          return it - item.results.begin();
  return 0;
}

uint32_t ClassReader::valueOf(Value value) {
  if (auto it = values.find(value); it != values.end())
    return it->second;
  Operation *op = value.getDefiningOp();
  if (auto cast = dyn_cast<CastOp>(op); cast && phaseOf(op) == Phase::Prologue)
    if (auto variable = cast.getOperand().getDefiningOp<VariableOp>())
      return addValue(value, ValueKind::Variable, variableOf(variable));
  if (auto variable = dyn_cast<VariableOp>(op))
    return addValue(value, ValueKind::Variable, variableOf(variable));
  if (phaseOf(op) == Phase::Backward && !isInternal(value))
    return addValue(value, ValueKind::ResultGradient, gradientIndex(value));
  if (isInternal(value)) {
    for (Operation *user : value.getUsers())
      if (auto gradient = dyn_cast<GradientOp>(user);
          gradient && gradient.getValue() == value)
        return addValue(value, ValueKind::VariableGradient,
                        variableOf(cast<VariableOp>(
                            gradient.getVariable().getDefiningOp())));
    return addValue(value, ValueKind::Temporary, 0);
  }
  // Counts and values of other runs that only the backward part uses.
  result.arguments.push_back(result.values.size());
  item.arguments.push_back(value);
  return addValue(value, ValueKind::Argument, result.arguments.size() - 1);
}

bool ClassReader::isFused(Operation *op) const {
  if (!isFusable(op, /*asProducer=*/true) || op->use_empty())
    return false;
  return llvm::all_of(op->getUsers(), [&](Operation *user) {
    return itemOf(user) == item.name && phaseOf(user) == phaseOf(op) &&
           isFusable(user, /*asProducer=*/false);
  });
}

void ClassReader::addOp(Operation *op) {
  workload::Op entry = readOp(op, reader.names);
  StringRef path = pathOf(op);
  path.consume_front(item.name);
  path.consume_front("/");
  entry.name = path.str();
  entry.fused = isFused(op);
  if (phaseOf(op) == Phase::Backward)
    entry.phase = workload::Phase::BackwardInput;
  const IterationSpace &space = reader.names.spaceOf(op);
  for (auto [value, access] :
       llvm::zip_equal(op->getOperands(), space.operands))
    entry.operands.push_back(readAccess(access, valueOf(value)));
  for (auto [value, access] : llvm::zip_equal(op->getResults(), space.results))
    entry.results.push_back(readAccess(access, valueOf(value)));
  result.ops.push_back(entry);
  ops.push_back(op);
}

/// Backward ops that no gradient of an argument needs.
void ClassReader::markWeightGradients() {
  std::vector<bool> needed(result.values.size());
  for (int64_t value : result.argumentGradients)
    if (value >= 0)
      needed[value] = true;
  for (workload::Op &op : llvm::reverse(result.ops)) {
    if (op.phase == workload::Phase::Forward)
      break;
    bool input = llvm::any_of(op.results, [&](const workload::Access &access) {
      return needed[access.value];
    });
    if (!input) {
      op.phase = workload::Phase::BackwardWeight;
      continue;
    }
    for (const workload::Access &access : op.operands)
      needed[access.value] = true;
  }
}

/// The flat value of the gradient of argument `index`; null where it has none.
Value ClassReader::argumentGradient(size_t index) const {
  Value argument = item.arguments[index];
  if (item.instance) {
    for (auto [own, gradient] :
         llvm::zip(item.instance->arguments, item.instance->argumentGradients))
      if (own == argument)
        return gradient;
    return Value();
  }
  for (const TopLevel &other : reader.flat.items) {
    size_t real = 0;
    for (Value value : other.results) {
      if (!value || !isa<FloatType>(tensorType(value).getElementType()))
        continue;
      if (value == argument && real < other.resultGradients.size())
        return other.resultGradients[real];
      ++real;
    }
  }
  return Value();
}

workload::ModuleClass ClassReader::read() {
  result.name = item.name.str();
  if (item.instance) {
    InstanceOp source = item.instance->source;
    result.name = source.getCallee().str();
  }
  for (auto [index, value] : llvm::enumerate(llvm::to_vector(item.arguments))) {
    uint32_t id = values.contains(value)
                      ? values[value]
                      : addValue(value, ValueKind::Argument, index);
    result.arguments.push_back(id);
  }
  for (Operation *op : item.forward)
    addOp(op);
  for (Operation *op : item.backward)
    addOp(op);
  for (Value value : item.results)
    result.results.push_back(valueOf(value));
  for (size_t index = 0; index < item.arguments.size(); ++index) {
    Value gradient = argumentGradient(index);
    bool known = gradient && values.contains(gradient);
    result.argumentGradients.push_back(known ? int64_t(values[gradient]) : -1);
  }
  markWeightGradients();
  return std::move(result);
}

//===----------------------------------------------------------------------===//
// Runs and the whole
//===----------------------------------------------------------------------===//

workload::Run Reader::readRun(Item &item, uint32_t moduleClass) {
  workload::Run run;
  run.moduleClass = moduleClass;
  run.name = item.name.str();
  if (item.instance) {
    InstanceOp source = item.instance->source;
    run.count = source.getRepeat().value_or(1);
    // A chain of one has the path `name.0` too.
    if (run.count > 1)
      run.name = source.getName().str();
  }
  auto inputs = llvm::to_vector(blockOf(flat.module).getOps<InputOp>());
  for (Value argument : item.arguments) {
    workload::Source source;
    for (auto [index, input] : llvm::enumerate(inputs))
      if (input.getResult() == argument)
        source.result = index;
    for (size_t other = 0; &items[other] != &item; ++other)
      if (auto it = llvm::find(items[other].results, argument);
          it != items[other].results.end())
        source = {static_cast<int64_t>(other),
                  static_cast<uint32_t>(it - items[other].results.begin())};
    run.arguments.push_back(source);
  }
  return run;
}

/// Text of a class without its name: equal classes have equal texts.
static std::string classKey(const workload::ModuleClass &module) {
  workload::Workload one;
  one.classes.push_back(module);
  one.classes.front().name.clear();
  json::Writer writer;
  workload::writeWorkload(writer, one);
  return writer.take();
}

void Reader::readBatch(workload::Workload &result) {
  for (InputOp input : blockOf(flat.module).getOps<InputOp>())
    result.globalBatch = tensorType(input.getResult()).getDimSize(0);
  for (Operation &op : blockOf(flat.module)) {
    if (!computes(&op))
      continue;
    std::optional<unsigned> batch = names.findLoop(&op, "batch");
    if (!batch)
      continue;
    int64_t multiple = names.spaceOf(&op).loops[*batch].multiple;
    if (auto over = op.getAttrOfType<IntegerAttr>("over"))
      multiple = over.getInt();
    else if (isa<BatchNormOp>(op))
      multiple = result.globalBatch;
    result.sampleGroup = std::lcm(result.sampleGroup, multiple);
  }
}

void Reader::run(workload::Workload &result) {
  collectItems();
  for (Item &item : items)
    findBoundaries(item);
  std::map<std::string, uint32_t> known;
  for (Item &item : items) {
    workload::ModuleClass module = ClassReader(*this, item).read();
    auto [it, inserted] =
        known.try_emplace(classKey(module), result.classes.size());
    if (inserted)
      result.classes.push_back(std::move(module));
    result.runs.push_back(readRun(item, it->second));
  }
  readBatch(result);
}

static std::vector<workload::ParameterGroup>
readGroups(const TrainingSpec &spec) {
  int64_t real = spec.precision == "f64" ? 8 : 4;
  auto read = [&](StringRef name, const Optimizer &optimizer) {
    workload::ParameterGroup group;
    group.name = name.str();
    if (optimizer.kind == OptimizerKind::Momentum)
      group.slotBytes = {real};
    if (optimizer.kind == OptimizerKind::AdamW)
      group.slotBytes = {real, real};
    if (optimizer.kind == OptimizerKind::Adafactor)
      group.factoredBytes = real;
    group.masterBytes = spec.precision == "bf16" ? 4 : 0;
    group.gradientBytes = real;
    return group;
  };
  std::vector<workload::ParameterGroup> groups = {
      read("default", spec.optimizer)};
  for (const whale::ParameterGroup &group : spec.groups)
    groups.push_back(read(group.match, group.optimizer));
  return groups;
}

/// Erases what nothing needs. Gradients that flow along a chain are needed by
/// the instance before, even though one instance stands for all here.
static void eraseUnneeded(Flat &flat) {
  Operation *end = blockOf(flat.module).getTerminator();
  SmallVector<Value> needed;
  for (TopLevel &item : flat.items)
    if (item.source.getRepeat().value_or(1) > 1)
      for (size_t i = 0; i < item.results.size(); ++i)
        if (i < item.argumentGradients.size() && item.argumentGradients[i])
          needed.push_back(item.argumentGradients[i]);
  end->setOperands(needed);
  eraseDeadOps(flat.module);
  DenseSet<Value> alive;
  for (Operation &op : blockOf(flat.module))
    alive.insert(op.result_begin(), op.result_end());
  for (TopLevel &item : flat.items)
    for (SmallVector<Value> *list :
         {&item.arguments, &item.results, &item.resultGradients,
          &item.argumentGradients})
      for (Value &value : *list)
        if (!alive.contains(value))
          value = Value();
}

FailureOr<workload::Workload>
plan::readWorkload(ModelOp model, const ReadWorkloadOptions &options) {
  TrainingSpec spec;
  if (TrainingOp training = model.getTraining()) {
    FailureOr<TrainingSpec> read = readTrainingSpec(training);
    if (failed(read))
      return failure();
    spec = *read;
  }
  if (!options.precision.empty())
    spec.precision = options.precision;
  OwningOpRef<ModelOp> scratch(model.clone());
  nameOps(*scratch);
  FailureOr<Flat> flat =
      inlineModel(*scratch, "workload", {.backward = true, .chainsOnce = true});
  if (failed(flat) || failed(hoistCounts(flat->module)))
    return failure();
  if (spec.precision == "bf16")
    toBfloat16(flat->module);
  if (spec.precision == "f64")
    toFloat64(flat->module);
  eraseUnneeded(*flat);
  workload::Workload result;
  result.modelName = model.getSymName().str();
  result.modelHash = options.modelHash;
  result.precision = spec.precision;
  result.groups = readGroups(spec);
  Reader(*flat, spec).run(result);
  return result;
}
