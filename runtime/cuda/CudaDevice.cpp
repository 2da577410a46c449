//===- CudaDevice.cpp - Built where the CUDA toolkit is found -------------===//

#include "runtime/cuda/Cuda.h"

#include <cuda_runtime_api.h>
#include <dlfcn.h>

namespace whale::runtime {

using namespace format;

namespace {

Status unsupported(std::string message) {
  return Status::error(ErrorKind::Unsupported, std::move(message));
}

/// The result of a call of the CUDA runtime.
Status toStatus(cudaError_t code, const char *what) {
  if (code == cudaSuccess)
    return Status();
  return Status::error(ErrorKind::Internal,
                       std::string(what) + ": " + cudaGetErrorString(code));
}

/// Libraries are opened when they are needed, so that the same binary starts
/// on machines without them. Opened ones stay: they cannot be unloaded safely.
Status checkLibrary(std::initializer_list<const char *> names,
                    const char *purpose) {
  for (const char *name : names)
    if (dlopen(name, RTLD_LAZY | RTLD_LOCAL))
      return Status();
  return unsupported(std::string("cannot open '") + *names.begin() +
                     "', which " + purpose + " need");
}

class CudaDevice final : public Device {
public:
  ~CudaDevice() override {
    for (void *memory : Memory)
      cudaFree(memory);
  }

  std::string name() const override { return "cuda"; }

  Status loadKernels(const ProgramT &program, const Manifest &,
                     const std::string &) override {
    if (!program.kernels.empty())
      return unsupported("generated CUDA kernels are not supported yet");
    return Status();
  }

  Result<std::byte *> allocate(uint64_t bytes) override {
    void *memory = nullptr;
    if (Status s = toStatus(cudaMalloc(&memory, bytes), "cudaMalloc");
        s.failed())
      return s;
    Memory.push_back(memory);
    if (Status s = toStatus(cudaMemset(memory, 0, bytes), "cudaMemset");
        s.failed())
      return s;
    return static_cast<std::byte *>(memory);
  }

  Result<std::unique_ptr<Task>> bind(const OperationUnion &node) override {
    return unsupported(std::string("the cuda device does not run ") +
                       EnumNameOperation(node.type) + " yet");
  }

  Status upload(std::byte *device, const void *host, uint64_t bytes) override {
    return toStatus(cudaMemcpy(device, host, bytes, cudaMemcpyHostToDevice),
                    "cudaMemcpy");
  }
  Status download(void *host, const std::byte *device,
                  uint64_t bytes) override {
    return toStatus(cudaMemcpy(host, device, bytes, cudaMemcpyDeviceToHost),
                    "cudaMemcpy");
  }
  Status synchronize() override {
    return toStatus(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  }

private:
  std::vector<void *> Memory;
};

} // namespace

Status checkCuda() {
  int count = 0;
  cudaError_t code = cudaGetDeviceCount(&count);
  if (code != cudaSuccess)
    return unsupported(std::string("no usable GPU: ") +
                       cudaGetErrorString(code));
  if (count == 0)
    return unsupported("no usable GPU: the driver finds none");
  if (Status s = checkLibrary({"libcublasLt.so.13", "libcublasLt.so.12",
                               "libcublasLt.so"},
                              "matrix products");
      s.failed())
    return s;
  return checkLibrary({"libnccl.so.2", "libnccl.so"}, "collectives");
}

Result<std::unique_ptr<Device>> makeCudaDevice(int ordinal) {
  if (Status s = checkCuda(); s.failed())
    return s;
  if (Status s = toStatus(cudaSetDevice(ordinal), "cudaSetDevice"); s.failed())
    return s;
  return std::unique_ptr<Device>(std::make_unique<CudaDevice>());
}

Result<std::unique_ptr<Communicator>> makeNcclCommunicator(uint32_t) {
  if (Status s = checkCuda(); s.failed())
    return s;
  return unsupported("NCCL communicators are not supported yet");
}

} // namespace whale::runtime
