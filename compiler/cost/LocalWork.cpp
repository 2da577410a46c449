//===- LocalWork.cpp - one op on one rank ---------------------------------===//

#include "compiler/cost/LocalWork.h"

#include "compiler/support/CheckedMath.h"

#include <algorithm>

namespace whale::cost {

using namespace workload;

namespace {

bool uses(const Access &access, uint32_t loop) {
  for (const std::vector<uint32_t> &loops : access.dims)
    if (std::find(loops.begin(), loops.end(), loop) != loops.end())
      return true;
  return false;
}

/// Whether an operand or result has rows of an odd number of elements. What is
/// cut is not counted: shards are padded, or the remainder is left out.
bool hasOddRows(const Op &op, const LocalOp &local) {
  auto isOdd = [&](const Access &access) {
    int64_t row = 1;
    if (!access.dims.empty())
      for (uint32_t loop : access.dims.back())
        row = local.extents[loop] == op.loops[loop].extent
                  ? saturatingMultiply(row, local.extents[loop])
                  : 0;
    return row > 1 && row % 2 == 1;
  };
  return std::any_of(op.operands.begin(), op.operands.end(), isOdd) ||
         std::any_of(op.results.begin(), op.results.end(), isOdd);
}

/// Sorts the loops of a product of two operands into batch, m, n and k.
void productShape(const Op &op, const LocalOp &local, OpWork &work) {
  if (op.kind != OpKind::Contraction || op.operands.size() < 2 ||
      op.results.empty())
    return;
  work.batch = work.m = work.n = work.k = 1;
  work.oddRows = hasOddRows(op, local);
  int32_t experts = op.routingLoop();
  for (uint32_t l = 0; l < op.loops.size(); ++l) {
    bool a = uses(op.operands[0], l), b = uses(op.operands[1], l);
    bool c = uses(op.results[0], l);
    // Experts: each has rows of its own, whether they are kept or summed.
    bool choice = static_cast<int32_t>(l) == experts;
    int64_t &extent = choice   ? work.batch
                      : !c     ? work.k
                      : a && b ? work.batch
                      : a      ? work.m
                               : work.n;
    extent = saturatingMultiply(extent, local.extents[l]);
  }
  if (experts < 0)
    return;
  // The rows are shared out among the experts; loop 0 is the batch.
  int64_t &rows = uses(op.results[0], 0) ? work.m : work.k;
  rows = std::max<int64_t>(1, rows / local.extents[experts]);
}

int64_t accessElements(const ModuleClass &module, const Access &access,
                       const LocalOp &local) {
  int64_t elements = 1;
  for (size_t d = 0; d < access.dims.size(); ++d) {
    if (access.dims[d].empty())
      elements =
          saturatingMultiply(elements, module.values[access.value].extents[d]);
    for (uint32_t loop : access.dims[d])
      elements = saturatingMultiply(elements, local.extents[loop]);
  }
  return elements;
}

/// Of the loop with this name, or 0.
int64_t extentOf(const Op &op, const LocalOp &local, std::string_view name) {
  int32_t loop = op.findLoop(name);
  return loop < 0 ? 0 : local.extents[loop];
}

} // namespace

double scoresOf(const Op &op, const LocalOp &local) {
  double scores = 1;
  for (size_t l = 0; l < op.loops.size(); ++l)
    if (!op.loops[l].hasName("head"))
      scores *= static_cast<double>(local.extents[l]);
  return scores;
}

OpWork localWork(const Workload &workload, const ModuleClass &module,
                 const ShardedClass &sharded, uint32_t index,
                 const std::vector<bool> &materialised) {
  const Op &op = module.ops[index];
  const LocalOp &local = sharded.ops[index];
  OpWork work;
  work.kind = op.kind;
  work.precision = workload.precision;
  work.backward = op.phase != Phase::Forward;
  // Logits stay in 16 bits where the layers are in fewer.
  if (work.precision == "fp8" && op.findLoop("vocabulary") >= 0)
    work.precision = "bf16";
  work.routed = op.kind == OpKind::Contraction && op.routingLoop() >= 0;
  if (op.kind == OpKind::Attention) {
    work.scores = scoresOf(op, local);
    work.keys = extentOf(op, local, "keys");
    work.headSize = extentOf(op, local, "head");
  }
  work.used = static_cast<double>(op.usedNumerator * local.routedParts) /
              static_cast<double>(op.usedDenominator);
  work.fused = op.fused &&
               !(op.results.size() && materialised[op.results.front().value]);
  double points = 1;
  for (int64_t extent : local.extents)
    points *= static_cast<double>(extent);
  points *= work.used;
  work.flops = Flops(roundToInt64(points)) * op.flopsPerPoint;
  auto bytesOf = [&](const Access &access) {
    return Bytes(accessElements(module, access, local)) *
           module.values[access.value].elementBytes;
  };
  // A gather reads, and a scatter writes, no more rows than there are indices.
  Bytes touched = Bytes::max();
  if (op.kind == OpKind::Gather && !op.results.empty())
    touched = bytesOf(op.results.front());
  if (op.kind == OpKind::Scatter && !op.operands.empty())
    touched = bytesOf(op.operands.back());
  auto add = [&](const Access &access) {
    if (materialised[access.value])
      work.bytes += std::min(bytesOf(access), touched);
  };
  std::for_each(op.operands.begin(), op.operands.end(), add);
  std::for_each(op.results.begin(), op.results.end(), add);
  productShape(op, local, work);
  return work;
}

} // namespace whale::cost
