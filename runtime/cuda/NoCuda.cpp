//===- NoCuda.cpp - Built where the CUDA toolkit is not found -------------===//

#include "runtime/cuda/Cuda.h"

namespace whale::runtime {

Status checkCuda() {
  return Status::error(ErrorKind::Unsupported,
                       "this build has no CUDA: the toolkit was not found "
                       "when it was configured");
}

Result<std::unique_ptr<Device>> makeCudaDevice(int) { return checkCuda(); }

Result<std::unique_ptr<Communicator>> makeNcclCommunicator(uint32_t) {
  return checkCuda();
}

} // namespace whale::runtime
