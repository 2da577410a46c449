//===- Executor.h - Runs the program of one rank ----------------*- C++ -*-===//
//
// prepare: allocate the arena, bind every instruction. run: execute an entry,
// visit by visit, instruction by instruction. Nothing is allocated in run.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_RUNTIME_CORE_EXECUTOR_H
#define WHALE_RUNTIME_CORE_EXECUTOR_H

#include "runtime/core/Communicator.h"
#include "runtime/core/Data.h"
#include "runtime/core/Device.h"
#include "runtime/core/Loader.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace whale::runtime {

/// A metric as one rank reports it.
struct MetricValue {
  double value = 0;
  format::Combine combine = format::Combine::Sum;
};
using Metrics = std::map<std::string, MetricValue>;

/// Seconds spent in one instruction, for --profile.
struct InstructionTime {
  double seconds = 0;
  uint64_t runs = 0;
};

/// The state of one rank. What prepare is given outlives it.
class Executor {
public:
  /// `seed` replaces the manifest's. `tokens` may be null (random tokens).
  static Result<std::unique_ptr<Executor>>
  prepare(const ProgramSet &set, uint32_t rank, Device &device,
          Communicator &communicator, const TokenData *tokens, int64_t seed);

  /// Whether the program has an entry of this name.
  bool has(const std::string &entry) const { return find(entry) != nullptr; }

  /// Runs an entry as step `step`. On failure the error carries rank, host,
  /// section, instruction and the place in the model.
  Result<Metrics> run(const std::string &entry, int64_t step);

  const format::ProgramT &program() const { return Program; }
  const format::RankInfo &info() const { return Info; }
  uint32_t rank() const { return Rank; }
  Device &device() { return Accelerator; }

  /// Bytes of a variable from and to the arena.
  Status readVariable(const format::VariableT &variable, void *host);
  Status writeVariable(const format::VariableT &variable, const void *host);

  /// Time per section and instruction, summed over runs; measured only after
  /// startProfile().
  void startProfile();
  const std::vector<std::vector<InstructionTime>> &profile() const {
    return Profile;
  }

private:
  Executor(const ProgramSet &set, uint32_t rank, Device &device,
           Communicator &communicator, const TokenData *tokens, int64_t seed);

  Status bindAll();
  Result<std::unique_ptr<Task>> bind(const format::OperationUnion &operation);
  const format::EntryT *find(const std::string &name) const;
  Status runSection(uint32_t section, RunContext &context);
  Status fail(Status status, size_t section, size_t instruction) const;

  friend class InputTask;
  friend class MetricTask;
  friend class CollectiveTask;
  friend class SendTask;
  friend class ReceiveTask;

  const format::ProgramT &Program;
  const format::RankInfo &Info;
  uint32_t Rank;
  Device &Accelerator;
  Communicator &Network;
  const TokenData *Tokens;
  int64_t Seed;
  std::byte *Arena = nullptr;
  std::vector<std::vector<std::unique_ptr<Task>>> Sections;
  std::vector<std::vector<InstructionTime>> Profile;
  // State of the entry that runs.
  format::DataSplit Split = format::DataSplit::Training;
  Metrics Reported;
};

} // namespace whale::runtime

#endif // WHALE_RUNTIME_CORE_EXECUTOR_H
