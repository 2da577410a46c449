//===- CudaDevice.h - One GPU -----------------------------------*- C++ -*-===//

#ifndef WHALE_RUNTIME_CUDA_CUDADEVICE_H
#define WHALE_RUNTIME_CUDA_CUDADEVICE_H

#include "runtime/core/Device.h"
#include "runtime/cuda/Libraries.h"

#include <cuda_runtime_api.h>
#include <functional>

namespace whale::runtime {

Status unsupported(std::string message);
/// Success, or Internal with what was called and the name of the error.
Status toStatus(cudaError_t code, const char *what);

/// A kernel and how it is launched, see Cuda.h.
struct CudaKernel {
  std::string symbol;
  cudaKernel_t kernel = nullptr;
  uint32_t grid[3] = {1, 1, 1};
  uint32_t block[3] = {1, 1, 1};
  uint32_t sharedBytes = 0;
};

/// All work goes to one stream, in the order of the program.
class CudaDevice final : public Device {
public:
  static Result<std::unique_ptr<CudaDevice>> open(int ordinal);
  ~CudaDevice() override;

  std::string name() const override { return "cuda"; }
  Status loadKernels(const format::ProgramT &program,
                     const format::Manifest &manifest,
                     const std::string &directory) override;
  Result<std::byte *> allocate(uint64_t bytes) override;
  Result<std::unique_ptr<Task>>
  bind(const format::OperationUnion &operation) override;
  Status upload(std::byte *device, const void *host, uint64_t bytes) override;
  Status download(void *host, const std::byte *device, uint64_t bytes) override;
  Status synchronize() override;

  cudaStream_t stream() const { return Stream; }
  /// Asked again and again while the host waits for the device; its failure
  /// ends the waiting. Takes the milliseconds waited so far. Null = wait.
  void setWatch(std::function<Status(int64_t)> watch) {
    Watch = std::move(watch);
  }

private:
  CudaDevice() = default;
  Status openAll(int ordinal);
  Status loadLibrary(const format::LibraryInfo &library,
                     const std::string &directory, cudaLibrary_t &out);

  std::string Target; ///< "sm_90"
  cudaStream_t Stream = nullptr;
  cublasLtHandle_t Products = nullptr;
  void *Workspace = nullptr; ///< of matrix products, one at a time
  std::vector<void *> Memory;
  std::vector<cudaLibrary_t> Libraries;
  std::vector<CudaKernel> Kernels; ///< by Program.kernels
  std::function<Status(int64_t)> Watch;
};

/// What tasks submit to.
struct CudaQueue {
  cudaStream_t stream = nullptr;
  cublasLtHandle_t products = nullptr;
  void *workspace = nullptr;
};

/// Bytes of scratch that a matrix product may take; what NVIDIA recommends for
/// Hopper (cuBLAS documentation, cublasSetWorkspace).
inline constexpr size_t productWorkspaceBytes = 32u << 20;

/// Tasks of the instructions, see CudaTasks.cpp. What they are made from
/// outlives them.
Result<std::unique_ptr<Task>> bindContract(const format::ContractT &node,
                                           const CudaQueue &queue);
Result<std::unique_ptr<Task>> bindCopy(const format::CopyT &node,
                                       const CudaQueue &queue);
Result<std::unique_ptr<Task>> bindFill(const format::FillT &node,
                                       const CudaQueue &queue);
std::unique_ptr<Task> bindLaunch(const format::LaunchT &node,
                                 const CudaKernel &kernel,
                                 const CudaQueue &queue);

} // namespace whale::runtime

#endif // WHALE_RUNTIME_CUDA_CUDADEVICE_H
