//===- NcclCommunicator.cpp - Collectives and messages through NCCL -------===//
//
// One communicator of all ranks is made from an id that rank 0 hands out over
// the host; the others are split off it. All are non-blocking: every call is
// polled until it is submitted, the deadline has passed or another rank has
// given up. Collectives go to the device's stream in program order.
//
// A message has a communicator of its own pair and direction, so that it waits
// for nothing but its receiver. The sender copies it aside and sends it from a
// stream of its own: the program goes on. A header through the host says which
// message it is.
//
//===----------------------------------------------------------------------===//

#include "runtime/cuda/Cuda.h"
#include "runtime/cuda/CudaDevice.h"
#include "runtime/cuda/Plans.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>
#include <thread>

namespace whale::runtime {

using namespace format;

namespace {

static_assert(ncclInt8 == 0 && ncclUint8 == 1 && ncclInt32 == 2 &&
                  ncclInt64 == 4 && ncclFloat16 == 6 && ncclFloat32 == 7 &&
                  ncclFloat64 == 8 && ncclBfloat16 == 9,
              "ncclTypeOf has other numbers than nccl.h");
static_assert(ncclSum == 0 && ncclMax == 2 && ncclMin == 3,
              "ncclOperationOf has other numbers than nccl.h");

/// The first version with ncclCommSplit.
constexpr int oldestNccl = NCCL_VERSION(2, 18, 1);

using Clock = std::chrono::steady_clock;

struct Channel {
  ncclComm_t pair = nullptr;     ///< member 0 sends to member 1
  cudaStream_t stream = nullptr; ///< of the sender
  cudaEvent_t event = nullptr;
  uint64_t messages = 0; ///< sent or received so far
};

struct MessageHeader {
  uint64_t number;
  uint64_t bytes;
};

class NcclCommunicator final : public Communicator {
public:
  NcclCommunicator(CudaDevice &device, const NcclOptions &options)
      : Accelerator(device), Options(options) {}
  ~NcclCommunicator() override;

  Status connect();

  uint32_t rank() const override { return Options.host.rank(); }
  uint32_t size() const override { return Options.host.size(); }
  Status collective(const CollectiveCall &call) override;
  Status exchange(const double *mine, uint64_t count, double *all) override {
    return Options.host.exchange(mine, count, all);
  }
  Status send(uint32_t peer, uint32_t tag, const void *data,
              uint64_t bytes) override;
  Status receive(uint32_t peer, uint32_t tag, void *data,
                 uint64_t bytes) override;
  Status barrier() override {
    Status status = Accelerator.synchronize();
    return status.failed() ? status : Options.host.barrier();
  }
  void abort(const Error &error) override {
    abortAll();
    Options.host.abort(error);
  }

private:
  Status makeWorld();
  Status splitAll();
  Result<std::vector<ncclComm_t>>
  splitOff(const std::vector<std::vector<uint32_t>> &wanted, bool share);
  Status openChannels();
  Result<Channel *> channelOf(uint32_t from, uint32_t to);
  Status submit(const NcclStep &step, const CollectiveCall &call,
                ncclComm_t communicator);
  Status settle(ncclComm_t communicator, ncclResult_t code, const char *what);
  Status watch(int64_t waited);
  Status toStatus(ncclResult_t code, ncclComm_t communicator,
                  const char *what) const;
  void abortAll();

  CudaDevice &Accelerator;
  NcclOptions Options;
  ncclComm_t World = nullptr;
  std::vector<ncclComm_t> Groups; ///< by communicator; null = not a member
  std::map<std::pair<uint32_t, uint32_t>, Channel> Channels; ///< of this rank
  bool Aborted = false;
};

//===----------------------------------------------------------------------===//
// Waiting and errors
//===----------------------------------------------------------------------===//

Status NcclCommunicator::toStatus(ncclResult_t code, ncclComm_t communicator,
                                  const char *what) const {
  if (code == ncclSuccess)
    return Status();
  std::string message = std::string(what) + ": " + nccl()->getErrorString(code);
  const char *detail = nccl()->getLastError(communicator);
  if (detail && *detail)
    message += std::string(" (") + detail + ")";
  return Status::error(code == ncclRemoteError ? ErrorKind::PeerLost
                                               : ErrorKind::Internal,
                       std::move(message));
}

/// Polls a non-blocking call until it is through.
Status NcclCommunicator::settle(ncclComm_t communicator, ncclResult_t code,
                                const char *what) {
  const Clock::time_point start = Clock::now();
  while (code == ncclInProgress) {
    ncclResult_t state = ncclSuccess;
    ncclResult_t asked = nccl()->getAsyncError(communicator, &state);
    code = asked == ncclSuccess ? state : asked;
    if (code != ncclInProgress)
      break;
    Status status = Options.aborted ? Options.aborted() : Status();
    if (status.ok() && Clock::now() - start > std::chrono::milliseconds(
                                                  Options.timeoutMilliseconds))
      status = Status::error(ErrorKind::Deadline,
                             std::string(what) + " waited " +
                                 std::to_string(Options.timeoutMilliseconds) +
                                 " ms");
    if (status.failed()) {
      abortAll();
      return status;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
  return toStatus(code, communicator, what);
}

/// Asked while the host waits for the device.
Status NcclCommunicator::watch(int64_t waited) {
  Status status = Options.aborted ? Options.aborted() : Status();
  for (size_t i = 0; status.ok() && i < Groups.size() && !Aborted; ++i) {
    ncclResult_t state = ncclSuccess;
    if (Groups[i])
      nccl()->getAsyncError(Groups[i], &state);
    if (state != ncclInProgress)
      status = toStatus(state, Groups[i], "a collective");
  }
  if (status.ok() && waited > Options.timeoutMilliseconds)
    status =
        Status::error(ErrorKind::Deadline,
                      "the device did not finish within " +
                          std::to_string(Options.timeoutMilliseconds) + " ms");
  if (status.failed())
    abortAll();
  return status;
}

/// Ends the waiting of kernels on the device too.
void NcclCommunicator::abortAll() {
  if (Aborted)
    return;
  Aborted = true;
  for (auto &[ends, channel] : Channels)
    if (channel.pair)
      nccl()->abort(channel.pair);
  for (ncclComm_t group : Groups)
    if (group)
      nccl()->abort(group);
  if (World)
    nccl()->abort(World);
}

NcclCommunicator::~NcclCommunicator() {
  Accelerator.setWatch(nullptr);
  // What was sent must arrive; there is nothing else to wait for.
  const auto deadline =
      Clock::now() + std::chrono::milliseconds(Options.timeoutMilliseconds);
  for (auto &[ends, channel] : Channels)
    while (!Aborted && channel.stream && Clock::now() < deadline &&
           cudaStreamQuery(channel.stream) == cudaErrorNotReady)
      std::this_thread::sleep_for(std::chrono::microseconds(50));
  abortAll();
  for (auto &[ends, channel] : Channels) {
    if (channel.event)
      cudaEventDestroy(channel.event);
    if (channel.stream)
      cudaStreamDestroy(channel.stream);
  }
}

//===----------------------------------------------------------------------===//
// Connecting
//===----------------------------------------------------------------------===//

ncclConfig_t configOf(bool share) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  config.splitShare = share ? 1 : 0;
  return config;
}

/// Rank 0's id reaches the others as one number per byte.
Status NcclCommunicator::makeWorld() {
  ncclUniqueId id = {};
  Status made;
  if (rank() == 0)
    made = toStatus(nccl()->getUniqueId(&id), nullptr, "ncclGetUniqueId");
  constexpr size_t bytes = sizeof id.internal;
  std::vector<double> mine(bytes), all(bytes * size());
  for (size_t i = 0; i < bytes; ++i)
    mine[i] = static_cast<unsigned char>(id.internal[i]);
  if (made.failed())
    return made;
  if (Status s = Options.host.exchange(mine.data(), bytes, all.data());
      s.failed())
    return s;
  for (size_t i = 0; i < bytes; ++i)
    id.internal[i] = static_cast<char>(static_cast<unsigned char>(all[i]));
  ncclConfig_t config = configOf(true);
  ncclResult_t code = nccl()->initRankConfig(
      &World, static_cast<int>(size()), id, static_cast<int>(rank()), &config);
  return settle(World, code, "joining the other ranks");
}

/// This rank's communicators of a list, null where it is no member. Every rank
/// takes part in every split.
Result<std::vector<ncclComm_t>>
NcclCommunicator::splitOff(const std::vector<std::vector<uint32_t>> &wanted,
                           bool share) {
  std::vector<ncclComm_t> out(wanted.size(), nullptr);
  for (const std::vector<uint32_t> &split : planSplits(wanted)) {
    int color = NCCL_SPLIT_NOCOLOR, key = 0;
    for (uint32_t index : split) {
      const std::vector<uint32_t> &members = wanted[index];
      auto me = std::find(members.begin(), members.end(), rank());
      if (me == members.end())
        continue;
      color = static_cast<int>(index);
      key = static_cast<int>(me - members.begin());
    }
    ncclConfig_t config = configOf(share);
    ncclComm_t made = nullptr;
    ncclResult_t code = nccl()->split(World, color, key, &made, &config);
    if (Status s = settle(World, code, "splitting communicators"); s.failed())
      return s;
    if (color == NCCL_SPLIT_NOCOLOR)
      continue;
    out[static_cast<size_t>(color)] = made;
    if (Status s = settle(made, ncclInProgress, "making a communicator");
        s.failed())
      return s;
  }
  return out;
}

/// Messages run beside collectives and must not wait for their resources, so
/// only collectives, which follow each other, share theirs.
Status NcclCommunicator::splitAll() {
  auto groups = splitOff(Options.communicators, /*share=*/true);
  if (groups.failed())
    return groups.status();
  Groups = std::move(*groups);
  std::vector<std::vector<uint32_t>> ends;
  for (const auto &[from, to] : Options.channels)
    ends.push_back({from, to});
  auto pairs = splitOff(ends, /*share=*/false);
  if (pairs.failed())
    return pairs.status();
  for (size_t i = 0; i < ends.size(); ++i)
    if ((*pairs)[i])
      Channels[Options.channels[i]].pair = (*pairs)[i];
  return Status();
}

Status NcclCommunicator::openChannels() {
  for (auto &[ends, channel] : Channels) {
    if (ends.first != rank())
      continue;
    cudaError_t codes[] = {
        cudaStreamCreateWithFlags(&channel.stream, cudaStreamNonBlocking),
        cudaEventCreateWithFlags(&channel.event, cudaEventDisableTiming)};
    for (cudaError_t code : codes)
      if (Status s = runtime::toStatus(code, "a channel's stream"); s.failed())
        return s;
  }
  return Status();
}

Status NcclCommunicator::connect() {
  if (nccl().failed())
    return nccl().status();
  int version = 0;
  if (Status s =
          toStatus(nccl()->getVersion(&version), nullptr, "ncclGetVersion");
      s.failed())
    return s;
  if (version < oldestNccl)
    return unsupported("'" + nccl()->path + "' is NCCL " +
                       versionText(version) + ", at least " +
                       versionText(oldestNccl) + " is needed");
  if (Status s = makeWorld(); s.failed())
    return s;
  if (Status s = splitAll(); s.failed())
    return s;
  if (Status s = openChannels(); s.failed())
    return s;
  Accelerator.setWatch([this](int64_t waited) { return watch(waited); });
  return Status();
}

//===----------------------------------------------------------------------===//
// Collectives
//===----------------------------------------------------------------------===//

Status NcclCommunicator::submit(const NcclStep &step,
                                const CollectiveCall &call,
                                ncclComm_t communicator) {
  const Nccl &lib = *nccl();
  const uint64_t size = bytesOf(call.dtype);
  const void *in =
      static_cast<const std::byte *>(call.input) + step.input * size;
  void *out = static_cast<std::byte *>(call.output) + step.output * size;
  const auto type = static_cast<ncclDataType_t>(ncclTypeOf(call.dtype));
  const auto op = static_cast<ncclRedOp_t>(ncclOperationOf(call.reduction));
  const int peer = static_cast<int>(step.peer);
  cudaStream_t stream = Accelerator.stream();
  auto run = [&] {
    switch (step.call) {
    case NcclCall::AllGather:
      return lib.allGather(in, out, step.count, type, communicator, stream);
    case NcclCall::ReduceScatter:
      return lib.reduceScatter(in, out, step.count, type, op, communicator,
                               stream);
    case NcclCall::Broadcast:
      return lib.broadcast(in, out, step.count, type, peer, communicator,
                           stream);
    case NcclCall::Reduce:
      return lib.reduce(in, out, step.count, type, op, peer, communicator,
                        stream);
    case NcclCall::Send:
      return lib.send(in, step.count, type, peer, communicator, stream);
    case NcclCall::Receive:
      return lib.receive(out, step.count, type, peer, communicator, stream);
    case NcclCall::AllReduce:
      break;
    }
    return lib.allReduce(in, out, step.count, type, op, communicator, stream);
  };
  ncclResult_t code = run();
  return code == ncclInProgress
             ? Status()
             : toStatus(code, communicator, "submitting a collective");
}

Status NcclCommunicator::collective(const CollectiveCall &call) {
  ncclComm_t communicator = Groups[call.communicator];
  const auto &members = Options.communicators[call.communicator];
  auto me = std::find(members.begin(), members.end(), rank());
  if (me == members.end() || !communicator)
    return Status::error(ErrorKind::Internal,
                         "rank " + std::to_string(rank()) +
                             " is no member of communicator " +
                             std::to_string(call.communicator));
  auto steps = planCollective(call, static_cast<uint32_t>(me - members.begin()),
                              static_cast<uint32_t>(members.size()));
  if (steps.empty())
    return Status();
  Status status = toStatus(nccl()->groupStart(), communicator, "a collective");
  for (size_t i = 0; i < steps.size() && status.ok(); ++i)
    status = submit(steps[i], call, communicator);
  ncclResult_t code = nccl()->groupEnd();
  if (status.failed())
    return status;
  return settle(communicator, code, EnumNameCollectiveKind(call.kind));
}

//===----------------------------------------------------------------------===//
// Messages
//===----------------------------------------------------------------------===//

Result<Channel *> NcclCommunicator::channelOf(uint32_t from, uint32_t to) {
  auto it = Channels.find({from, to});
  if (it == Channels.end())
    return Status::error(ErrorKind::Internal,
                         "no channel from rank " + std::to_string(from) +
                             " to rank " + std::to_string(to));
  return &it->second;
}

Status NcclCommunicator::send(uint32_t peer, uint32_t tag, const void *data,
                              uint64_t bytes) {
  Result<Channel *> found = channelOf(rank(), peer);
  if (found.failed())
    return found.status();
  Channel &channel = **found;
  MessageHeader header{channel.messages++, bytes};
  if (Status s = Options.host.send(peer, tag, &header, sizeof header);
      s.failed() || bytes == 0)
    return s;
  // The program may overwrite the operand as soon as the copy is made.
  void *copy = nullptr;
  cudaStream_t stream = channel.stream, compute = Accelerator.stream();
  for (cudaError_t code :
       {cudaEventRecord(channel.event, compute),
        cudaStreamWaitEvent(stream, channel.event, 0),
        cudaMallocAsync(&copy, bytes, stream),
        cudaMemcpyAsync(copy, data, bytes, cudaMemcpyDeviceToDevice, stream),
        cudaEventRecord(channel.event, stream),
        cudaStreamWaitEvent(compute, channel.event, 0)})
    if (Status s = runtime::toStatus(code, "a send"); s.failed())
      return s;
  ncclResult_t code =
      nccl()->send(copy, bytes, ncclInt8, 1, channel.pair, stream);
  if (Status s = settle(channel.pair, code, "a send"); s.failed())
    return s;
  return runtime::toStatus(cudaFreeAsync(copy, stream), "a send");
}

Status NcclCommunicator::receive(uint32_t peer, uint32_t tag, void *data,
                                 uint64_t bytes) {
  Result<Channel *> found = channelOf(peer, rank());
  if (found.failed())
    return found.status();
  Channel &channel = **found;
  MessageHeader header{};
  if (Status s = Options.host.receive(peer, tag, &header, sizeof header);
      s.failed())
    return s;
  const std::string what = "message with tag " + std::to_string(tag) +
                           " from rank " + std::to_string(peer);
  if (header.bytes != bytes)
    return Status::error(ErrorKind::Mismatch,
                         what + " has " + std::to_string(header.bytes) +
                             " bytes, the receiver expects " +
                             std::to_string(bytes));
  if (header.number != channel.messages)
    return unsupported(what + " is number " + std::to_string(header.number) +
                       " of its sender and received as number " +
                       std::to_string(channel.messages) +
                       ": NCCL keeps the order of sending");
  ++channel.messages;
  if (bytes == 0)
    return Status();
  ncclResult_t code = nccl()->receive(data, bytes, ncclInt8, 0, channel.pair,
                                      Accelerator.stream());
  return settle(channel.pair, code, "a receive");
}

} // namespace

Result<std::unique_ptr<Communicator>>
makeNcclCommunicator(Device &device, const NcclOptions &options) {
  if (device.name() != "cuda")
    return badInput("NCCL needs a cuda device, not '" + device.name() + "'");
  auto network = std::make_unique<NcclCommunicator>(
      static_cast<CudaDevice &>(device), options);
  if (Status s = network->connect(); s.failed())
    return s;
  return std::unique_ptr<Communicator>(std::move(network));
}

} // namespace whale::runtime
