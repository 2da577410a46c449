//===- RotaryScaling.h - rotary positions beyond the trained ones -*- C++ -*-=//
//
// Models that were trained on short sequences are given longer ones by slower
// angles. Of pair i of `half` pairs, with f = theta^(-i / half):
//
//   f' = f (1 / factor + keep (1 - 1 / factor)),  keep within [0, 1]
//
//   linear  keep = 0 (Chen et al. 2023, arXiv 2306.15595)
//   llama3  keep rises with the turns t = positions f / 2 pi:
//           (t - low) / (high - low) (Llama 3.1's release)
//   yarn    keep falls with the pair, from the last one that turns `high` times
//           to the first that turns `low` times (Peng et al. 2023, arXiv
//           2309.00071); the turned pair is `magnitude` times as long
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_DIALECT_ROTARYSCALING_H
#define WHALE_DIALECT_ROTARYSCALING_H

#include "dialects/whale/Whale.h"

#include "mlir/IR/OpImplementation.h"

namespace whale {

/// keep = slope * x + offset, cut to [0, 1].
struct RotaryRamp {
  /// x is f; otherwise i.
  bool overFrequency = false;
  double slope = 0, offset = 0;
};
/// Of a checked scaling.
RotaryRamp rampOf(RotaryScalingAttr scaling, double theta, int64_t half);

/// Directive `custom<RotaryScaling>`: `linear(4.0)`, `llama3(factor, low, high,
/// positions)`, `yarn(factor, low, high, positions, magnitude)`.
mlir::ParseResult parseRotaryScaling(mlir::OpAsmParser &parser,
                                     RotaryScalingAttr &scaling);
void printRotaryScaling(mlir::OpAsmPrinter &printer, mlir::Operation *,
                        RotaryScalingAttr scaling);

} // namespace whale

#endif // WHALE_DIALECT_ROTARYSCALING_H
