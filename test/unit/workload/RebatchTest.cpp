//===- RebatchTest.cpp - a workload at another global batch ---------------===//

#include "compiler/workload/Rebatch.h"
#include "test/unit/workload/Models.h"

#include <catch2/catch.hpp>

using namespace whale;
using namespace whale::test;

static std::string textOf(const Workload &workload) {
  json::Writer writer;
  writeWorkload(writer, workload);
  return writer.take();
}

static GptShape shapeOf(int64_t batch) {
  GptShape shape;
  shape.batch = batch;
  return shape;
}

TEST_CASE("rebatch gives the workload of a model with that batch") {
  for (int64_t batch : {1, 4, 16, 48}) {
    Workload workload = gpt(shapeOf(16));
    Diagnostics diagnostics;
    REQUIRE(rebatch(workload, batch, diagnostics));
    CHECK(check(workload, diagnostics));
    Workload expected = gpt(shapeOf(batch));
    expected.modelFlops = workload.modelFlops;
    CHECK(textOf(workload) == textOf(expected));
  }
}

TEST_CASE("rebatch keeps coupled samples together") {
  Workload workload = gpt(shapeOf(16));
  workload.sampleGroup = 8;
  Diagnostics diagnostics;
  CHECK_FALSE(rebatch(workload, 20, diagnostics));
  CHECK(diagnostics.str().find("global batch of 20 samples is not a multiple "
                               "of 8, the samples that the model couples") !=
        std::string::npos);
  Diagnostics others;
  CHECK(rebatch(workload, 24, others));
}

TEST_CASE("rebatch refuses what does not follow the batch") {
  Workload workload = gpt(shapeOf(16));
  for (LoopDim &loop : workload.classes[0].ops[0].loops)
    if (loop.hasName("batch"))
      loop.extent = 3;
  Diagnostics diagnostics;
  CHECK_FALSE(rebatch(workload, 8, diagnostics));
  CHECK(diagnostics.str().find("cannot follow the global batch from 16 to 8 "
                               "samples") != std::string::npos);
}

TEST_CASE("rebatch refuses ops that have lost a batch of one sample") {
  for (int64_t batch : {1, 4}) {
    Workload workload = gpt(shapeOf(batch));
    Op &op = workload.classes[1].ops[1];
    for (LoopDim &loop : op.loops)
      if (loop.hasName("batch"))
        loop.name = "", loop.aliases.clear();
    Diagnostics diagnostics;
    CHECK(rebatch(workload, 8, diagnostics) == (batch > 1));
    CHECK((diagnostics.str().find("'" + op.name +
                                  "' has no loop over a batch "
                                  "of one sample, which cannot become 8") !=
           std::string::npos) == (batch == 1));
  }
}

TEST_CASE("rebatch does not overflow") {
  Workload workload = gpt(shapeOf(16));
  Diagnostics diagnostics;
  CHECK_FALSE(rebatch(workload, int64_t(1) << 62, diagnostics));
}
