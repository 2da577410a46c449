//===- ClassCost.h - time and memory of one module instance -----*- C++ -*-===//
//
// Adds up roofline times of the local ops and times of their collectives, and
// the bytes that one instance needs. A pure function of (class, mesh, recompute
// mode, device type, groups): equal instances are computed once, what does not
// depend on the groups once for all of them, and what depends neither on the
// samples nor on the device type once for all of these. Of ops that take the
// same time (the steps of a recurrent layer) one is looked at.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_COST_CLASSCOST_H
#define WHALE_COST_CLASSCOST_H

#include "compiler/cost/Hardware.h"
#include "compiler/cost/Lifetimes.h"
#include "compiler/cost/State.h"

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

namespace whale::cost {

/// How an argument of a class comes from the stage before it, and how its
/// gradient goes back, on one rank: bytes sent, and the time to gather them.
struct Message {
  Bytes forward, backward;
  Picoseconds gatherForward, gatherBackward;

  Message &operator+=(const Message &more);
};

/// Found when it is first asked for; safe for several threads.
class LazyMemory {
public:
  LazyMemory() = default;
  explicit LazyMemory(std::function<ClassMemory()> find)
      : state(std::make_shared<State>()) {
    state->find = std::move(find);
  }

  const ClassMemory &operator*() const;
  const ClassMemory *operator->() const { return &**this; }
  explicit operator bool() const { return state != nullptr; }

private:
  struct State {
    std::once_flag once;
    std::function<ClassMemory()> find;
    ClassMemory found;
  };
  std::shared_ptr<State> state;
};

struct ClassCost {
  /// One micro-batch; communication and recompute are within.
  Picoseconds forward, backward;
  Picoseconds forwardCommunication, backwardCommunication;
  Picoseconds recompute;
  /// Of `backward`, what only the gradients of weights need.
  Picoseconds weight;
  /// Kernels and collectives that the host issues, recompute within.
  int64_t forwardKernels = 0, backwardKernels = 0;
  /// Trained variables that are large enough to be cut over replicas.
  int64_t tensors = 0;
  /// Once per step, by axis of the mesh: partial sums of variables' gradients.
  std::vector<Picoseconds> oncePerStep;
  /// Bytes through this rank's links in one micro-batch (Transfer::bytes).
  Bytes traffic;
  /// Computed by this rank in one micro-batch, recompute not counted.
  Flops flops;
  LazyMemory memory;
  /// Of all variables, and of those among them that are tied to others.
  StateBytes state, tiedState;
  /// Per replica axis of the mesh: of the variables that it cuts, whose
  /// gradients are not summed over it; and of those among them that are tied to
  /// others.
  std::vector<StateBytes> cut, tiedCut;
  /// Per argument of the class: its bytes and those of its gradient (0: none),
  /// one micro-batch.
  std::vector<Bytes> argumentBytes, argumentGradientBytes;
  /// Per argument of the class, one micro-batch.
  std::vector<Message> messages;
};

struct ClassContext {
  LocalMesh mesh;
  workload::Recompute recompute = workload::Recompute::None;
  unsigned deviceType = 0;
  /// One per axis of the mesh.
  std::vector<Group> groups;

  auto operator<=>(const ClassContext &) const = default;
};

/// A collective of a class.
struct Exchange {
  CollectiveKind kind = CollectiveKind::AllReduce;
  uint32_t axis = 0;
  Bytes bytes;
  /// Set where rows travel to experts and back.
  std::optional<RowExchange> rows;
  bool forward = true, oncePerStep = false;
  /// Kernels hide as much of it as the software says of splits.
  bool isHidden = false;
  /// Again where the instance recomputes.
  bool isRepeated = false;
};

/// All of an instance's cost that does not depend on where the ranks are.
struct ClassWork {
  /// Without collectives; messages before they are cut in shares.
  ClassCost cost;
  std::vector<Exchange> exchanges;
  /// Per argument the axes over which shares of it are sent.
  std::vector<std::vector<uint32_t>> messageShares;
  /// Of the backward kernels.
  int64_t repeatedKernels = 0;
};

/// The works of a class in contexts that differ in samples, device type and
/// groups only; safe for several threads.
class ClassWorks {
public:
  /// The first two must outlive it and all costs of it; of the hardware only
  /// how things run counts.
  ClassWorks(const workload::Workload &workload,
             const workload::ModuleClass &module, const ClassContext &context,
             const Hardware &hardware);

  /// Nothing where so many samples are cut in another way than those of the
  /// context are: too few for all pieces.
  std::optional<ClassWork> of(int64_t samples, unsigned deviceType,
                              const Hardware &hardware) const;

private:
  struct Impl;
  /// Of all types of devices.
  struct Memories {
    std::mutex mutex;
    std::map<int64_t, LazyMemory> bySamples;
  };

  std::shared_ptr<Impl> impl;
  std::shared_ptr<Memories> memories;
};

/// The cost of work that was made for a context with other groups at most.
ClassCost withGroups(const ClassWork &work, const ClassContext &context,
                     const Hardware &hardware);
/// Both at once.
ClassCost classCost(const workload::Workload &workload,
                    const workload::ModuleClass &module,
                    const ClassContext &context, const Hardware &hardware);

} // namespace whale::cost

#endif // WHALE_COST_CLASSCOST_H
