//===- WhaleDialect.cpp - dialect, attributes, shared syntax --------------===//

#include "dialects/whale/Syntax.h"
#include "dialects/whale/Whale.h"

#include "mlir/Bytecode/BytecodeImplementation.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace whale;

#include "dialects/whale/WhaleDialect.cpp.inc"
#include "dialects/whale/WhaleEnums.cpp.inc"
#include "dialects/whale/WhaleInterfaces.cpp.inc"

//===----------------------------------------------------------------------===//
// Whale's other spelling
//===----------------------------------------------------------------------===//

std::optional<Dialect::ParseOpHook>
WhaleDialect::getParseOperationHook(StringRef opName) const {
  // A hook refers to its function object, which has to outlive it.
  static const auto parseReplica = [](OpAsmParser &parser,
                                      OperationState &state) {
    state.name = OperationName(ReplicaOp::getOperationName(),
                               parser.getContext());
    return ReplicaOp::parse(parser, state);
  };
  if (opName == "whale.replicate")
    return ParseOpHook(parseReplica);
  return Dialect::getParseOperationHook(opName);
}

//===----------------------------------------------------------------------===//
// Attribute syntax
//===----------------------------------------------------------------------===//

// Overloads for the parameters of attributes, whose generated code is in whale.
namespace whale {
static ParseResult parseReal(AsmParser &parser, FailureOr<APFloat> &value) {
  double number;
  if (failed(parser.parseFloat(number)))
    return failure();
  value = APFloat(number);
  return success();
}

static void printReal(AsmPrinter &printer, const APFloat &value) {
  printer << realText(value.convertToDouble());
}
} // namespace whale

#define GET_ATTRDEF_CLASSES
#include "dialects/whale/WhaleAttrs.cpp.inc"
#define GET_TYPEDEF_CLASSES
#include "dialects/whale/WhaleTypes.cpp.inc"

//===----------------------------------------------------------------------===//
// Bytecode: version 1
//===----------------------------------------------------------------------===//

namespace {
struct Version : DialectVersion {
  explicit Version(uint64_t number) : number(number) {}
  uint64_t number;
};

/// Declares version 1, so that later versions can upgrade what this one wrote.
struct WhaleBytecode : BytecodeDialectInterface {
  explicit WhaleBytecode(Dialect *dialect)
      : BytecodeDialectInterface(dialect) {}

  void writeVersion(DialectBytecodeWriter &writer) const final {
    writer.writeVarInt(1);
  }
  std::unique_ptr<DialectVersion>
  readVersion(DialectBytecodeReader &reader) const final {
    uint64_t number;
    if (failed(reader.readVarInt(number)))
      return nullptr;
    if (number != 1) {
      reader.emitError() << "whale dialect version " << number
                         << " is not known, expected 1";
      return nullptr;
    }
    return std::make_unique<Version>(number);
  }
};
} // namespace

void WhaleDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/whale/WhaleAttrs.cpp.inc"
      >();
  addTypes<
#define GET_TYPEDEF_LIST
#include "dialects/whale/WhaleTypes.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/whale/WhaleOps.cpp.inc"
      >();
  addInterfaces<WhaleBytecode>();
}
