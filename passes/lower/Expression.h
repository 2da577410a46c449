//===- Expression.h - what a cluster computes, as a graph -------*- C++ -*-===//
//
// The emitter's view of a cluster: nodes for values at places of the domain,
// with virtual ops written out, the passes over a row in which they are known,
// and which of them are kept for later passes.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PASSES_LOWER_EXPRESSION_H
#define WHALE_PASSES_LOWER_EXPRESSION_H

#include "passes/lower/Kernel.h"

namespace whale::lower {

/// Which loops a node depends on.
enum class Level { Kernel, Row, Element };

struct Node {
  enum Kind {
    Load,      ///< of a buffer, by strides
    Constant,  ///< whale.constant
    Iota,      ///< index of a domain dimension plus a scalar
    StepTerm,  ///< the step number, a scalar
    Compute,   ///< scalar body of an op
    Dropout,   ///< by counter
    Add,       ///< rank.accumulate: the old value and the operand
    RowReduce, ///< of the operand over the row
  };
  Kind kind = Compute;
  mlir::Operation *op = nullptr; ///< null for Load
  mlir::Value value;             ///< what it stands for
  llvm::SmallVector<unsigned, 3> operands;
  Level level = Level::Kernel;
  /// First pass over the row in which it can be computed.
  unsigned pass = 0;
  /// Rough cost of computing it again from memory.
  unsigned cost = 1;
  /// Load, Dropout: elements from one to the next, per domain dimension.
  llvm::SmallVector<int64_t, 6> strides;
  /// Load, Iota: index of the first element.
  int64_t base = 0;
  /// Iota: domain dimension (-1: the base alone).
  int dim = -1;
  /// Scalar argument (offset of an index, key of dropout, step); -1 = none.
  int scalar = -1;
  /// Kept in row scratch (its slot), or read back from an output.
  int slot = -1;
  int reload = -1; ///< index of outputs
};

/// A result that the kernel writes.
struct Root {
  enum Kind {
    Store,     ///< an element, or one value per row
    Accumulate ///< a reduction that ends in memory
  };
  Kind kind = Store;
  mlir::Value value;
  unsigned node = 0; ///< what is stored, or reduced
  /// Where the elements are met: every element, or once per row.
  Level level = Level::Element;
  llvm::SmallVector<int64_t, 6> strides;
  whale::ReductionKind reduction = static_cast<whale::ReductionKind>(0);
};

class Expression {
public:
  Expression(const Cluster &cluster, const Clusters &clusters);

  llvm::SmallVector<Node> nodes;
  llvm::SmallVector<Root> roots;
  std::vector<format::ScalarT> scalars;
  unsigned passes = 1;
  /// Types (widened) of the row scratch slots.
  llvm::SmallVector<mlir::Type> slots;

  /// Merged domain dimensions, outermost first; extents above 1.
  struct Group {
    int64_t extent = 1;
    unsigned last = 0;  ///< innermost domain dimension of the group
    bool inner = false; ///< part of the row, or the innermost loop
    llvm::SmallVector<unsigned> dims;
  };
  llvm::SmallVector<Group> groups;

  /// Row reductions, in op order.
  llvm::SmallVector<unsigned> rowReduces;
  /// Whether no element of `value` is read in a later pass than `pass`.
  bool readsOnlyUpTo(mlir::Value value, unsigned pass) const;

private:
  unsigned build(mlir::Value value, const IndexMap &map);
  unsigned buildOp(mlir::Operation *op, mlir::Value value, const IndexMap &map);
  unsigned buildLoad(mlir::Value value, const IndexMap &map);
  void buildRoots();
  void setGroups();
  void setLevels();
  void setLevel(Node &node);
  void keepForLaterPasses();
  void visitPass(unsigned node, unsigned pass,
                 llvm::SmallVectorImpl<char> &seen);
  int scalarIndex(format::ScalarT scalar);
  void setDropout(Node &node, mlir::Operation *op, const IndexMap &map);
  Level levelOf(llvm::ArrayRef<int64_t> strides) const;
  llvm::SmallVector<int64_t, 6> stridesOf(llvm::ArrayRef<int64_t> shape,
                                          const IndexMap &map,
                                          int64_t *base = nullptr) const;

  const Cluster &cluster;
  const Clusters &clusters;
  unsigned innerStart = 0; ///< first domain dimension of the innermost loops
  std::map<std::pair<const void *, std::vector<int64_t>>, unsigned> memo;
};

/// f32 for bf16 and f16, else the type itself.
mlir::Type widened(mlir::Type element);

} // namespace whale::lower

#endif // WHALE_PASSES_LOWER_EXPRESSION_H
