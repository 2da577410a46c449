//===- Effects.cpp --------------------------------------------------------===//

#include "compiler/verifier/Effects.h"

#include "runtime/format/Functions.h"

#include <algorithm>
#include <array>
#include <bit>
#include <map>

namespace whale::verifier {

using namespace format;

namespace {

/// Results of the functions of Functions.h, in its order.
struct FunctionResults {
  std::string_view name;
  size_t results;
  /// They are added to what is there.
  bool isSum = false;
};
constexpr FunctionResults functionResults[] = {
    {"attention_forward", 2},
    {"attention_backward", 3}, // and dbias with a bias
    {"conv2d_forward", 1},
    {"conv2d_backward_input", 1},
    {"conv2d_backward_filter", 1},
    {"max_pool_forward", 1},
    {"max_pool_backward", 1},
    {"avg_pool_forward", 1},
    {"avg_pool_backward", 1},
    {"embedding", 1},
    {"scatter_add", 1},
    {"top_k", 2},
    {"top_k_backward", 1},
    {"expert_slot", 1},
    {"dispatch", 1},
    {"collect", 1},
    {"expert_matmul", 1},
    {"expert_outer", 1},
    {"canonical_contract", 1},
    {"canonical_reduce", 1},
    {"canonical_add", 1, true},
    {"canonical_round", 1},
    {"canonical_embedding", 1},
    {"canonical_scatter_add", 1},
    {"canonical_conv2d_forward", 1},
    {"canonical_conv2d_backward_input", 1},
    {"canonical_conv2d_backward_filter", 1},
    {"canonical_expert_matmul", 1},
    {"canonical_expert_outer", 1},
    {"init_constant", 1},
    {"init_normal", 1},
    {"init_uniform", 1},
    {"init_truncated_normal", 1},
};
static_assert(std::size(functionResults) == std::size(functions));

const FunctionResults *findResults(const CallT &call) {
  auto row = std::find_if(
      std::begin(functionResults), std::end(functionResults),
      [&](const FunctionResults &r) { return r.name == call.function; });
  return row == std::end(functionResults) ? nullptr : row;
}

uint64_t hashNumber(double value) { return std::bit_cast<uint64_t>(value); }

void read(Effects &effects, const OperandT &operand) {
  effects.reads.push_back({&operand, *bytesOf(operand)});
}

Writing &write(Effects &effects, const OperandT &operand) {
  uint64_t bytes = *bytesOf(operand);
  return effects.writes.emplace_back(Writing{&operand, bytes, bytes});
}

/// Types and extents are part of what is computed.
void hashShape(Effects &effects, const OperandT &operand) {
  effects.hash =
      combine(effects.hash, static_cast<uint64_t>(operand.dtype) + 1);
  for (int64_t dim : operand.dims)
    effects.hash = combine(effects.hash, static_cast<uint64_t>(dim));
}

using Rule = void (*)(const ProgramT &, const OperationUnion &, Effects &,
                      std::string &);

void launchEffects(const ProgramT &program, const OperationUnion &operation,
                   Effects &effects, std::string &problem) {
  const LaunchT &launch = *operation.AsLaunch();
  const KernelT &kernel = *program.kernels[launch.kernel];
  effects.hash = hashOf(kernel.symbol);
  for (const auto &scalar : launch.scalars)
    effects.scalars.push_back(scalar.get());
  if (kernel.access.size() != launch.operands.size()) {
    problem = "kernel '" + kernel.symbol +
              "' does not say what it does with its buffers";
    return;
  }
  // By buffer: its read.
  std::map<uint32_t, size_t> reads;
  for (uint32_t i = 0; i < launch.operands.size(); ++i) {
    const Access access = kernel.access[i];
    if (access == Access::Read || access == Access::ReadWrite) {
      reads[i] = effects.reads.size();
      read(effects, *launch.operands[i]);
    }
    hashShape(effects, *launch.operands[i]);
  }
  for (uint32_t i = 0; i < launch.operands.size(); ++i) {
    const Access access = kernel.access[i];
    if (access == Access::Read)
      continue;
    Writing &writing = write(effects, *launch.operands[i]);
    writing.isScratch = access == Access::Scratch;
    writing.isSum = access == Access::Accumulate;
    if (kernel.feeds.empty())
      continue;
    writing.from.emplace();
    for (uint32_t buffer : kernel.feeds[i]->buffers)
      if (auto it = reads.find(buffer); it != reads.end())
        writing.from->push_back(it->second);
      else
        problem = "kernel '" + kernel.symbol + "' uses buffer " +
                  std::to_string(buffer) + ", which it does not read";
  }
}

/// Elements from the first to the last that a matrix and its batches touch.
uint64_t spanOf(const ContractT &c, int64_t (BatchDim::*stride)() const,
                int64_t rows, int64_t cols, int64_t leading) {
  if (rows == 0 || cols == 0)
    return 0;
  int64_t last = (rows - 1) * leading + cols;
  for (const BatchDim &dim : c.batch) {
    if (dim.extent() == 0)
      return 0;
    last += (dim.extent() - 1) * (dim.*stride)();
  }
  return static_cast<uint64_t>(last);
}

void contractEffects(const ProgramT &, const OperationUnion &operation,
                     Effects &effects, std::string &) {
  const ContractT &c = *operation.AsContract();
  uint64_t hash = combine(hashOf("contract"), c.transA * 2 + c.transB);
  uint64_t boxKey = 0, box = static_cast<uint64_t>(c.m * c.n);
  for (int64_t v : {c.m, c.n, c.k, c.lda, c.ldb, c.ldc})
    hash = combine(hash, static_cast<uint64_t>(v));
  for (const BatchDim &dim : c.batch) {
    for (int64_t v :
         {dim.extent(), dim.strideA(), dim.strideB(), dim.strideC()})
      hash = combine(hash, static_cast<uint64_t>(v));
    box *= static_cast<uint64_t>(dim.strideC() == 0 ? 1 : dim.extent());
  }
  boxKey = combine(hash, box);
  effects.hash = combine(hash, hashNumber(c.alpha));
  auto reads = [&](const OperandT &operand, uint64_t elements) {
    effects.reads.push_back({&operand, elements * bytesOf(operand.dtype)});
  };
  reads(*c.a, c.transA ? spanOf(c, &BatchDim::strideA, c.k, c.m, c.lda)
                       : spanOf(c, &BatchDim::strideA, c.m, c.k, c.lda));
  reads(*c.b, c.transB ? spanOf(c, &BatchDim::strideB, c.n, c.k, c.ldb)
                       : spanOf(c, &BatchDim::strideB, c.k, c.n, c.ldb));
  const uint64_t size = bytesOf(c.c->dtype);
  const uint64_t span = spanOf(c, &BatchDim::strideC, c.m, c.n, c.ldc) * size;
  effects.writes.push_back(
      {c.c.get(), box * size, span, boxKey, false, c.accumulate});
}

void callEffects(const ProgramT &, const OperationUnion &operation,
                 Effects &effects, std::string &problem) {
  const CallT &call = *operation.AsCall();
  const FunctionInfo *info = findFunction(call.function);
  if (!info || call.operands.size() < info->minOperands ||
      call.operands.size() > info->maxOperands) {
    problem =
        "function '" + call.function + "' is not known or has other operands";
    return;
  }
  effects.hash = hashOf(call.function);
  for (int64_t value : call.ints)
    effects.hash = combine(effects.hash, static_cast<uint64_t>(value));
  for (double value : call.floats)
    effects.hash = combine(effects.hash, hashNumber(value));
  for (const auto &scalar : call.scalars)
    effects.scalars.push_back(scalar.get());
  const size_t arguments = call.operands.size() - resultsOf(call);
  for (size_t i = 0; i < call.operands.size(); ++i) {
    if (i < arguments)
      read(effects, *call.operands[i]);
    else
      write(effects, *call.operands[i]).isSum = findResults(call)->isSum;
    hashShape(effects, *call.operands[i]);
  }
}

void collectiveEffects(const ProgramT &, const OperationUnion &operation,
                       Effects &effects, std::string &) {
  const CollectiveT &c = *operation.AsCollective();
  read(effects, *c.input);
  write(effects, *c.output);
}

void sendEffects(const ProgramT &, const OperationUnion &operation,
                 Effects &effects, std::string &) {
  read(effects, *operation.AsSend()->operand);
}

void receiveEffects(const ProgramT &, const OperationUnion &operation,
                    Effects &effects, std::string &) {
  write(effects, *operation.AsReceive()->operand);
}

/// The box is known when the offsets are: see Simulation.
void copyEffects(const ProgramT &, const OperationUnion &operation,
                 Effects &effects, std::string &) {
  const CopyT &c = *operation.AsCopy();
  effects.hash = combine(hashOf("copy"), c.elementBytes);
  for (size_t i = 0; i < c.dims.size(); ++i)
    for (int64_t v : {c.dims[i], c.srcStrides[i], c.dstStrides[i]})
      effects.hash = combine(effects.hash, static_cast<uint64_t>(v));
}

void fillEffects(const ProgramT &, const OperationUnion &operation,
                 Effects &effects, std::string &) {
  const FillT &fill = *operation.AsFill();
  effects.hash = combine(hashOf("fill"), hashNumber(fill.value));
  hashShape(effects, *fill.operand);
  write(effects, *fill.operand);
}

void inputEffects(const ProgramT &program, const OperationUnion &operation,
                  Effects &effects, std::string &) {
  const InputT &input = *operation.AsInput();
  effects.hash =
      combine(hashOf("input"), hashOf(program.inputs[input.input]->name));
  hashShape(effects, *input.operand);
  for (const auto &offset : input.offsets)
    effects.scalars.push_back(offset.get());
  write(effects, *input.operand);
}

void metricEffects(const ProgramT &, const OperationUnion &operation,
                   Effects &effects, std::string &) {
  const MetricT &metric = *operation.AsMetric();
  effects.hash = combine(hashOf(metric.name), hashNumber(metric.weight));
  read(effects, *metric.operand);
  if (metric.count)
    read(effects, *metric.count);
}

/// By value of Operation.
constexpr Rule rules[] = {nullptr,        launchEffects,     contractEffects,
                          callEffects,    collectiveEffects, sendEffects,
                          receiveEffects, copyEffects,       fillEffects,
                          inputEffects,   metricEffects};
static_assert(std::size(rules) == static_cast<size_t>(Operation::MAX) + 1);

} // namespace

size_t resultsOf(const CallT &call) {
  const FunctionResults *row = findResults(call);
  if (!row)
    return 0;
  bool hasBias = call.ints.size() > 2 && call.ints[2] != 0;
  return row->results + (row->name == "attention_backward" && hasBias);
}

Effects effectsOf(const ProgramT &program, const InstructionT &instruction,
                  std::string &problem) {
  Effects effects;
  rules[static_cast<size_t>(instruction.operation.type)](
      program, instruction.operation, effects, problem);
  return effects;
}

} // namespace whale::verifier
