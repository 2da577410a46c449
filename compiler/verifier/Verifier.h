//===- Verifier.h - proves a set of programs --------------------*- C++ -*-===//
//
// Problem:    show, without running kernels and without knowing how the
//             programs were made, that the ranks together do one training step:
//   files       sizes and hashes of the manifest, well-formed programs
//   together    collectives of a communicator agree in order, kind, reduction,
//               type and counts; every message is received once, in order;
//               nobody waits for ever
//   memory      every byte that is read was written before in the entry (or is
//               a variable), belongs to one whole buffer and to the reader's
//               micro-batch; variables do not overlap; the arena is as large
//               as predicted
//   batch       every sample is read, once in each replica, and each rank
//               reads its share
//   state       the shards of a variable cover it; replicas stay equal; what is
//               written to a variable depends on all samples of the batch
//   metrics     reported once, over the whole batch
// Method:     all ranks' schedules are executed on abstract values (Samples.h).
// Guarantee:  what is reported is wrong; what is not reported may still compute
//             wrong numbers (scales, seeds): that is numeric verification's.
// Complexity: near linear in instructions times ranks.
//
// Reads the format and nothing of the passes that made the programs.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_VERIFIER_VERIFIER_H
#define WHALE_VERIFIER_VERIFIER_H

#include "compiler/support/Diagnostics.h"
#include "runtime/format/Manifest.h"

#include <map>
#include <string>

namespace whale::verifier {

/// Programs by role.
using Programs = std::map<std::string, format::ProgramT>;

/// Proves programs that are in memory; files are not looked at. Findings are
/// errors with exit code Finding at the model's place. True = proved.
bool verifyPrograms(const format::Manifest &manifest, const Programs &programs,
                    Diagnostics &diags);

/// Reads a programs/ directory, checks its files and proves the programs.
bool verifyDirectory(const std::string &directory, Diagnostics &diags);

} // namespace whale::verifier

#endif // WHALE_VERIFIER_VERIFIER_H
