//===- Register.cpp - makes the passes of this folder known ---------------===//

#include "passes/differentiate/Passes.h"

namespace whale {
namespace {
#define GEN_PASS_REGISTRATION
#include "passes/differentiate/Passes.h.inc"
} // namespace

void registerWhaleDifferentiatePasses() {
  registerWhaleDifferentiateGroupPasses();
}
} // namespace whale
