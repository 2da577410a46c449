//===- NoCuda.cpp - Built where the CUDA toolkit is not found -------------===//

#include "runtime/cuda/Cuda.h"

namespace whale::runtime {

Status checkCuda() {
  return Status::error(ErrorKind::Unsupported,
                       "this build has no CUDA: the toolkit or NCCL's header "
                       "was not found when it was configured");
}

std::string describeCuda() { return checkCuda().error().message + "\n"; }

Result<std::unique_ptr<Device>> makeCudaDevice(int) { return checkCuda(); }

Result<std::unique_ptr<Communicator>>
makeNcclCommunicator(Device &, const NcclOptions &) {
  return checkCuda();
}

} // namespace whale::runtime
