//===- CpuDevice.cpp ------------------------------------------------------===//

#include "runtime/cpu/CpuDevice.h"

#include "runtime/cpu/Function.h"
#include "runtime/format/Functions.h"

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <map>

namespace whale::runtime {

using namespace format;

namespace {

using KernelPointer = void (*)(void *const *buffers, const int64_t *scalars);

//===----------------------------------------------------------------------===//
// Tasks
//===----------------------------------------------------------------------===//

class LaunchTask final : public Task {
public:
  LaunchTask(const LaunchT &node, KernelPointer kernel)
      : Node(node), Kernel(kernel), Buffers(node.operands.size()),
        Scalars(node.scalars.size()) {}

  Status run(const RunContext &context) override {
    for (size_t i = 0; i < Buffers.size(); ++i)
      Buffers[i] = addressOf(*Node.operands[i], context);
    for (size_t i = 0; i < Scalars.size(); ++i)
      Scalars[i] = evaluate(*Node.scalars[i], context.values);
    Kernel(Buffers.data(), Scalars.data());
    return Status();
  }

private:
  const LaunchT &Node;
  KernelPointer Kernel;
  std::vector<void *> Buffers;
  std::vector<int64_t> Scalars;
};

/// Products of f32 and f64 go to BLAS as they are; 16-bit operands are widened
/// into scratch first and the result is rounded once.
class ContractTask final : public Task {
public:
  ContractTask(const ContractT &node, const Blas &blas)
      : Node(node), Products(blas), Index(node.batch.size(), 0) {
    for (const BatchDim &dim : node.batch)
      Count *= dim.extent();
  }

  Status run(const RunContext &context) override {
    const std::byte *a = addressOf(*Node.a, context);
    const std::byte *b = addressOf(*Node.b, context);
    std::byte *c = addressOf(*Node.c, context);
    std::fill(Index.begin(), Index.end(), 0);
    for (int64_t i = 0; i < Count; ++i) {
      int64_t atA = 0, atB = 0, atC = 0;
      for (size_t d = 0; d < Index.size(); ++d) {
        atA += Index[d] * Node.batch[d].strideA();
        atB += Index[d] * Node.batch[d].strideB();
        atC += Index[d] * Node.batch[d].strideC();
      }
      multiply(a + atA * int64_t(bytesOf(Node.a->dtype)),
               b + atB * int64_t(bytesOf(Node.b->dtype)),
               c + atC * int64_t(bytesOf(Node.c->dtype)));
      for (size_t d = Index.size();
           d-- > 0 && ++Index[d] == Node.batch[d].extent();)
        Index[d] = 0;
    }
    return Status();
  }

private:
  template <typename T> void multiplyAs(const T *a, const T *b, T *c) {
    Products.gemm(Node.transA, Node.transB, Node.m, Node.n, Node.k,
                  static_cast<T>(Node.alpha), a, Node.lda, b, Node.ldb,
                  Node.accumulate ? T(1) : T(0), c, Node.ldc);
  }

  void multiply(const std::byte *a, const std::byte *b, std::byte *c) {
    if (Node.a->dtype == DType::F64)
      return multiplyAs(reinterpret_cast<const double *>(a),
                        reinterpret_cast<const double *>(b),
                        reinterpret_cast<double *>(c));
    if (Node.a->dtype == DType::F32)
      return multiplyAs(reinterpret_cast<const float *>(a),
                        reinterpret_cast<const float *>(b),
                        reinterpret_cast<float *>(c));
    dispatchFloat(Node.a->dtype, [&](auto zero) {
      multiplyNarrow<decltype(zero)>(a, b, c);
    });
  }

  /// Dense f32 copy of a strided matrix.
  template <typename T>
  static void widen(const T *source, int64_t rows, int64_t cols,
                    int64_t leading, std::vector<float> &out) {
    out.resize(static_cast<size_t>(rows * cols));
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < cols; ++j)
        out[i * cols + j] =
            static_cast<float>(ElementTraits<T>::load(source[i * leading + j]));
  }

  template <typename T>
  void multiplyNarrow(const std::byte *a, const std::byte *b, std::byte *c) {
    int64_t rowsA = Node.transA ? Node.k : Node.m, colsA = Node.m + Node.k - rowsA;
    int64_t rowsB = Node.transB ? Node.n : Node.k, colsB = Node.n + Node.k - rowsB;
    widen(reinterpret_cast<const T *>(a), rowsA, colsA, Node.lda, WideA);
    widen(reinterpret_cast<const T *>(b), rowsB, colsB, Node.ldb, WideB);
    if (Node.c->dtype == DType::F32) {
      Products.gemm(Node.transA, Node.transB, Node.m, Node.n, Node.k,
                    static_cast<float>(Node.alpha), WideA.data(), colsA,
                    WideB.data(), colsB, Node.accumulate ? 1.0f : 0.0f,
                    reinterpret_cast<float *>(c), Node.ldc);
      return;
    }
    T *result = reinterpret_cast<T *>(c);
    widen(result, Node.accumulate ? Node.m : 0, Node.n, Node.ldc, WideC);
    WideC.resize(static_cast<size_t>(Node.m * Node.n));
    Products.gemm(Node.transA, Node.transB, Node.m, Node.n, Node.k,
                  static_cast<float>(Node.alpha), WideA.data(), colsA,
                  WideB.data(), colsB, Node.accumulate ? 1.0f : 0.0f,
                  WideC.data(), Node.n);
    for (int64_t i = 0; i < Node.m; ++i)
      for (int64_t j = 0; j < Node.n; ++j)
        result[i * Node.ldc + j] = ElementTraits<T>::store(
            static_cast<typename ElementTraits<T>::Compute>(
                WideC[i * Node.n + j]));
  }

  const ContractT &Node;
  const Blas &Products;
  int64_t Count = 1;
  std::vector<int64_t> Index;
  std::vector<float> WideA, WideB, WideC;
};

class CallTask final : public Task {
public:
  CallTask(const CallT &node, const Blas &blas, const CpuFunction &function)
      : Call{node, blas, std::vector<std::byte *>(node.operands.size()),
             std::vector<int64_t>(node.scalars.size())},
        Function(function) {}

  Status run(const RunContext &context) override {
    for (size_t i = 0; i < Call.data.size(); ++i)
      Call.data[i] = addressOf(*Call.node.operands[i], context);
    for (size_t i = 0; i < Call.scalars.size(); ++i)
      Call.scalars[i] = evaluate(*Call.node.scalars[i], context.values);
    return Function.run(Call);
  }

private:
  FunctionCall Call;
  const CpuFunction &Function;
};

/// Dimensions are merged where both sides are contiguous, so that the inner
/// loop is as long as it can be.
class CopyTask final : public Task {
public:
  explicit CopyTask(const CopyT &node) : Node(node) {
    for (size_t i = 0; i < node.dims.size(); ++i) {
      Count *= node.dims[i];
      if (node.dims[i] != 1)
        Dims.push_back({node.dims[i], node.srcStrides[i], node.dstStrides[i]});
    }
    for (size_t i = Dims.size(); i-- > 1;)
      if (Dims[i - 1].src == Dims[i].src * Dims[i].extent &&
          Dims[i - 1].dst == Dims[i].dst * Dims[i].extent) {
        Dims[i - 1] = {Dims[i - 1].extent * Dims[i].extent, Dims[i].src,
                       Dims[i].dst};
        Dims.erase(Dims.begin() + static_cast<long>(i));
      }
  }

  Status run(const RunContext &context) override {
    auto offsetOf = [&](const std::unique_ptr<ScalarT> &scalar) {
      return scalar ? evaluate(*scalar, context.values) : 0;
    };
    if (Count > 0)
      copy(addressOf(*Node.src, context) +
               offsetOf(Node.srcOffset) * Node.elementBytes,
           addressOf(*Node.dst, context) +
               offsetOf(Node.dstOffset) * Node.elementBytes,
           0);
    return Status();
  }

private:
  struct Dim {
    int64_t extent, src, dst;
  };

  void copy(const std::byte *src, std::byte *dst, size_t d) const {
    int64_t bytes = Node.elementBytes;
    if (d == Dims.size()) {
      std::memcpy(dst, src, bytes);
      return;
    }
    const Dim &dim = Dims[d];
    if (d + 1 < Dims.size()) {
      for (int64_t i = 0; i < dim.extent; ++i)
        copy(src + i * dim.src * bytes, dst + i * dim.dst * bytes, d + 1);
      return;
    }
    if (dim.src == 1 && dim.dst == 1) {
      std::memcpy(dst, src, dim.extent * bytes);
      return;
    }
    if (bytes == 4)
      return copyStrided<uint32_t>(src, dst, dim);
    if (bytes == 2)
      return copyStrided<uint16_t>(src, dst, dim);
    for (int64_t i = 0; i < dim.extent; ++i)
      std::memcpy(dst + i * dim.dst * bytes, src + i * dim.src * bytes, bytes);
  }

  template <typename T>
  static void copyStrided(const std::byte *src, std::byte *dst,
                          const Dim &dim) {
    const T *from = reinterpret_cast<const T *>(src);
    T *to = reinterpret_cast<T *>(dst);
    for (int64_t i = 0; i < dim.extent; ++i)
      to[i * dim.dst] = from[i * dim.src];
  }

  const CopyT &Node;
  int64_t Count = 1;
  std::vector<Dim> Dims;
};

class FillTask final : public Task {
public:
  explicit FillTask(const FillT &node)
      : Node(node), Elements(*elementsOf(node.operand->dims)) {}

  Status run(const RunContext &context) override {
    std::byte *data = addressOf(*Node.operand, context);
    if (Node.operand->dtype == DType::Accumulator) {
      std::memset(data, 0, Elements * bytesOf(DType::Accumulator));
      return Status();
    }
    dispatchDType(Node.operand->dtype, [&](auto zero) {
      using T = decltype(zero);
      using Compute = typename ElementTraits<T>::Compute;
      std::fill_n(reinterpret_cast<T *>(data), Elements,
                  ElementTraits<T>::store(static_cast<Compute>(Node.value)));
    });
    return Status();
  }

private:
  const FillT &Node;
  uint64_t Elements;
};

//===----------------------------------------------------------------------===//
// The device
//===----------------------------------------------------------------------===//

struct Free {
  void operator()(std::byte *memory) const { std::free(memory); }
};

class CpuDevice final : public Device {
public:
  explicit CpuDevice(const CpuOptions &options)
      : Options(options), Products(Blas::open(options.useBlas,
                                              options.threads)) {}
  ~CpuDevice() override {
    for (void *library : Libraries)
      dlclose(library);
  }

  std::string name() const override { return "cpu"; }
  Status loadKernels(const ProgramT &program, const Manifest &manifest,
                     const std::string &directory) override;
  Result<std::byte *> allocate(uint64_t bytes) override;
  Result<std::unique_ptr<Task>> bind(const OperationUnion &operation) override;
  Status upload(std::byte *device, const void *host, uint64_t bytes) override {
    if (bytes > 0)
      std::memcpy(device, host, bytes);
    return Status();
  }
  Status download(void *host, const std::byte *device,
                  uint64_t bytes) override {
    if (bytes > 0)
      std::memcpy(host, device, bytes);
    return Status();
  }
  Status synchronize() override { return Status(); }

private:
  Result<void *> openLibrary(const LibraryInfo &library,
                             const std::string &directory);
  Result<std::unique_ptr<Task>> bindCall(const CallT &call);

  CpuOptions Options;
  std::unique_ptr<Blas> Products;
  std::vector<std::unique_ptr<std::byte, Free>> Memory;
  std::vector<void *> Libraries;
  std::vector<KernelPointer> Kernels;
};

Result<void *> CpuDevice::openLibrary(const LibraryInfo &library,
                                      const std::string &directory) {
  for (const std::string &target : cpuTargets())
    for (const LibraryVariant &variant : library.variants) {
      if (variant.target != target)
        continue;
      char resolved[PATH_MAX];
      const std::string path = directory + "/" + variant.file;
      if (!realpath(path.c_str(), resolved))
        return badInput("cannot open '" + path + "'");
      void *handle = dlopen(resolved, RTLD_NOW | RTLD_LOCAL);
      if (!handle)
        return badInput("cannot load kernels: " + std::string(dlerror()));
      Libraries.push_back(handle);
      return handle;
    }
  return Status::error(ErrorKind::Unsupported,
                       "library '" + library.id +
                           "' has no kernels for this processor ('" +
                           cpuTargets().front() + "')");
}

Status CpuDevice::loadKernels(const ProgramT &program,
                              const Manifest &manifest,
                              const std::string &directory) {
  std::map<std::string, void *> opened;
  for (const auto &kernel : program.kernels) {
    if (!opened.count(kernel->library)) {
      const LibraryInfo *library = manifest.findLibrary(kernel->library);
      if (!library)
        return badInput("library '" + kernel->library +
                        "' is not in the manifest");
      Result<void *> handle = openLibrary(*library, directory);
      if (handle.failed())
        return handle.status();
      opened[kernel->library] = *handle;
    }
    void *symbol = dlsym(opened[kernel->library], kernel->symbol.c_str());
    if (!symbol)
      return badInput("library '" + kernel->library + "' lacks kernel '" +
                      kernel->symbol + "'");
    Kernels.push_back(reinterpret_cast<KernelPointer>(symbol));
  }
  return Status();
}

Result<std::byte *> CpuDevice::allocate(uint64_t bytes) {
  if (Options.arena)
    return Options.arena;
  uint64_t rounded =
      (std::max<uint64_t>(bytes, 1) + arenaAlignment - 1) / arenaAlignment *
      arenaAlignment;
  void *memory = std::aligned_alloc(arenaAlignment, rounded);
  if (!memory)
    return badInput("cannot allocate an arena of " + std::to_string(bytes) +
                    " bytes");
  std::memset(memory, 0, rounded);
  Memory.emplace_back(static_cast<std::byte *>(memory));
  return static_cast<std::byte *>(memory);
}

Result<std::unique_ptr<Task>> CpuDevice::bindCall(const CallT &call) {
  const FunctionInfo *info = findFunction(call.function);
  const CpuFunction *function = findCpuFunction(call.function);
  if (!info || !function)
    return Status::error(ErrorKind::Unsupported,
                         "the cpu device has no function '" + call.function +
                             "'");
  size_t operands = call.operands.size();
  if (operands < info->minOperands || operands > info->maxOperands ||
      call.ints.size() < info->minInts || call.floats.size() != info->floats ||
      call.scalars.size() > info->maxScalars)
    return badInput("call of '" + call.function +
                    "' has a wrong number of operands, ints, floats or "
                    "scalars");
  if (Status status = function->check(call); status.failed())
    return status;
  return std::unique_ptr<Task>(
      std::make_unique<CallTask>(call, *Products, *function));
}

Result<std::unique_ptr<Task>>
CpuDevice::bind(const OperationUnion &operation) {
  using Made = std::unique_ptr<Task>;
  if (const LaunchT *launch = operation.AsLaunch())
    return Made(
        std::make_unique<LaunchTask>(*launch, Kernels[launch->kernel]));
  if (const ContractT *contract = operation.AsContract())
    return Made(std::make_unique<ContractTask>(*contract, *Products));
  if (const CallT *call = operation.AsCall())
    return bindCall(*call);
  if (const CopyT *copy = operation.AsCopy())
    return Made(std::make_unique<CopyTask>(*copy));
  if (const FillT *fill = operation.AsFill())
    return Made(std::make_unique<FillTask>(*fill));
  return Status::error(ErrorKind::Internal, "operation is not the device's");
}

} // namespace

std::unique_ptr<Device> makeCpuDevice(const CpuOptions &options) {
  return std::make_unique<CpuDevice>(options);
}

std::vector<std::string> cpuTargets() {
  // The feature sets of the x86-64 psABI levels that kernels use.
  __builtin_cpu_init();
  std::vector<std::string> targets;
  bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
            __builtin_cpu_supports("bmi2");
  if (v3 && __builtin_cpu_supports("avx512f") &&
      __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    targets.push_back("x86-64-v4");
  if (v3)
    targets.push_back("x86-64-v3");
  targets.push_back("x86-64");
  return targets;
}

} // namespace whale::runtime
