//===- LocalWork.h - one op on one rank -------------------------*- C++ -*-===//

#ifndef WHALE_COST_LOCALWORK_H
#define WHALE_COST_LOCALWORK_H

#include "compiler/cost/Hardware.h"
#include "compiler/cost/Sharding.h"

namespace whale::cost {

/// The work of op `index` on one rank.
OpWork localWork(const workload::Workload &workload,
                 const workload::ModuleClass &module,
                 const ShardedClass &sharded, uint32_t index,
                 const std::vector<bool> &materialised);

/// Points of an attention op over the length of a head: its score matrices.
double scoresOf(const workload::Op &op, const LocalOp &local);

} // namespace whale::cost

#endif // WHALE_COST_LOCALWORK_H
