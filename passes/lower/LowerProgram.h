//===- LowerProgram.h - one rank.program to sections ------------*- C++ -*-===//

#ifndef WHALE_PASSES_LOWER_LOWERPROGRAM_H
#define WHALE_PASSES_LOWER_LOWERPROGRAM_H

#include "passes/lower/Assign.h"
#include "passes/lower/Contraction.h"
#include "passes/lower/Kernel.h"
#include "passes/lower/Lower.h"

namespace whale::lower {

/// Marks offsets that count from the end of the variables until that is known.
constexpr uint64_t kTemporaryBase = uint64_t(1) << 62;

/// State shared by the programs (entries) of one role.
struct RoleState {
  explicit RoleState(KernelModule &kernels) : kernels(kernels) {}

  KernelModule &kernels;
  format::ProgramT program;
  MemoryReport memory;
  /// Numbers of micro-batches in flight to lay out for, if that is all, and
  /// what came of it.
  std::vector<int64_t> inFlight;
  std::vector<MemoryReport> layouts;
  std::map<std::string, unsigned> variables, inputs, metrics, kernelIndex;
  std::map<std::string, unsigned> sources;
  /// Bytes of all variables, from the start of the arena; grows.
  uint64_t variableBytes = 0;

  unsigned kernelOf(const std::string &symbol);
  int sourceOf(mlir::Operation *op);
  /// Declares (or finds) a variable; gives its index in the program.
  unsigned variableOf(rank::VariableOp op);
};

/// What a buffer that is no variable is for.
enum class BufferUse { Transient, Gradient, Residual };

/// A piece of memory of one program. Variables have fixed offsets.
struct Buffer {
  uint64_t bytes = 0;
  BufferUse use = BufferUse::Transient;
  bool isVariable = false, isSum = false;
  int64_t first = -1, last = -1; ///< positions; -1 = never used
  bool touched[kNumPhases] = {};
  uint32_t slots = 1;
  uint64_t offset = 0, stride = 0;
};

/// One instruction with its phase. Operands hold the buffer's index in
/// `offset` until buffers are placed.
struct Item {
  Phase phase;
  format::OperationUnion operation;
  int source = -1;
};

/// Lowers one rank.program (modified: fused ops are expanded).
class ProgramLowering {
public:
  ProgramLowering(rank::ProgramOp op, RoleState &role,
                  const LowerOptions &options)
      : programOp(op), role(role), options(options) {}

  llvm::LogicalResult run();

private:
  // Preparation (LowerProgram.cpp).
  void readAttributes();
  void setOrder();
  void setRoots();
  void findContractedSums();
  void setReads();
  void bindAssigns();
  bool canWriteVariable(rank::AssignOp assign, mlir::Value value,
                        rank::VariableOp variable, int64_t position) const;
  void chooseInPlace(const Cluster &cluster, int64_t position,
                     llvm::SmallVectorImpl<InPlaceChoice> &chosen);
  llvm::LogicalResult lowerAll();
  llvm::LogicalResult lowerOp(mlir::Operation *op);
  void lowerCluster(const Cluster &cluster);

  // Buffers.
  mlir::Value rootOf(mlir::Value value) const;
  bool isAlias(mlir::Operation *op) const;
  unsigned bufferOf(mlir::Value value);
  unsigned newBuffer(uint64_t bytes);
  unsigned temporary(mlir::RankedTensorType type);
  bool mayOverwrite(mlir::Value value, Phase phase, int64_t position);
  std::unique_ptr<format::OperandT> operand(unsigned buffer,
                                            mlir::RankedTensorType type);
  std::unique_ptr<format::OperandT> operand(mlir::Value value);
  std::unique_ptr<format::OperandT> bytesOperand(unsigned buffer,
                                                 uint64_t bytes);
  /// Appends an instruction to the current phase's section.
  template <typename T> void add(T operation, mlir::Operation *op) {
    Item item;
    item.phase = phase;
    item.operation.Set(std::move(operation));
    item.source = role.sourceOf(op);
    items.push_back(std::move(item));
  }

  // Placement and sections.
  bool hasBackward() const;
  void setInFlight();
  void extendLifetimes();
  void place(MemoryReport &memory);
  void layOut();
  void emitSections();
  void declareGradient(const std::string &path, mlir::Value value);
  void emitSchedule(llvm::ArrayRef<unsigned> sections);

  // Ops (LowerOps.cpp).
  llvm::LogicalResult lower(whale::EinsumOp op);
  llvm::LogicalResult lowerCall(mlir::Operation *op);
  void lower(whale::TransposeOp op);
  void lower(whale::PadOp op);
  void lower(whale::ConcatOp op);
  void lower(rank::VariableOp op);
  void lower(rank::AssignOp op);
  void lower(rank::InputOp op);
  void lower(rank::MetricOp op);
  void lower(rank::AllReduceOp op);
  void lower(rank::AllGatherOp op);
  void lower(rank::ReduceScatterOp op);
  void lower(rank::AllToAllOp op);
  void lower(rank::SliceOp op);
  void lower(rank::AssembleOp op);
  void lower(rank::SendOp op);
  void lower(rank::ReceiveOp op);
  void lowerSum(rank::AccumulateOp op);

  // Accumulators (LowerSums.cpp).
  /// A contraction or reduction, whose loops its iteration space has.
  void lowerLoopSum(mlir::Operation *op);
  void lower(whale::RoundSumOp op);
  void lower(rank::AccumulateOp op);

  /// Copies `from` (stored as its type says) into a temporary of `order`.
  unsigned copyInOrder(mlir::Value from, const StorageOrder &order,
                       mlir::Operation *op);

  /// One strided box.
  struct Box {
    llvm::SmallVector<int64_t> dims, srcStrides, dstStrides;
    format::ScalarT srcOffset, dstOffset;
  };
  void addCopy(std::unique_ptr<format::OperandT> src,
               std::unique_ptr<format::OperandT> dst, mlir::Type element,
               const Box &box, mlir::Operation *op);

  rank::ProgramOp programOp;
  RoleState &role;
  const LowerOptions &options;
  std::string entry = "step", schedule = "1f1b";
  int64_t microBatches = 1, stage = 0, stages = 1, inFlight = 1;

  llvm::SmallVector<mlir::Operation *> order;
  llvm::DenseMap<mlir::Operation *, int64_t> indexOf;
  std::unique_ptr<Clusters> clusters;
  /// Sums over micro-batches that a contraction adds up by itself.
  llvm::DenseSet<mlir::Operation *> contractedSums;
  /// Last position at which a root value is read, and first written.
  llvm::DenseMap<mlir::Value, int64_t> lastRead;
  /// Roots that are written straight into a variable.
  llvm::DenseMap<mlir::Value, unsigned> boundVariable;
  llvm::DenseSet<mlir::Operation *> boundAssigns;
  /// In-place choices made for variables, by output.
  llvm::DenseMap<mlir::Value, mlir::Value> variableInPlace;

  llvm::DenseMap<mlir::Value, unsigned> bufferIndex;
  llvm::SmallVector<unsigned> variableBuffer; ///< by variable index
  std::vector<Buffer> buffers;
  std::vector<Item> items;
  std::vector<std::pair<std::string, mlir::Value>> keptGradients;
  int64_t position = 0; ///< of the op being lowered
  Phase phase = Phase::Forward;
};

/// Calls `visit` for every operand of an operation that is present.
void forEachOperand(format::OperationUnion &operation,
                    llvm::function_ref<void(format::OperandT &)> visit);

/// Rewrites norms, softmax, cross-entropy and rotary of a program in primitive
/// ops, and drops ops without use.
void expandProgram(rank::ProgramOp program);

} // namespace whale::lower

#endif // WHALE_PASSES_LOWER_LOWERPROGRAM_H
