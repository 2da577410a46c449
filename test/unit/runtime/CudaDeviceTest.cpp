//===- CudaDeviceTest.cpp - The CUDA device against plain loops -----------===//
//
// Runs where a GPU is; elsewhere each case says why it did not.
//
//===----------------------------------------------------------------------===//

#include "runtime/comm/Launcher.h"
#include "runtime/core/Convert.h"
#include "runtime/cuda/Cuda.h"

#include "TestPrograms.h"

#include <catch2/catch.hpp>

#include <functional>

using namespace whale::format;
using namespace whale::runtime;
using namespace whale::test;

namespace {

void requireOk(const Status &status) {
  INFO((status.ok() ? "" : status.error().text()));
  REQUIRE(status.ok());
}

/// A device and an arena; null where there is no GPU.
struct Bench {
  std::unique_ptr<Device> device;
  std::byte *arena = nullptr;

  explicit Bench(uint64_t bytes) {
    auto opened = makeCudaDevice(0);
    if (opened.failed()) {
      WARN("skipped: " << opened.status().error().message);
      return;
    }
    device = std::move(*opened);
    auto memory = device->allocate(bytes);
    REQUIRE(memory.ok());
    arena = *memory;
  }

  /// Binds and runs one operation in micro-batch `microBatch`.
  template <typename T> Status run(T node, int64_t microBatch = 0) {
    OperationUnion operation;
    operation.Set(std::move(node));
    auto task = device->bind(operation);
    if (task.failed())
      return task.status();
    RunContext context;
    context.arena = arena;
    context.values.microBatch = microBatch;
    Status status = (*task)->run(context);
    return status.failed() ? status : device->synchronize();
  }

  /// Elements of `dtype` at an offset of the arena.
  void put(DType dtype, uint64_t offset, const std::vector<double> &values) {
    std::vector<std::byte> host(values.size() * bytesOf(dtype));
    for (size_t i = 0; i < values.size(); ++i)
      storeNumber(dtype, host.data(), i, values[i]);
    requireOk(device->upload(arena + offset, host.data(), host.size()));
  }
  std::vector<double> get(DType dtype, uint64_t offset, size_t count) {
    std::vector<std::byte> host(count * bytesOf(dtype));
    requireOk(device->download(host.data(), arena + offset, host.size()));
    std::vector<double> out;
    for (size_t i = 0; i < count; ++i)
      out.push_back(loadNumber(dtype, host.data(), i));
    return out;
  }
};

/// Whole numbers that every type, and sums of 24 products, hold exactly.
std::vector<double> smallNumbers(size_t count, size_t seed) {
  std::vector<double> out(count);
  for (size_t i = 0; i < count; ++i)
    out[i] = static_cast<double>((i * 5 + seed) % 3) - 1;
  return out;
}

} // namespace

TEST_CASE("cuda: fills of every type, in the slot of the micro-batch") {
  Bench bench(4096);
  if (!bench.device)
    return;
  for (DType dtype : {DType::F32, DType::F64, DType::BF16, DType::F16,
                      DType::I32, DType::I64, DType::I8, DType::U8, DType::I1})
    for (double value : {0.0, 1.0}) {
      bench.put(dtype, 0, std::vector<double>(100, 1 - value));
      FillT fill;
      fill.operand = boxed(operand(dtype, {25}, 0));
      fill.operand->slots = 2;
      fill.operand->stride = 50 * bytesOf(dtype);
      fill.value = value;
      requireOk(bench.run(std::move(fill), 3));
      auto found = bench.get(dtype, 0, 100);
      for (size_t i = 0; i < 100; ++i)
        REQUIRE(found[i] == (i >= 50 && i < 75 ? value : 1 - value));
    }
}

TEST_CASE("cuda: contractions of every type, orientation and accumulation") {
  Bench bench(1 << 20);
  if (!bench.device)
    return;
  const int64_t m = 16, n = 32, k = 24, batch = 3;
  for (DType dtype : {DType::F32, DType::F64, DType::BF16, DType::F16})
    for (int variant = 0; variant < 16; ++variant) {
      const bool transA = variant & 1, transB = variant & 2,
                 accumulate = variant & 4;
      const DType result =
          (variant & 8) && dtype != DType::F64 ? DType::F32 : dtype;
      auto a = smallNumbers(batch * m * k, 1);
      auto b = smallNumbers(batch * k * n, 2);
      auto c = smallNumbers(batch * m * n, 3);
      bench.put(dtype, 0, a);
      bench.put(dtype, 1 << 18, b);
      bench.put(result, 1 << 19, c);
      ContractT node;
      node.a = boxed(operand(dtype, {batch, m, k}, 0));
      node.b = boxed(operand(dtype, {batch, k, n}, 1 << 18));
      node.c = boxed(operand(result, {batch, m, n}, 1 << 19));
      node.batch = {BatchDim(batch, m * k, k * n, m * n)};
      node.m = m;
      node.n = n;
      node.k = k;
      node.lda = transA ? m : k;
      node.ldb = transB ? k : n;
      node.ldc = n;
      node.transA = transA;
      node.transB = transB;
      node.accumulate = accumulate;
      requireOk(bench.run(std::move(node)));
      auto found = bench.get(result, 1 << 19, c.size());
      for (int64_t p = 0; p < batch; ++p)
        for (int64_t i = 0; i < m; ++i)
          for (int64_t j = 0; j < n; ++j) {
            double sum = accumulate ? c[(p * m + i) * n + j] : 0;
            for (int64_t l = 0; l < k; ++l)
              sum += a[p * m * k + (transA ? l * m + i : i * k + l)] *
                     b[p * k * n + (transB ? j * k + l : l * n + j)];
            REQUIRE(found[(p * m + i) * n + j] == sum);
          }
    }
}

TEST_CASE("cuda: a strided box is copied") {
  Bench bench(1 << 16);
  if (!bench.device)
    return;
  std::vector<double> source(6 * 8);
  for (size_t i = 0; i < source.size(); ++i)
    source[i] = static_cast<double>(i);
  bench.put(DType::F32, 0, source);
  CopyT copy;
  copy.src = boxed(operand(DType::F32, {6, 8}, 0));
  copy.dst = boxed(operand(DType::F32, {3, 4}, 4096));
  copy.elementBytes = 4;
  copy.dims = {3, 4};
  copy.srcStrides = {8, 2};
  copy.dstStrides = {4, 1};
  copy.srcOffset = scalar(9);
  requireOk(bench.run(std::move(copy)));
  auto found = bench.get(DType::F32, 4096, 12);
  for (size_t i = 0; i < 3; ++i)
    for (size_t j = 0; j < 4; ++j)
      CHECK(found[i * 4 + j] == 9 + i * 8 + j * 2);
}

namespace {

/// data[i] += amount for 64 floats: two blocks of 32.
const char *const addKernel = R"(
.version 7.0
.target sm_75
.address_size 64
.visible .global .align 4 .u32 add_launch[7] = {2, 1, 1, 32, 1, 1, 0};
.visible .entry add(.param .u64 data, .param .u64 amount) {
  .reg .b64 %p<4>;
  .reg .b32 %i<4>;
  .reg .f32 %f<3>;
  .reg .b64 %n;
  ld.param.u64 %p1, [data];
  cvta.to.global.u64 %p2, %p1;
  ld.param.u64 %n, [amount];
  mov.u32 %i1, %ctaid.x;
  mov.u32 %i2, %tid.x;
  mad.lo.u32 %i3, %i1, 32, %i2;
  mul.wide.u32 %p1, %i3, 4;
  add.u64 %p3, %p2, %p1;
  ld.global.f32 %f1, [%p3];
  cvt.rn.f32.s64 %f2, %n;
  add.f32 %f1, %f1, %f2;
  st.global.f32 [%p3], %f1;
  ret;
}
)";

} // namespace

TEST_CASE("cuda: a PTX kernel is loaded and launched; others are named") {
  Bench bench(4096);
  if (!bench.device)
    return;
  TemporaryDirectory directory;
  writeText(directory / "add.ptx", addKernel);
  ProgramT program = emptyProgram("r", 4096);
  program.kernels.push_back(std::make_unique<KernelT>());
  program.kernels[0]->symbol = "add";
  program.kernels[0]->library = "kernels";
  Manifest manifest;
  manifest.libraries = {{"kernels", {{"x86-64", "add.so"}}}};
  Status refused =
      bench.device->loadKernels(program, manifest, directory.path());
  REQUIRE(refused.failed());
  CHECK(refused.error().kind == ErrorKind::Unsupported);
  CHECK_THAT(refused.error().message, Catch::Contains("kernel 'add'"));
  manifest.libraries[0].variants.push_back({"ptx", "add.ptx"});
  requireOk(bench.device->loadKernels(program, manifest, directory.path()));
  bench.put(DType::F32, 0, smallNumbers(64, 0));
  LaunchT launch;
  launch.operands.push_back(boxed(operand(DType::F32, {64}, 0)));
  launch.scalars.push_back(scalar(7));
  requireOk(bench.run(std::move(launch)));
  auto expected = smallNumbers(64, 0), found = bench.get(DType::F32, 0, 64);
  for (double &value : expected)
    value += 7;
  CHECK(found == expected);
}

TEST_CASE("cuda: a function that the device lacks is named") {
  Bench bench(64);
  if (!bench.device)
    return;
  CallT call;
  call.function = "top_k";
  Status status = bench.run(std::move(call));
  REQUIRE(status.failed());
  CHECK(status.error().kind == ErrorKind::Unsupported);
  CHECK_THAT(status.error().message, Catch::Contains("'top_k'"));
}

TEST_CASE("cuda: every collective of one rank is the identity") {
  if (Status status = checkCuda(); status.failed()) {
    WARN("skipped: " << status.error().message);
    return;
  }
  Bench bench(1 << 16);
  WorldPlan plan;
  plan.ranks = 1;
  plan.communicators = {{0}};
  auto world = World::create(plan, Sharing::Threads);
  REQUIRE(world.ok());
  auto host = makeCommunicator(**world, 0, 20000);
  NcclOptions options{
      *host, (*world)->plan().communicators, {}, nullptr, 20000};
  auto made = makeNcclCommunicator(*bench.device, options);
  requireOk(made.ok() ? Status() : made.status());
  const auto input = smallNumbers(100, 0);
  for (CollectiveKind kind :
       {CollectiveKind::AllReduce, CollectiveKind::AllGather,
        CollectiveKind::ReduceScatter, CollectiveKind::AllToAll,
        CollectiveKind::Broadcast}) {
    bench.put(DType::BF16, 0, input);
    bench.put(DType::BF16, 4096, std::vector<double>(100, 9));
    CollectiveCall call;
    call.kind = kind;
    call.dtype = DType::BF16;
    call.input = bench.arena;
    call.output = bench.arena + 4096;
    call.inputElements = call.outputElements = 100;
    INFO(EnumNameCollectiveKind(kind));
    requireOk((*made)->collective(call));
    CHECK(bench.get(DType::BF16, 4096, 100) == input);
  }
  requireOk((*made)->barrier());
}
