//===- Communicator.h - What the executor needs of a network ----*- C++ -*-===//

#ifndef WHALE_RUNTIME_CORE_COMMUNICATOR_H
#define WHALE_RUNTIME_CORE_COMMUNICATOR_H

#include "runtime/format/Format.h"

#include <cstdint>
#include <string>
#include <vector>

namespace whale::runtime {

using format::ErrorKind;
using format::Result;
using format::Status;

/// One collective as one member calls it; layouts as in program.fbs.
struct CollectiveCall {
  format::CollectiveKind kind = format::CollectiveKind::AllReduce;
  format::Reduction reduction = format::Reduction::Sum;
  format::DType dtype = format::DType::F32;
  uint32_t communicator = 0; ///< index of Manifest::communicators
  const void *input = nullptr;
  void *output = nullptr;
  uint64_t inputElements = 0;
  uint64_t outputElements = 0;
  const std::vector<uint64_t> *counts = nullptr;        ///< null, empty: equal
  const std::vector<uint64_t> *receiveCounts = nullptr; ///< AllToAll
  uint32_t root = 0;
};

/// All members of a communicator make the same collectives in the same order;
/// a member that makes another one fails with Mismatch on every member. Every
/// call returns within the deadline the communicator was made with.
class Communicator {
public:
  virtual ~Communicator() = default;

  virtual uint32_t rank() const = 0;
  virtual uint32_t size() const = 0; ///< ranks of the job

  /// Operands are in the rank's arena: other ranks read them in place.
  virtual Status collective(const CollectiveCall &call) = 0;
  /// all[rank] = what each rank gave; `count` <= maxExchange numbers in any
  /// memory of the host. Every rank of the job takes part.
  virtual Status exchange(const double *mine, uint64_t count, double *all) = 0;
  static constexpr uint64_t maxExchange = 4096;
  /// Does not wait for the receiver.
  virtual Status send(uint32_t peer, uint32_t tag, const void *data,
                      uint64_t bytes) = 0;
  virtual Status receive(uint32_t peer, uint32_t tag, void *data,
                         uint64_t bytes) = 0;
  /// All ranks of the job.
  virtual Status barrier() = 0;
  /// Ends the waiting of all others with PeerLost; the first error is kept.
  virtual void abort(const format::Error &error) = 0;
};

} // namespace whale::runtime

#endif // WHALE_RUNTIME_CORE_COMMUNICATOR_H
