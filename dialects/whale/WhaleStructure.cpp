//===- WhaleStructure.cpp - modules, state, training, primitives ----------===//

#include "dialects/whale/RotaryScaling.h"
#include "dialects/whale/Syntax.h"
#include "dialects/whale/Verify.h"
#include "dialects/whale/Whale.h"

#include "mlir/Interfaces/FunctionImplementation.h"
#include "llvm/ADT/StringSet.h"

#include <cmath>

using namespace mlir;
using namespace whale;

//===----------------------------------------------------------------------===//
// Shared syntax
//===----------------------------------------------------------------------===//

/// A number: integers stay integers; `inf` and `nan` are reals.
static ParseResult parseNumber(OpAsmParser &parser, Attribute &value) {
  // The sign comes first: the integer parser would keep it from the real one.
  Builder &builder = parser.getBuilder();
  bool isNegative = succeeded(parser.parseOptionalMinus());
  for (auto [word, special] : {std::pair("inf", HUGE_VAL), {"nan", NAN}})
    if (succeeded(parser.parseOptionalKeyword(word))) {
      value = builder.getF64FloatAttr(isNegative ? -special : special);
      return success();
    }
  int64_t integer;
  OptionalParseResult whole = parser.parseOptionalInteger(integer);
  if (whole.has_value()) {
    if (failed(*whole))
      return failure();
    value = builder.getI64IntegerAttr(isNegative ? -integer : integer);
    return success();
  }
  double real;
  if (parser.parseFloat(real))
    return failure();
  value = builder.getF64FloatAttr(isNegative ? -real : real);
  return success();
}

static void printNumber(OpAsmPrinter &printer, Operation *, Attribute value) {
  // A real is always written with '.': MLIR's own printing falls back to the
  // bits in hexadecimal, which would read back as an integer.
  auto real = dyn_cast<FloatAttr>(value);
  if (!real)
    return printer.printAttributeWithoutType(value);
  APFloat number = real.getValue();
  if (number.isFinite())
    return printReal(printer, nullptr, real);
  printer << (number.isNegative() ? "-" : "")
          << (number.isNaN() ? "nan" : "inf");
}

/// An integer that may be missing. (The generated parser of an optional
/// attribute would take the `{` or `[` that follows.)
static OptionalParseResult parseDegree(OpAsmParser &parser,
                                       IntegerAttr &degree) {
  int64_t value;
  OptionalParseResult result = parser.parseOptionalInteger(value);
  if (result.has_value() && succeeded(*result))
    degree = parser.getBuilder().getI64IntegerAttr(value);
  return result;
}

static void printDegree(OpAsmPrinter &printer, Operation *,
                        IntegerAttr degree) {
  printer << degree.getInt();
}

/// `normal(0.0, 0.02)`, `constant(1.0)`: how a variable starts.
static ParseResult parseInit(OpAsmParser &parser, InitAttr &init) {
  StringRef word;
  SmallVector<double, 2> values;
  SMLoc place = parser.getCurrentLocation();
  auto element = [&] {
    double value;
    if (parser.parseFloat(value))
      return failure();
    values.push_back(value);
    return success();
  };
  if (parser.parseKeyword(&word) ||
      parser.parseCommaSeparatedList(AsmParser::Delimiter::Paren, element))
    return failure();
  std::optional<InitKind> kind = symbolizeInitKind(word);
  if (!kind)
    return parser.emitError(place)
           << "unknown initial value '" << word
           << "', expected constant, normal, uniform or truncated_normal";
  size_t expected = *kind == InitKind::constant ? 1 : 2;
  if (values.size() != expected)
    return parser.emitError(place) << "'" << word << "' has " << values.size()
                                   << " values, expected " << expected;
  init = InitAttr::get(parser.getContext(), *kind, APFloat(values[0]),
                       APFloat(expected == 2 ? values[1] : 0.0));
  return success();
}

static void printInit(OpAsmPrinter &printer, Operation *, InitAttr init) {
  printer << stringifyInitKind(init.getKind()) << '(';
  printer << realText(init.getA().convertToDouble());
  if (init.getKind() != InitKind::constant) {
    printer << ", " << realText(init.getB().convertToDouble());
  }
  printer << ')';
}

/// `(tensor<4xf32>, tensor<2xf32>)` or `()`.
static ParseResult parseTypes(OpAsmParser &parser,
                              SmallVectorImpl<Type> &types) {
  return parser.parseCommaSeparatedList(
      AsmParser::Delimiter::Paren,
      [&] { return parser.parseType(types.emplace_back()); });
}

static void printTypes(OpAsmPrinter &printer, Operation *, TypeRange types) {
  printer << '(';
  llvm::interleaveComma(types, printer);
  printer << ')';
}

/// `[batch, sequence]`: bare words or strings.
static ParseResult parseNameList(OpAsmParser &parser, ArrayAttr &names) {
  SmallVector<Attribute> list;
  auto element = [&]() -> ParseResult {
    std::string text;
    if (parser.parseKeywordOrString(&text))
      return failure();
    list.push_back(parser.getBuilder().getStringAttr(text));
    return success();
  };
  if (parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, element))
    return failure();
  names = parser.getBuilder().getArrayAttr(list);
  return success();
}

/// As parseNameList, but the list may be missing.
static ParseResult parseOptionalNames(OpAsmParser &parser, ArrayAttr &names) {
  // A look-ahead that leaves the bracket to parseNameList does not exist, so
  // the list is read here.
  if (failed(parser.parseOptionalLSquare()))
    return success();
  SmallVector<Attribute> list;
  do {
    std::string text;
    if (parser.parseKeywordOrString(&text))
      return failure();
    list.push_back(parser.getBuilder().getStringAttr(text));
  } while (succeeded(parser.parseOptionalComma()));
  names = parser.getBuilder().getArrayAttr(list);
  return parser.parseRSquare();
}

static void printNameList(OpAsmPrinter &printer, Operation *, ArrayAttr names) {
  printer << '[';
  llvm::interleaveComma(names, printer, [&](Attribute name) {
    printer.printKeywordOrString(cast<StringAttr>(name).getValue());
  });
  printer << ']';
}

static void printOptionalNames(OpAsmPrinter &printer, Operation *op,
                               ArrayAttr names) {
  if (names)
    printNameList(printer, op, names);
}

//===----------------------------------------------------------------------===//
// ModelOp
//===----------------------------------------------------------------------===//

ModuleDefOp ModelOp::getMain() { return lookupSymbol<ModuleDefOp>("main"); }

TrainingOp ModelOp::getTraining() {
  auto ops = getBody().front().getOps<TrainingOp>();
  return ops.empty() ? TrainingOp() : *ops.begin();
}

/// Names of the modules that `module` instantiates.
static void walkCallees(ModuleDefOp module,
                        function_ref<void(Operation *, StringRef)> visit) {
  module.walk([&](Operation *op) {
    if (auto instance = dyn_cast<InstanceOp>(op))
      visit(op, instance.getCallee());
    else if (auto scan = dyn_cast<ScanOp>(op))
      visit(op, scan.getCallee());
  });
}

namespace {
/// Depth-first search for a cycle of instances, without recursion on input
/// size: the depth is bounded by the number of modules.
class CycleFinder {
public:
  explicit CycleFinder(ModelOp model) : symbols(model) {}

  LogicalResult visit(ModuleDefOp module) {
    StringRef name = module.getSymName();
    if (done.contains(name))
      return success();
    if (!active.insert(name).second)
      return failure();
    LogicalResult result = success();
    walkCallees(module, [&](Operation *op, StringRef callee) {
      auto target = symbols.lookup<ModuleDefOp>(callee);
      if (failed(result) || !target)
        return;
      if (active.contains(callee)) {
        result = op->emitOpError("instantiates module '@")
                 << callee << "', which contains this instance";
        return;
      }
      result = visit(target);
    });
    active.erase(name);
    done.insert(name);
    return result;
  }

private:
  SymbolTable symbols;
  llvm::StringSet<> active, done;
};
} // namespace

LogicalResult ModelOp::verifyRegions() {
  int64_t specs = 0;
  for (Operation &op : getBody().front()) {
    if (!isa<ModuleDefOp, TrainingOp>(op))
      return op.emitOpError("is not allowed in a 'whale.model', which holds "
                            "'whale.module' and 'whale.training'");
    specs += isa<TrainingOp>(op);
  }
  if (specs > 1)
    return emitOpError("has ") << specs << " 'whale.training' ops, expected 1";
  CycleFinder cycles(*this);
  for (ModuleDefOp module : getBody().front().getOps<ModuleDefOp>())
    if (failed(cycles.visit(module)))
      return failure();
  return verifyModules(*this);
}

//===----------------------------------------------------------------------===//
// ModuleDefOp, BackwardOp, returns
//===----------------------------------------------------------------------===//

ParseResult ModuleDefOp::parse(OpAsmParser &parser, OperationState &result) {
  auto build = [](Builder &builder, ArrayRef<Type> inputs,
                  ArrayRef<Type> results,
                  function_interface_impl::VariadicFlag, std::string &) {
    return builder.getFunctionType(inputs, results);
  };
  return function_interface_impl::parseFunctionOp(
      parser, result, /*allowVariadic=*/false,
      getFunctionTypeAttrName(result.name), build,
      getArgAttrsAttrName(result.name), getResAttrsAttrName(result.name));
}

void ModuleDefOp::print(OpAsmPrinter &printer) {
  function_interface_impl::printFunctionOp(
      printer, *this, /*isVariadic=*/false, getFunctionTypeAttrName(),
      getArgAttrsAttrName(), getResAttrsAttrName());
}

BackwardOp ModuleDefOp::getBackward() {
  auto ops = getBody().front().getOps<BackwardOp>();
  return ops.empty() ? BackwardOp() : *ops.begin();
}

LogicalResult ReturnOp::verify() {
  auto module = cast<ModuleDefOp>((*this)->getParentOp());
  ArrayRef<Type> expected = module.getResultTypes();
  if (getNumOperands() != expected.size())
    return emitOpError("has ") << getNumOperands() << " operands, but module '@"
                               << module.getSymName() << "' has "
                               << expected.size() << " results";
  for (auto [index, pair] :
       llvm::enumerate(llvm::zip(getOperandTypes(), expected)))
    if (std::get<0>(pair) != std::get<1>(pair))
      return emitOpError("operand ")
             << index << " is " << std::get<0>(pair) << ", but module '@"
             << module.getSymName() << "' returns " << std::get<1>(pair);
  return success();
}

ParseResult BackwardOp::parse(OpAsmParser &parser, OperationState &result) {
  SmallVector<OpAsmParser::Argument> arguments;
  DenseI64ArrayAttr indices;
  if (parser.parseArgumentList(arguments, AsmParser::Delimiter::Paren,
                               /*allowType=*/true) ||
      parser.parseKeyword("of") ||
      parser.parseCustomAttributeWithFallback(indices, Type()) ||
      parser.parseOptionalAttrDictWithKeyword(result.attributes))
    return failure();
  result.addAttribute(getArgumentIndicesAttrName(result.name), indices);
  Region *body = result.addRegion();
  if (parser.parseRegion(*body, arguments))
    return failure();
  ensureTerminator(*body, parser.getBuilder(), result.location);
  return success();
}

void BackwardOp::print(OpAsmPrinter &printer) {
  printer << '(';
  llvm::interleaveComma(getBody().front().getArguments(), printer,
                        [&](BlockArgument argument) {
                          printer.printRegionArgument(argument);
                        });
  printer << ") of ";
  printer.printStrippedAttrOrType(getArgumentIndicesAttr());
  printer.printOptionalAttrDictWithKeyword(
      (*this)->getAttrs(), {getArgumentIndicesAttrName().getValue()});
  printer << ' ';
  printer.printRegion(getBody(), /*printEntryBlockArgs=*/false);
}

//===----------------------------------------------------------------------===//
// InstanceOp, ScanOp
//===----------------------------------------------------------------------===//

static ModuleDefOp lookupCallee(Operation *op, FlatSymbolRefAttr callee,
                             SymbolTableCollection &symbols) {
  return symbols.lookupNearestSymbolFrom<ModuleDefOp>(op, callee);
}

/// Compares types of operands or results with the module's.
static LogicalResult compareTypes(Operation *op, StringRef what, StringRef callee,
                                  TypeRange found, ArrayRef<Type> expected) {
  if (found.size() != expected.size())
    return op->emitOpError("has ") << found.size() << ' ' << what
                                   << "s, but module '@" << callee << "' has "
                                   << expected.size();
  for (auto [index, pair] : llvm::enumerate(llvm::zip(found, expected)))
    if (std::get<0>(pair) != std::get<1>(pair))
      return op->emitOpError(what)
             << ' ' << index << " is " << std::get<0>(pair) << ", but module '@"
             << callee << "' has " << std::get<1>(pair);
  return success();
}

LogicalResult InstanceOp::verifySymbolUses(SymbolTableCollection &symbols) {
  ModuleDefOp module = lookupCallee(*this, getCalleeAttr(), symbols);
  if (!module)
    return emitOpError("refers to unknown module '@") << getCallee() << "'";
  if (failed(compareTypes(*this, "operand", getCallee(), getOperandTypes(),
                          module.getArgumentTypes())))
    return failure();
  return compareTypes(*this, "result", getCallee(), getResultTypes(),
                      module.getResultTypes());
}

/// Checks that a name can be part of a path.
static LogicalResult verifySegment(Operation *op, StringRef name) {
  if (!name.empty() && !name.contains('/'))
    return success();
  return op->emitOpError("name '")
         << name << "' must be one path segment, without '/'";
}

LogicalResult InstanceOp::verify() {
  if (failed(verifySegment(*this, getName())))
    return failure();
  if (!getRepeat())
    return success();
  if (*getRepeat() < 1)
    return emitOpError("repeats ") << *getRepeat() << " times, expected 1 or more";
  if (getNumResults() > getNumOperands())
    return emitOpError("has more results than operands, so it cannot repeat");
  for (auto [index, type] : llvm::enumerate(getResultTypes()))
    if (getOperand(index).getType() != type)
      return emitOpError("result ") << index << " is " << type
                                    << " but operand " << index << " is "
                                    << getOperand(index).getType()
                                    << ", so it cannot repeat";
  return success();
}

LogicalResult ScanOp::verify() {
  if (failed(verifySegment(*this, getName())))
    return failure();
  if (getNumResults() < getStates().size())
    return emitOpError("has ") << getNumResults() << " results, fewer than its "
                               << getStates().size() << " states";
  if (getSequences().empty())
    return emitOpError("has no sequence to go over");
  int64_t steps = -1;
  for (Value sequence : getSequences()) {
    if (failed(expectDim(*this, getDim(), sequence)))
      return failure();
    int64_t extent = tensorType(sequence).getDimSize(getDim());
    if (steps >= 0 && extent != steps)
      return emitOpError("sequences have ") << steps << " and " << extent
                                            << " steps along dimension "
                                            << getDim();
    steps = extent;
  }
  for (size_t i = getStates().size(); i < getNumResults(); ++i) {
    if (failed(expectDim(*this, getDim(), getResult(i))))
      return failure();
    int64_t extent = tensorType(getResult(i)).getDimSize(getDim());
    if (extent != steps)
      return emitOpError("output ") << i << " has " << extent
                                    << " steps, expected " << steps;
  }
  return success();
}

/// `type` without dimension `dim`.
static Type dropDim(Type type, int64_t dim) {
  auto tensor = cast<RankedTensorType>(type);
  SmallVector<int64_t> shape(tensor.getShape());
  shape.erase(shape.begin() + dim);
  return tensor.clone(shape);
}

LogicalResult ScanOp::verifySymbolUses(SymbolTableCollection &symbols) {
  ModuleDefOp module = lookupCallee(*this, getCalleeAttr(), symbols);
  if (!module)
    return emitOpError("refers to unknown module '@") << getCallee() << "'";
  SmallVector<Type> arguments(getStates().getTypes()), results;
  for (Type type : getSequences().getTypes())
    arguments.push_back(dropDim(type, getDim()));
  for (auto [index, type] : llvm::enumerate(getResultTypes()))
    results.push_back(index < size_t(getStates().size()) ? type
                                                 : dropDim(type, getDim()));
  if (failed(compareTypes(*this, "operand", getCallee(), arguments,
                          module.getArgumentTypes())))
    return failure();
  return compareTypes(*this, "result", getCallee(), results,
                      module.getResultTypes());
}

//===----------------------------------------------------------------------===//
// State, inputs, losses, scopes
//===----------------------------------------------------------------------===//

LogicalResult VariableOp::verify() { return verifySegment(*this, getName()); }

LogicalResult InputOp::verify() {
  RankedTensorType type = tensorType(getResult());
  if (static_cast<int64_t>(getDims().size()) != type.getRank())
    return emitOpError("names ") << getDims().size() << " dimensions, but "
                                 << type << " has " << type.getRank();
  llvm::StringSet<> seen;
  for (auto [index, attr] : llvm::enumerate(getDims())) {
    StringRef name = cast<StringAttr>(attr).getValue();
    if (!seen.insert(name).second)
      return emitOpError("names dimension '") << name << "' twice";
    if ((name == "batch") != (index == 0))
      return emitOpError("dimension ") << index << " is '" << name
                                       << "', expected 'batch' at dimension 0 "
                                          "and only there";
  }
  if (getRange() && *getRange() < 1)
    return emitOpError("range is ") << *getRange() << ", expected 1 or more";
  return success();
}

LogicalResult LossOp::verify() {
  if (tensorType(getSum()).getRank() != 0)
    return emitOpError("sum is ") << getSum().getType() << ", expected a scalar";
  return success();
}

static LogicalResult verifyDegree(Operation *op, std::optional<int64_t> degree) {
  if (degree && *degree < 1)
    return op->emitOpError("degree is ") << *degree << ", expected 1 or more";
  return success();
}

static LogicalResult verifyShares(Operation *op, std::optional<int64_t> degree,
                                  std::optional<ArrayRef<int64_t>> shares) {
  if (!shares)
    return success();
  if (degree && static_cast<int64_t>(shares->size()) != *degree)
    return op->emitOpError("has ")
           << shares->size() << " shares for degree " << *degree;
  for (int64_t share : *shares)
    if (share < 1)
      return op->emitOpError("share is ") << share << ", expected 1 or more";
  return success();
}

LogicalResult ReplicaOp::verify() {
  if (failed(verifyDegree(*this, getDegree())) ||
      failed(verifyShares(*this, getDegree(), getShares())))
    return failure();
  if (auto shard = getShard())
    if (*shard != "optimizer" && *shard != "gradients" && *shard != "parameters")
      return emitOpError("shard is '")
             << *shard << "', expected optimizer, gradients or parameters";
  return success();
}

LogicalResult SplitOp::verify() {
  if (getDims().empty())
    return emitOpError("names no dimension");
  if (failed(verifyShares(*this, getDegree(), getShares())))
    return failure();
  return verifyDegree(*this, getDegree());
}

LogicalResult StageOp::verify() {
  auto counts = {std::pair("recompute_layers", getRecomputeLayers()),
                 std::pair("selective_layers", getSelectiveLayers()),
                 std::pair("gathered_layers", getGatheredLayers()),
                 std::pair("offload_optimizer", getOffloadOptimizer()),
                 std::pair("offload_parameters", getOffloadParameters()),
                 std::pair("offload_activations", getOffloadActivations())};
  for (auto [name, layers] : counts)
    if (layers && static_cast<int64_t>(*layers) < 0)
      return emitOpError(name) << " is " << static_cast<int64_t>(*layers)
                               << ", expected 0 or more";
  if (getOffloadOptimizer() && getOffloadParameters() &&
      *getOffloadParameters() > *getOffloadOptimizer())
    return emitOpError("has the parameters of ")
           << *getOffloadParameters()
           << " layers in the host's memory, but the optimizer's state of "
           << *getOffloadOptimizer();
  return success();
}

LogicalResult PipelineOp::verify() {
  if (getMicroBatches() < 1)
    return emitOpError("has ") << getMicroBatches()
                               << " micro-batches, expected 1 or more";
  if (auto schedule = getSchedule())
    if (*schedule != "gpipe" && *schedule != "1f1b")
      return emitOpError("schedule is '") << *schedule
                                          << "', expected gpipe or 1f1b";
  return success();
}

LogicalResult DefaultStrategyOp::verify() {
  if (getPrimitive() != "replica" && getPrimitive() != "replicate" &&
      getPrimitive() != "split")
    return emitOpError("primitive is '") << getPrimitive()
                                         << "', expected replica or split";
  return verifyDegree(*this, getDegree());
}

#define GET_OP_CLASSES
#include "dialects/whale/WhaleOps.cpp.inc"
