//===- ReadWorkloadTest.cpp - what the planner sees of models -------------===//

#include "passes/plan/ReadWorkload.h"

#include "dialects/whale/Parameters.h"
#include "passes/plan/ApplyPlan.h"
#include "passes/plan/FlatStep.h"
#include "test/unit/plan/Testing.h"

#include <catch2/catch.hpp>

using namespace whale;
using namespace whale::test;

static const std::string adamw = "{optimizer = {name = \"adamw\"}}";

static workload::Workload read(reference::Model &model,
                               const std::string &precision = "") {
  REQUIRE(model.differentiate());
  auto result =
      plan::readWorkload(model.op(), {.precision = precision, .modelHash = ""});
  INFO(model.diagnostics());
  REQUIRE(succeeded(result));
  return *result;
}

TEST_CASE("workloads are sound and count parameters and work exactly") {
  for (const std::string &name : modelNames()) {
    DYNAMIC_SECTION(name) {
      reference::Model model(modelText(name, adamw));
      int64_t parameters = *countParameters(model.op());
      workload::Workload workload = read(model);
      Diagnostics diagnostics;
      CHECK(workload::check(workload, diagnostics));
      INFO(diagnostics.str());
      CHECK(diagnostics.messages().empty());
      // Scans are unrolled: their steps share variables that are counted once.
      if (name != "lstm")
        CHECK(workload::parameterCount(workload) == parameters);
      // The flat step of one device does the same products.
      REQUIRE(succeeded(plan::buildFlatStep(model.op())));
      double expected = 0, found = 0;
      auto step = model.op().lookupSymbol<ModuleDefOp>("step");
      for (mlir::Operation &op : plan::blockOf(step))
        if (mlir::isa<EinsumOp, AttentionOp, AttentionGradOp>(op))
          expected += mlir::cast<IterationSpaceOpInterface>(op)
                          .getIterationSpace()
                          .flops();
      for (const workload::Run &run : workload.runs)
        for (const workload::Op &op : workload.classes[run.moduleClass].ops)
          if (op.kind == workload::OpKind::Attention ||
              (op.kind == workload::OpKind::Contraction &&
               op.name.find("expert") == std::string::npos))
            found += op.flops().asDouble() * run.count;
      // A chain's class also has the input gradient that its first instance
      // may not need.
      CHECK(found >= expected);
      CHECK(found <= expected * 1.5);
    }
  }
}

TEST_CASE("a chain is one run, and what ties its ends is known") {
  reference::Model model(modelText("gpt", adamw));
  workload::Workload workload = read(model);
  REQUIRE(workload.runs.size() == 3);
  CHECK(workload.runs[0].name == "main.0");
  CHECK(workload.runs[1].name == "layers");
  CHECK(workload.runs[1].count == 2);
  CHECK(workload.runs[1].arguments[0].run == 0);
  CHECK(workload.runs[2].name == "main.1");
  CHECK(workload.runs[2].arguments[0].run == 1);
  CHECK(workload.globalBatch == 2);
  const auto &head = workload.classes[workload.runs[2].moduleClass];
  REQUIRE(head.variables.size() == 1);
  CHECK(head.variables[0].tied == "main.0/wte");
  CHECK(head.variables[0].dimNames ==
        std::vector<std::string>{"vocabulary", "hidden"});
  // Gradients flow from the head through the layers to the embedding.
  CHECK(head.argumentGradients[0] >= 0);
  const auto &block = workload.classes[workload.runs[1].moduleClass];
  CHECK(block.argumentGradients[0] >= 0);
  CHECK(block.variables.size() == 11);
}

TEST_CASE("ops say how they may be cut, fused and repeated") {
  reference::Model model(modelText("gpt", adamw));
  workload::Workload workload = read(model);
  const auto &head = workload.classes[workload.runs[2].moduleClass];
  const auto &block = workload.classes[workload.runs[1].moduleClass];
  auto find = [](const workload::ModuleClass &module, std::string_view name) {
    for (const workload::Op &op : module.ops)
      if (op.name == name)
        return op;
    FAIL("no op " << name);
    return workload::Op();
  };
  workload::Op loss = find(head, "cross_entropy.0");
  CHECK(loss.expansionReductions == 3);
  CHECK(loss.loops.back().hasName("vocabulary"));
  CHECK(loss.loops.front().hasName("batch"));
  workload::Op gelu = find(block, "gelu.0");
  CHECK(gelu.cheap);
  CHECK(!gelu.random);
  for (const workload::Op &op : block.ops)
    CHECK(op.random == (op.name.find("dropout.0") != std::string::npos));
  CHECK(gelu.loops.back().hasName("ffn"));
  // Its input is kept for the backward part, its result for the product.
  CHECK_FALSE(find(block, "add.1").fused);
  workload::Op product = find(block, "einsum.0");
  CHECK(product.phase == workload::Phase::Forward);
  CHECK(find(block, "einsum.0#d.1").phase == workload::Phase::BackwardWeight);
  CHECK(find(block, "einsum.0#d").phase == workload::Phase::BackwardInput);
}

TEST_CASE("bf16 halves what the forward part reads and keeps a master") {
  reference::Model model(modelText("gpt", adamw));
  toFloat32(model.op());
  workload::Workload workload = read(model, "bf16");
  const auto &block = workload.classes[workload.runs[1].moduleClass];
  for (const workload::Variable &variable : block.variables) {
    bool norm = variable.name.find("norm") != std::string::npos;
    CHECK(variable.elementBytes == (norm ? 4 : 2));
  }
  CHECK(workload.groups[0].masterBytes == 4);
  CHECK(workload.groups[0].slotBytes == std::vector<int64_t>{4, 4});
}
