//===- Calibrate.cpp - How fast this host is ------------------------------===//

#include "Calibrate.h"

#include "runtime/comm/Launcher.h"
#include "runtime/cpu/CpuDevice.h"
#include "runtime/format/Json.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <numeric>

#include <unistd.h>

namespace whale::runtime {

namespace {

using format::DType;
using format::Json;
using format::OperandT;

/// Seconds that one round of a measurement takes, and rounds; the fastest
/// counts, as nothing else makes a machine faster than it is.
constexpr double roundSeconds = 0.01;
constexpr int rounds = 3;
/// Copied to see the memory: beyond the caches that one core has to itself.
constexpr int64_t copiedBytes = int64_t(32) << 20;
constexpr uint64_t arenaBytes = uint64_t(2) * copiedBytes;
/// Elements of the large all-reduce, 4 MiB.
constexpr int64_t largeElements = int64_t(1) << 20;

const std::vector<int64_t> singleGrid = {16, 128, 1024};
const std::vector<int64_t> doubleGrid = {32, 256};
/// Of formats that have no grid.
constexpr int64_t narrowExtent = 256;

double now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

std::unique_ptr<OperandT> vectorAt(DType type, int64_t elements,
                                   uint64_t offset) {
  auto operand = std::make_unique<OperandT>();
  operand->dtype = type;
  operand->dims = {elements};
  operand->offset = offset;
  return operand;
}

/// The measurements of one rank. All ranks make the same ones together.
class Calibrator {
public:
  Calibrator(Device &device, Communicator &communicator, std::byte *arena)
      : device(device), communicator(communicator) {
    context.arena = arena;
  }

  Status run(Json &result);

private:
  /// Seconds of one `once()` while all ranks do it.
  Result<double> timeOf(const std::function<Status()> &once);
  Result<double> timeOf(format::OperationUnion operation);
  Result<double> product(DType type, int64_t m, int64_t n, int64_t k);
  Result<double> copy(int64_t bytes);
  Result<double> allReduce(int64_t elements);
  Status products(DType type, const std::vector<int64_t> &grid, Json &result);
  Status rates(Json &result);
  Status links(Json &result);

  Device &device;
  Communicator &communicator;
  RunContext context;
};

} // namespace

Result<double> Calibrator::timeOf(const std::function<Status()> &once) {
  if (Status s = once(); s.failed())
    return s;
  double begin = now();
  if (Status s = once(); s.failed())
    return s;
  // All do as many as the first rank says.
  double count = std::clamp(roundSeconds / (now() - begin), 1.0, 1e5);
  std::vector<double> counts(communicator.size());
  if (Status s = communicator.exchange(&count, 1, counts.data()); s.failed())
    return s;
  const auto repeats = static_cast<int64_t>(counts.front());
  double best = 0;
  for (int round = 0; round < rounds; ++round) {
    if (Status s = communicator.barrier(); s.failed())
      return s;
    begin = now();
    for (int64_t i = 0; i < repeats; ++i)
      if (Status s = once(); s.failed())
        return s;
    if (Status s = communicator.barrier(); s.failed())
      return s;
    double each = (now() - begin) / static_cast<double>(repeats);
    best = round == 0 ? each : std::min(best, each);
  }
  return best;
}

Result<double> Calibrator::timeOf(format::OperationUnion operation) {
  auto task = device.bind(operation);
  if (task.failed())
    return task.status();
  return timeOf([&] { return (*task)->run(context); });
}

Result<double> Calibrator::product(DType type, int64_t m, int64_t n,
                                   int64_t k) {
  format::ContractT node;
  const auto bytes = static_cast<int64_t>(format::bytesOf(type));
  node.a = vectorAt(type, m * k, 0);
  node.b = vectorAt(type, k * n, static_cast<uint64_t>(m * k * bytes));
  node.c =
      vectorAt(type, m * n, static_cast<uint64_t>((m * k + k * n) * bytes));
  node.m = m;
  node.n = node.ldb = node.ldc = n;
  node.k = node.lda = k;
  format::OperationUnion operation;
  operation.Set(std::move(node));
  return timeOf(std::move(operation));
}

Result<double> Calibrator::copy(int64_t bytes) {
  const int64_t elements = bytes / 4;
  format::CopyT node;
  node.src = vectorAt(DType::F32, elements, 0);
  node.dst = vectorAt(DType::F32, elements, copiedBytes);
  node.elementBytes = 4;
  node.dims = {elements};
  node.srcStrides = node.dstStrides = {1};
  format::OperationUnion operation;
  operation.Set(std::move(node));
  return timeOf(std::move(operation));
}

Result<double> Calibrator::allReduce(int64_t elements) {
  CollectiveCall call;
  call.input = context.arena;
  call.output = context.arena + copiedBytes;
  call.inputElements = call.outputElements = static_cast<uint64_t>(elements);
  return timeOf([&] { return communicator.collective(call); });
}

Status Calibrator::products(DType type, const std::vector<int64_t> &grid,
                            Json &result) {
  result["grid"] = grid;
  for (int64_t m : grid)
    for (int64_t n : grid)
      for (int64_t k : grid) {
        Result<double> seconds = product(type, m, n, k);
        if (seconds.failed())
          return seconds.status();
        result["seconds"].push_back(*seconds);
      }
  return Status();
}

Status Calibrator::rates(Json &result) {
  Result<double> whole = copy(copiedBytes), least = copy(64);
  if (whole.failed() || least.failed())
    return whole.failed() ? whole.status() : least.status();
  result["copy_bytes_per_second"] = 2.0 * copiedBytes / *whole;
  result["launch_seconds"] = *least;
  for (auto [name, type] :
       {std::pair("bf16", DType::BF16), std::pair("f16", DType::F16)}) {
    Result<double> seconds =
        product(type, narrowExtent, narrowExtent, narrowExtent);
    if (seconds.failed())
      return seconds.status();
    result["product_flops_per_second"][name] =
        2.0 * narrowExtent * narrowExtent * narrowExtent / *seconds;
  }
  return Status();
}

Status Calibrator::links(Json &result) {
  if (communicator.size() < 2)
    return Status();
  Result<double> small = allReduce(8), large = allReduce(largeElements);
  if (small.failed() || large.failed())
    return small.failed() ? small.status() : large.status();
  result["all_reduce"] = {{"small_seconds", *small},
                          {"large_seconds", *large},
                          {"large_bytes", largeElements * 4}};
  return Status();
}

Status Calibrator::run(Json &result) {
  // Ones: no product leaves the normal numbers.
  std::vector<float> ones(arenaBytes / sizeof(float), 1.0F);
  std::memcpy(context.arena, ones.data(), arenaBytes);
  if (Status s = rates(result); s.failed())
    return s;
  if (Status s = products(DType::F32, singleGrid, result["products"]["f32"]);
      s.failed())
    return s;
  if (Status s = products(DType::F64, doubleGrid, result["products"]["f64"]);
      s.failed())
    return s;
  return links(result);
}

Status calibrate(const JobOptions &options) {
  WorldPlan plan;
  plan.ranks = static_cast<uint32_t>(std::max<int64_t>(options.ranks, 1));
  plan.communicators.emplace_back(plan.ranks);
  std::iota(plan.communicators[0].begin(), plan.communicators[0].end(), 0U);
  plan.arenaBytes.assign(plan.ranks, arenaBytes);
  Sharing sharing =
      options.communicator == "shm" ? Sharing::Processes : Sharing::Threads;
  auto world = World::create(plan, sharing);
  if (world.failed())
    return world.status();
  return runRanks(**world, sharing, [&](uint32_t rank, World &shared) {
    std::unique_ptr<Device> device =
        makeCpuDevice({options.useBlas, options.threads, shared.arena(rank)});
    auto communicator = makeCommunicator(
        shared, rank, static_cast<int64_t>(options.timeoutSeconds * 1e3));
    Json result;
    result["ranks"] = shared.plan().ranks;
    result["memory_bytes"] =
        int64_t(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
    Status status =
        Calibrator(*device, *communicator, shared.arena(rank)).run(result);
    if (status.ok() && rank == 0) {
      std::printf("%s\n", format::printJson(result).c_str());
      std::fflush(stdout);
    }
    return status;
  });
}

} // namespace whale::runtime
