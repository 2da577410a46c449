//===- Cuda.h - CUDA as a device, NCCL as a network -------------*- C++ -*-===//
//
// The device runs Contract (cublasLt), Copy, Fill and Launch; a Call is refused
// by its name. The communicator runs every collective and message through NCCL
// and meets through a host communicator of the same ranks. cublasLt, NCCL and
// the driver are opened when they are needed: the same binary starts anywhere.
// What is missing is ErrorKind::Unsupported and names the library tried.
//
// Kernels. A library's variant of target "sm_<major><minor>" (a cubin of this
// GPU) or else "ptx" is loaded. A kernel takes its buffers, then its scalars as
// int64, each as one parameter. The module says how it is launched in a
// constant `<symbol>_launch` of seven uint32: grid x y z, block x y z, bytes of
// dynamic shared memory.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_RUNTIME_CUDA_CUDA_H
#define WHALE_RUNTIME_CUDA_CUDA_H

#include "runtime/core/Communicator.h"
#include "runtime/core/Device.h"

#include <functional>

namespace whale::runtime {

/// Success when a GPU, cuBLASLt and NCCL can be used; else Unsupported with
/// the first thing that is missing: the build, the driver, a library.
Status checkCuda();

/// One line per part: what was found, with its version, or why not.
std::string describeCuda();

/// Device `ordinal` of this host, for the calling thread. Needs a GPU and
/// cublasLt.
Result<std::unique_ptr<Device>> makeCudaDevice(int ordinal);

/// What an NCCL communicator is made of. All of it outlives the communicator.
struct NcclOptions {
  /// Meeting, headers of messages, exchange() and barrier(). Never handed a
  /// pointer into device memory.
  Communicator &host;
  /// Ordered members, as ranks; the same on every rank.
  const std::vector<std::vector<uint32_t>> &communicators;
  /// Pairs (from, to) of ranks that send messages; the same on every rank.
  std::vector<std::pair<uint32_t, uint32_t>> channels;
  /// Whether another rank has given up; asked while waiting.
  std::function<Status()> aborted;
  int64_t timeoutMilliseconds = 60000;
};

/// `device` is one of makeCudaDevice, of this rank; NCCL takes one GPU per
/// rank. Collectives are submitted to the device's stream; the deadline holds
/// for making communicators and for whatever waits for the device. Messages of
/// a pair are received in the order they were sent, else Unsupported.
Result<std::unique_ptr<Communicator>>
makeNcclCommunicator(Device &device, const NcclOptions &options);

} // namespace whale::runtime

#endif // WHALE_RUNTIME_CUDA_CUDA_H
