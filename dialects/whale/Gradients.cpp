//===- Gradients.cpp - reverse-mode rules of the whale ops ------------- ===//

#include "dialects/whale/Whale.h"

using namespace mlir;
using namespace whale;

FailureOr<SmallVector<Value>> AbsOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> AddOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> AttentionOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> BatchNormOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> BroadcastOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> CastOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> CollectOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> ConcatOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> Conv2dFilterGradOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> Conv2dInputGradOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> Conv2dOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> CosOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> CrossEntropyOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> DispatchOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> DivOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> DropoutOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> EinsumOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> EmbeddingOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> ErfOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> ExpOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> ExpertMatmulOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> ExpertOuterOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> FloorOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> GeluGradOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> GeluOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> LayerNormOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> LogOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> MaxOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> MinOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> MulOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> NegOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> PadOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> PoolOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> PowOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> ReciprocalOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> ReduceOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> ReluOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> ReshapeOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> RmsNormOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> RotaryOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> RsqrtOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> ScatterAddOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> SelectOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> SigmoidOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> SignOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> SiluGradOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> SiluOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> SinOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> SliceOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> SoftmaxGradOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> SoftmaxOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> SqrtOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> StopGradientOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> SubOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> TanhOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> TopKOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
FailureOr<SmallVector<Value>> TransposeOp::buildGradient(OpBuilder &, ValueRange) { return failure(); }
