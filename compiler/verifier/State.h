//===- State.h - what an entry must have done -------------------*- C++ -*-===//

#ifndef WHALE_VERIFIER_STATE_H
#define WHALE_VERIFIER_STATE_H

#include "compiler/verifier/Simulation.h"

namespace whale::verifier {

/// Before any entry: variables of a rank lie apart; the boxes of each variable
/// cover it; all ranks agree on its shape, kind and type.
bool checkVariables(const ProgramSet &set, Diagnostics &diags);

/// Input rows that ranks read are their shares; the shares of those that read
/// an input are apart and make the global batch; columns are covered.
bool checkInputs(const ProgramSet &set, const SampleSets &sets,
                 const std::string &entry, const Simulation &simulation,
                 Diagnostics &diags);

/// Every metric is reported once, of the whole batch.
bool checkMetrics(const ProgramSet &set, SampleSets &sets,
                  const std::string &entry, const Simulation &simulation,
                  Diagnostics &diags);

/// Variables are whole; replicas are equal; written ones depend on every
/// sample of the inputs that they depend on at all.
bool checkResults(const ProgramSet &set, const SampleSets &sets,
                  const std::string &entry, Simulation &simulation,
                  Diagnostics &diags);

} // namespace whale::verifier

#endif // WHALE_VERIFIER_STATE_H
