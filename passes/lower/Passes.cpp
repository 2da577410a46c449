//===- Passes.cpp - the lowering, phase by phase in whale-opt -------------===//

#include "passes/lower/Passes.h"

#include "passes/lower/LowerProgram.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Pass/Pass.h"

namespace whale {
#define GEN_PASS_DECL
#define GEN_PASS_DEF_WHALEEXPAND
#define GEN_PASS_DEF_WHALEFORMCLUSTERS
#define GEN_PASS_DEF_WHALEEMITKERNELS
#define GEN_PASS_DEF_WHALELOWER
#define GEN_PASS_REGISTRATION
#include "passes/lower/Passes.h.inc"
} // namespace whale

using namespace mlir;
using namespace whale;
using namespace whale::lower;

/// Ops of a program by phases, and their clusters.
static std::unique_ptr<Clusters> clustersOf(rank::ProgramOp program) {
  SmallVector<Operation *> order;
  for (unsigned p = 0; p < kNumPhases; ++p)
    for (Operation &op : program.getBody().front())
      if (phaseOf(&op) == static_cast<Phase>(p))
        order.push_back(&op);
  return std::make_unique<Clusters>(
      order, [](Operation *op) { return isa<rank::AccumulateOp>(op); });
}

namespace {

struct ExpandPass : whale::impl::WhaleExpandBase<ExpandPass> {
  void runOnOperation() override {
    for (auto program : getOperation().getOps<rank::ProgramOp>())
      expandProgram(program);
  }
};

struct FormClustersPass : whale::impl::WhaleFormClustersBase<FormClustersPass> {
  void runOnOperation() override {
    Builder builder(&getContext());
    for (auto program : getOperation().getOps<rank::ProgramOp>()) {
      expandProgram(program);
      std::unique_ptr<Clusters> clusters = clustersOf(program);
      for (auto [index, cluster] : llvm::enumerate(clusters->sorted())) {
        for (Operation *op : cluster->ops)
          op->setAttr("cluster", builder.getI64IntegerAttr(index));
        cluster->ops.front()->setAttr(
            "rows", builder.getI64IntegerAttr(cluster->rowDims));
      }
    }
  }
};

struct EmitKernelsPass : whale::impl::WhaleEmitKernelsBase<EmitKernelsPass> {
  void runOnOperation() override {
    KernelModule kernels;
    kernels.module = ModuleOp::create(getOperation().getLoc());
    auto programs = llvm::to_vector(getOperation().getOps<rank::ProgramOp>());
    for (rank::ProgramOp program : programs) {
      expandProgram(program);
      std::unique_ptr<Clusters> clusters = clustersOf(program);
      for (Cluster *cluster : clusters->sorted())
        if (!outputsOf(*cluster, *clusters).empty())
          (void)emitKernel(kernels, *cluster, *clusters, {});
      program.erase();
    }
    getOperation().getBody()->getOperations().splice(
        getOperation().getBody()->end(),
        kernels.module->getBody()->getOperations());
  }
};

struct LowerPass : whale::impl::WhaleLowerBase<LowerPass> {
  using Base::Base;
  void runOnOperation() override {
    // Loading dialects belongs before the passes run; this pass is for tests.
    LowerOptions options;
    options.skipCompilation = !compile;
    options.keepGradients = keepGradients;
    partition::RankTable table;
    if (auto attribute =
            getOperation()->getAttrOfType<ArrayAttr>("rank.table")) {
      FailureOr<partition::RankTable> read = partition::rankTableOf(attribute);
      if (failed(read))
        return signalPassFailure();
      table = std::move(*read);
      options.ranks = &table;
    }
    FailureOr<LoweredProgramSet> set = lowerPrograms(getOperation(), options);
    if (failed(set))
      return signalPassFailure();
    llvm::outs() << printProgramSet(*set);
  }
};

} // namespace

void whale::registerWhaleLowerPasses() { registerLowerPasses(); }
