//===- CudaTasks.cpp - Instructions on the GPU ----------------------------===//

#include "runtime/cuda/CudaDevice.h"
#include "runtime/cuda/Plans.h"

#include <cstring>

namespace whale::runtime {

using namespace format;

namespace {

using Made = Result<std::unique_ptr<Task>>;

//===----------------------------------------------------------------------===//
// Contract
//===----------------------------------------------------------------------===//

Status toStatus(cublasStatus_t code, const char *what) {
  if (code == CUBLAS_STATUS_SUCCESS)
    return Status();
  return Status::error(ErrorKind::Internal,
                       std::string(what) + ": " +
                           cublasLt()->getStatusString(code));
}

cudaDataType cudaTypeOf(DType dtype) {
  return dtype == DType::F64    ? CUDA_R_64F
         : dtype == DType::BF16 ? CUDA_R_16BF
         : dtype == DType::F16  ? CUDA_R_16F
                                : CUDA_R_32F;
}

/// Descriptors of one product and the algorithm that was chosen for it.
class ContractTask final : public Task {
public:
  ContractTask(const ContractT &node, GemmPlan plan, const CudaQueue &queue)
      : Node(node), Plan(std::move(plan)), Queue(queue) {}
  ~ContractTask() override {
    const CublasLt &lt = *cublasLt();
    if (Operation)
      lt.descDestroy(Operation);
    for (cublasLtMatrixLayout_t layout : {First, Second, Output})
      if (layout)
        lt.layoutDestroy(layout);
  }

  Status prepare();
  Status run(const RunContext &context) override;

private:
  Status describe(const ColumnMajor &matrix, DType dtype,
                  cublasLtMatrixLayout_t &out);
  Status choose();
  Status clear(std::byte *c) const;
  bool isDouble() const { return Node.a->dtype == DType::F64; }

  const ContractT &Node;
  GemmPlan Plan;
  CudaQueue Queue;
  cublasLtMatmulDesc_t Operation = nullptr;
  cublasLtMatrixLayout_t First = nullptr, Second = nullptr, Output = nullptr;
  cublasLtMatmulAlgo_t Algorithm = {};
};

Status ContractTask::describe(const ColumnMajor &matrix, DType dtype,
                              cublasLtMatrixLayout_t &out) {
  const CublasLt &lt = *cublasLt();
  const int32_t batch = static_cast<int32_t>(Plan.batch);
  cublasStatus_t code = lt.layoutCreate(
      &out, cudaTypeOf(dtype), static_cast<uint64_t>(matrix.rows),
      static_cast<uint64_t>(matrix.cols), matrix.leading);
  if (code == CUBLAS_STATUS_SUCCESS)
    code = lt.layoutSet(out, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batch,
                        sizeof batch);
  if (code == CUBLAS_STATUS_SUCCESS)
    code = lt.layoutSet(out, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                        &matrix.batchStride, sizeof matrix.batchStride);
  return toStatus(code, "a matrix of a contraction");
}

Status ContractTask::prepare() {
  if (Plan.starts.empty() || Node.k == 0)
    return Status();
  const CublasLt &lt = *cublasLt();
  // Products of f32 stay f32 (no TF32), those of 16-bit types are summed in
  // f32: what the CPU device does.
  cublasStatus_t code = lt.descCreate(
      &Operation, isDouble() ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F,
      isDouble() ? CUDA_R_64F : CUDA_R_32F);
  const struct {
    cublasLtMatmulDescAttributes_t attribute;
    const ColumnMajor &matrix;
  } sides[] = {{CUBLASLT_MATMUL_DESC_TRANSA, Plan.first},
               {CUBLASLT_MATMUL_DESC_TRANSB, Plan.second}};
  for (const auto &side : sides) {
    cublasOperation_t turn = side.matrix.transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    if (code == CUBLAS_STATUS_SUCCESS)
      code = lt.descSet(Operation, side.attribute, &turn, sizeof turn);
  }
  if (Status s = toStatus(code, "a contraction"); s.failed())
    return s;
  if (Status s = describe(Plan.first, Node.b->dtype, First); s.failed())
    return s;
  if (Status s = describe(Plan.second, Node.a->dtype, Second); s.failed())
    return s;
  if (Status s = describe(Plan.result, Node.c->dtype, Output); s.failed())
    return s;
  return choose();
}

/// The largest power of two, up to 256, that divides a byte offset.
uint32_t alignmentOf(uint64_t offset) {
  uint32_t alignment = 256;
  while (offset % alignment != 0)
    alignment /= 2;
  return alignment;
}

/// cublasLt's first choice for these shapes and alignments: always the same.
Status ContractTask::choose() {
  const CublasLt &lt = *cublasLt();
  cublasLtMatmulPreference_t preference = nullptr;
  if (Status s = toStatus(lt.preferenceCreate(&preference), "a contraction");
      s.failed())
    return s;
  lt.preferenceSet(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                   &productWorkspaceBytes, sizeof productWorkspaceBytes);
  const OperandT *operands[] = {Node.b.get(), Node.a.get(), Node.c.get(),
                                Node.c.get()};
  const cublasLtMatmulPreferenceAttributes_t attributes[] = {
      CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
      CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
      CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
      CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
  const size_t columns[] = {1, 0, 2, 2}; // of starts
  for (size_t i = 0; i < 4; ++i) {
    uint64_t addresses = operands[i]->offset | operands[i]->stride;
    for (const auto &start : Plan.starts)
      addresses |= static_cast<uint64_t>(start[columns[i]]) *
                   bytesOf(operands[i]->dtype);
    uint32_t alignment = alignmentOf(addresses);
    lt.preferenceSet(preference, attributes[i], &alignment, sizeof alignment);
  }
  cublasLtMatmulHeuristicResult_t choice = {};
  int found = 0;
  cublasStatus_t code =
      lt.getHeuristic(Queue.products, Operation, First, Second, Output, Output,
                      preference, 1, &choice, &found);
  lt.preferenceDestroy(preference);
  if (Status s = toStatus(code, "choosing a matrix product"); s.failed())
    return s;
  if (found == 0)
    return unsupported("cublasLt has no matrix product for this contraction");
  Algorithm = choice.algo;
  return Status();
}

/// What a sum of no products is.
Status ContractTask::clear(std::byte *c) const {
  const size_t size = bytesOf(Node.c->dtype);
  for (int64_t i = 0; i < Plan.batch; ++i)
    if (Status s = runtime::toStatus(
            cudaMemset2DAsync(c + i * Plan.result.batchStride * int64_t(size),
                              Node.ldc * size, 0, Node.n * size, Node.m,
                              Queue.stream),
            "clearing a contraction's result");
        s.failed())
      return s;
  return Status();
}

Status ContractTask::run(const RunContext &context) {
  const std::byte *a = addressOf(*Node.a, context);
  const std::byte *b = addressOf(*Node.b, context);
  std::byte *c = addressOf(*Node.c, context);
  const int64_t sizeIn = static_cast<int64_t>(bytesOf(Node.a->dtype));
  const int64_t sizeOut = static_cast<int64_t>(bytesOf(Node.c->dtype));
  const double alpha64 = Node.alpha, beta64 = Node.accumulate ? 1 : 0;
  const float alpha32 = static_cast<float>(alpha64),
              beta32 = static_cast<float>(beta64);
  for (const auto &[atA, atB, atC] : Plan.starts) {
    std::byte *result = c + atC * sizeOut;
    if (Node.k == 0) {
      if (Status s = Node.accumulate ? Status() : clear(result); s.failed())
        return s;
      continue;
    }
    cublasStatus_t code = cublasLt()->matmul(
        Queue.products, Operation,
        isDouble() ? static_cast<const void *>(&alpha64) : &alpha32,
        b + atB * sizeIn, First, a + atA * sizeIn, Second,
        isDouble() ? static_cast<const void *>(&beta64) : &beta32, result,
        Output, result, Output, &Algorithm, Queue.workspace,
        productWorkspaceBytes, Queue.stream);
    if (Status s = toStatus(code, "a contraction"); s.failed())
      return s;
  }
  return Status();
}

//===----------------------------------------------------------------------===//
// Copy and Fill
//===----------------------------------------------------------------------===//

class CopyTask final : public Task {
public:
  CopyTask(const CopyT &node, CopyPlan plan, const CudaQueue &queue)
      : Node(node), Plan(std::move(plan)), Queue(queue) {}

  Status run(const RunContext &context) override {
    auto offsetOf = [&](const std::unique_ptr<ScalarT> &scalar) {
      return scalar ? evaluate(*scalar, context.values) *
                          static_cast<int64_t>(Node.elementBytes)
                    : 0;
    };
    const std::byte *src =
        addressOf(*Node.src, context) + offsetOf(Node.srcOffset);
    std::byte *dst = addressOf(*Node.dst, context) + offsetOf(Node.dstOffset);
    for (const auto &[from, to] : Plan.starts) {
      cudaError_t code = cudaMemcpy2DAsync(
          dst + to, Plan.dstPitch, src + from, Plan.srcPitch, Plan.width,
          Plan.height, cudaMemcpyDeviceToDevice, Queue.stream);
      if (Status s = runtime::toStatus(code, "a copy"); s.failed())
        return s;
    }
    return Status();
  }

private:
  const CopyT &Node;
  CopyPlan Plan;
  CudaQueue Queue;
};

class FillTask final : public Task {
public:
  FillTask(const FillT &node, const CudaQueue &queue)
      : Node(node), Pattern(fillPattern(node)), Bytes(*bytesOf(*node.operand)),
        Queue(queue) {}

  Status run(const RunContext &context) override {
    std::byte *data = addressOf(*Node.operand, context);
    if (Bytes == 0)
      return Status();
    if (Pattern.size() == 1)
      return runtime::toStatus(
          cudaMemsetAsync(data, static_cast<unsigned char>(Pattern[0]), Bytes,
                          Queue.stream),
          "a fill");
    auto at = reinterpret_cast<unsigned long long>(data);
    int code = 0;
    if (Pattern.size() == 2)
      code = driver()->memset16(at, word<unsigned short>(0), Bytes / 2,
                                Queue.stream);
    if (Pattern.size() == 4)
      code = driver()->memset32(at, word<unsigned>(0), Bytes / 4, Queue.stream);
    // Eight bytes: every other word, twice.
    for (size_t half = 0; Pattern.size() == 8 && half < 8 && code == 0;
         half += 4)
      code = driver()->memset2D32(at + half, 8, word<unsigned>(half), 1,
                                  Bytes / 8, Queue.stream);
    return runtime::toStatus(static_cast<cudaError_t>(code), "a fill");
  }

private:
  template <typename T> T word(size_t at) const {
    T value;
    std::memcpy(&value, Pattern.data() + at, sizeof value);
    return value;
  }

  const FillT &Node;
  std::string Pattern;
  uint64_t Bytes;
  CudaQueue Queue;
};

//===----------------------------------------------------------------------===//
// Launch
//===----------------------------------------------------------------------===//

class LaunchTask final : public Task {
public:
  LaunchTask(const LaunchT &node, const CudaKernel &kernel,
             const CudaQueue &queue)
      : Node(node), Kernel(kernel), Queue(queue), Buffers(node.operands.size()),
        Scalars(node.scalars.size()) {
    for (std::byte *&buffer : Buffers)
      Parameters.push_back(&buffer);
    for (int64_t &scalar : Scalars)
      Parameters.push_back(&scalar);
  }

  Status run(const RunContext &context) override {
    for (size_t i = 0; i < Buffers.size(); ++i)
      Buffers[i] = addressOf(*Node.operands[i], context);
    for (size_t i = 0; i < Scalars.size(); ++i)
      Scalars[i] = evaluate(*Node.scalars[i], context.values);
    const uint32_t *grid = Kernel.grid, *block = Kernel.block;
    return runtime::toStatus(
        cudaLaunchKernel(reinterpret_cast<const void *>(Kernel.kernel),
                         dim3{grid[0], grid[1], grid[2]},
                         dim3{block[0], block[1], block[2]}, Parameters.data(),
                         Kernel.sharedBytes, Queue.stream),
        Kernel.symbol.c_str());
  }

private:
  const LaunchT &Node;
  const CudaKernel &Kernel;
  CudaQueue Queue;
  std::vector<std::byte *> Buffers;
  std::vector<int64_t> Scalars;
  std::vector<void *> Parameters;
};

} // namespace

Made bindContract(const ContractT &node, const CudaQueue &queue) {
  Result<GemmPlan> plan = planGemm(node);
  if (plan.failed())
    return plan.status();
  auto task = std::make_unique<ContractTask>(node, std::move(*plan), queue);
  if (Status s = task->prepare(); s.failed())
    return s;
  return std::unique_ptr<Task>(std::move(task));
}

Made bindCopy(const CopyT &node, const CudaQueue &queue) {
  Result<CopyPlan> plan = planCopy(node);
  if (plan.failed())
    return plan.status();
  return std::unique_ptr<Task>(
      std::make_unique<CopyTask>(node, std::move(*plan), queue));
}

Made bindFill(const FillT &node, const CudaQueue &queue) {
  return std::unique_ptr<Task>(std::make_unique<FillTask>(node, queue));
}

std::unique_ptr<Task> bindLaunch(const LaunchT &node, const CudaKernel &kernel,
                                 const CudaQueue &queue) {
  return std::make_unique<LaunchTask>(node, kernel, queue);
}

} // namespace whale::runtime
