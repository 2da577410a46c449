//===- Expand.cpp - fused ops in primitive ops ---------------------- ===//

#include "dialects/whale/Whale.h"

using namespace mlir;
using namespace whale;

SmallVector<Value> BatchNormGradOp::expand(OpBuilder &) { return {}; }
SmallVector<Value> BatchNormOp::expand(OpBuilder &) { return {}; }
SmallVector<Value> CrossEntropyGradOp::expand(OpBuilder &) { return {}; }
SmallVector<Value> CrossEntropyOp::expand(OpBuilder &) { return {}; }
SmallVector<Value> LayerNormGradOp::expand(OpBuilder &) { return {}; }
SmallVector<Value> LayerNormOp::expand(OpBuilder &) { return {}; }
SmallVector<Value> RmsNormGradOp::expand(OpBuilder &) { return {}; }
SmallVector<Value> RmsNormOp::expand(OpBuilder &) { return {}; }
SmallVector<Value> SoftmaxGradOp::expand(OpBuilder &) { return {}; }
SmallVector<Value> SoftmaxOp::expand(OpBuilder &) { return {}; }
