//===- CudaBench.cpp - What the device does in a second -------------------===//
//
// Rows of tools/gpu-check: "| what | size | measured | unit |". Each number is
// the best of ten, timed over a batch of submissions and one wait.
//
//===----------------------------------------------------------------------===//

#include "runtime/cuda/Cuda.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

using namespace whale::format;
using namespace whale::runtime;

namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t arenaBytes = 3ull << 30;

std::unique_ptr<OperandT> operandAt(DType dtype, std::vector<int64_t> dims,
                                    uint64_t offset) {
  auto out = std::make_unique<OperandT>();
  out->dtype = dtype;
  out->dims = std::move(dims);
  out->offset = offset;
  return out;
}

/// Seconds of one run, or a negative number when it fails.
double secondsOf(Device &device, std::byte *arena,
                 const OperationUnion &operation) {
  constexpr int runs = 20;
  auto task = device.bind(operation);
  RunContext context;
  context.arena = arena;
  double best = -1;
  for (int round = 0; task.ok() && round < 11; ++round) {
    Clock::time_point start = Clock::now();
    for (int i = 0; i < runs; ++i)
      if ((*task)->run(context).failed())
        return -1;
    if (device.synchronize().failed())
      return -1;
    double seconds =
        std::chrono::duration<double>(Clock::now() - start).count() / runs;
    if (round > 0) // the first one warms up
      best = best < 0 ? seconds : std::min(best, seconds);
  }
  return best;
}

void row(const char *what, const std::string &size, double value,
         const char *unit) {
  if (value > 0)
    std::printf("| %s | %s | %.1f | %s |\n", what, size.c_str(), value, unit);
  else
    std::printf("| %s | %s | failed | %s |\n", what, size.c_str(), unit);
}

void benchProducts(Device &device, std::byte *arena) {
  for (DType dtype : {DType::BF16, DType::F16, DType::F32, DType::F64})
    for (int64_t n : {1024, 4096, 8192}) {
      ContractT node;
      node.m = node.n = node.k = node.lda = node.ldb = node.ldc = n;
      node.a = operandAt(dtype, {n, n}, 0);
      node.b = operandAt(dtype, {n, n}, 1ull << 30);
      node.c = operandAt(dtype, {n, n}, 2ull << 30);
      OperationUnion operation;
      operation.Set(std::move(node));
      double seconds = secondsOf(device, arena, operation);
      std::string what =
          "matrix product " + std::string(nameOf(dtype)) + ", cublasLt";
      row(what.c_str(), std::to_string(n) + " cubed",
          2.0 * n * n * n / seconds * 1e-12, "TFLOP/s");
    }
}

void benchCopies(Device &device, std::byte *arena) {
  for (int64_t width : {64, 4096, 262144}) {
    const int64_t bytes = 256 << 20, rows = bytes / width;
    CopyT node;
    node.src = operandAt(DType::U8, {2 * bytes}, 0);
    node.dst = operandAt(DType::U8, {bytes}, 1ull << 30);
    node.elementBytes = 1;
    node.dims = {rows, width};
    node.srcStrides = {2 * width, 1};
    node.dstStrides = {width, 1};
    OperationUnion operation;
    operation.Set(std::move(node));
    double seconds = secondsOf(device, arena, operation);
    row("copy of every other row, read + written",
        "256 MiB in rows of " + std::to_string(width) + " B",
        2.0 * bytes / seconds * 1e-9, "GB/s");
  }
  FillT fill;
  fill.operand = operandAt(DType::F32, {256 << 20}, 0);
  fill.value = 1;
  OperationUnion operation;
  operation.Set(std::move(fill));
  row("fill f32", "1 GiB",
      double(1 << 30) / secondsOf(device, arena, operation) * 1e-9, "GB/s");
}

void benchTransfers(Device &device, std::byte *arena) {
  std::vector<std::byte> host(256 << 20);
  auto gigabytesPerSecond = [&](auto &&transfer) {
    double best = -1;
    for (int round = 0; round < 5; ++round) {
      Clock::time_point start = Clock::now();
      if (transfer().failed() || device.synchronize().failed())
        return -1.0;
      double seconds =
          std::chrono::duration<double>(Clock::now() - start).count();
      best = std::max(best, double(host.size()) / seconds * 1e-9);
    }
    return best;
  };
  row("upload, pageable", "256 MiB", gigabytesPerSecond([&] {
        return device.upload(arena, host.data(), host.size());
      }),
      "GB/s");
  row("download, pageable", "256 MiB", gigabytesPerSecond([&] {
        return device.download(host.data(), arena, host.size());
      }),
      "GB/s");
}

} // namespace

int main() {
  std::fputs(describeCuda().c_str(), stderr);
  Result<std::unique_ptr<Device>> device = makeCudaDevice(0);
  if (device.failed()) {
    std::fprintf(stderr, "%s\n", device.status().error().text().c_str());
    return device.status().error().kind == ErrorKind::Unsupported ? 6 : 2;
  }
  Result<std::byte *> arena = (*device)->allocate(arenaBytes);
  if (arena.failed()) {
    std::fprintf(stderr, "%s\n", arena.status().error().text().c_str());
    return 1;
  }
  benchProducts(**device, *arena);
  benchCopies(**device, *arena);
  benchTransfers(**device, *arena);
  return 0;
}
