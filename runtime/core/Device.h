//===- Device.h - What the executor needs of a device -----------*- C++ -*-===//

#ifndef WHALE_RUNTIME_CORE_DEVICE_H
#define WHALE_RUNTIME_CORE_DEVICE_H

#include "runtime/format/Manifest.h"

#include <cstddef>
#include <memory>
#include <string>

namespace whale::runtime {

using format::ErrorKind;
using format::Result;
using format::Status;

/// What an instruction knows when it runs.
struct RunContext {
  std::byte *arena = nullptr; ///< device memory of the rank
  format::ScalarValues values;
};

/// Address of an operand in the current micro-batch.
inline std::byte *addressOf(const format::OperandT &operand,
                            const RunContext &context) {
  uint64_t slot =
      static_cast<uint64_t>(context.values.microBatch) % operand.slots;
  return context.arena + operand.offset + slot * operand.stride;
}

/// One instruction, bound to kernels and library handles. What it was made
/// from outlives it.
class Task {
public:
  virtual ~Task() = default;
  virtual Status run(const RunContext &context) = 0;
};

/// A device runs Launch, Contract, Call, Copy and Fill of one rank.
class Device {
public:
  virtual ~Device() = default;

  /// "cpu" or "cuda": what a program's target must say.
  virtual std::string name() const = 0;

  /// Opens the kernel libraries of a program from its directory.
  virtual Status loadKernels(const format::ProgramT &program,
                             const format::Manifest &manifest,
                             const std::string &directory) = 0;

  /// Zeroed memory, aligned to format::arenaAlignment; owned by the device.
  virtual Result<std::byte *> allocate(uint64_t bytes) = 0;

  /// Binds one operation. Unknown functions and kinds that are not the
  /// device's fail here.
  virtual Result<std::unique_ptr<Task>>
  bind(const format::OperationUnion &operation) = 0;

  virtual Status upload(std::byte *device, const void *host,
                        uint64_t bytes) = 0;
  virtual Status download(void *host, const std::byte *device,
                          uint64_t bytes) = 0;
  /// Waits until everything submitted is done.
  virtual Status synchronize() = 0;
};

} // namespace whale::runtime

#endif // WHALE_RUNTIME_CORE_DEVICE_H
