//===- CudaTest.cpp - Plans everywhere; the device where a GPU is ---------===//

#include "runtime/cuda/Cuda.h"
#include "runtime/comm/Launcher.h"
#include "runtime/core/Convert.h"
#include "runtime/cuda/Plans.h"

#include "TestPrograms.h"

#include <catch2/catch.hpp>

#include <numeric>
#include <random>
#include <set>

using namespace whale::format;
using namespace whale::runtime;
using namespace whale::test;

namespace {

/// Row-major product as program.fbs defines it, in double, element by element.
void naiveContract(const ContractT &node, const std::vector<double> &a,
                   const std::vector<double> &b, std::vector<double> &c) {
  std::vector<int64_t> index(node.batch.size(), 0);
  auto next = [&] {
    for (size_t d = index.size(); d-- > 0;) {
      if (++index[d] < node.batch[d].extent())
        return true;
      index[d] = 0;
    }
    return false;
  };
  do {
    int64_t atA = 0, atB = 0, atC = 0;
    for (size_t d = 0; d < index.size(); ++d) {
      atA += index[d] * node.batch[d].strideA();
      atB += index[d] * node.batch[d].strideB();
      atC += index[d] * node.batch[d].strideC();
    }
    for (int64_t i = 0; i < node.m; ++i)
      for (int64_t j = 0; j < node.n; ++j) {
        double sum = 0;
        for (int64_t l = 0; l < node.k; ++l)
          sum += a[atA + (node.transA ? l * node.lda + i : i * node.lda + l)] *
                 b[atB + (node.transB ? j * node.ldb + l : l * node.ldb + j)];
        double &slot = c[atC + i * node.ldc + j];
        slot = node.alpha * sum + (node.accumulate ? slot : 0);
      }
  } while (next());
}

/// What cublasLt does, by its documentation: column-major, D = op(A) op(B).
void interpret(const GemmPlan &plan, const ContractT &node,
               const std::vector<double> &a, const std::vector<double> &b,
               std::vector<double> &c) {
  auto element = [](const ColumnMajor &matrix, int64_t row, int64_t col) {
    if (matrix.transposed)
      std::swap(row, col);
    REQUIRE(row < matrix.rows);
    REQUIRE(col < matrix.cols);
    REQUIRE(matrix.leading >= matrix.rows);
    return col * matrix.leading + row;
  };
  for (const auto &[atA, atB, atC] : plan.starts)
    for (int64_t p = 0; p < plan.batch; ++p)
      for (int64_t i = 0; i < plan.result.rows; ++i)
        for (int64_t j = 0; j < plan.result.cols; ++j) {
          double sum = 0;
          for (int64_t l = 0; l < node.k; ++l)
            sum += b[atB + p * plan.first.batchStride +
                     element(plan.first, i, l)] *
                   a[atA + p * plan.second.batchStride +
                     element(plan.second, l, j)];
          double &slot =
              c[atC + p * plan.result.batchStride + element(plan.result, i, j)];
          slot = node.alpha * sum + (node.accumulate ? slot : 0);
        }
}

/// Extents of storage that hold every element of a contraction.
struct Sizes {
  int64_t a, b, c;
};

/// m, n, k with room between rows; up to three batch dimensions, of which one
/// may be shared by B (stride 0), in any order in memory.
Sizes randomContract(std::mt19937 &random, ContractT &node) {
  auto upTo = [&](int64_t limit) {
    return static_cast<int64_t>(random() % limit) + 1;
  };
  node.m = upTo(5);
  node.n = upTo(5);
  node.k = upTo(5);
  node.transA = random() % 2;
  node.transB = random() % 2;
  node.accumulate = random() % 2;
  node.alpha = random() % 2 ? 1.0 : 0.5;
  node.lda = (node.transA ? node.m : node.k) + random() % 3;
  node.ldb = (node.transB ? node.k : node.n) + random() % 3;
  node.ldc = node.n + random() % 3;
  Sizes sizes{(node.transA ? node.k : node.m) * node.lda,
              (node.transB ? node.n : node.k) * node.ldb, node.m * node.ldc};
  size_t dims = random() % 4;
  for (size_t d = 0; d < dims; ++d) {
    int64_t extent = upTo(3);
    bool shared = random() % 3 == 0;
    node.batch.insert(node.batch.begin() + random() % (d + 1),
                      BatchDim(extent, sizes.a, shared ? 0 : sizes.b, sizes.c));
    sizes = {sizes.a * extent, sizes.b * (shared ? 1 : extent),
             sizes.c * extent};
  }
  return sizes;
}

std::vector<double> someNumbers(int64_t count, int seed) {
  std::vector<double> out(static_cast<size_t>(count));
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = static_cast<double>((i * 7 + seed) % 11) - 5;
  return out;
}

} // namespace

TEST_CASE("a row-major product is the column-major one that is planned") {
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    ContractT node;
    Sizes sizes = randomContract(random, node);
    auto a = someNumbers(sizes.a, 1), b = someNumbers(sizes.b, 2);
    auto expected = someNumbers(sizes.c, 3), found = expected;
    naiveContract(node, a, b, expected);
    auto plan = planGemm(node);
    REQUIRE(plan.ok());
    interpret(*plan, node, a, b, found);
    INFO("round " << round);
    REQUIRE(found == expected);
  }
}

TEST_CASE("batches in one piece are one call, sums over a batch are several") {
  ContractT node;
  node.m = node.n = node.k = node.lda = node.ldb = node.ldc = 2;
  node.batch = {BatchDim(3, 20, 20, 20), BatchDim(5, 4, 4, 4)};
  auto plan = planGemm(node);
  REQUIRE(plan.ok());
  CHECK(plan->batch == 15);
  CHECK(plan->starts.size() == 1);
  // C does not move: the products must follow each other.
  node.batch = {BatchDim(3, 4, 4, 0)};
  node.accumulate = true;
  plan = planGemm(node);
  REQUIRE(plan.ok());
  CHECK(plan->batch == 1);
  CHECK(plan->starts.size() == 3);
  node.batch = {BatchDim(100000, 4, 4, 0)};
  CHECK(planGemm(node).status().error().kind == ErrorKind::Unsupported);
  node.batch = {BatchDim(0, 4, 4, 4)};
  CHECK(planGemm(node)->starts.empty());
}

TEST_CASE("a strided copy is the rows that are planned") {
  std::mt19937 random(2);
  for (int round = 0; round < 300; ++round) {
    CopyT node;
    node.elementBytes = 1u << random() % 3;
    int64_t src = 1, dst = 1;
    size_t dims = random() % 5;
    for (size_t d = 0; d < dims; ++d) {
      int64_t extent = static_cast<int64_t>(random() % 4) + 1;
      size_t at = random() % (d + 1);
      bool repeated = random() % 5 == 0;
      node.dims.insert(node.dims.begin() + at, extent);
      node.srcStrides.insert(node.srcStrides.begin() + at, repeated ? 0 : src);
      node.dstStrides.insert(node.dstStrides.begin() + at, dst);
      src *= repeated ? 1 : extent + random() % 2;
      dst *= extent + random() % 2;
    }
    const size_t size = node.elementBytes;
    std::vector<uint8_t> from(src * size), expected(dst * size, 0xee);
    for (size_t i = 0; i < from.size(); ++i)
      from[i] = static_cast<uint8_t>(i * 37 + 5);
    auto found = expected;
    std::vector<int64_t> index(dims, 0);
    int64_t count = std::accumulate(node.dims.begin(), node.dims.end(),
                                    int64_t(1), std::multiplies<>());
    for (int64_t flat = 0; flat < count; ++flat) {
      int64_t rest = flat, s = 0, t = 0;
      for (size_t d = dims; d-- > 0; rest /= node.dims[d]) {
        s += rest % node.dims[d] * node.srcStrides[d];
        t += rest % node.dims[d] * node.dstStrides[d];
      }
      std::memcpy(&expected[t * size], &from[s * size], size);
    }
    auto plan = planCopy(node);
    REQUIRE(plan.ok());
    REQUIRE(plan->srcPitch >= plan->width);
    REQUIRE(plan->dstPitch >= plan->width);
    for (const auto &[s, t] : plan->starts)
      for (uint64_t row = 0; row < plan->height; ++row)
        std::memcpy(&found[t + row * plan->dstPitch],
                    &from[s + row * plan->srcPitch], plan->width);
    INFO("round " << round);
    REQUIRE(found == expected);
  }
  CopyT transposed;
  transposed.elementBytes = 4;
  transposed.dims = {5000, 5000};
  transposed.srcStrides = {1, 5000};
  transposed.dstStrides = {5000, 1};
  CHECK(planCopy(transposed).status().error().kind == ErrorKind::Unsupported);
}

TEST_CASE("a fill's pattern repeats to the operand's elements") {
  for (DType dtype : {DType::F32, DType::F64, DType::BF16, DType::F16,
                      DType::I32, DType::I64, DType::I8, DType::U8, DType::I1})
    for (double value : {0.0, 1.0}) {
      FillT fill;
      fill.operand = boxed(operand(dtype, {3}, 0));
      fill.value = value;
      std::string pattern = fillPattern(fill), bytes;
      while (bytes.size() < 3 * bytesOf(dtype))
        bytes += pattern;
      for (uint64_t i = 0; i < 3; ++i)
        CHECK(loadNumber(dtype, bytes.data(), i) == value);
      if (value == 0)
        CHECK(pattern.size() == 1);
    }
}

namespace {

/// All members' inputs through the planned calls; a Send meets the Receive of
/// the other side, in order. Sums only, on whole numbers.
std::vector<std::vector<double>>
simulate(const std::vector<CollectiveCall> &calls,
         const std::vector<std::vector<double>> &inputs,
         std::vector<std::vector<double>> outputs) {
  const uint32_t size = static_cast<uint32_t>(calls.size());
  std::vector<std::vector<NcclStep>> steps;
  for (uint32_t me = 0; me < size; ++me)
    steps.push_back(planCollective(calls[me], me, size));
  std::map<std::pair<uint32_t, uint32_t>, std::vector<std::vector<double>>>
      messages;
  auto take = [](const std::vector<double> &from, uint64_t at, uint64_t count) {
    REQUIRE(at + count <= from.size());
    return std::vector<double>(from.begin() + at, from.begin() + at + count);
  };
  auto put = [](std::vector<double> &to, uint64_t at,
                const std::vector<double> &data) {
    REQUIRE(at + data.size() <= to.size());
    std::copy(data.begin(), data.end(), to.begin() + at);
  };
  for (uint32_t me = 0; me < size; ++me)
    for (const NcclStep &step : steps[me])
      if (step.call == NcclCall::Send)
        messages[{me, step.peer}].push_back(
            take(inputs[me], step.input, step.count));
  for (uint32_t me = 0; me < size; ++me)
    for (size_t i = 0; i < steps[me].size(); ++i) {
      const NcclStep &step = steps[me][i];
      if (step.call == NcclCall::Send)
        continue;
      if (step.call == NcclCall::Receive) {
        auto &queue = messages[{step.peer, me}];
        REQUIRE(!queue.empty());
        REQUIRE(queue.front().size() == step.count);
        put(outputs[me], step.output, queue.front());
        queue.erase(queue.begin());
        continue;
      }
      // All other calls are made by every member, at the same place.
      std::vector<double> sum(step.call == NcclCall::ReduceScatter
                                  ? step.count * size
                                  : step.count);
      for (uint32_t other = 0; other < size; ++other) {
        REQUIRE(steps[other].size() > i);
        REQUIRE(steps[other][i].call == step.call);
        REQUIRE(steps[other][i].count == step.count);
        if (step.call == NcclCall::AllGather) {
          put(outputs[me], step.output + other * step.count,
              take(inputs[other], step.input, step.count));
        } else if (step.call == NcclCall::Broadcast) {
          if (other == step.peer)
            put(outputs[me], step.output,
                take(inputs[other], step.input, step.count));
        } else {
          auto part = take(inputs[other], step.input, sum.size());
          for (size_t k = 0; k < sum.size(); ++k)
            sum[k] += part[k];
        }
      }
      if (step.call == NcclCall::AllReduce ||
          (step.call == NcclCall::Reduce && step.peer == me))
        put(outputs[me], step.output, sum);
      if (step.call == NcclCall::ReduceScatter)
        put(outputs[me], step.output, take(sum, me * step.count, step.count));
    }
  for (const auto &[ends, queue] : messages)
    REQUIRE(queue.empty());
  return outputs;
}

std::vector<uint64_t> sharesFor(std::mt19937 &random, uint32_t size,
                                bool equal) {
  std::vector<uint64_t> shares(size, random() % 4);
  for (uint64_t &share : shares)
    if (!equal)
      share = random() % 4;
  return shares;
}

uint64_t total(const std::vector<uint64_t> &shares) {
  return std::accumulate(shares.begin(), shares.end(), uint64_t(0));
}

} // namespace

TEST_CASE("gathers, reductions and broadcasts become calls of NCCL") {
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    const uint32_t size = 1 + random() % 4;
    const bool equal = random() % 2;
    const auto kind =
        static_cast<CollectiveKind>(std::vector<int>{0, 1, 2, 4}[random() % 4]);
    auto shares = sharesFor(random, size, equal);
    const uint64_t all = total(shares);
    bool gather = kind == CollectiveKind::AllGather;
    bool scatter = kind == CollectiveKind::ReduceScatter;
    std::vector<CollectiveCall> calls(size);
    std::vector<std::vector<double>> inputs, outputs, expected;
    std::vector<double> sum(all), joined;
    const uint32_t root = random() % size;
    for (uint32_t me = 0; me < size; ++me) {
      inputs.push_back(someNumbers(gather ? shares[me] : all, me + 1));
      outputs.emplace_back(scatter ? shares[me] : all, -99.0);
      calls[me].kind = kind;
      calls[me].inputElements = inputs[me].size();
      calls[me].outputElements = outputs[me].size();
      calls[me].counts = equal ? nullptr : &shares;
      calls[me].root = root;
      joined.insert(joined.end(), inputs[me].begin(), inputs[me].end());
      for (uint64_t i = 0; !gather && i < all; ++i)
        sum[i] += inputs[me][i];
    }
    uint64_t at = 0;
    for (uint32_t me = 0; me < size; at += shares[me++])
      expected.push_back(
          gather    ? joined
          : scatter ? std::vector<double>(sum.begin() + at,
                                          sum.begin() + at + shares[me])
          : kind == CollectiveKind::Broadcast ? inputs[root]
                                              : sum);
    INFO(EnumNameCollectiveKind(kind) << " of " << size);
    CHECK(simulate(calls, inputs, outputs) == expected);
  }
}

TEST_CASE("an all-to-all becomes sends and receives, uneven ones too") {
  std::mt19937 random(4);
  for (int round = 0; round < 100; ++round) {
    const uint32_t size = 1 + random() % 4;
    std::vector<std::vector<uint64_t>> sent, received(size);
    for (uint32_t me = 0; me < size; ++me)
      sent.push_back(sharesFor(random, size, false));
    std::vector<CollectiveCall> calls(size);
    std::vector<std::vector<double>> inputs, outputs, expected(size);
    for (uint32_t me = 0; me < size; ++me) {
      for (uint32_t other = 0; other < size; ++other)
        received[me].push_back(sent[other][me]);
      inputs.push_back(someNumbers(total(sent[me]), 10 * me));
      outputs.emplace_back(total(received[me]));
      calls[me].kind = CollectiveKind::AllToAll;
      calls[me].counts = &sent[me];
      calls[me].receiveCounts = &received[me];
      calls[me].inputElements = inputs[me].size();
      calls[me].outputElements = outputs[me].size();
    }
    for (uint32_t from = 0; from < size; ++from) {
      auto next = inputs[from].begin();
      for (uint32_t to = 0; to < size; next += sent[from][to++])
        expected[to].insert(expected[to].end(), next, next + sent[from][to]);
    }
    CHECK(simulate(calls, inputs, outputs) == expected);
  }
}

TEST_CASE("communicators that share no rank are split off together") {
  // A 2 x 4 grid: its rows, its columns, and everybody.
  const std::vector<std::vector<uint32_t>> grid = {{0, 1, 2, 3},
                                                   {4, 5, 6, 7},
                                                   {0, 4},
                                                   {1, 5},
                                                   {2, 6},
                                                   {3, 7},
                                                   {0, 1, 2, 3, 4, 5, 6, 7}};
  CHECK(planSplits(grid) ==
        std::vector<std::vector<uint32_t>>{{0, 1}, {2, 3, 4, 5}, {6}});
  CHECK(planSplits({}).empty());
  std::mt19937 random(5);
  std::vector<std::vector<uint32_t>> some;
  for (int i = 0; i < 40; ++i) {
    std::set<uint32_t> members;
    while (members.size() < 3)
      members.insert(random() % 12);
    some.emplace_back(members.begin(), members.end());
  }
  std::set<uint32_t> seen;
  for (const auto &split : planSplits(some)) {
    std::set<uint32_t> ranks;
    for (uint32_t index : split) {
      CHECK(seen.insert(index).second);
      for (uint32_t rank : some[index])
        CHECK(ranks.insert(rank).second);
    }
  }
  CHECK(seen.size() == some.size());
}

TEST_CASE("types have NCCL's numbers") {
  // Bytes of ncclDataType_t 0 to 9: int8 uint8 int32 uint32 int64 uint64
  // float16 float32 float64 bfloat16.
  const uint64_t bytes[] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2};
  std::set<int> numbers;
  for (DType dtype : {DType::F32, DType::F64, DType::BF16, DType::F16,
                      DType::I32, DType::I64, DType::I8, DType::U8}) {
    numbers.insert(ncclTypeOf(dtype));
    CHECK(bytes[ncclTypeOf(dtype)] == bytesOf(dtype));
  }
  CHECK(numbers.size() == 8);
  CHECK(ncclTypeOf(DType::BF16) == 9);
  CHECK(ncclTypeOf(DType::F16) == 6);
  CHECK(ncclTypeOf(DType::F32) == 7);
  CHECK(ncclTypeOf(DType::I32) == 2);
  CHECK(ncclOperationOf(Reduction::Sum) == 0);
  CHECK(ncclOperationOf(Reduction::Max) == 2);
  CHECK(ncclOperationOf(Reduction::Min) == 3);
}

TEST_CASE("without a GPU everything says what is missing") {
  Status status = checkCuda();
  std::string parts = describeCuda();
  INFO(parts);
  if (status.ok())
    return; // the tests of the device follow
  CHECK(status.error().kind == ErrorKind::Unsupported);
  CHECK_THAT(status.error().message,
             Catch::Contains("no usable GPU: ") ||
                 Catch::Contains("this build has no CUDA") ||
                 Catch::Contains("cannot open any of"));
  auto device = makeCudaDevice(0);
  REQUIRE(device.failed());
  CHECK(device.status().error().kind == ErrorKind::Unsupported);
#ifdef WHALE_HAS_CUDA
  CHECK_THAT(parts, Catch::Contains("cuda runtime: ") &&
                        Catch::Contains("gpu: no usable GPU") &&
                        Catch::Contains("cublasLt: ") &&
                        Catch::Contains("nccl: "));
#endif
}
