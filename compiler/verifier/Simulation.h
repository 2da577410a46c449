//===- Simulation.h - all ranks' schedules on abstract values ---*- C++ -*-===//
//
// Ranks run one after another until they wait. A send does not wait, a receive
// waits for its message, a collective for all members: the rules of the
// runtime's communicators. When nobody can go on, the circle of waiting ranks
// is the finding. The first finding of an entry ends it: what follows would be
// its consequences.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_VERIFIER_SIMULATION_H
#define WHALE_VERIFIER_SIMULATION_H

#include "compiler/support/Diagnostics.h"
#include "compiler/verifier/Cover.h"
#include "compiler/verifier/Effects.h"
#include "runtime/format/Manifest.h"

#include <deque>
#include <memory>
#include <tuple>

namespace whale::verifier {

/// A role's program with the effects of its instructions.
struct RoleProgram {
  const format::ProgramT *program = nullptr;
  std::vector<std::vector<Effects>> effects; ///< by section, instruction
  std::vector<uint64_t> variableHashes;      ///< of the paths
};

/// All ranks and what they run.
struct ProgramSet {
  const format::Manifest *manifest = nullptr;
  std::vector<RoleProgram> roles;
  std::vector<uint32_t> roleOf; ///< by rank, index of roles

  const RoleProgram &of(uint32_t rank) const { return roles[roleOf[rank]]; }
};

/// An instruction of a rank.
struct Spot {
  uint32_t rank = 0;
  uint32_t section = 0;
  uint32_t instruction = 0;
};

/// Rows (and columns) of an input that an instruction read.
struct InputUse {
  uint32_t key = 0;
  const format::InputInfoT *info = nullptr;
  Box box;
  Spot spot;
};

struct MetricUse {
  const format::MetricT *metric = nullptr;
  Value value;
  Spot spot;
};

/// A variable as an entry left it.
struct VariableState {
  ReadResult content;
  bool isWritten = false;
};

/// Reports a finding at an instruction; the place is the model's.
Diag &reportAt(Diagnostics &diags, const ProgramSet &set,
               const std::string &entry, const Spot &spot, std::string message);

class Simulation {
public:
  Simulation(const ProgramSet &set, SampleSets &sets, const std::string &entry,
             Diagnostics &diags);
  ~Simulation();

  /// Runs the entry on all ranks. False after a finding.
  bool run();

  /// What was found out on the way; valid after run() gave true.
  const std::vector<InputUse> &inputs() const { return Inputs; }
  const std::vector<MetricUse> &metrics() const { return Metrics; }
  VariableState variable(uint32_t rank, size_t index);

private:
  struct Rank;
  struct Message {
    Value value;
    const format::OperandT *operand;
    Spot spot;
    Writer writer;
  };
  struct Gathering {
    std::vector<Value> values;
    std::vector<bool> present;
    size_t arrived = 0;
  };
  using Channel = std::tuple<uint32_t, uint32_t, uint32_t>; // from, to, tag
  enum class Outcome { Went, Waits, Failed };
  using Rule = Outcome (Simulation::*)(Rank &, const format::OperationUnion &,
                                       const Effects &);
  static const Rule rules[];

  void start(Rank &rank);
  void wake(uint32_t rank);
  Outcome step(Rank &rank);
  void advance(Rank &rank);
  Spot spotOf(const Rank &rank) const;
  Outcome fail(const Rank &rank, std::string message);

  ByteRange rangeOf(const Rank &rank, const format::OperandT &operand,
                    uint64_t bytes) const;
  std::optional<Value> read(Rank &rank, const Reading &reading,
                            bool anyMicroBatch = false);
  std::optional<std::vector<Value>> readEach(Rank &rank,
                                             const Effects &effects);
  Value join(const Rank &rank, const Effects &effects,
             const std::vector<Value> &values);
  std::optional<Value> readAll(Rank &rank, const Effects &effects);
  void write(Rank &rank, const Writing &writing, Value value);
  void explain(Diag &diag, const Rank &rank, const ReadResult &bad) const;

  Outcome runComputation(Rank &rank, const format::OperationUnion &operation,
                         const Effects &effects);
  Outcome runCopy(Rank &rank, const format::OperationUnion &operation,
                  const Effects &effects);
  Outcome runInput(Rank &rank, const format::OperationUnion &operation,
                   const Effects &effects);
  Outcome runMetric(Rank &rank, const format::OperationUnion &operation,
                    const Effects &effects);
  Outcome runSend(Rank &rank, const format::OperationUnion &operation,
                  const Effects &effects);
  Outcome runReceive(Rank &rank, const format::OperationUnion &operation,
                     const Effects &effects);
  Outcome runCollective(Rank &rank, const format::OperationUnion &operation,
                        const Effects &effects);

  bool agree(const Rank &a, size_t atA, const Rank &b, size_t atB,
             uint32_t communicator);
  void finish(uint32_t communicator, const Rank &current);
  void reportWaiting();
  bool reportLeftOver();
  std::string waitText(const Rank &rank) const;
  std::optional<uint32_t> waitedFor(const Rank &rank) const;

  const ProgramSet &Set;
  SampleSets &Sets;
  const std::string &Entry;
  Diagnostics &Diags;
  std::vector<std::unique_ptr<Rank>> Ranks;
  std::deque<uint32_t> Ready;
  std::map<Channel, std::deque<Message>> Channels;
  std::vector<Gathering> Gatherings;
  std::vector<InputUse> Inputs;
  std::vector<MetricUse> Metrics;
};

} // namespace whale::verifier

#endif // WHALE_VERIFIER_SIMULATION_H
