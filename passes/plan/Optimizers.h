//===- Optimizers.h - updates written in whale ops --------------*- C++ -*-===//
//
// One function per optimizer. g = gradient (divided, clipped), p = parameter,
// t = step number from 1, lr = learning rate after the schedule:
//
//   SGD        g += decay p;  p -= lr g                    (torch.optim.SGD)
//   momentum   g += decay p;  m = mu m + g;  p -= lr m     (torch.optim.SGD,
//              dampening 0, no Nesterov)
//   AdamW      p *= 1 - lr decay;  m = b1 m + (1 - b1) g;
//              v = b2 v + (1 - b2) g^2;
//              p -= lr / (1 - b1^t) m / (sqrt(v / (1 - b2^t)) + epsilon)
//              (Loshchilov and Hutter 2019, as torch.optim.AdamW)
//   Adafactor  (Shazeer and Stern 2018, algorithms 4 and 5) with
//              eps1 = 1e-30, eps2 = 1e-3, d = 1, b2 = 1 - t^-0.8,
//              a = max(eps2, rms(p)) min(lr, 1 / sqrt(t)):
//              rank >= 2: R = b2 R + (1 - b2) rowsum(g^2 + eps1), C likewise by
//              columns, V = R C / sum(R); else V = b2 V + (1 - b2)(g^2 + eps1);
//              u = g / sqrt(V);  p *= 1 - lr decay (torch.optim.Adafactor);
//              p -= a u / max(1, rms(u) / d)
//
// Adafactor sees a tensor as a matrix: its dimensions are cut in two runs so
// that rows + columns is smallest, the earliest of equal cuts.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PASSES_PLAN_OPTIMIZERS_H
#define WHALE_PASSES_PLAN_OPTIMIZERS_H

#include "dialects/whale/TrainingSpec.h"
#include "passes/plan/Emitter.h"

namespace whale::plan {

/// Scalars that the updates of one TaskGraph and one optimizer share; computed
/// in float64, so that 1 - b2^t keeps its digits, then given in `element`. Null
/// where the optimizer does not need one.
struct UpdateScalars {
  /// lr; 1 - lr decay.
  mlir::Value rate, keep;
  /// AdamW: lr / (1 - b1^t) and 1 / sqrt(1 - b2^t).
  mlir::Value first, second;
  /// Adafactor: 1 - b2 = t^-0.8, and min(lr, 1 / sqrt(t)).
  mlir::Value weight, relative;
};

/// Builds the scalars. Schedule: warm-up is (step + 1) / warmup; after it
/// `linear` and `cosine` go from 1 down to final_fraction at total_steps and
/// stay there.
UpdateScalars buildUpdateScalars(Emitter &emit,
                                 const LearningRateSchedule &schedule,
                                 const Optimizer &optimizer,
                                 mlir::Type element);

/// One parameter's update.
struct Update {
  std::string path;
  /// Its value before the step and its gradient, of one type.
  mlir::Value parameter, gradient;
};

/// Writes the update and the assignments of parameter and slots; slots are
/// created through `slots` (phase prologue).
void buildUpdate(Emitter &emit, Emitter &slots, const Optimizer &optimizer,
                 const UpdateScalars &scalars, const Update &update);

/// Position at which Adafactor cuts a shape of rank >= 2.
int64_t factorCut(llvm::ArrayRef<int64_t> shape);

} // namespace whale::plan

#endif // WHALE_PASSES_PLAN_OPTIMIZERS_H
