// Iteration spaces are right: an op cut along any loop dimension that may be
// cut, evaluated piece by piece and put together again as the accesses say,
// gives what the whole op gives.

#include "test/unit/gradients/Harness.h"
#include "test/unit/gradients/OpCases.h"

#include "mlir/IR/Builders.h"

#include <catch2/catch.hpp>

using namespace reference;
using whale::Access;
using whale::IterationSpace;
using whale::LoopDim;
using whale::LoopKind;

namespace {
/// Iterations [begin, end) of one loop.
struct Piece {
  unsigned loop;
  int64_t begin, end;
};
} // namespace

/// Per tensor dimension the indices that belong to the piece.
static std::vector<std::vector<int64_t>> indicesOf(const IterationSpace &space,
                                                   const Access &access,
                                                   const Shape &shape,
                                                   const Piece &piece) {
  std::vector<std::vector<int64_t>> kept(shape.size());
  for (size_t dim = 0; dim < shape.size(); ++dim)
    for (int64_t index = 0; index < shape[dim]; ++index) {
      // The index in mixed radix: loops of the dimension, innermost last.
      int64_t rest = index;
      bool inside = true;
      for (unsigned loop : llvm::reverse(access.dims[dim])) {
        int64_t own = rest % space.loops[loop].extent;
        rest /= space.loops[loop].extent;
        if (loop == piece.loop)
          inside = own >= piece.begin && own < piece.end;
      }
      if (inside)
        kept[dim].push_back(index);
    }
  return kept;
}

/// Calls `visit(index in the piece, index in the whole)`.
static void
forEachKept(const std::vector<std::vector<int64_t>> &kept,
            const std::function<void(const Index &, const Index &)> &visit) {
  Shape shape;
  for (const auto &indices : kept)
    shape.push_back(indices.size());
  forEachIndex(shape, [&](const Index &index) {
    Index whole;
    for (size_t dim = 0; dim < index.size(); ++dim)
      whole.push_back(kept[dim][index[dim]]);
    visit(index, whole);
  });
}

static Tensor cut(const Tensor &whole,
                  const std::vector<std::vector<int64_t>> &kept) {
  Shape shape;
  for (const auto &indices : kept)
    shape.push_back(indices.size());
  Tensor part(shape, whole.isInteger);
  forEachKept(kept, [&](const Index &to, const Index &from) {
    if (whole.isInteger)
      part.intAt(to) = whole.intAt(from);
    else
      part.at(to) = whole.at(from);
  });
  return part;
}

static double combine(whale::ReductionKind kind, double a, double b) {
  if (kind == whale::ReductionKind::max)
    return std::max(a, b);
  if (kind == whale::ReductionKind::min)
    return std::min(a, b);
  return a + b;
}

/// Puts a piece's result into the whole: in its place where the result has the
/// loop, combined with the pieces before where it has not.
static void put(Tensor &whole, const Tensor &part, const IterationSpace &space,
                const Access &access, const Piece &piece) {
  bool partial = !access.uses(piece.loop) && piece.begin > 0;
  auto kind = space.loops[piece.loop].reduction;
  forEachKept(indicesOf(space, access, whole.shape, piece),
              [&](const Index &from, const Index &to) {
                if (whole.isInteger)
                  whole.intAt(to) = part.intAt(from);
                else
                  whole.at(to) =
                      partial ? combine(kind, whole.at(to), part.at(from))
                              : part.at(from);
              });
}

/// The op with local result types.
static mlir::Operation *
localOp(mlir::Operation *op, const IterationSpace &space, const Piece &piece) {
  mlir::Operation *local = op->clone();
  for (auto [result, access] : llvm::zip(local->getResults(), space.results)) {
    auto type = llvm::cast<mlir::RankedTensorType>(result.getType());
    std::vector<int64_t> shape;
    for (const auto &kept :
         indicesOf(space, access, Shape(type.getShape()), piece))
      shape.push_back(kept.size());
    result.setType(type.clone(shape));
  }
  return local;
}

static void runPiece(mlir::Operation *op, const IterationSpace &space,
                     const Tensors &operands, const Piece &piece,
                     Tensors &results) {
  Context context;
  context.key = "d";
  for (const LoopDim &loop : space.loops) {
    context.offsets.push_back(0);
    context.extents.push_back(loop.extent);
  }
  context.offsets[piece.loop] = piece.begin;
  Tensors parts;
  for (auto [operand, access] : llvm::zip(operands, space.operands))
    parts.push_back(
        cut(operand, indicesOf(space, access, operand.shape, piece)));
  mlir::Operation *local = localOp(op, space, piece);
  Tensors made = evaluate(local, parts, context);
  local->destroy();
  for (size_t i = 0; i < made.size(); ++i)
    put(results[i], made[i], space, space.results[i], piece);
}

static double distance(const Tensor &a, const Tensor &b) {
  double worst = a.integers == b.integers ? 0 : 1;
  for (size_t i = 0; i < a.reals.size(); ++i)
    worst = std::max(worst, std::fabs(a.reals[i] - b.reals[i]));
  return worst;
}

/// The op of a case; operands are the arguments of a module.
static std::string moduleText(const OpCase &opCase) {
  std::string arguments;
  for (size_t i = 0; i < opCase.operands.size(); ++i)
    arguments += (i ? ", %a" : "%a") + std::to_string(i) + ": " +
                 typeText(opCase.operands[i]);
  return "whale.model @m {\nwhale.module @op(" + arguments + ") {\n" +
         operationText(opCase) + "whale.return\n}\n}\n";
}

static bool mayBeCut(const LoopDim &loop) {
  return (loop.kind == LoopKind::Parallel || loop.kind == LoopKind::Indexed) &&
         loop.extent / loop.multiple >= 2;
}

TEST_CASE("pieces of every op make the whole") {
  size_t cuts = 0;
  for (const OpCase &opCase : opCases()) {
    Model model(moduleText(opCase));
    INFO(moduleText(opCase) << model.diagnostics());
    REQUIRE(model.ok());
    auto module = model.op().lookupSymbol<whale::ModuleDefOp>("op");
    mlir::Operation *op = &module.getBody().front().front();
    auto space =
        llvm::cast<whale::IterationSpaceOpInterface>(op).getIterationSpace();
    REQUIRE(space.operands.size() == op->getNumOperands());
    REQUIRE(space.results.size() == op->getNumResults());
    Tensors operands;
    std::mt19937_64 random(7);
    for (auto [value, text] : llvm::zip(op->getOperands(), opCase.operands)) {
      operands.emplace_back(value.getType());
      fill(operands.back(), text, random);
    }
    Context context;
    context.key = "d";
    Tensors whole = evaluate(op, operands, context);
    for (unsigned loop = 0; loop < space.loops.size(); ++loop) {
      const LoopDim &dim = space.loops[loop];
      if (!mayBeCut(dim))
        continue;
      Tensors pieces;
      for (mlir::Type type : op->getResultTypes())
        pieces.emplace_back(type);
      // Uneven where the extent allows: the first piece gets two thirds.
      int64_t blocks = dim.extent / dim.multiple;
      int64_t middle = std::max<int64_t>(1, blocks * 2 / 3) * dim.multiple;
      runPiece(op, space, operands, {loop, 0, middle}, pieces);
      runPiece(op, space, operands, {loop, middle, dim.extent}, pieces);
      for (size_t i = 0; i < whole.size(); ++i) {
        INFO("loop " << loop << " '" << dim.name << "', result " << i);
        CHECK(distance(whole[i], pieces[i]) < 1e-12);
      }
      ++cuts;
    }
  }
  CHECK(cuts > 150);
}
