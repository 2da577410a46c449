//===- TestSet.h - a small program set, written by hand ---------*- C++ -*-===//
//
// Two stages of two replicas, two micro-batches, 8 samples of 4 features:
//   stage 0  ranks 0, 1   h = x W0            W0 in data parallelism
//   stage 1  ranks 2, 3   y = h W1, loss      W1's moment is sharded (ZeRO-1)
// Every kind of instruction that ranks have together is there: all-reduce,
// reduce-scatter, all-gather, messages both ways.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_TEST_VERIFIER_TESTSET_H
#define WHALE_TEST_VERIFIER_TESTSET_H

#include "compiler/verifier/Verifier.h"

namespace whale::verifier::test {

struct TestSet {
  format::Manifest manifest;
  Programs programs;
};

TestSet makeTestSet(unsigned microBatches = 2, unsigned replicas = 2);

/// Two ranks that update two variables in one kernel: all of `w`, of `t` each a
/// half. Its buffers are an input, `w`, `t` and a number of the input.
TestSet makeFusedSet();

/// One stage of `ranks` replicas with `layers` layers: for timing.
TestSet makeWideSet(unsigned ranks, unsigned layers);

/// First instruction of type T in a section whose name begins so, or null.
template <typename T>
T *find(format::ProgramT &program, const std::string &section,
        size_t number = 0) {
  for (auto &candidate : program.sections) {
    if (candidate->name.rfind(section, 0) != 0)
      continue;
    for (auto &instruction : candidate->instructions)
      if (instruction->operation.type ==
              format::OperationUnionTraits<T>::enum_value &&
          number-- == 0)
        return static_cast<T *>(instruction->operation.value);
  }
  return nullptr;
}

} // namespace whale::verifier::test

#endif // WHALE_TEST_VERIFIER_TESTSET_H
