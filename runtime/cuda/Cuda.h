//===- Cuda.h - CUDA as a device, NCCL as a network -------------*- C++ -*-===//
//
// First slice: finding out what is there, and device memory. Instructions and
// NCCL communicators are refused as not supported until their kernels are.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_RUNTIME_CUDA_CUDA_H
#define WHALE_RUNTIME_CUDA_CUDA_H

#include "runtime/core/Communicator.h"
#include "runtime/core/Device.h"

namespace whale::runtime {

/// Success when a GPU, cuBLASLt and NCCL can be used; else Unsupported with
/// the first thing that is missing: the build, the driver, a library.
Status checkCuda();

/// Device `ordinal` of this host. Fails as checkCuda does.
Result<std::unique_ptr<Device>> makeCudaDevice(int ordinal);

/// Fails as checkCuda does, and for now also where CUDA is there.
Result<std::unique_ptr<Communicator>> makeNcclCommunicator(uint32_t rank);

} // namespace whale::runtime

#endif // WHALE_RUNTIME_CUDA_CUDA_H
