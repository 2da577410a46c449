//===- WhaleOpt.cpp - runs phases of the compiler from text to text -------===//

#include "dialects/rank/Rank.h"
#include "dialects/whale/Whale.h"
#include "passes/differentiate/Passes.h"
#include "passes/lower/Passes.h"
#include "passes/fold/Passes.h"
#include "passes/partition/Passes.h"
#include "passes/plan/Passes.h"
#include "passes/strategy/Passes.h"

#include "mlir/Tools/mlir-opt/MlirOptMain.h"

int main(int argc, char **argv) {
  whale::registerWhaleDifferentiatePasses();
  whale::registerWhaleLowerPasses();
  whale::registerWhaleFoldPasses();
  whale::registerWhalePartitionPasses();
  whale::registerWhalePlanPasses();
  whale::registerWhaleStrategyPasses();
  mlir::DialectRegistry registry;
  registry.insert<whale::WhaleDialect, rank::RankDialect>();
  return mlir::asMainReturnCode(
      mlir::MlirOptMain(argc, argv, "whalec phase driver\n", registry));
}
