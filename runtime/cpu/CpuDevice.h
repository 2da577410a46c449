//===- CpuDevice.h - The CPU as a device ------------------------*- C++ -*-===//

#ifndef WHALE_RUNTIME_CPU_CPUDEVICE_H
#define WHALE_RUNTIME_CPU_CPUDEVICE_H

#include "runtime/core/Device.h"

namespace whale::runtime {

struct CpuOptions {
  bool useBlas = true;
  int threads = 1; ///< of BLAS; kernels use one
  /// Memory for the arena (zeroed, aligned, at least as large as asked for);
  /// null = the device allocates.
  std::byte *arena = nullptr;
};

std::unique_ptr<Device> makeCpuDevice(const CpuOptions &options);

/// Targets of kernel libraries this machine runs, best first.
std::vector<std::string> cpuTargets();

} // namespace whale::runtime

#endif // WHALE_RUNTIME_CPU_CPUDEVICE_H
