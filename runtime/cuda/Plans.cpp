//===- Plans.cpp ----------------------------------------------------------===//

#include "runtime/cuda/Plans.h"

#include "runtime/core/Convert.h"

#include <algorithm>
#include <set>

namespace whale::runtime {

using namespace format;

namespace {

/// One loop over N addresses at once.
template <size_t N> struct Loop {
  int64_t extent;
  std::array<int64_t, N> strides;
};

/// Drops loops of one pass and merges those that continue each other.
template <size_t N>
std::vector<Loop<N>> merged(const std::vector<Loop<N>> &loops) {
  std::vector<Loop<N>> out;
  for (const Loop<N> &loop : loops) {
    if (loop.extent == 1)
      continue;
    bool continues = !out.empty();
    for (size_t i = 0; continues && i < N; ++i)
      continues = out.back().strides[i] == loop.strides[i] * loop.extent;
    if (continues)
      out.back() = {out.back().extent * loop.extent, loop.strides};
    else
      out.push_back(loop);
  }
  return out;
}

/// Passes of all loops, or nothing beyond `limit`.
template <size_t N>
std::optional<int64_t> passesOf(const std::vector<Loop<N>> &loops,
                                int64_t limit) {
  int64_t passes = 1;
  for (const Loop<N> &loop : loops) {
    if (loop.extent > limit / passes)
      return std::nullopt;
    passes *= loop.extent;
  }
  return passes;
}

/// Addresses of every pass, the last loop fastest.
template <size_t N>
std::vector<std::array<int64_t, N>>
startsOf(const std::vector<Loop<N>> &loops) {
  std::vector<std::array<int64_t, N>> starts{{}};
  for (const Loop<N> &loop : loops) {
    std::vector<std::array<int64_t, N>> next;
    for (const auto &start : starts)
      for (int64_t i = 0; i < loop.extent; ++i) {
        next.push_back(start);
        for (size_t j = 0; j < N; ++j)
          next.back()[j] += i * loop.strides[j];
      }
    starts = std::move(next);
  }
  return starts;
}

Status tooMany(const char *what, int64_t limit) {
  return Status::error(ErrorKind::Unsupported,
                       std::string(what) + " takes more than " +
                           std::to_string(limit) + " calls on the cuda device");
}

} // namespace

Result<GemmPlan> planGemm(const ContractT &contract) {
  GemmPlan plan;
  const int64_t m = contract.m, n = contract.n, k = contract.k;
  bool transA = contract.transA, transB = contract.transB;
  // A row-major r x c matrix is a column-major c x r one.
  plan.first = {transB ? k : n, transB ? n : k, contract.ldb, 0, transB};
  plan.second = {transA ? m : k, transA ? k : m, contract.lda, 0, transA};
  plan.result = {n, m, contract.ldc, 0, false};
  if (m == 0 || n == 0)
    return plan;
  std::vector<Loop<3>> loops;
  for (const BatchDim &dim : contract.batch) {
    if (dim.extent() == 0)
      return plan;
    loops.push_back(
        {dim.extent(), {dim.strideA(), dim.strideB(), dim.strideC()}});
  }
  loops = merged(loops);
  // Products that add to the same C must follow each other.
  auto largest = loops.end();
  for (auto it = loops.begin(); it != loops.end(); ++it)
    if (it->strides[2] != 0 &&
        (largest == loops.end() || it->extent > largest->extent))
      largest = it;
  if (largest != loops.end()) {
    plan.batch = largest->extent;
    plan.second.batchStride = largest->strides[0];
    plan.first.batchStride = largest->strides[1];
    plan.result.batchStride = largest->strides[2];
    loops.erase(largest);
  }
  if (!passesOf(loops, maxGemmCalls))
    return tooMany("a contraction", maxGemmCalls);
  plan.starts = startsOf(loops);
  return plan;
}

Result<CopyPlan> planCopy(const CopyT &copy) {
  CopyPlan plan;
  const int64_t size = copy.elementBytes;
  plan.width = static_cast<uint64_t>(size);
  std::vector<Loop<2>> loops;
  for (size_t i = 0; i < copy.dims.size(); ++i) {
    if (copy.dims[i] == 0)
      return plan;
    loops.push_back(
        {copy.dims[i], {copy.srcStrides[i] * size, copy.dstStrides[i] * size}});
  }
  loops = merged(loops);
  if (!loops.empty() && loops.back().strides[0] == size &&
      loops.back().strides[1] == size) {
    plan.width *= static_cast<uint64_t>(loops.back().extent);
    loops.pop_back();
  }
  plan.srcPitch = plan.dstPitch = plan.width;
  // Rows of a call must not overlap and go upwards.
  const int64_t width = static_cast<int64_t>(plan.width);
  auto largest = loops.end();
  for (auto it = loops.begin(); it != loops.end(); ++it)
    if (it->strides[0] >= width && it->strides[1] >= width &&
        (largest == loops.end() || it->extent > largest->extent))
      largest = it;
  if (largest != loops.end()) {
    plan.height = static_cast<uint64_t>(largest->extent);
    plan.srcPitch = static_cast<uint64_t>(largest->strides[0]);
    plan.dstPitch = static_cast<uint64_t>(largest->strides[1]);
    loops.erase(largest);
  }
  if (!passesOf(loops, maxCopyCalls))
    return tooMany("a copy", maxCopyCalls);
  plan.starts = startsOf(loops);
  return plan;
}

std::string fillPattern(const FillT &fill) {
  std::string pattern(bytesOf(fill.operand->dtype), '\0');
  storeNumber(fill.operand->dtype, pattern.data(), 0, fill.value);
  while (pattern.size() > 1) {
    size_t half = pattern.size() / 2;
    if (pattern.compare(0, half, pattern, half) != 0)
      break;
    pattern.resize(half);
  }
  return pattern;
}

//===----------------------------------------------------------------------===//
// Collectives
//===----------------------------------------------------------------------===//

int ncclTypeOf(DType dtype) {
  // Values of nccl.h, which NcclCommunicator.cpp compares.
  switch (dtype) {
  case DType::I8:
    return 0;
  case DType::U8:
  case DType::I1:
    return 1;
  case DType::I32:
    return 2;
  case DType::I64:
    return 4;
  case DType::F16:
    return 6;
  case DType::F64:
    return 8;
  case DType::BF16:
    return 9;
  case DType::F32:
  case DType::Accumulator: // programs for CUDA have none
    break;
  }
  return 7;
}

int ncclOperationOf(Reduction reduction) {
  return reduction == Reduction::Sum ? 0 : reduction == Reduction::Max ? 2 : 3;
}

namespace {

/// Elements of each member.
std::vector<uint64_t> sharesOf(const std::vector<uint64_t> *counts,
                               uint64_t total, uint32_t size) {
  if (counts && !counts->empty())
    return *counts;
  return std::vector<uint64_t>(size, total / size);
}

bool allEqual(const std::vector<uint64_t> &shares) {
  return std::equal(shares.begin() + 1, shares.end(), shares.begin());
}

/// A call per member that moves its share from or to its place.
std::vector<NcclStep> perMember(NcclCall kind,
                                const std::vector<uint64_t> &shares) {
  std::vector<NcclStep> steps;
  uint64_t offset = 0;
  for (uint32_t i = 0; i < shares.size(); ++i) {
    NcclStep step{kind, 0, 0, shares[i], i};
    (kind == NcclCall::Reduce ? step.input : step.output) = offset;
    if (shares[i] > 0)
      steps.push_back(step);
    offset += shares[i];
  }
  return steps;
}

std::vector<NcclStep> planAllToAll(const CollectiveCall &call, uint32_t size) {
  std::vector<uint64_t> sent = sharesOf(call.counts, call.inputElements, size);
  bool sameBack = !call.receiveCounts || call.receiveCounts->empty();
  std::vector<uint64_t> received = sharesOf(
      sameBack ? call.counts : call.receiveCounts, call.outputElements, size);
  std::vector<NcclStep> steps;
  uint64_t from = 0, to = 0;
  for (uint32_t i = 0; i < size; ++i) {
    if (sent[i] > 0)
      steps.push_back({NcclCall::Send, from, 0, sent[i], i});
    if (received[i] > 0)
      steps.push_back({NcclCall::Receive, 0, to, received[i], i});
    from += sent[i];
    to += received[i];
  }
  return steps;
}

} // namespace

std::vector<NcclStep> planCollective(const CollectiveCall &call, uint32_t me,
                                     uint32_t size) {
  switch (call.kind) {
  case CollectiveKind::AllGather: {
    auto shares = sharesOf(call.counts, call.outputElements, size);
    if (!allEqual(shares))
      return perMember(NcclCall::Broadcast, shares);
    if (shares[me] == 0)
      return {};
    return {{NcclCall::AllGather, 0, 0, shares[me], 0}};
  }
  case CollectiveKind::ReduceScatter: {
    auto shares = sharesOf(call.counts, call.inputElements, size);
    if (!allEqual(shares))
      return perMember(NcclCall::Reduce, shares);
    if (shares[me] == 0)
      return {};
    return {{NcclCall::ReduceScatter, 0, 0, shares[me], 0}};
  }
  case CollectiveKind::AllToAll:
    return planAllToAll(call, size);
  case CollectiveKind::Broadcast:
    if (call.outputElements == 0)
      return {};
    return {{NcclCall::Broadcast, 0, 0, call.outputElements, call.root}};
  case CollectiveKind::AllReduce:
    break;
  }
  if (call.inputElements == 0)
    return {};
  return {{NcclCall::AllReduce, 0, 0, call.inputElements, 0}};
}

std::vector<std::vector<uint32_t>>
planSplits(const std::vector<std::vector<uint32_t>> &communicators) {
  std::vector<std::vector<uint32_t>> splits;
  std::vector<std::set<uint32_t>> taken;
  for (uint32_t c = 0; c < communicators.size(); ++c) {
    const auto &members = communicators[c];
    size_t s = 0;
    while (s < splits.size() &&
           std::any_of(
               members.begin(), members.end(),
               [&](uint32_t rank) { return taken[s].count(rank); }))
      ++s;
    if (s == splits.size()) {
      splits.emplace_back();
      taken.emplace_back();
    }
    splits[s].push_back(c);
    taken[s].insert(members.begin(), members.end());
  }
  return splits;
}

} // namespace whale::runtime
