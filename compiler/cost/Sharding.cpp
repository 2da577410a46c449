//===- Sharding.cpp - a class of modules on one rank of a mesh ------------===//

#include "compiler/cost/Sharding.h"

#include "compiler/support/CheckedMath.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

namespace whale::cost {

using namespace workload;
using PK = Placement::Kind;

namespace {

/// The dimension of an access whose outermost loop is `loop`, or -1.
int outermostDim(const Access &access, int32_t loop) {
  for (size_t d = 0; d < access.dims.size(); ++d)
    if (!access.dims[d].empty() &&
        access.dims[d].front() == static_cast<uint32_t>(loop))
      return static_cast<int>(d);
  return -1;
}

bool outermostEverywhere(const Access &access, int32_t loop) {
  for (const std::vector<uint32_t> &loops : access.dims)
    for (size_t i = 1; i < loops.size(); ++i)
      if (loops[i] == static_cast<uint32_t>(loop))
        return false;
  return true;
}

/// Whether a loop of the op may be cut, be it long enough or not.
bool canCut(const Op &op, int32_t loop) {
  const LoopDim &dim = op.loops[loop];
  bool kind = dim.kind == LoopKind::Parallel || dim.kind == LoopKind::Indexed ||
              (dim.kind == LoopKind::Whole && op.expansionReductions > 0);
  if (!kind)
    return false;
  auto outermost = [&](const Access &a) {
    return outermostEverywhere(a, loop);
  };
  return std::all_of(op.operands.begin(), op.operands.end(), outermost) &&
         std::all_of(op.results.begin(), op.results.end(), outermost);
}

/// Shards one class; see the header for the rules.
class Sharder {
public:
  Sharder(const Workload &workload, const ModuleClass &module, LocalMesh mesh)
      : workload(workload), module(module), mesh(std::move(mesh)),
        batchDims(module.values.size(), -1), known(module.values.size(), false),
        copies(module.values.size()) {
    for (const Value &value : module.values)
      batchExtents.push_back(value.extents);
  }

  const ShardedClass &sharded() const { return result; }
  ShardedClass take() { return std::move(result); }

  void run() {
    size_t values = module.values.size();
    result.placements.assign(values, std::vector<Placement>(mesh.axes.size()));
    countUses();
    noteUses();
    setBatchExtents();
    uint32_t i = 0, ops = static_cast<uint32_t>(module.ops.size());
    result.ops.reserve(ops);
    for (uint32_t op = 0; op < ops; ++op)
      result.ops.push_back(localOp(op));
    for (uint32_t v : module.arguments)
      for (uint32_t a = 0; a < mesh.axes.size(); ++a)
        result.placements[v][a] = replicaPlacement(v, a);
    for (; i < ops && !backward(module.ops[i]); ++i)
      visit(i);
    finishForward(i);
    for (; i < ops; ++i)
      visit(i);
    finish();
  }

  /// See Rescaled.
  bool scale(int64_t samples, std::span<const uint32_t> ops) {
    mesh.samples = samples;
    setBatchExtents();
    auto update = [&](uint32_t index) {
      LocalOp local = localOp(index);
      LocalOp &known = result.ops[index];
      known.extents = std::move(local.extents);
      return known.loops == local.loops && known.routed == local.routed;
    };
    if (!std::all_of(ops.begin(), ops.end(), update))
      return false;
    for (const BatchUse &use : uses)
      result.valueBytes[use.value] =
          bytesOf(use.value, result.placements[use.value]);
    for (size_t t = 0; t < moves.size(); ++t) {
      Transfer &transfer = result.transfers[t];
      if (moves[t].loop >= 0 && !update(transfer.beforeOp))
        return false;
      setBytes(transfer, moves[t]);
    }
    for (size_t c = 0; c < result.copies.size(); ++c)
      result.copies[c].bytes =
          bytesOf(result.copies[c].value, copyPlacements[c]);
    return true;
  }

  std::optional<ShortLoop> shortLoop() {
    for (uint32_t index = 0; index < module.ops.size(); ++index) {
      const Op &op = module.ops[index];
      LocalOp local = localOp(index);
      for (uint32_t a = 0; a < mesh.axes.size(); ++a) {
        const SplitAxis &axis = mesh.axes[a];
        bool held = axis.size > 1 && (axis.holds.empty() || axis.holds[index]);
        int32_t loop = held ? requiredLoop(op, axis) : -1;
        if (loop >= 0 && loop != local.loops[a])
          return ShortLoop{index, static_cast<uint32_t>(loop),
                           piecesOf(local, loop, a) * axis.pieces()};
      }
    }
    return std::nullopt;
  }

private:
  bool backward(const Op &op) const { return op.phase != Phase::Forward; }

  /// Whether every use of a value, per direction, may take a partial sum.
  void countUses() {
    for (auto &direction : passesEverywhere)
      direction.assign(module.values.size(), true);
    for (const Op &op : module.ops)
      for (const Access &operand : op.operands)
        if (op.linearity == Linearity::None)
          passesEverywhere[backward(op)][operand.value] = false;
    for (uint32_t v : module.results)
      passesEverywhere[0][v] = false;
    for (int64_t v : module.argumentGradients)
      if (v >= 0)
        passesEverywhere[1][v] = false;
  }

  /// A dimension of a value that is the batch: so many of its elements for each
  /// iteration of the loop. The last op that uses the value says it.
  struct BatchUse {
    uint32_t value = 0, dim = 0;
    int64_t parts = 1;
    const LoopDim *loop = nullptr;
  };

  void noteUses() {
    std::map<std::pair<uint32_t, uint32_t>, BatchUse> found;
    auto note = [&](const Op &op, const Access &access) {
      for (uint32_t d = 0; d < access.dims.size(); ++d)
        for (uint32_t l : access.dims[d])
          if (const LoopDim &loop = op.loops[l];
              loop.hasName(workload.batchDim)) {
            found[{access.value, d}] = {
                access.value, d,
                module.values[access.value].extents[d] / loop.extent, &loop};
            batchDims[access.value] = static_cast<int>(d);
          }
    };
    for (const Op &op : module.ops) {
      for (const Access &operand : op.operands)
        note(op, operand);
      for (const Access &made : op.results)
        note(op, made);
    }
    for (const auto &[where, use] : found)
      uses.push_back(use);
  }

  void setBatchExtents() {
    for (const BatchUse &use : uses)
      batchExtents[use.value][use.dim] = use.parts * microExtent(*use.loop);
  }

  /// How arguments and results lie on a replica axis: cut along the batch.
  Placement replicaPlacement(uint32_t v, uint32_t axis) const {
    if (!mesh.axes[axis].replica || batchDims[v] < 0)
      return {};
    return {PK::Cut, static_cast<uint8_t>(batchDims[v])};
  }

  LocalOp localOp(uint32_t index) {
    const Op &op = module.ops[index];
    LocalOp local;
    local.copies.assign(op.operands.size(), -1);
    local.extents.reserve(op.loops.size());
    local.loops.reserve(mesh.axes.size());
    for (const LoopDim &loop : op.loops)
      local.extents.push_back(microExtent(loop));
    for (const SplitAxis &axis : mesh.axes) {
      bool held = axis.size > 1 && (axis.holds.empty() || axis.holds[index]);
      int32_t experts = held ? routingLoop(op, axis) : -1;
      int32_t loop = experts >= 0 ? experts
                     : held       ? chosenLoop(op, local, axis)
                                  : -1;
      if (axis.size > 1 && axis.replica && loop < 0)
        loop = sharedBatch(op, local, axis);
      local.loops.push_back(loop);
      local.routed.push_back(experts >= 0);
      if (loop >= 0)
        local.extents[loop] = axis.partOf(local.extents[loop]);
      if (experts < 0)
        continue;
      local.routedParts *= axis.size;
      int64_t &rows = local.extents[rowsLoop(op, axis)];
      rows = ceilDivide(rows, axis.size);
    }
    return local;
  }

  /// The loop along which replicas cut an op that nothing else cuts: its batch,
  /// also where the op couples samples, but only those of a group.
  int32_t sharedBatch(const Op &op, const LocalOp &local,
                      const SplitAxis &axis) const {
    int32_t loop = batchLoop(op);
    if (loop < 0 || op.loops[loop].kind != LoopKind::Whole)
      return firstNamed(op, local, axis, workload.batchDim);
    int64_t pieces = piecesOf(local, loop, local.loops.size()) * axis.size;
    return microExtent(op.loops[loop]) >= pieces * workload.sampleGroup ? loop
                                                                        : -1;
  }

  int32_t batchLoop(const Op &op) const {
    return op.findLoop(workload.batchDim);
  }

  /// The loop along which an axis cuts the rows that it sends to experts; -1
  /// where the op has none, or the axis gathers them.
  int32_t rowsLoop(const Op &op, const SplitAxis &axis) const {
    if (!axis.rows.empty())
      return op.findLoop(axis.rows);
    bool both = axis.dims.size() > 1 && axis.dims.back() == workload.batchDim;
    return both ? batchLoop(op) : -1;
  }

  /// The loop over experts of an op in which each row meets one of them, if the
  /// axis sends them rows; else -1.
  int32_t routingLoop(const Op &op, const SplitAxis &axis) const {
    if (axis.widths || rowsLoop(op, axis) < 0)
      return -1;
    int32_t experts = op.routingLoop();
    bool fits = experts >= 0 && op.loops[experts].hasName(axis.dims.front()) &&
                op.loops[experts].extent >= axis.size;
    return fits ? experts : -1;
  }

  int32_t chosenLoop(const Op &op, const LocalOp &local,
                     const SplitAxis &axis) const {
    for (const std::string &dim : axis.dims)
      if (op.findLoop(dim) >= 0)
        // What replicas do along the batch, sharedBatch() knows.
        return axis.replica && dim == workload.batchDim
                   ? -1
                   : firstNamed(op, local, axis, dim);
    return -1;
  }

  /// The loop that the axis must cut, if there is one.
  int32_t requiredLoop(const Op &op, const SplitAxis &axis) const {
    for (const std::string &dim : axis.dims)
      if (int32_t loop = op.findLoop(dim); loop >= 0) {
        bool required = std::find(axis.required.begin(), axis.required.end(),
                                  dim) != axis.required.end();
        return required && dim != workload.batchDim && canCut(op, loop) ? loop
                                                                        : -1;
      }
    return -1;
  }

  /// The first loop of a name, if the axis can cut it.
  int32_t firstNamed(const Op &op, const LocalOp &local, const SplitAxis &axis,
                     const std::string &name) const {
    int32_t loop = op.findLoop(name);
    if (loop < 0 || !canCut(op, loop))
      return -1;
    int64_t pieces = saturatingMultiply(
        piecesOf(local, loop, local.loops.size()), axis.pieces());
    return microExtent(op.loops[loop]) / op.loops[loop].multiple >= pieces
               ? loop
               : -1;
  }

  /// Into how many pieces the first `axes` axes cut a loop.
  int64_t piecesOf(const LocalOp &local, int32_t loop, size_t axes) const {
    int64_t pieces = 1;
    for (size_t a = 0; a < axes; ++a)
      if (local.loops[a] == loop)
        pieces = saturatingMultiply(pieces, mesh.axes[a].pieces());
    return pieces;
  }

  /// Of one micro-batch.
  int64_t microExtent(const LoopDim &loop) const {
    if (!loop.hasName(workload.batchDim))
      return loop.extent;
    return std::max<int64_t>(
        1, ceilDivide(saturatingMultiply(loop.extent, mesh.samples),
                      workload.globalBatch));
  }

  static bool isCut(const Placement &placement) {
    return placement.kind == PK::Cut || placement.kind == PK::Routed;
  }

  /// Of a micro-batch of a value under given placements.
  std::vector<int64_t>
  localExtents(uint32_t v, const std::vector<Placement> &placements) const {
    std::vector<int64_t> extents = batchExtents[v];
    for (size_t a = 0; a < placements.size(); ++a)
      if (isCut(placements[a])) {
        int64_t &extent = extents[placements[a].dim];
        extent = mesh.axes[a].partOf(extent);
      }
    return extents;
  }

  /// localExtents() multiplied, without the list: it is asked for most of all.
  Bytes bytesOf(uint32_t v, const std::vector<Placement> &placements) const {
    int64_t bytes = module.values[v].elementBytes;
    for (size_t d = 0; d < batchExtents[v].size(); ++d) {
      int64_t extent = batchExtents[v][d];
      for (size_t a = 0; a < placements.size(); ++a)
        if (isCut(placements[a]) && placements[a].dim == d)
          extent = mesh.axes[a].partOf(extent);
      bytes = saturatingMultiply(bytes, extent);
    }
    double fullest = 1;
    for (size_t a = 0; a < placements.size(); ++a)
      if (placements[a].kind == PK::Routed)
        fullest = mesh.axes[a].fullest;
    return fullest == 1 ? Bytes(bytes) : Bytes(bytes).scaled(fullest);
  }

  Placement demandOf(const Access &access, int32_t loop) const {
    int dim = loop >= 0 ? outermostDim(access, loop) : -1;
    if (dim < 0)
      return {};
    return {PK::Cut, static_cast<uint8_t>(dim)};
  }

  bool passesPartial(const Op &op, uint32_t axis) const {
    size_t partial = 0;
    for (const Access &operand : op.operands)
      if (result.placements[operand.value][axis].kind == PK::Partial) {
        ++partial;
        if (!passesEverywhere[backward(op)][operand.value])
          return false;
      }
    switch (op.linearity) {
    case Linearity::None:
      return false;
    case Linearity::Joint:
      return partial > 0 && partial == op.operands.size();
    case Linearity::First:
      return partial == 1 && isPartial(op.operands[0].value, axis);
    case Linearity::Each:
      return partial == 1 && resultNotLarger(op);
    }
    return false;
  }
  bool isPartial(uint32_t v, uint32_t axis) const {
    return result.placements[v][axis].kind == PK::Partial;
  }
  bool resultNotLarger(const Op &op) const {
    int64_t operand = 0, made = 0;
    for (const Access &a : op.operands)
      operand = std::max(operand, module.values[a.value].bytes());
    for (const Access &a : op.results)
      made = std::max(made, module.values[a.value].bytes());
    return made <= operand;
  }

  /// How an operand or result of a routed op lies: its weights by experts, its
  /// rows at them.
  Placement routedPlacement(const Op &op, const Access &access, uint32_t axis,
                            int32_t experts) const {
    if (outermostDim(access, experts) >= 0)
      return demandOf(access, experts);
    Placement rows = demandOf(access, rowsLoop(op, mesh.axes[axis]));
    if (rows.kind == PK::Cut)
      rows.kind = PK::Routed;
    return rows;
  }

  /// Whether an op works on rows where they are: all its operands with rows are
  /// at the experts, and its result has all its loops and no more bytes, which
  /// would have to travel.
  bool staysRouted(const Op &op, uint32_t axis) const {
    int32_t rows = rowsLoop(op, mesh.axes[axis]);
    bool any = false;
    for (const Access &operand : op.operands) {
      if (outermostDim(operand, rows) < 0)
        continue;
      if (result.placements[operand.value][axis].kind != PK::Routed)
        return false;
      any = true;
    }
    return any && op.results.size() == 1 && resultNotLarger(op) &&
           op.results.front().dims.size() == op.loops.size();
  }

  void visitRouted(uint32_t index, uint32_t axis, int32_t experts) {
    const Op &op = module.ops[index];
    for (size_t o = 0; o < op.operands.size(); ++o)
      bringOperand(index, o, axis,
                   routedPlacement(op, op.operands[o], axis, experts));
    for (const Access &made : op.results)
      result.placements[made.value][axis] =
          routedPlacement(op, made, axis, experts);
  }

  /// The axes along which an operand is a partial sum first: what is scattered
  /// there is smaller in what the others exchange.
  std::vector<uint32_t> visitOrder(const Op &op) const {
    std::vector<uint32_t> order;
    for (bool partial : {true, false})
      for (uint32_t a = 0; a < mesh.axes.size(); ++a)
        if (partial == std::any_of(op.operands.begin(), op.operands.end(),
                                   [&](const Access &operand) {
                                     return isPartial(operand.value, a);
                                   }))
          order.push_back(a);
    return order;
  }

  void visit(uint32_t index) {
    const Op &op = module.ops[index];
    for (uint32_t a : visitOrder(op)) {
      int32_t loop = result.ops[index].loops[a];
      bool routed = result.ops[index].routed[a];
      if (routed || staysRouted(op, a)) {
        visitRouted(index, a, routed ? loop : -1);
        continue;
      }
      bool pass = loop < 0 && passesPartial(op, a);
      if (!pass)
        for (size_t o = 0; o < op.operands.size(); ++o)
          bringOperand(index, o, a, demandOf(op.operands[o], loop));
      if (loop >= 0 && op.loops[loop].kind == LoopKind::Whole)
        expansion(index, a, loop);
      for (const Access &made : op.results) {
        Placement &p = result.placements[made.value][a];
        p = demandOf(made, loop);
        if (pass || (loop >= 0 && p.kind == PK::Whole))
          p.kind = PK::Partial;
        if (loop >= 0 && op.loops[loop].kind == LoopKind::Whole &&
            p.kind == PK::Partial)
          p.kind = PK::Whole; // The expansion has combined it.
      }
    }
    for (const Access &made : op.results)
      known[made.value] = true;
    for (const Access &operand : op.operands)
      known[operand.value] = true;
  }

  void bringOperand(uint32_t index, size_t operand, uint32_t axis,
                    Placement wanted) {
    const Op &op = module.ops[index];
    int32_t &read = result.ops[index].copies[operand];
    read = bring(op.operands[operand].value, axis, wanted, index, read);
    if (read >= 0)
      result.copies[read].inBackward |= backward(op);
  }

  /// What decides the bytes of a transfer beside its samples.
  struct Moved {
    /// Where the larger side is, and where it goes; none = row statistics of an
    /// op that is cut along this loop.
    std::vector<Placement> from;
    Placement to;
    int32_t loop = -1;
    /// Its parts are not contiguous in the larger side.
    bool strided = false;
  };

  void setBytes(Transfer &transfer, const Moved &moved) const {
    if (moved.loop >= 0) {
      const LocalOp &local = result.ops[transfer.beforeOp];
      int64_t rows = 1;
      for (size_t l = 0; l < local.extents.size(); ++l)
        if (static_cast<int32_t>(l) != moved.loop)
          rows = saturatingMultiply(rows, local.extents[l]);
      transfer.bytes = Bytes(rows) * 4;
      return;
    }
    bool padded = mesh.axes[transfer.axis].widths &&
                  transfer.kind != CollectiveKind::AllReduce;
    transfer.bytes = padded ? paddedBytes(transfer, moved)
                            : bytesOf(transfer.value, moved.from);
    if (transfer.ofRows) {
      std::vector<Placement> to = moved.from;
      to[transfer.axis] = moved.to;
      transfer.bytes = std::max(transfer.bytes, bytesOf(transfer.value, to));
    }
    transfer.staging = moved.strided ? transfer.bytes : Bytes();
    if (transfer.kind == CollectiveKind::ReduceScatter)
      transfer.staging += transfer.bytes; // The partial sum itself.
  }

  /// Of unequal parts, as if all were as the largest.
  Bytes paddedBytes(const Transfer &transfer, const Moved &moved) const {
    const SplitAxis &axis = mesh.axes[transfer.axis];
    std::vector<Placement> whole = moved.from;
    whole[transfer.axis] = {};
    Bytes each = bytesOf(transfer.value, whole);
    each = ceilDivide(each * axis.widths->most, axis.widths->sum);
    // Each part of an all-to-all is cut again.
    if (transfer.kind == CollectiveKind::AllToAll)
      each = ceilDivide(each * axis.widths->most, axis.widths->sum);
    return each * axis.size;
  }

  /// All-reduces of the row statistics of an op cut along its whole loop.
  void expansion(uint32_t index, uint32_t axis, int32_t loop) {
    const Op &op = module.ops[index];
    for (uint32_t i = 0; i < op.expansionReductions; ++i) {
      Transfer transfer;
      transfer.axis = axis;
      transfer.beforeOp = index;
      transfer.value = op.results.front().value;
      transfer.phase = op.phase;
      moves.push_back({{}, {}, loop, false});
      setBytes(transfer, moves.back());
      result.transfers.push_back(transfer);
    }
  }

  /// Gives value `v` the placement `wanted` for op `index`, by a collective or
  /// a slice, of its copy `from` that other axes have made for the op, or of
  /// `v` itself (-1). Returns the copy to read, or `from` where that has it
  /// now.
  int32_t bring(uint32_t v, uint32_t axis, Placement wanted, uint32_t index,
                int32_t from = -1) {
    Placement &now =
        from < 0 ? result.placements[v][axis] : copyPlacements[from][axis];
    ValueKind kind = module.values[v].kind;
    bool free = kind == ValueKind::Variable ||
                (kind == ValueKind::Argument && !mesh.axes[axis].replica);
    if (free && !known[v] && wanted.kind == PK::Cut)
      now = wanted;
    if (kind == ValueKind::ResultGradient && !known[v])
      now = result.placements[module.results[module.values[v].index]][axis];
    if (now == wanted || (now.kind == PK::Whole && !needsSlice(v, index)))
      return from;
    std::vector<Placement> placements =
        from < 0 ? result.placements[v] : copyPlacements[from];
    if (now.kind == PK::Partial) {
      addTransfer(v, placements, axis, wanted, index);
      now = wanted;
      return from;
    }
    auto [made, isNew] =
        copies[v].try_emplace({from, axis, wanted.kind, wanted.dim}, -1);
    if (!isNew)
      return made->second;
    made->second = static_cast<int32_t>(result.copies.size());
    if (now.kind != PK::Whole) // A slice needs nobody else.
      addTransfer(v, placements, axis, wanted, index).copy = made->second;
    placements[axis] = wanted;
    result.copies.push_back({v, bytesOf(v, placements), index, false});
    copyPlacements.push_back(std::move(placements));
    return made->second;
  }

  /// Whether a cut of the whole value is a buffer of its own: kernels that are
  /// generated read a part in place, and variables are cut once per step.
  bool needsSlice(uint32_t v, uint32_t index) const {
    if (index == module.ops.size() ||
        module.values[v].kind == ValueKind::Variable)
      return false;
    OpKind kind = module.ops[index].kind;
    return kind != OpKind::Elementwise && kind != OpKind::Reduction;
  }

  /// The collective for a value that lies as `placements`, cut or partial along
  /// the axis.
  Transfer &addTransfer(uint32_t v, const std::vector<Placement> &placements,
                        uint32_t axis, Placement wanted, uint32_t index) {
    PK now = placements[axis].kind;
    bool gather = now == PK::Cut || now == PK::Routed;
    Moved moved{placements, wanted};
    Transfer transfer;
    transfer.axis = axis;
    transfer.beforeOp = index;
    transfer.value = v;
    transfer.phase = index < module.ops.size() ? module.ops[index].phase
                                               : Phase::BackwardInput;
    if (gather && wanted.kind != PK::Whole) {
      transfer.kind = CollectiveKind::AllToAll;
      transfer.ofRows = now == PK::Routed || wanted.kind == PK::Routed;
    } else {
      moved.from[axis] = {};
      transfer.kind = gather                   ? CollectiveKind::AllGather
                      : wanted.kind == PK::Cut ? CollectiveKind::ReduceScatter
                                               : CollectiveKind::AllReduce;
    }
    uint8_t dim = gather ? placements[axis].dim : wanted.dim;
    moved.strided = transfer.kind != CollectiveKind::AllReduce && dim > 0;
    setBytes(transfer, moved);
    moves.push_back(std::move(moved));
    return result.transfers.emplace_back(transfer);
  }

  /// Sums what is still partial at the end of the forward part, and gives
  /// replicas their samples' results.
  void finishForward(uint32_t firstBackward) {
    for (uint32_t v : module.results)
      for (uint32_t a = 0; known[v] && a < mesh.axes.size(); ++a) {
        bool replica = mesh.axes[a].replica;
        if (!isPartial(v, a) && !replica)
          continue;
        Placement wanted =
            replica ? replicaPlacement(v, a) : streamPlacement(v, a);
        size_t before = result.transfers.size();
        bring(v, a, wanted, firstBackward);
        result.placements[v][a] = wanted;
        for (size_t t = before; t < result.transfers.size(); ++t)
          result.transfers[t].phase = Phase::Forward;
      }
  }

  /// How a result should lie: as the first argument, if it is alike.
  Placement streamPlacement(uint32_t v, uint32_t axis) const {
    if (module.arguments.empty())
      return {};
    uint32_t stream = module.arguments.front();
    bool alike = module.values[stream].extents == module.values[v].extents;
    return alike && known[stream] ? result.placements[stream][axis]
                                  : Placement{};
  }

  /// Gradients of arguments and variables lie as these.
  void finish() {
    uint32_t end = static_cast<uint32_t>(module.ops.size());
    for (size_t i = 0; i < module.argumentGradients.size(); ++i) {
      int64_t v = module.argumentGradients[i];
      for (uint32_t a = 0; v >= 0 && a < mesh.axes.size(); ++a)
        if (known[static_cast<uint32_t>(v)])
          bring(static_cast<uint32_t>(v), a,
                result.placements[module.arguments[i]][a], end);
    }
    variableGradients(end);
    for (uint32_t v = 0; v < module.values.size(); ++v)
      result.valueBytes.push_back(bytesOf(v, result.placements[v]));
    for (const Variable &variable : module.variables)
      result.variableExtents.push_back(variable.extents);
    for (uint32_t v = 0; v < module.values.size(); ++v)
      if (module.values[v].kind == ValueKind::Variable)
        result.variableExtents[module.values[v].index] =
            localExtents(v, result.placements[v]);
    for (const std::vector<int64_t> &extents : result.variableExtents) {
      int64_t elements = 1;
      for (int64_t extent : extents)
        elements = saturatingMultiply(elements, extent);
      result.variableElements.push_back(elements);
    }
    for (uint32_t i = 0; i < module.variables.size(); ++i)
      result.ownedElements.push_back(
          ceilDivide(result.variableElements[i], stateShards(i)));
  }

  /// Over how many ranks the state of a variable is cut that lies whole on
  /// them.
  int64_t stateShards(uint32_t variable) const {
    int64_t shards = 1;
    for (uint32_t a = 0; a < mesh.axes.size(); ++a)
      if (mesh.axes[a].shardsState &&
          placementOfVariable(variable, a).kind == PK::Whole)
        shards *= mesh.axes[a].size;
    return shards;
  }

  void variableGradients(uint32_t end) {
    for (uint32_t v = 0; v < module.values.size(); ++v) {
      if (module.values[v].kind != ValueKind::VariableGradient || !known[v])
        continue;
      for (uint32_t a = 0; a < mesh.axes.size(); ++a) {
        // Replicas sum all their gradients together: see ClassCost::cut.
        if (mesh.axes[a].replica)
          continue;
        size_t before = result.transfers.size();
        bring(v, a, placementOfVariable(module.values[v].index, a), end);
        for (size_t t = before; t < result.transfers.size(); ++t)
          result.transfers[t].oncePerStep = true;
      }
    }
  }

  Placement placementOfVariable(uint32_t variable, uint32_t axis) const {
    for (uint32_t v = 0; v < module.values.size(); ++v)
      if (module.values[v].kind == ValueKind::Variable &&
          module.values[v].index == variable)
        return result.placements[v][axis];
    return {};
  }

  const Workload &workload;
  const ModuleClass &module;
  LocalMesh mesh;
  ShardedClass result;
  /// Extents of one micro-batch.
  std::vector<std::vector<int64_t>> batchExtents;
  /// Per value the dimension that is the batch, or -1.
  std::vector<int> batchDims;
  std::vector<bool> known;
  std::array<std::vector<bool>, 2> passesEverywhere;
  std::vector<BatchUse> uses;
  /// By transfer.
  std::vector<Moved> moves;
  /// Copies per value, by what they are made of, axis and placement.
  std::vector<std::map<std::tuple<int32_t, uint32_t, PK, uint8_t>, int32_t>>
      copies;
  /// Where each copy is.
  std::vector<std::vector<Placement>> copyPlacements;
};

} // namespace

ShardedClass shard(const Workload &workload, const ModuleClass &module,
                   const LocalMesh &mesh) {
  Sharder sharder(workload, module, mesh);
  sharder.run();
  return sharder.take();
}

struct Rescaled::Impl {
  Sharder sharder;
};

Rescaled::Rescaled(const Workload &workload, const ModuleClass &module,
                   LocalMesh mesh)
    : impl(new Impl{Sharder(workload, module, std::move(mesh))}) {
  impl->sharder.run();
}

Rescaled::~Rescaled() = default;

const ShardedClass &Rescaled::sharded() const {
  return impl->sharder.sharded();
}

bool Rescaled::scale(int64_t samples, std::span<const uint32_t> ops) {
  return impl->sharder.scale(samples, ops);
}

std::optional<ShortLoop> shortLoop(const Workload &workload,
                                   const ModuleClass &module,
                                   const LocalMesh &mesh) {
  bool anyRequired =
      std::any_of(mesh.axes.begin(), mesh.axes.end(),
                  [](const SplitAxis &axis) { return !axis.required.empty(); });
  if (!anyRequired)
    return std::nullopt;
  return Sharder(workload, module, mesh).shortLoop();
}

} // namespace whale::cost
