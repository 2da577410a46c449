//===- Interpreter.cpp - runs a model on one device, in f64 ---------------===//

#include "test/reference/Interpreter.h"

#include "dialects/whale/OpNames.h"
#include "runtime/format/Random.h"

#include <cmath>
#include <optional>

using namespace mlir;
using namespace reference;
using namespace whale;

double StepResult::totalLoss() const {
  double total = 0;
  for (const auto &[path, loss] : losses)
    total += loss;
  return total;
}

/// One instance while it runs; kept for its backward part.
struct Interpreter::Frame {
  ModuleDefOp module;
  /// With a trailing '/', or empty for @main.
  std::string opPath, variablePath;
  std::optional<OpNames> names;
  llvm::DenseMap<Value, Tensor> values;
  Tensors results;
  /// Frames of the instances inside by name; a chain has several.
  std::map<std::string, std::vector<FramePtr>> children;

  Tensors operandsOf(ValueRange range) const {
    Tensors tensors;
    for (Value value : range)
      tensors.push_back(values.find(value)->second);
    return tensors;
  }
  void define(ValueRange range, const Tensors &tensors) {
    for (auto [value, tensor] : llvm::zip_equal(range, tensors))
      values[value] = tensor;
  }
  FramePtr child(StringRef opSegment, StringRef variableSegment) const {
    auto frame = std::make_unique<Frame>();
    frame->opPath = opPath + opSegment.str() + "/";
    frame->variablePath = variablePath + variableSegment.str() + "/";
    return frame;
  }
};

Interpreter::Interpreter(ModelOp model) : model(model), symbols(model) {}
Interpreter::~Interpreter() = default;

ModuleDefOp Interpreter::calleeOf(StringRef name) {
  return symbols.lookup<ModuleDefOp>(name);
}

//===----------------------------------------------------------------------===//
// Leaves: variables, inputs, losses
//===----------------------------------------------------------------------===//

/// The normal's inverse distribution at a point between those of -2 and 2, by
/// bisection: a truncated normal of one uniform number.
static double truncatedNormal(double uniform) {
  auto distribution = [](double x) {
    return 0.5 * std::erfc(-x * 0.70710678118654752440);
  };
  double wanted =
      distribution(-2) + (distribution(2) - distribution(-2)) * uniform;
  double low = -2, high = 2;
  for (int i = 0; i < 60; ++i) {
    double middle = 0.5 * (low + high);
    (distribution(middle) < wanted ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

static double drawInitial(InitAttr init, const std::array<uint32_t, 4> &block) {
  double a = init.getA().convertToDouble(), b = init.getB().convertToDouble();
  switch (init.getKind()) {
  case InitKind::constant:
    return a;
  case InitKind::normal:
    return a + b * format::standardNormal(block);
  case InitKind::uniform:
    return a + (b - a) * format::unitInterval(block[0]);
  case InitKind::truncated_normal:
    return a + b * truncatedNormal(format::unitInterval(block[0]));
  }
  return 0;
}

Tensor Interpreter::initialValue(VariableOp variable, StringRef path,
                                 uint64_t seed) {
  Tensor value(variable.getType());
  auto key = format::randomKey(seed, 0);
  uint64_t hash = format::pathHash(std::string_view(path));
  for (int64_t i = 0; i < value.size(); ++i) {
    double drawn =
        drawInitial(variable.getInit(), format::randomBlock(key, hash, i));
    if (value.isInteger)
      value.integers[i] = static_cast<int64_t>(drawn);
    else
      value.reals[i] = drawn;
  }
  return value;
}

/// The path that the variable's value lives at.
static std::string pathOf(VariableOp op, StringRef instancePath) {
  if (auto flat = op->getAttrOfType<StringAttr>("variable_path"))
    return flat.getValue().str();
  if (op.getTied())
    return op.getTied()->str();
  return (instancePath + op.getName()).str();
}

LogicalResult Interpreter::executeVariable(Frame &frame, VariableOp op) {
  std::string path = pathOf(op, frame.variablePath);
  auto it = variables.find(path);
  if (it == variables.end())
    it = variables.emplace(path, initialValue(op, path, seed)).first;
  if (it->second.shape != Shape(tensorType(op.getResult()).getShape()))
    return op.emitError("variable '") << path << "' has another shape";
  frame.values[op.getResult()] = it->second;
  return success();
}

LogicalResult Interpreter::executeInput(Frame &frame, InputOp op) {
  auto it = inputs.find(op.getName().str());
  if (it == inputs.end())
    return op.emitError("input '") << op.getName() << "' was not given";
  if (it->second.shape != Shape(tensorType(op.getResult()).getShape()))
    return op.emitError("input '") << op.getName() << "' has another shape";
  frame.values[op.getResult()] = it->second;
  return success();
}

LogicalResult Interpreter::executeLoss(Frame &frame, LossOp op) {
  double sum = frame.values[op.getSum()].reals[0];
  double count = frame.values[op.getCount()].reals[0];
  result.losses[frame.opPath + op.getName().str()] =
      op.getWeight().convertToDouble() * sum / count;
  return success();
}

//===----------------------------------------------------------------------===//
// Instances, chains, scans
//===----------------------------------------------------------------------===//

LogicalResult Interpreter::executeInstance(Frame &frame, InstanceOp op) {
  ModuleDefOp callee = calleeOf(op.getCallee());
  Tensors arguments = frame.operandsOf(op.getOperands());
  std::vector<FramePtr> &chain = frame.children[op.getName().str()];
  for (int64_t i = 0; i < int64_t(op.getRepeat().value_or(1)); ++i) {
    std::string segment = op.getName().str();
    if (op.getRepeat())
      segment += "." + std::to_string(i);
    auto sharedAs = op->getAttrOfType<StringAttr>("shared_as");
    chain.push_back(frame.child(segment, sharedAs ? sharedAs.getValue()
                                                  : StringRef(segment)));
    if (failed(enter(*chain.back(), callee, arguments)))
      return failure();
    // Without a chain there may be fewer operands than results.
    if (!op.getRepeat())
      break;
    llvm::copy(chain.back()->results, arguments.begin());
  }
  frame.define(op.getResults(), chain.back()->results);
  return success();
}

/// Slice `step` along `dim`, which is lost; or the place where it is put back.
static void copySlice(Tensor &whole, Tensor &slice, int64_t dim, int64_t step,
                      bool intoWhole) {
  forEachIndex(slice.shape, [&](const Index &index) {
    Index wide(index);
    wide.insert(wide.begin() + dim, step);
    int64_t a = whole.position(wide), b = slice.position(index);
    if (whole.isInteger)
      (intoWhole ? whole.integers[a] : slice.integers[b]) =
          intoWhole ? slice.integers[b] : whole.integers[a];
    else
      (intoWhole ? whole.reals[a] : slice.reals[b]) =
          intoWhole ? slice.reals[b] : whole.reals[a];
  });
}

LogicalResult Interpreter::executeScan(Frame &frame, ScanOp op) {
  ModuleDefOp callee = calleeOf(op.getCallee());
  size_t stateCount = op.getStates().size();
  Tensors states = frame.operandsOf(op.getStates());
  Tensors sequences = frame.operandsOf(op.getSequences()), outputs;
  for (Value value : op.getResults().drop_front(stateCount))
    outputs.emplace_back(value.getType());
  int64_t steps = sequences.front().shape[op.getDim()];
  for (int64_t turn = 0; turn < steps; ++turn) {
    int64_t step = op.getReverse() ? steps - 1 - turn : turn;
    Tensors arguments = states;
    for (size_t i = 0; i < sequences.size(); ++i) {
      Tensor slice(callee.getArgumentTypes()[stateCount + i]);
      copySlice(sequences[i], slice, op.getDim(), step, /*intoWhole=*/false);
      arguments.push_back(slice);
    }
    std::string segment = op.getName().str() + ".t" + std::to_string(step);
    FramePtr child = frame.child(segment, op.getName());
    if (failed(enter(*child, callee, arguments)))
      return failure();
    Tensors results = child->results;
    for (size_t i = 0; i < outputs.size(); ++i)
      copySlice(outputs[i], results[stateCount + i], op.getDim(), step,
                /*intoWhole=*/true);
    results.resize(stateCount);
    states = results;
  }
  states.insert(states.end(), outputs.begin(), outputs.end());
  frame.define(op.getResults(), states);
  return success();
}

//===----------------------------------------------------------------------===//
// Ops
//===----------------------------------------------------------------------===//

LogicalResult Interpreter::executeCompute(Frame &frame, Operation *op) {
  if (!canEvaluate(op))
    return op->emitError("the reference does not know '")
           << op->getName() << "'";
  Context context;
  context.seed = seed;
  context.step = step;
  if (auto dropout = dyn_cast<DropoutOp>(op))
    context.key = frame.opPath + (dropout.getKey() ? dropout.getKey()->str()
                                                   : frame.names->of(op).str());
  frame.define(op->getResults(),
               evaluate(op, frame.operandsOf(op->getOperands()), context));
  return success();
}

LogicalResult Interpreter::execute(Frame &frame, Operation *op) {
  if (auto variable = dyn_cast<VariableOp>(op))
    return executeVariable(frame, variable);
  if (auto input = dyn_cast<InputOp>(op))
    return executeInput(frame, input);
  if (auto loss = dyn_cast<LossOp>(op))
    return executeLoss(frame, loss);
  if (auto instance = dyn_cast<InstanceOp>(op))
    return executeInstance(frame, instance);
  if (auto scan = dyn_cast<ScanOp>(op))
    return executeScan(frame, scan);
  if (auto backward = dyn_cast<InstanceBackwardOp>(op))
    return executeBackward(frame, backward);
  if (auto assign = dyn_cast<AssignOp>(op)) {
    result.assigned[frame.variablePath + assign.getName().str()] =
        frame.values[assign.getValue()];
    return success();
  }
  if (auto gradient = dyn_cast<GradientOp>(op)) {
    addGradient(frame, gradient);
    return success();
  }
  return executeCompute(frame, op);
}

LogicalResult Interpreter::enter(Frame &frame, ModuleDefOp module,
                                 const Tensors &arguments) {
  frame.module = module;
  frame.names.emplace(module);
  Block &body = module.getBody().front();
  frame.define(body.getArguments(), arguments);
  for (Operation &op : body.without_terminator())
    if (!isa<BackwardOp>(op) && failed(execute(frame, &op)))
      return failure();
  frame.results = frame.operandsOf(body.getTerminator()->getOperands());
  return success();
}

//===----------------------------------------------------------------------===//
// Backward
//===----------------------------------------------------------------------===//

void Interpreter::addGradient(Frame &frame, GradientOp op) {
  auto variable = op.getVariable().getDefiningOp<VariableOp>();
  std::string path = pathOf(variable, frame.variablePath);
  const Tensor &value = frame.values[op.getValue()];
  auto [it, inserted] = result.gradients.emplace(path, value);
  if (!inserted)
    it->second.add(value);
}

LogicalResult Interpreter::leave(Frame &frame, const Tensors &gradients,
                                 std::map<int64_t, Tensor> &arguments) {
  BackwardOp backward = frame.module.getBackward();
  if (!backward)
    return success();
  Block &body = backward.getBody().front();
  frame.define(body.getArguments(), gradients);
  for (Operation &op : body.without_terminator())
    if (failed(execute(frame, &op)))
      return failure();
  Tensors yielded = frame.operandsOf(body.getTerminator()->getOperands());
  for (auto [index, tensor] :
       llvm::zip_equal(backward.getArgumentIndices(), yielded))
    arguments[index] = tensor;
  return success();
}

static bool isReal(Type type) {
  return isa<FloatType>(cast<RankedTensorType>(type).getElementType());
}

LogicalResult Interpreter::executeBackward(Frame &frame,
                                           InstanceBackwardOp op) {
  auto it = frame.children.find(op.getName().str());
  if (it == frame.children.end())
    return op.emitError("instance '") << op.getName() << "' did not run";
  Tensors gradients = frame.operandsOf(op.getGradients());
  std::map<int64_t, Tensor> sums;
  std::vector<FramePtr> &chain = it->second;
  for (size_t i = chain.size(); i-- > 0;) {
    std::map<int64_t, Tensor> arguments;
    if (failed(leave(*chain[i], gradients, arguments)))
      return failure();
    // Results of the instance before are the first operands of this one.
    ArrayRef<Type> types = chain[i]->module.getResultTypes();
    int64_t resultCount = types.size();
    for (auto &[index, tensor] : arguments) {
      bool carried = index < resultCount && i > 0;
      if (carried)
        continue;
      auto [sum, inserted] = sums.emplace(index, tensor);
      if (!inserted)
        sum->second.add(tensor);
    }
    gradients.clear();
    for (int64_t index = 0; index < resultCount && i > 0; ++index)
      if (isReal(types[index]))
        gradients.push_back(arguments.count(index) ? arguments[index]
                                                   : Tensor(types[index]));
  }
  for (auto [value, index] :
       llvm::zip_equal(op.getResults(), op.getOperandIndices()))
    frame.values[value] = sums.at(index);
  return success();
}

//===----------------------------------------------------------------------===//
// Entries
//===----------------------------------------------------------------------===//

FailureOr<StepResult> Interpreter::run(StringRef name) {
  ModuleDefOp module = calleeOf(name);
  if (!module)
    return model.emitError("has no module '@") << name << "'", failure();
  result = {};
  Frame frame;
  std::map<int64_t, Tensor> none;
  if (failed(enter(frame, module, {})) || failed(leave(frame, {}, none)))
    return failure();
  return std::move(result);
}

FailureOr<StepResult> Interpreter::train(StringRef name) {
  FailureOr<StepResult> result = run(name);
  if (failed(result))
    return failure();
  for (auto &[path, tensor] : result->assigned)
    variables[path] = tensor;
  ++step;
  return result;
}
