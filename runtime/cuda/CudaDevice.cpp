//===- CudaDevice.cpp - Built where the CUDA toolkit is found -------------===//

#include "runtime/cuda/CudaDevice.h"

#include "runtime/core/Loader.h"
#include "runtime/cuda/Cuda.h"

#include <chrono>
#include <thread>

namespace whale::runtime {

using namespace format;

Status unsupported(std::string message) {
  return Status::error(ErrorKind::Unsupported, std::move(message));
}

Status toStatus(cudaError_t code, const char *what) {
  if (code == cudaSuccess)
    return Status();
  return Status::error(ErrorKind::Internal,
                       std::string(what) + ": " + cudaGetErrorString(code));
}

//===----------------------------------------------------------------------===//
// What is there
//===----------------------------------------------------------------------===//

namespace {

std::string cudaVersionText(int code) {
  return std::to_string(code / 1000) + "." + std::to_string(code / 10 % 100);
}

/// The driver and at least one GPU.
Status checkGpu() {
  int count = 0;
  cudaError_t code = cudaGetDeviceCount(&count);
  if (code != cudaSuccess)
    return unsupported(std::string("no usable GPU: ") +
                       cudaGetErrorString(code));
  if (count == 0)
    return unsupported("no usable GPU: the driver finds none");
  return driver().failed() ? driver().status() : Status();
}

} // namespace

Status checkCuda() {
  if (Status s = checkGpu(); s.failed())
    return s;
  if (cublasLt().failed())
    return cublasLt().status();
  return nccl().failed() ? nccl().status() : Status();
}

std::string describeCuda() {
  auto line = [](const std::string &part, const Status &status,
                 const std::string &found) {
    return part + ": " + (status.ok() ? found : status.error().message) + "\n";
  };
  int version = 0;
  Status runtime = toStatus(cudaRuntimeGetVersion(&version), "cudart");
  std::string out = line("cuda runtime", runtime, cudaVersionText(version));
  Status gpu = checkGpu();
  version = 0;
  cudaDriverGetVersion(&version);
  out += line("gpu", gpu, "driver for cuda " + cudaVersionText(version));
  out += line("cublasLt", cublasLt().failed() ? cublasLt().status() : Status(),
              cublasLt().failed() ? ""
                                  : versionText(cublasLt()->getVersion()) +
                                        " ('" + cublasLt()->path + "')");
  version = 0;
  if (nccl().ok())
    nccl()->getVersion(&version);
  out += line("nccl", nccl().failed() ? nccl().status() : Status(),
              nccl().failed() ? ""
                              : versionText(static_cast<size_t>(version)) +
                                    " ('" + nccl()->path + "')");
  return out;
}

//===----------------------------------------------------------------------===//
// Opening
//===----------------------------------------------------------------------===//

Result<std::unique_ptr<Device>> makeCudaDevice(int ordinal) {
  Result<std::unique_ptr<CudaDevice>> device = CudaDevice::open(ordinal);
  if (device.failed())
    return device.status();
  return std::unique_ptr<Device>(std::move(*device));
}

Result<std::unique_ptr<CudaDevice>> CudaDevice::open(int ordinal) {
  if (Status s = checkGpu(); s.failed())
    return s;
  if (cublasLt().failed())
    return cublasLt().status();
  std::unique_ptr<CudaDevice> device(new CudaDevice());
  if (Status s = device->openAll(ordinal); s.failed())
    return s;
  return device;
}

Status CudaDevice::openAll(int ordinal) {
  int count = 0, major = 0, minor = 0;
  if (Status s = toStatus(cudaGetDeviceCount(&count), "cudaGetDeviceCount");
      s.failed())
    return s;
  if (ordinal < 0 || ordinal >= count)
    return badInput("there is no GPU " + std::to_string(ordinal) +
                    ": this host has " + std::to_string(count));
  cudaError_t codes[] = {
      cudaSetDevice(ordinal),
      cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor,
                             ordinal),
      cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor,
                             ordinal),
      cudaStreamCreateWithFlags(&Stream, cudaStreamNonBlocking),
      cudaMalloc(&Workspace, productWorkspaceBytes)};
  for (cudaError_t code : codes)
    if (Status s = toStatus(code, "opening the GPU"); s.failed())
      return s;
  Target = "sm_" + std::to_string(major) + std::to_string(minor);
  if (cublasStatus_t code = cublasLt()->create(&Products);
      code != CUBLAS_STATUS_SUCCESS)
    return Status::error(ErrorKind::Internal,
                         std::string("cublasLtCreate: ") +
                             cublasLt()->getStatusString(code));
  return Status();
}

CudaDevice::~CudaDevice() {
  // A stream that hangs must not hang the end of the process as well.
  if (Stream && cudaStreamQuery(Stream) == cudaErrorNotReady)
    return;
  for (cudaLibrary_t library : Libraries)
    cudaLibraryUnload(library);
  if (Products)
    cublasLt()->destroy(Products);
  cudaFree(Workspace);
  for (void *memory : Memory)
    cudaFree(memory);
  if (Stream)
    cudaStreamDestroy(Stream);
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

Result<std::byte *> CudaDevice::allocate(uint64_t bytes) {
  void *memory = nullptr;
  // cudaMalloc aligns to 256 bytes at least; 0 bytes would give null.
  uint64_t size = std::max<uint64_t>(bytes, 1);
  if (cudaError_t code = cudaMalloc(&memory, size); code != cudaSuccess)
    return badInput("cannot allocate an arena of " + std::to_string(bytes) +
                    " bytes: " + cudaGetErrorString(code));
  Memory.push_back(memory);
  if (Status s =
          toStatus(cudaMemsetAsync(memory, 0, size, Stream), "cudaMemset");
      s.failed())
    return s;
  return static_cast<std::byte *>(memory);
}

Status CudaDevice::upload(std::byte *device, const void *host, uint64_t bytes) {
  if (bytes == 0)
    return Status();
  // Pageable memory is staged before the call returns.
  return toStatus(
      cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, Stream),
      "upload");
}

Status CudaDevice::download(void *host, const std::byte *device,
                            uint64_t bytes) {
  // Waiting first keeps the deadline: the copy itself blocks.
  if (Status s = synchronize(); s.failed() || bytes == 0)
    return s;
  if (Status s = toStatus(
          cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, Stream),
          "download");
      s.failed())
    return s;
  return synchronize();
}

Status CudaDevice::synchronize() {
  if (!Watch)
    return toStatus(cudaStreamSynchronize(Stream), "the device");
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  while (true) {
    cudaError_t code = cudaStreamQuery(Stream);
    if (code != cudaErrorNotReady)
      return toStatus(code, "the device");
    auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(
                      Clock::now() - start)
                      .count();
    if (Status s = Watch(waited); s.failed())
      return s;
    // Short waits are polled, long ones leave the core to others.
    if (waited > 2)
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    else
      std::this_thread::yield();
  }
}

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

Status CudaDevice::loadLibrary(const LibraryInfo &library,
                               const std::string &directory,
                               cudaLibrary_t &out) {
  for (const std::string &target : {Target, std::string("ptx")})
    for (const LibraryVariant &variant : library.variants) {
      if (variant.target != target)
        continue;
      // PTX must end with a zero; the text of a string does.
      Result<std::string> code = readFile(directory + "/" + variant.file);
      if (code.failed())
        return code.status();
      cudaError_t result = cudaLibraryLoadData(&out, code->c_str(), nullptr,
                                               nullptr, 0, nullptr, nullptr, 0);
      if (result != cudaSuccess)
        return badInput("cannot load kernels of '" + variant.file +
                        "': " + cudaGetErrorString(result));
      Libraries.push_back(out);
      return Status();
    }
  return unsupported("library '" + library.id + "' has no kernels for this " +
                     "GPU ('" + Target + "' or 'ptx')");
}

Status CudaDevice::loadKernels(const ProgramT &program,
                               const Manifest &manifest,
                               const std::string &directory) {
  std::map<std::string, cudaLibrary_t> opened;
  for (const auto &node : program.kernels) {
    cudaLibrary_t &library = opened[node->library];
    const LibraryInfo *info = manifest.findLibrary(node->library);
    if (!info)
      return badInput("library '" + node->library + "' is not in the manifest");
    if (!library)
      if (Status s = loadLibrary(*info, directory, library); s.failed()) {
        s.error().message =
            "kernel '" + node->symbol + "': " + s.error().message;
        return s;
      }
    CudaKernel kernel;
    kernel.symbol = node->symbol;
    const std::string geometry = node->symbol + "_launch";
    void *where = nullptr;
    size_t bytes = 0;
    if (cudaLibraryGetKernel(&kernel.kernel, library, node->symbol.c_str()) !=
            cudaSuccess ||
        cudaLibraryGetGlobal(&where, &bytes, library, geometry.c_str()) !=
            cudaSuccess)
      return badInput("library '" + node->library + "' lacks kernel '" +
                      node->symbol + "' or '" + geometry + "'");
    uint32_t numbers[7] = {};
    if (bytes != sizeof numbers)
      return badInput("'" + geometry + "' has " + std::to_string(bytes) +
                      " bytes, not " + std::to_string(sizeof numbers));
    if (Status s = download(numbers, static_cast<std::byte *>(where), bytes);
        s.failed())
      return s;
    std::copy_n(numbers, 3, kernel.grid);
    std::copy_n(numbers + 3, 3, kernel.block);
    kernel.sharedBytes = numbers[6];
    Kernels.push_back(kernel);
  }
  return Status();
}

Result<std::unique_ptr<Task>>
CudaDevice::bind(const OperationUnion &operation) {
  const CudaQueue queue{Stream, Products, Workspace};
  if (const LaunchT *launch = operation.AsLaunch())
    return bindLaunch(*launch, Kernels[launch->kernel], queue);
  if (const ContractT *contract = operation.AsContract())
    return bindContract(*contract, queue);
  if (const CopyT *copy = operation.AsCopy())
    return bindCopy(*copy, queue);
  if (const FillT *fill = operation.AsFill())
    return bindFill(*fill, queue);
  if (const CallT *call = operation.AsCall())
    return unsupported("the cuda device has no function '" + call->function +
                       "' yet");
  return Status::error(ErrorKind::Internal, "operation is not the device's");
}

} // namespace whale::runtime
