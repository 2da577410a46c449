//===- Lower.h - rank programs to program containers ------------*- C++ -*-===//
//
// rank.program (local shapes, phases) -> clusters -> kernels, contractions,
// calls, copies, collectives -> sections and schedule -> buffer assignment ->
// one format::ProgramT per role and one shared object per instruction set.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PASSES_LOWER_LOWER_H
#define WHALE_PASSES_LOWER_LOWER_H

#include "passes/lower/CompileKernels.h"
#include "passes/partition/RankTable.h"
#include "runtime/format/Format.h"
#include "runtime/format/Manifest.h"

#include "mlir/IR/BuiltinOps.h"

#include <map>
#include <string>
#include <vector>

namespace whale::lower {

struct LowerOptions {
  CompileOptions compile;
  /// Ranks: sizes of communicator groups come from here. Null = group i has
  /// one member (a single rank).
  const partition::RankTable *ranks = nullptr;
  /// Keeps each gradient (op attribute `gradient_of` = variable path) in its
  /// own buffer until the step ends, as a variable of kind Gradient.
  bool keepGradients = false;
  /// Kernels are emitted but not compiled (libraries stay empty).
  bool skipCompilation = false;
  /// Where not empty, roles are only laid out: for each role the numbers of
  /// micro-batches in flight to do that for (LoweredRole::layouts). Programs
  /// then have variables, but nothing that could run.
  std::map<int64_t, std::vector<int64_t>> layouts;
  /// Hashes for the containers, may be empty.
  std::string modelHash, planHash;
};

/// Bytes of one rank of a role. Gradients, residuals and transient are those
/// alive when most of the area is: together its peak.
struct MemoryReport {
  uint64_t arenaBytes = 0;
  uint64_t variables = 0; ///< parameters, masters, statistics, counters
  uint64_t optimizer = 0; ///< optimizer slots
  uint64_t gradients = 0; ///< of variables, summed over micro-batches
  uint64_t residuals = 0; ///< forward to backward, over all slots
  uint64_t transient = 0; ///< the rest of the peak
  /// Peak of the live set, and what it was laid out in, of the part that is
  /// not variables.
  uint64_t peakBytes = 0, areaBytes = 0;
};

struct LoweredRole {
  format::ProgramT program;
  MemoryReport memory;
  /// Memory by LowerOptions::layouts.
  std::vector<MemoryReport> layouts;
};

struct LoweredProgramSet {
  std::vector<LoweredRole> roles; ///< by role index
  std::string libraryId;          ///< of the kernels; SHA-256 of their text
  std::vector<KernelBinary> libraries;
  unsigned kernels = 0; ///< distinct ones
};

/// Lowers all rank.programs of a module (left as it is). Errors are emitted at
/// the op that cannot be lowered.
mlir::FailureOr<LoweredProgramSet> lowerPrograms(mlir::ModuleOp programs,
                                                 const LowerOptions &options);

/// What the manifest says beyond the programs.
struct ManifestData {
  std::string model, modelHash, planHash;
  int64_t seed = 0, globalBatch = 0;
  bool isCanonical = false;
  /// JSON text, or empty.
  std::string predicted;
  /// Device name per rank, for people; may be empty ("cpu:<rank>").
  std::vector<std::string> devices;
  /// Further files of the folder (the model, the plan): name and bytes.
  std::vector<std::pair<std::string, std::string>> files;
};

/// Writes containers, kernels and manifest.json into `folder` (made where it is
/// missing), each file beside and renamed, the manifest last. On failure the
/// message says which file.
format::Status writePrograms(const std::string &folder,
                             const LoweredProgramSet &set,
                             const partition::RankTable &ranks,
                             const ManifestData &data);

/// The manifest that writePrograms writes, for callers that keep it in memory.
format::Manifest makeManifest(const LoweredProgramSet &set,
                              const partition::RankTable &ranks,
                              const ManifestData &data);

/// The table of a single rank of role 0 with `samples` samples.
partition::RankTable singleRank(int64_t samples);

/// Text of a lowered set without code bytes: sections, instructions, operands,
/// memory. For tests and people.
std::string printProgramSet(const LoweredProgramSet &set);
/// The same of one program, which format::checkProgram has accepted.
std::string printProgram(const format::ProgramT &program);

} // namespace whale::lower

#endif // WHALE_PASSES_LOWER_LOWER_H
