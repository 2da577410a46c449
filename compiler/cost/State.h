//===- State.h - what a rank keeps from step to step ------------*- C++ -*-===//

#ifndef WHALE_COST_STATE_H
#define WHALE_COST_STATE_H

#include "compiler/cost/Sharding.h"

namespace whale::cost {

/// Parameters and gradients of some elements.
struct WeightBytes {
  /// As they are stored: with a master type they are masters.
  Bytes parameters, gradients;
  /// Of the parameters, those that are never updated.
  Bytes frozen;
  /// Copies in the type of the arithmetic, made once per step, of those masters
  /// that something else than kernels reads.
  Bytes copies;
  /// Elements of trained variables.
  int64_t trained = 0;

  /// What ops read: the copies where there are masters.
  Bytes read() const { return copies > Bytes() ? copies + frozen : parameters; }
};

/// State of one instance on one rank, without sharding over replicas but those
/// in the mesh.
struct StateBytes : WeightBytes {
  /// Of the elements that this rank updates (ShardedClass::ownedElements):
  /// ZeRO-2 and -3 keep no others.
  WeightBytes owned;
  /// Slots, and masters, of the same: what ZeRO-1 cuts further over the
  /// replicas.
  Bytes optimizer, ownedMasters;
  /// Factored moments, which are taken to stay whole.
  Bytes factored;
  /// Running statistics and counters.
  Bytes other;

  StateBytes &operator+=(const StateBytes &more);
  StateBytes &operator-=(const StateBytes &less);
  StateBytes operator*(int64_t count) const;
  /// Rounded up.
  StateBytes dividedBy(int64_t parts) const;
  /// Where subtraction left less than nothing of a part, nothing.
  StateBytes notNegative() const;
};

/// State of an instance whose variables have these local extents; only of the
/// tied ones if asked.
StateBytes stateBytes(const workload::Workload &workload,
                      const workload::ModuleClass &module,
                      const ShardedClass &sharded, bool onlyTied = false);

} // namespace whale::cost

#endif // WHALE_COST_STATE_H
