//===- Evaluate.cpp - the table of the ops --------------------------------===//

#include "test/reference/Ops.h"

#include "llvm/Support/ErrorHandling.h"

using namespace reference;

static Function find(mlir::Operation *op) {
  for (auto rows : {elementwiseRows(), shapeRows(), layerRows(),
                    attentionRows(), convolutionRows(), expertRows()})
    for (const Row &row : rows)
      if (op->getName().stripDialect() == row.name)
        return row.function;
  return nullptr;
}

bool reference::canEvaluate(mlir::Operation *op) { return find(op); }

Tensors reference::evaluate(mlir::Operation *op, const Tensors &operands,
                            const Context &context) {
  Function function = find(op);
  if (!function)
    llvm::report_fatal_error("the reference does not know this op");
  return function(op, operands, context);
}
