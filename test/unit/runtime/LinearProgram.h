//===- LinearProgram.h - A training program written by hand -----*- C++ -*-===//
//
// A linear model y = x w, loss = sum |y|^2 / 2 over 8 samples of 4 features
// and 4 outputs, in micro-batches, data parallel, plain gradient descent:
// gradient = x^T y summed over samples, w -= rate * gradient.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_TEST_UNIT_RUNTIME_LINEARPROGRAM_H
#define WHALE_TEST_UNIT_RUNTIME_LINEARPROGRAM_H

#include "TestPrograms.h"

#include "runtime/format/Random.h"

namespace whale::test {

constexpr int64_t linearSamples = 8, linearFeatures = 4;
constexpr double linearRate = 0.05;
constexpr int64_t linearSeed = 11;

/// With `sharded` a rank keeps features / ranks rows of w between steps and
/// gathers the whole when a step begins.
class LinearProgram {
public:
  LinearProgram(int64_t ranks, int64_t microBatches, bool sharded)
      : Ranks(ranks), Sharded(sharded),
        Rows(linearSamples / ranks / microBatches),
        Held(sharded ? n / ranks : n) {
    addTables();
    addVariable("w", VariableKind::Parameter, State);
    addVariable("w#gradient", VariableKind::Gradient, Gradient);
    addInit(addSection(Made, "init"));
    addBegin(addSection(Made, "begin"));
    addMicro(addSection(Made, "micro"));
    addUpdate(addSection(Made, "update"));
    addEntry(Made, entryInit, {Visit(0, 0)});
    std::vector<Visit> schedule = {Visit(1, 0)};
    for (int64_t m = 0; m < microBatches; ++m)
      schedule.push_back(Visit(2, static_cast<uint32_t>(m)));
    schedule.push_back(Visit(3, 0));
    addEntry(Made, entryStep, schedule);
  }

  ProgramT &program() { return Made; }

  Manifest manifest() const {
    Manifest out;
    out.model = "linear";
    out.modelHash = "m";
    out.seed = linearSeed;
    if (Ranks > 1)
      out.communicators.push_back({});
    for (int64_t rank = 0; rank < Ranks; ++rank) {
      RankInfo info;
      info.role = "linear";
      info.scalars = {rank * linearSamples / Ranks,
                      Sharded ? rank * n / Ranks : 0};
      if (Ranks > 1) {
        info.groups = {0};
        out.communicators[0].push_back(static_cast<uint32_t>(rank));
      }
      out.ranks.push_back(info);
    }
    return out;
  }

private:
  static constexpr int64_t n = linearFeatures;

  OperandT matrix(int64_t rows, int64_t cols, uint64_t offset) const {
    return operand(DType::F64, {rows, cols}, offset);
  }

  void addTables() {
    Made = emptyProgram("linear", 1152);
    Made.rankScalars = {"first_sample", "first_row"};
    Made.metrics = {"loss"};
    Made.modelHash = "m";
    if (Ranks > 1) {
      Made.groups.push_back(std::make_unique<GroupT>());
      Made.groups[0]->name = "r0";
      Made.groups[0]->size = static_cast<uint32_t>(Ranks);
    }
    Made.inputs.push_back(std::make_unique<InputInfoT>());
    Made.inputs[0]->name = "x";
    Made.inputs[0]->dtype = DType::F64;
    Made.inputs[0]->dims = {linearSamples, n};
    Made.sources.push_back(std::make_unique<SourceT>());
    Made.sources[0]->path = "linear";
    Made.sources[0]->file = "model.mlir";
    Made.sources[0]->line = 3;
  }

  std::unique_ptr<ScalarT> firstRow(int64_t factor) const {
    return Sharded ? scalar(0, {{TermKind::RankScalar, 1, factor}}) : scalar(0);
  }

  void addVariable(const char *path, VariableKind kind, const OperandT &box) {
    auto variable = std::make_unique<VariableT>();
    variable->path = path;
    variable->kind = kind;
    variable->operand = boxed(box);
    variable->globalDims = {n, n};
    if (box.dims[0] != n)
      variable->offsets.push_back(firstRow(1));
    Made.variables.push_back(std::move(variable));
  }

  static void addContract(SectionT &section, const OperandT &a,
                          const OperandT &b, const OperandT &c, bool transA,
                          double alpha, bool accumulate) {
    ContractT node;
    node.a = boxed(a), node.b = boxed(b), node.c = boxed(c);
    node.transA = transA, node.alpha = alpha, node.accumulate = accumulate;
    node.m = c.dims[0], node.n = c.dims[1];
    node.k = transA ? a.dims[0] : a.dims[1];
    node.lda = a.dims[1], node.ldb = b.dims[1], node.ldc = c.dims[1];
    append(section, std::move(node), 0);
  }

  static CopyT vectorCopy(const OperandT &src, const OperandT &dst,
                          int64_t count) {
    CopyT copy;
    copy.src = boxed(src), copy.dst = boxed(dst);
    copy.elementBytes = 8;
    copy.dims = {count}, copy.srcStrides = {1}, copy.dstStrides = {1};
    return copy;
  }

  /// w and the identity matrix, which the update multiplies with.
  void addInit(SectionT &section) {
    CallT call;
    call.function = "init_normal";
    call.operands.push_back(boxed(State));
    call.ints = {static_cast<int64_t>(pathHash("w")), n, n};
    call.floats = {0, 0.5};
    call.scalars.push_back(scalar(0, {{TermKind::Seed, 0, 1}}));
    call.scalars.push_back(firstRow(1));
    call.scalars.push_back(scalar(0));
    append(section, std::move(call), 0);
    OperandT one = operand(DType::F64, {}, 960);
    FillT fill;
    fill.operand = boxed(one), fill.value = 1;
    append(section, std::move(fill), 0);
    CopyT diagonal = vectorCopy(one, Identity, n);
    diagonal.srcStrides = {0}, diagonal.dstStrides = {n + 1};
    append(section, std::move(diagonal), 0);
  }

  void addBegin(SectionT &section) {
    FillT fill;
    fill.operand = boxed(Gradient);
    append(section, std::move(fill), 0);
    if (!Sharded || Ranks == 1)
      return append(section, vectorCopy(State, W, n * n), 0);
    CollectiveT gather;
    gather.kind = CollectiveKind::AllGather;
    gather.input = boxed(State);
    gather.output = boxed(W);
    append(section, std::move(gather), 0);
  }

  void addMicro(SectionT &section) {
    OperandT x = matrix(Rows, n, 0), y = matrix(Rows, n, 256);
    OperandT flat = matrix(Rows * n, 1, 256), square = matrix(1, 1, 896);
    InputT input;
    input.operand = boxed(x);
    input.offsets.push_back(scalar(0, {{TermKind::RankScalar, 0, 1},
                                       {TermKind::MicroBatch, 0, Rows}}));
    append(section, std::move(input), 0);
    addContract(section, x, W, y, false, 1, false);
    addContract(section, x, y, Gradient, true, 1, true);
    addContract(section, flat, flat, square, true, 0.5, false);
    MetricT metric;
    metric.name = "loss";
    metric.operand = boxed(square);
    append(section, std::move(metric), 0);
  }

  /// w -= rate * gradient, of which the held rows are kept.
  void addUpdate(SectionT &section) {
    if (Ranks > 1) {
      CollectiveT reduce;
      reduce.input = boxed(Gradient), reduce.output = boxed(Gradient);
      append(section, std::move(reduce), 0);
    }
    addContract(section, Identity, Gradient, W, false, -linearRate, true);
    CopyT keep = vectorCopy(W, State, Held * n);
    keep.srcOffset = firstRow(n);
    append(section, std::move(keep), 0);
  }

  int64_t Ranks;
  bool Sharded;
  int64_t Rows, Held;
  OperandT Gradient = matrix(n, n, 512), W = matrix(n, n, 640);
  OperandT State = matrix(Held, n, 768), Identity = matrix(n, n, 1024);
  ProgramT Made;
};

/// The same training by plain loops: losses, w, and the last gradient.
struct NaiveLinear {
  explicit NaiveLinear(int64_t steps) : w(linearFeatures * linearFeatures) {
    for (uint64_t i = 0; i < w.size(); ++i)
      w[i] = 0.5 * standardNormal(
                       randomBlock(randomKey(linearSeed, 0), pathHash("w"), i));
    for (int64_t step = 0; step < steps; ++step) {
      gradient.assign(w.size(), 0);
      double loss = 0;
      for (int64_t s = 0; s < linearSamples; ++s)
        loss += addSample(step, s);
      losses.push_back(loss);
      for (size_t i = 0; i < w.size(); ++i)
        w[i] -= linearRate * gradient[i];
    }
  }

  std::vector<double> losses, w, gradient;

private:
  double addSample(int64_t step, int64_t sample) {
    constexpr int64_t n = linearFeatures;
    double x[n], y[n] = {}, loss = 0;
    for (int64_t i = 0; i < n; ++i)
      x[i] = standardNormal(randomBlock(randomKey(linearSeed, step),
                                        pathHash("input/x"), sample * n + i));
    for (int64_t i = 0; i < n; ++i)
      for (int64_t o = 0; o < n; ++o)
        y[o] += x[i] * w[i * n + o];
    for (int64_t o = 0; o < n; ++o)
      loss += 0.5 * y[o] * y[o];
    for (int64_t i = 0; i < n * n; ++i)
      gradient[i] += x[i / n] * y[i % n];
    return loss;
  }
};

} // namespace whale::test

#endif // WHALE_TEST_UNIT_RUNTIME_LINEARPROGRAM_H
