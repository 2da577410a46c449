//===- ProofTest.cpp - no false alarm about planned programs --------------===//
//
// The end-to-end matrix runs strategies written by hand and compares numbers.
// Here the planner writes them: every family under every shape of pins must
// pass the verifier. A finding is a wrong program or a false alarm.
//
//===----------------------------------------------------------------------===//

#include "compiler/verifier/Verifier.h"
#include "test/unit/programs/Planned.h"

#include <catch2/catch.hpp>

using namespace programs;
using namespace whale;

namespace {

struct Shape {
  const char *pins;
  int64_t ranks;
};

const Shape shapes[] = {
    {"dp=2", 2},
    {"dp=3", 3},
    {"dp=4", 4},
    {"dp=4,micro_batches=2", 4},
    {"dp=2,zero=1", 2},
    {"dp=4,zero=1", 4},
    {"tp=2", 2},
    {"tp=3", 3},
    {"tp=4", 4},
    {"tp=2,recompute=full", 2},
    {"tp=2,recompute=selective", 2},
    {"tp=2,micro_batches=4", 2},
    {"pp=2", 2},
    {"pp=2,micro_batches=4,schedule=gpipe", 2},
    {"pp=4", 4},
    {"dp=2,tp=2", 4},
    {"dp=2,tp=2,zero=1", 4},
    {"dp=2,tp=2,micro_batches=2", 4},
    {"dp=2,pp=2", 4},
    {"dp=2,pp=2,zero=1,micro_batches=2", 4},
    {"tp=2,pp=2", 4},
    {"tp=2,pp=2,micro_batches=2,recompute=full", 4},
    {"dp=2,tp=2,pp=2", 8},
};

const char *const families[] = {"gpt-tiny",  "llama-tiny",   "bert-tiny",
                                "t5-tiny",   "mixtral-tiny", "resnet-tiny",
                                "gnmt-tiny", "llama4-tiny",  "m6-tiny"};

/// Empty, or what is wrong with the programs of the plan.
std::string prove(Planned &planned) {
  auto compiled = planned.lower();
  if (!compiled)
    return "compile: " + planned.error();
  lower::ManifestData data;
  data.globalBatch = planned.workload.globalBatch;
  format::Manifest manifest =
      lower::makeManifest(*compiled->programs, compiled->ranks, data);
  verifier::Programs programs;
  for (lower::LoweredRole &role : compiled->programs->roles) {
    std::string name = role.program.role;
    programs.emplace(std::move(name), std::move(role.program));
  }
  Diagnostics found;
  return verifier::verifyPrograms(manifest, programs, found) ? "" : found.str();
}

} // namespace

TEST_CASE("programs of every pinned plan are proved", "[proof]") {
  for (const char *family : families)
    for (const Shape &shape : shapes) {
      DYNAMIC_SECTION(family << " " << shape.pins) {
        Planned planned({family, shape.pins, "cpu", shape.ranks, {}});
        // A family may be too small for a shape: then the planner says so.
        if (planned.plan)
          CHECK(prove(planned) == "");
        else
          CHECK(planned.error().find("error: ") != std::string::npos);
      }
    }
}
