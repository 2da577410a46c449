//===- ModelHash.cpp - identity of a model --------------------------------===//

#include "passes/strategy/ModelHash.h"

#include "compiler/support/Sha256.h"
#include "passes/strategy/Strategy.h"

using namespace mlir;
using namespace whale;

FailureOr<std::string> whale::modelHash(ModelOp model) {
  OwningOpRef<ModelOp> copy(model.clone());
  if (failed(extractStrategy(*copy)))
    return failure();
  copy.get()->removeAttr("strategy");
  std::string text;
  llvm::raw_string_ostream stream(text);
  copy.get()->print(stream, OpPrintingFlags().enableDebugInfo(false));
  return sha256Hex(text);
}
