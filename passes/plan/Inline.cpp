//===- Inline.cpp - instances written out ---------------------------------===//

#include "passes/plan/Inline.h"

#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"

#include <map>
#include <memory>

using namespace mlir;
using namespace whale;
using namespace whale::plan;

namespace {

/// One instance while it is inlined. Its values serve the backward part too.
struct Frame {
  ModuleDefOp module;
  /// Path of the instance, and that under which its variables live.
  std::string path, variables;
  /// Top-level item, empty in @main.
  std::string item;
  IRMapping values;
  SmallVector<Value> results;
  /// Chains by instance name; several of one name are shared instances.
  std::map<std::string, std::vector<std::vector<std::unique_ptr<Frame>>>>
      children;
};

std::string joinPath(StringRef prefix, StringRef segment) {
  return prefix.empty() ? segment.str() : (prefix + "/" + segment).str();
}

class Inliner {
public:
  Inliner(ModelOp model, const InlineOptions &options)
      : model(model), options(options), symbols(model), builder(model) {}

  FailureOr<Flat> run(StringRef name);

private:
  LogicalResult forward(Frame &frame);
  LogicalResult instance(Frame &frame, InstanceOp op);
  LogicalResult variable(Frame &frame, VariableOp op);
  Operation *clone(Frame &frame, Operation &op, Phase phase);

  LogicalResult backward(Frame &frame, ValueRange resultGradients,
                         SmallVectorImpl<Value> &argumentGradients);
  LogicalResult instanceBackward(Frame &frame, InstanceBackwardOp op);
  LogicalResult chainBackward(ArrayRef<std::unique_ptr<Frame>> chain,
                              SmallVector<Value> gradients,
                              SmallVectorImpl<Value> &argumentGradients);

  LogicalResult tie();
  std::string uniquePath(std::string path);
  /// Sets the attributes of a backward op that no module holds.
  Value tag(Frame &frame, Operation *op, StringRef name);

  ModelOp model;
  InlineOptions options;
  SymbolTable symbols;
  OpBuilder builder;
  Flat flat;
  Operation *lastVariable = nullptr;
  llvm::StringMap<Value> variables;
  SmallVector<VariableOp> tied;
  llvm::StringSet<> paths;
};

} // namespace

//===----------------------------------------------------------------------===//
// Forward
//===----------------------------------------------------------------------===//

std::string Inliner::uniquePath(std::string path) {
  std::string candidate = path;
  for (unsigned i = 1; !paths.insert(candidate).second; ++i)
    candidate = path + "~" + std::to_string(i);
  return candidate;
}

Operation *Inliner::clone(Frame &frame, Operation &op, Phase phase) {
  Operation *copy = builder.clone(op, frame.values);
  auto given = op.getAttrOfType<StringAttr>("name");
  StringRef name = given ? given.getValue() : op.getName().stripDialect();
  std::string path = joinPath(frame.path, name);
  if (auto assign = dyn_cast<AssignOp>(copy)) {
    assign.setName(joinPath(frame.variables, assign.getName()));
    path += "#assign";
  }
  if (auto loss = dyn_cast<LossOp>(copy))
    loss.setName(joinPath(frame.path, loss.getName()));
  if (auto dropout = dyn_cast<DropoutOp>(copy))
    dropout.setKey(joinPath(frame.path, dropout.getKey().value_or(name)));
  // Differentiation names the ops of `q` as `q#d`, `q#d.1`, `q#sum`.
  if (phase == Phase::Backward && !name.contains('#'))
    path += "#d";
  copy->removeDiscardableAttr("name");
  setPath(copy, uniquePath(path));
  setPhase(copy, phase);
  if (!frame.item.empty())
    copy->setAttr(itemAttr, builder.getStringAttr(frame.item));
  return copy;
}

Value Inliner::tag(Frame &frame, Operation *op, StringRef name) {
  setPath(op, uniquePath(joinPath(frame.path, name)));
  setPhase(op, Phase::Backward);
  if (!frame.item.empty())
    op->setAttr(itemAttr, builder.getStringAttr(frame.item));
  return op->getResult(0);
}

LogicalResult Inliner::variable(Frame &frame, VariableOp op) {
  std::string path = joinPath(frame.variables, op.getName());
  auto [it, inserted] = variables.try_emplace(path);
  if (!inserted) {
    if (it->second.getType() != op.getType())
      return op.emitOpError("is ") << op.getType() << ", but variable '" << path
                                   << "' is " << it->second.getType();
    frame.values.map(op.getResult(), it->second);
    return success();
  }
  OpBuilder::InsertionGuard guard(builder);
  if (lastVariable)
    builder.setInsertionPointAfter(lastVariable);
  else
    builder.setInsertionPointToStart(&blockOf(flat.module));
  auto copy = cast<VariableOp>(builder.clone(*op, frame.values));
  lastVariable = copy;
  it->second = copy.getResult();
  setPath(copy, uniquePath(path));
  setPhase(copy, Phase::Prologue);
  copy->setAttr(variablePathAttr, builder.getStringAttr(path));
  if (!frame.item.empty())
    copy->setAttr(itemAttr, builder.getStringAttr(frame.item));
  if (copy.getTied())
    tied.push_back(copy);
  return success();
}

LogicalResult Inliner::instance(Frame &frame, InstanceOp op) {
  bool top = frame.module == model.getMain();
  int64_t count = op.getRepeat().value_or(1);
  if (top && options.chainsOnce)
    count = 1;
  auto sharedAs = op->getAttrOfType<StringAttr>("shared_as");
  SmallVector<Value> arguments;
  for (Value operand : op.getOperands())
    arguments.push_back(frame.values.lookup(operand));
  if (top)
    flat.items.push_back({op, arguments, {}, {}, {}});
  size_t item = flat.items.size() - 1;
  auto &chain = frame.children[op.getName().str()].emplace_back();
  for (int64_t i = 0; i < count; ++i) {
    auto child = std::make_unique<Frame>();
    std::string segment = op.getName().str();
    if (op.getRepeat())
      segment += "." + std::to_string(i);
    child->module = symbols.lookup<ModuleDefOp>(op.getCallee());
    child->path = joinPath(frame.path, segment);
    child->variables =
        joinPath(frame.variables, sharedAs ? sharedAs.getValue() : segment);
    child->item = top ? child->path : frame.item;
    Block &body = blockOf(child->module);
    child->values.map(body.getArguments(), arguments);
    if (failed(forward(*child)))
      return failure();
    llvm::copy(child->results, arguments.begin());
    chain.push_back(std::move(child));
  }
  frame.values.map(op.getResults(), chain.back()->results);
  if (top)
    flat.items[item].results = chain.back()->results;
  return success();
}

LogicalResult Inliner::forward(Frame &frame) {
  for (Operation &op : blockOf(frame.module).without_terminator()) {
    LogicalResult result = success();
    if (auto instanceOp = dyn_cast<InstanceOp>(op))
      result = instance(frame, instanceOp);
    else if (auto variableOp = dyn_cast<VariableOp>(op))
      result = variable(frame, variableOp);
    else if (isa<ScanOp>(op))
      result = op.emitOpError("is not unrolled: --whale-unroll-scan comes "
                              "before a plan is applied");
    else if (!isa<BackwardOp>(op) && op.getNumRegions())
      result = op.emitOpError("is a scope: --whale-strategy comes before a "
                              "plan is applied");
    else if (!isa<BackwardOp>(op))
      clone(frame, op, Phase::Forward);
    if (failed(result))
      return failure();
  }
  for (Value value : blockOf(frame.module).getTerminator()->getOperands())
    frame.results.push_back(frame.values.lookup(value));
  return success();
}

//===----------------------------------------------------------------------===//
// Backward
//===----------------------------------------------------------------------===//

LogicalResult Inliner::backward(Frame &frame, ValueRange resultGradients,
                                SmallVectorImpl<Value> &argumentGradients) {
  BackwardOp op = frame.module.getBackward();
  if (!op)
    return frame.module.emitOpError("has no backward part: "
                                    "--whale-differentiate comes before a plan "
                                    "is applied");
  Block &body = op.getBody().front();
  if (body.getNumArguments() != resultGradients.size())
    return op.emitOpError("takes ")
           << body.getNumArguments() << " gradients, but is given "
           << resultGradients.size();
  frame.values.map(body.getArguments(), resultGradients);
  for (Operation &inner : body.without_terminator()) {
    if (auto instanceOp = dyn_cast<InstanceBackwardOp>(inner)) {
      if (failed(instanceBackward(frame, instanceOp)))
        return failure();
      continue;
    }
    clone(frame, inner, Phase::Backward);
  }
  argumentGradients.assign(frame.module.getArgumentTypes().size(), Value());
  for (auto [index, value] : llvm::zip_equal(
           op.getArgumentIndices(), body.getTerminator()->getOperands()))
    argumentGradients[index] = frame.values.lookup(value);
  return success();
}

/// Results of `module` that are real numbers: those with gradients.
static SmallVector<unsigned> realResults(ModuleDefOp module) {
  SmallVector<unsigned> indices;
  for (auto [index, type] : llvm::enumerate(module.getResultTypes()))
    if (isa<FloatType>(getElementTypeOrSelf(type)))
      indices.push_back(index);
  return indices;
}

/// Through a chain from its last instance to its first; gradients of arguments
/// that all instances share are summed.
LogicalResult
Inliner::chainBackward(ArrayRef<std::unique_ptr<Frame>> chain,
                       SmallVector<Value> gradients,
                       SmallVectorImpl<Value> &argumentGradients) {
  SmallVector<Value> invariant;
  SmallVector<unsigned> real = realResults(chain.front()->module);
  for (const std::unique_ptr<Frame> &frame : llvm::reverse(chain)) {
    if (failed(backward(*frame, gradients, argumentGradients)))
      return failure();
    invariant.resize(argumentGradients.size());
    Location loc = frame->module.getLoc();
    for (size_t i = frame->results.size(); i < invariant.size(); ++i) {
      Value &sum = invariant[i], own = argumentGradients[i];
      if (sum && own) {
        sum = tag(*frame, AddOp::create(builder, loc, sum, own),
                  "argument." + std::to_string(i) + "#sum");
      } else if (own) {
        sum = own;
      }
    }
    if (frame == chain.front())
      break;
    for (auto [gradient, index] : llvm::zip_equal(gradients, real)) {
      Type type = gradient.getType();
      gradient = argumentGradients[index];
      if (!gradient)
        gradient = tag(*frame,
                       ConstantOp::create(builder, loc, type,
                                          builder.getF64FloatAttr(0.0)),
                       "argument." + std::to_string(index) + "#d");
    }
  }
  for (size_t i = chain.front()->results.size(); i < invariant.size(); ++i)
    argumentGradients[i] = invariant[i];
  return success();
}

LogicalResult Inliner::instanceBackward(Frame &frame, InstanceBackwardOp op) {
  auto it = frame.children.find(op.getName().str());
  if (it == frame.children.end() || it->second.empty())
    return op.emitOpError("names no instance of this module: '")
           << op.getName() << "'";
  SmallVector<Value> gradients, argumentGradients;
  for (Value value : op.getGradients())
    gradients.push_back(frame.values.lookup(value));
  std::vector<std::unique_ptr<Frame>> chain = std::move(it->second.back());
  it->second.pop_back();
  if (failed(chainBackward(chain, gradients, argumentGradients)))
    return failure();
  for (auto [index, result] :
       llvm::zip_equal(op.getOperandIndices(), op.getResults())) {
    if (!argumentGradients[index])
      return op.emitOpError("asks for the gradient of operand ")
             << index << ", which the module does not give";
    frame.values.map(result, argumentGradients[index]);
  }
  for (TopLevel &item : flat.items)
    if (frame.path.empty() && item.source.getName() == op.getName()) {
      item.resultGradients = gradients;
      item.argumentGradients = argumentGradients;
    }
  return success();
}

//===----------------------------------------------------------------------===//
// The whole
//===----------------------------------------------------------------------===//

LogicalResult Inliner::tie() {
  for (VariableOp op : tied) {
    auto it = variables.find(*op.getTied());
    if (it == variables.end())
      return op.emitOpError("is tied to '")
             << *op.getTied() << "', which is no variable of the model";
    Value target = it->second;
    if (target.getType() != op.getType())
      return op.emitOpError("is ")
             << op.getType() << ", but is tied to '" << *op.getTied()
             << "', which is " << target.getType();
    if (target == op.getResult())
      return op.emitOpError("is tied to itself");
    for (TopLevel &item : flat.items)
      llvm::replace(item.arguments, Value(op.getResult()), target);
    op.replaceAllUsesWith(target);
    op.erase();
  }
  return success();
}

/// Runs of loose ops between instances are items too; a backward op of @main
/// belongs to the item of its forward op.
static void nameLooseItems(ModuleDefOp module) {
  llvm::StringMap<StringAttr> byPath;
  unsigned groups = 0;
  StringAttr open;
  for (Operation &op : blockOf(module).without_terminator()) {
    if (phaseOf(&op) == Phase::Prologue || isa<InputOp>(op) ||
        op.hasAttr(itemAttr)) {
      if (op.hasAttr(itemAttr) && phaseOf(&op) == Phase::Forward)
        open = StringAttr();
      continue;
    }
    StringAttr item = byPath.lookup(basePath(pathOf(&op)));
    if (phaseOf(&op) == Phase::Forward) {
      if (!open)
        open = StringAttr::get(op.getContext(), "main." + Twine(groups++));
      item = byPath[pathOf(&op)] = open;
    }
    if (item)
      op.setAttr(itemAttr, item);
  }
}

FailureOr<Flat> Inliner::run(StringRef name) {
  ModuleDefOp main = model.getMain();
  if (!main)
    return model.emitOpError("has no module '@main'");
  if (!main.getArgumentTypes().empty())
    return main.emitOpError("has arguments, expected 'whale.input' ops");
  builder.setInsertionPointToEnd(&model.getBody().front());
  flat.module = ModuleDefOp::create(builder, main.getLoc(), name,
                                    builder.getFunctionType({}, {}),
                                    ArrayAttr(), ArrayAttr());
  Block *block = &flat.module.getBody().emplaceBlock();
  builder.setInsertionPointToStart(block);
  Frame frame;
  frame.module = main;
  SmallVector<Value> none;
  if (failed(forward(frame)))
    return failure();
  if (options.backward && failed(backward(frame, {}, none)))
    return failure();
  ReturnOp::create(builder, main.getLoc(), ValueRange());
  if (failed(tie()))
    return failure();
  nameLooseItems(flat.module);
  return flat;
}

FailureOr<Flat> plan::inlineModel(ModelOp model, StringRef name,
                                  const InlineOptions &options) {
  Inliner inliner(model, options);
  return inliner.run(name);
}
