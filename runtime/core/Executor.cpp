//===- Executor.cpp -------------------------------------------------------===//

#include "runtime/core/Executor.h"

#include "runtime/core/Convert.h"

#include <chrono>
#include <unistd.h>

namespace whale::runtime {

using namespace format;

//===----------------------------------------------------------------------===//
// Instructions that the executor runs itself
//===----------------------------------------------------------------------===//

class InputTask final : public Task {
public:
  InputTask(Executor &owner, const InputT &input)
      : Owner(owner), Node(input), Info(*owner.Program.inputs[input.input]),
        Staging(*bytesOf(*input.operand)),
        Offsets(input.operand->dims.size(), 0) {}

  Status run(const RunContext &context) override {
    for (size_t i = 0; i < Node.offsets.size(); ++i)
      Offsets[i] = evaluate(*Node.offsets[i], context.values);
    BatchKey key{static_cast<uint64_t>(context.values.seed),
                 context.values.step, Owner.Split};
    if (Status status = fillInput(Info, key, Owner.Tokens, Offsets,
                                  Node.operand->dims, Staging.data());
        status.failed())
      return status;
    return Owner.Accelerator.upload(addressOf(*Node.operand, context),
                                    Staging.data(), Staging.size());
  }

private:
  Executor &Owner;
  const InputT &Node;
  const InputInfoT &Info;
  std::vector<std::byte> Staging;
  std::vector<int64_t> Offsets;
};

class MetricTask final : public Task {
public:
  MetricTask(Executor &owner, const MetricT &metric)
      : Owner(owner), Node(metric) {}

  Status run(const RunContext &context) override {
    if (Node.onlyIfZero && evaluate(*Node.onlyIfZero, context.values) != 0)
      return Status();
    double value = 0, count = 1;
    if (Status status = read(*Node.operand, context, value); status.failed())
      return status;
    if (Node.count)
      if (Status status = read(*Node.count, context, count); status.failed())
        return status;
    value *= Node.weight / count;
    MetricValue &slot = Owner.Reported[Node.name];
    slot.combine = Node.combine;
    slot.value = Node.combine == Combine::Sum ? slot.value + value : value;
    return Status();
  }

private:
  Status read(const OperandT &operand, const RunContext &context,
              double &value) {
    std::byte host[8] = {};
    Status status = Owner.Accelerator.download(
        host, addressOf(operand, context), bytesOf(operand.dtype));
    value = loadNumber(operand.dtype, host, 0);
    return status;
  }

  Executor &Owner;
  const MetricT &Node;
};

class CollectiveTask final : public Task {
public:
  CollectiveTask(Executor &owner, const CollectiveT &node)
      : Owner(owner), Node(node) {
    Call.kind = node.kind;
    Call.reduction = node.reduction;
    Call.dtype = node.input->dtype;
    Call.communicator = owner.Info.groups[node.group];
    Call.inputElements = *elementsOf(node.input->dims);
    Call.outputElements = *elementsOf(node.output->dims);
    Call.counts = &node.counts;
    Call.receiveCounts = &node.receiveCounts;
    Call.root = node.root;
  }

  Status run(const RunContext &context) override {
    Call.input = addressOf(*Node.input, context);
    Call.output = addressOf(*Node.output, context);
    return Owner.Network.collective(Call);
  }

private:
  Executor &Owner;
  const CollectiveT &Node;
  CollectiveCall Call;
};

class SendTask final : public Task {
public:
  SendTask(Executor &owner, const SendT &node)
      : Owner(owner), Node(node), Bytes(*bytesOf(*node.operand)) {}

  Status run(const RunContext &context) override {
    return Owner.Network.send(Owner.Info.peers[Node.peer], Node.tag,
                              addressOf(*Node.operand, context), Bytes);
  }

private:
  Executor &Owner;
  const SendT &Node;
  uint64_t Bytes;
};

class ReceiveTask final : public Task {
public:
  ReceiveTask(Executor &owner, const ReceiveT &node)
      : Owner(owner), Node(node), Bytes(*bytesOf(*node.operand)) {}

  Status run(const RunContext &context) override {
    return Owner.Network.receive(Owner.Info.peers[Node.peer], Node.tag,
                                 addressOf(*Node.operand, context), Bytes);
  }

private:
  Executor &Owner;
  const ReceiveT &Node;
  uint64_t Bytes;
};

//===----------------------------------------------------------------------===//
// Preparation
//===----------------------------------------------------------------------===//

Executor::Executor(const ProgramSet &set, uint32_t rank, Device &device,
                   Communicator &communicator, const TokenData *tokens,
                   int64_t seed)
    : Program(set.programOf(rank)), Info(set.manifest.ranks[rank]),
      Rank(rank), Accelerator(device), Network(communicator), Tokens(tokens),
      Seed(seed) {}

Result<std::unique_ptr<Executor>>
Executor::prepare(const ProgramSet &set, uint32_t rank, Device &device,
                  Communicator &communicator, const TokenData *tokens,
                  int64_t seed) {
  const ProgramT &program = set.programOf(rank);
  if (program.target != device.name())
    return Status::error(ErrorKind::Unsupported,
                         "the program of role '" + program.role +
                             "' is for '" + program.target +
                             "', the device is '" + device.name() + "'");
  std::unique_ptr<Executor> executor(
      new Executor(set, rank, device, communicator, tokens, seed));
  if (Status status =
          device.loadKernels(program, set.manifest, set.directory);
      status.failed())
    return status;
  Result<std::byte *> arena = device.allocate(program.arenaBytes);
  if (arena.failed())
    return arena.status();
  executor->Arena = *arena;
  if (Status status = executor->bindAll(); status.failed())
    return status;
  return executor;
}

Status Executor::bindAll() {
  Sections.resize(Program.sections.size());
  for (size_t s = 0; s < Program.sections.size(); ++s) {
    const auto &instructions = Program.sections[s]->instructions;
    for (size_t i = 0; i < instructions.size(); ++i) {
      auto task = bind(instructions[i]->operation);
      if (task.failed())
        return fail(task.status(), s, i);
      Sections[s].push_back(std::move(*task));
    }
  }
  return Status();
}

Result<std::unique_ptr<Task>> Executor::bind(const OperationUnion &operation) {
  using Made = std::unique_ptr<Task>;
  if (const InputT *input = operation.AsInput())
    return Made(std::make_unique<InputTask>(*this, *input));
  if (const MetricT *metric = operation.AsMetric())
    return Made(std::make_unique<MetricTask>(*this, *metric));
  if (const CollectiveT *collective = operation.AsCollective())
    return Made(std::make_unique<CollectiveTask>(*this, *collective));
  if (const SendT *send = operation.AsSend())
    return Made(std::make_unique<SendTask>(*this, *send));
  if (const ReceiveT *receive = operation.AsReceive())
    return Made(std::make_unique<ReceiveTask>(*this, *receive));
  return Accelerator.bind(operation);
}

//===----------------------------------------------------------------------===//
// Running
//===----------------------------------------------------------------------===//

const EntryT *Executor::find(const std::string &name) const {
  for (const auto &entry : Program.entries)
    if (entry->name == name)
      return entry.get();
  return nullptr;
}

Status Executor::fail(Status status, size_t section,
                      size_t instruction) const {
  Error &error = status.error();
  if (error.rank < 0) {
    error.rank = Rank;
    char host[256] = {};
    gethostname(host, sizeof host - 1);
    error.host = host;
  }
  if (error.section.empty())
    locate(Program, section, instruction, error);
  return status;
}

void Executor::startProfile() {
  Profile.resize(Sections.size());
  for (size_t s = 0; s < Sections.size(); ++s)
    Profile[s].assign(Sections[s].size(), {});
}

Status Executor::runSection(uint32_t section, RunContext &context) {
  using Clock = std::chrono::steady_clock;
  const auto &tasks = Sections[section];
  for (size_t i = 0; i < tasks.size(); ++i) {
    Clock::time_point start = Profile.empty() ? Clock::time_point()
                                              : Clock::now();
    if (Status status = tasks[i]->run(context); status.failed())
      return fail(std::move(status), section, i);
    if (!Profile.empty()) {
      InstructionTime &time = Profile[section][i];
      time.seconds +=
          std::chrono::duration<double>(Clock::now() - start).count();
      ++time.runs;
    }
  }
  return Status();
}

Result<Metrics> Executor::run(const std::string &name, int64_t step) {
  const EntryT *entry = find(name);
  if (!entry)
    return badInput("the program of role '" + Program.role +
                    "' has no entry '" + name + "'");
  Split = entry->data;
  Reported.clear();
  RunContext context;
  context.arena = Arena;
  context.values.step = step;
  context.values.seed = Seed;
  context.values.rankScalars = &Info.scalars;
  for (const Visit &visit : entry->schedule) {
    context.values.microBatch = visit.microBatch();
    if (Status status = runSection(visit.section(), context); status.failed())
      return status;
  }
  if (Status status = Accelerator.synchronize(); status.failed())
    return status;
  return Reported;
}

Status Executor::readVariable(const VariableT &variable, void *host) {
  return Accelerator.download(host, Arena + variable.operand->offset,
                              *bytesOf(*variable.operand));
}

Status Executor::writeVariable(const VariableT &variable, const void *host) {
  return Accelerator.upload(Arena + variable.operand->offset, host,
                            *bytesOf(*variable.operand));
}

} // namespace whale::runtime
