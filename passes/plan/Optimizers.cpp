//===- Optimizers.cpp - updates written in whale ops ----------------------===//

#include "passes/plan/Optimizers.h"

using namespace mlir;
using namespace whale;
using namespace whale::plan;

/// Sources: see the head of Optimizers.h.
static constexpr double adafactorEps1 = 1e-30, adafactorEps2 = 1e-3,
                        adafactorClip = 1.0, adafactorDecay = -0.8;

//===----------------------------------------------------------------------===//
// Schedule
//===----------------------------------------------------------------------===//

/// Factor after warm-up; `progress` in [0, 1].
static Value decayFactor(Emitter &emit, const LearningRateSchedule &spec,
                         Value progress) {
  double rest = spec.finalFraction;
  if (spec.kind == ScheduleKind::Linear)
    return emit.sub(1.0, emit.mul(progress, 1.0 - rest));
  Value wave = emit.unary<CosOp>(emit.mul(progress, M_PI));
  return emit.add(emit.mul(emit.add(wave, 1.0), 0.5 * (1.0 - rest)), rest);
}

/// Factor on the learning rate at step `step` (from 1).
static Value scheduleFactor(Emitter &emit, const LearningRateSchedule &spec,
                            Value step) {
  Value factor = emit.like(step, 1.0);
  if (spec.kind != ScheduleKind::Constant) {
    double span = spec.totalSteps - spec.warmupSteps;
    Value passed = emit.add(step, -1.0 - double(spec.warmupSteps));
    Value progress = emit.min(emit.max(emit.mul(passed, 1.0 / span), 0.0), 1.0);
    factor = decayFactor(emit, spec, progress);
  }
  if (spec.warmupSteps > 0) {
    Value ramp = emit.mul(step, 1.0 / double(spec.warmupSteps));
    factor = emit.mul(factor, emit.min(ramp, 1.0));
  }
  return factor;
}

/// 1 - beta^step.
static Value correction(Emitter &emit, double beta, Value step) {
  // 1 - 0^t is 1, and pow wants a positive base.
  if (beta == 0)
    return emit.like(step, 1.0);
  return emit.sub(1.0, emit.pow(beta, step));
}

UpdateScalars plan::buildUpdateScalars(Emitter &emit,
                                       const LearningRateSchedule &schedule,
                                       const Optimizer &optimizer,
                                       Type element) {
  Builder builder(emit.context());
  Value number = emit.create<StepNumberOp>(
      RankedTensorType::get({}, builder.getI64Type()));
  Value step = emit.add(emit.cast(number, builder.getF64Type()), 1.0);
  Value rate =
      emit.mul(scheduleFactor(emit, schedule, step), optimizer.learningRate);
  UpdateScalars scalars;
  scalars.rate = emit.cast(rate, element);
  if (optimizer.weightDecay != 0)
    scalars.keep = emit.cast(
        emit.sub(1.0, emit.mul(rate, optimizer.weightDecay)), element);
  if (optimizer.kind == OptimizerKind::AdamW) {
    Value first = correction(emit, optimizer.beta1, step);
    Value second = correction(emit, optimizer.beta2, step);
    scalars.first = emit.cast(emit.div(rate, first), element);
    scalars.second = emit.cast(emit.unary<RsqrtOp>(second), element);
  }
  if (optimizer.kind == OptimizerKind::Adafactor) {
    Value weight = emit.pow(step, emit.like(step, adafactorDecay));
    scalars.weight = emit.cast(weight, element);
    Value bound = emit.unary<RsqrtOp>(step);
    scalars.relative = emit.cast(emit.min(rate, bound), element);
  }
  return scalars;
}

//===----------------------------------------------------------------------===//
// The optimizers
//===----------------------------------------------------------------------===//

namespace {

class UpdateBuilder {
public:
  UpdateBuilder(Emitter &emit, Emitter &slots, const Optimizer &optimizer,
                const UpdateScalars &scalars, const Update &update)
      : emit(emit), slots(slots), optimizer(optimizer), scalars(scalars),
        update(update), type(tensorType(update.parameter)) {}

  void sgd(bool withMomentum);
  void adamW();
  void adafactor();

private:
  /// p * (1 - lr * decay): decoupled weight decay.
  Value decayed() {
    return scalars.keep ? emit.mul(update.parameter, scalars.keep)
                        : update.parameter;
  }
  /// slot = beta slot + (1 - beta) value, assigned. `beta` is a number.
  Value average(StringRef slot, double beta, Value value) {
    Value old = slots.slot(update.path + slot, tensorType(value));
    Value fresh = emit.add(emit.mul(old, beta), emit.mul(value, 1.0 - beta));
    emit.assign(update.path + slot.str(), fresh);
    return fresh;
  }
  /// The same with beta = 1 - `weight`, a scalar value.
  Value average(StringRef slot, Value weight, Value value) {
    Value old = slots.slot(update.path + slot, tensorType(value));
    Value kept = emit.mul(old, emit.sub(1.0, weight));
    Value fresh = emit.add(kept, emit.mul(value, weight));
    emit.assign(update.path + slot.str(), fresh);
    return fresh;
  }
  Value secondMoment(Value squared);
  Value rootMeanSquare(Value value) {
    Value mean = emit.mul(emit.sum(emit.square(value)),
                          1.0 / double(type.getNumElements()));
    return emit.unary<SqrtOp>(mean);
  }

  Emitter &emit, &slots;
  const Optimizer &optimizer;
  const UpdateScalars &scalars;
  const Update &update;
  RankedTensorType type;
};

} // namespace

void UpdateBuilder::sgd(bool withMomentum) {
  Value direction = update.gradient;
  if (optimizer.weightDecay != 0)
    direction =
        emit.add(direction, emit.mul(update.parameter, optimizer.weightDecay));
  if (withMomentum) {
    Value old = slots.slot(update.path + "#m", type);
    direction = emit.add(emit.mul(old, optimizer.momentum), direction);
    emit.assign(update.path + "#m", direction);
  }
  Value step = emit.mul(direction, scalars.rate);
  emit.assign(update.path, emit.sub(update.parameter, step));
}

void UpdateBuilder::adamW() {
  Value m = average("#m", optimizer.beta1, update.gradient);
  Value v = average("#v", optimizer.beta2, emit.square(update.gradient));
  Value root = emit.mul(emit.unary<SqrtOp>(v), scalars.second);
  Value step =
      emit.div(emit.mul(m, scalars.first), emit.add(root, optimizer.epsilon));
  emit.assign(update.path, emit.sub(decayed(), step));
}

int64_t plan::factorCut(ArrayRef<int64_t> shape) {
  int64_t best = 1, bestSize = INT64_MAX;
  int64_t total = 1, rows = 1;
  for (int64_t extent : shape)
    total *= extent;
  for (size_t cut = 1; cut < shape.size(); ++cut) {
    rows *= shape[cut - 1];
    if (rows + total / rows < bestSize) {
      bestSize = rows + total / rows;
      best = cut;
    }
  }
  return best;
}

/// V of the paper: factored from rank 2 on.
Value UpdateBuilder::secondMoment(Value squared) {
  int64_t rank = type.getRank();
  if (rank < 2)
    return average("#v", scalars.weight, squared);
  int64_t cut = factorCut(type.getShape());
  auto leading = llvm::to_vector(llvm::seq<int64_t>(0, cut));
  auto trailing = llvm::to_vector(llvm::seq<int64_t>(cut, rank));
  Value rows = average("#row", scalars.weight, emit.sum(squared, trailing));
  Value columns =
      average("#column", scalars.weight, emit.sum(squared, leading));
  Value scaled = emit.div(rows, emit.sum(rows));
  return emit.mul(emit.broadcast(scaled, type.getShape(), leading),
                  emit.broadcast(columns, type.getShape(), trailing));
}

void UpdateBuilder::adafactor() {
  Value squared = emit.add(emit.square(update.gradient), adafactorEps1);
  Value moment = secondMoment(squared);
  Value direction = emit.mul(update.gradient, emit.unary<RsqrtOp>(moment));
  Value clip =
      emit.max(emit.mul(rootMeanSquare(direction), 1.0 / adafactorClip), 1.0);
  Value size = emit.max(rootMeanSquare(update.parameter), adafactorEps2);
  Value factor = emit.div(emit.mul(size, scalars.relative), clip);
  emit.assign(update.path, emit.sub(decayed(), emit.mul(direction, factor)));
}

void plan::buildUpdate(Emitter &emit, Emitter &slots,
                       const Optimizer &optimizer, const UpdateScalars &scalars,
                       const Update &update) {
  UpdateBuilder builder(emit, slots, optimizer, scalars, update);
  switch (optimizer.kind) {
  case OptimizerKind::Sgd:
    return builder.sgd(/*withMomentum=*/false);
  case OptimizerKind::Momentum:
    return builder.sgd(/*withMomentum=*/true);
  case OptimizerKind::AdamW:
    return builder.adamW();
  case OptimizerKind::Adafactor:
    return builder.adafactor();
  }
}
