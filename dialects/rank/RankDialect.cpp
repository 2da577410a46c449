//===- RankDialect.cpp - the rank dialect ---------------------------------===//

#include "dialects/rank/Rank.h"
#include "dialects/whale/Syntax.h"

#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace rank;
using whale::parseReal;
using whale::printReal;

#include "dialects/rank/RankDialect.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/rank/RankAttrs.cpp.inc"
#define GET_OP_CLASSES
#include "dialects/rank/RankOps.cpp.inc"

void RankDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/rank/RankAttrs.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/rank/RankOps.cpp.inc"
      >();
}
