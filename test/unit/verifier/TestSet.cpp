//===- TestSet.cpp --------------------------------------------------------===//

#include "TestSet.h"

#include "compiler/verifier/Samples.h"

namespace whale::verifier::test {

using namespace format;

namespace {

constexpr int64_t features = 4;

/// Writes a program section by section.
class Builder {
public:
  Builder(const std::string &role, std::vector<std::string> scalars) {
    program.formatMajor = formatMajor;
    program.role = role;
    program.target = "cpu";
    program.rankScalars = std::move(scalars);
    auto source = std::make_unique<SourceT>();
    source->path = role;
    source->file = "model.mlir";
    source->line = 7;
    source->column = 3;
    program.sources.push_back(std::move(source));
  }

  OperandT buffer(std::vector<int64_t> dims, uint32_t slots = 1,
                  DType dtype = DType::F64) {
    OperandT out;
    out.dtype = dtype;
    out.dims = std::move(dims);
    out.slots = slots;
    out.offset = program.arenaBytes;
    out.stride = *bytesOf(out);
    program.arenaBytes += out.stride * slots;
    program.arenaBytes = (program.arenaBytes + 63) / 64 * 64;
    return out;
  }

  static std::unique_ptr<OperandT> use(const OperandT &operand) {
    return std::make_unique<OperandT>(operand);
  }

  ScalarT scalar(TermKind kind, uint32_t index = 0, int64_t coefficient = 1) {
    ScalarT out;
    out.terms.push_back(Term(kind, index, coefficient));
    return out;
  }

  void begin(const std::string &name) {
    program.sections.push_back(std::make_unique<SectionT>());
    program.sections.back()->name = name;
  }

  template <typename T> void add(T operation) {
    auto instruction = std::make_unique<InstructionT>();
    instruction->operation.Set(std::move(operation));
    instruction->source = 0;
    program.sections.back()->instructions.push_back(std::move(instruction));
  }

  void variable(const std::string &path, VariableKind kind,
                const OperandT &operand, std::vector<int64_t> global,
                std::vector<ScalarT> offsets = {}) {
    auto variable = std::make_unique<VariableT>();
    variable->path = path;
    variable->kind = kind;
    variable->operand = use(operand);
    variable->globalDims = std::move(global);
    for (ScalarT &offset : offsets)
      variable->offsets.push_back(std::make_unique<ScalarT>(offset));
    program.variables.push_back(std::move(variable));
  }

  void input(uint32_t index, const OperandT &operand, ScalarT first) {
    InputT input;
    input.input = index;
    input.operand = use(operand);
    input.offsets.push_back(std::make_unique<ScalarT>(std::move(first)));
    add(std::move(input));
  }

  void fill(const OperandT &operand, double value = 0) {
    FillT fill;
    fill.operand = use(operand);
    fill.value = value;
    add(std::move(fill));
  }

  /// c (+)= op(a) op(b)
  void contract(const OperandT &a, const OperandT &b, const OperandT &c,
                bool transA = false, bool transB = false,
                bool accumulate = false) {
    ContractT out;
    out.a = use(a);
    out.b = use(b);
    out.c = use(c);
    out.m = c.dims[0];
    out.n = c.dims[1];
    out.k = transA ? a.dims[0] : a.dims[1];
    out.lda = a.dims[1];
    out.ldb = b.dims[1];
    out.ldc = c.dims[1];
    out.transA = transA;
    out.transB = transB;
    out.accumulate = accumulate;
    add(std::move(out));
  }

  struct Argument {
    OperandT operand;
    Access access;
  };
  void launch(const std::string &symbol, std::vector<Argument> arguments) {
    auto kernel = std::make_unique<KernelT>();
    kernel->symbol = symbol;
    kernel->library = "kernels";
    LaunchT launch;
    launch.kernel = static_cast<uint32_t>(program.kernels.size());
    for (Argument &argument : arguments) {
      kernel->operandBytes.push_back(*bytesOf(argument.operand));
      kernel->access.push_back(argument.access);
      launch.operands.push_back(use(argument.operand));
    }
    program.kernels.push_back(std::move(kernel));
    add(std::move(launch));
  }

  void collective(CollectiveKind kind, const OperandT &input,
                  const OperandT &output, uint32_t group = 0) {
    CollectiveT c;
    c.kind = kind;
    c.group = group;
    c.input = use(input);
    c.output = use(output);
    add(std::move(c));
  }
  void send(const OperandT &operand, uint32_t tag) {
    SendT send;
    send.operand = use(operand);
    send.tag = tag;
    add(std::move(send));
  }
  void receive(const OperandT &operand, uint32_t tag) {
    ReceiveT receive;
    receive.operand = use(operand);
    receive.tag = tag;
    add(std::move(receive));
  }
  /// A row range of a matrix from (or to) `offset` rows in.
  void copyRows(const OperandT &src, const OperandT &dst, int64_t rows,
                ScalarT srcOffset) {
    CopyT copy;
    copy.src = use(src);
    copy.dst = use(dst);
    copy.elementBytes = 8;
    copy.dims = {rows, features};
    copy.srcStrides = copy.dstStrides = {features, 1};
    copy.srcOffset = std::make_unique<ScalarT>(std::move(srcOffset));
    add(std::move(copy));
  }

  void init(const OperandT &operand, std::vector<ScalarT> offsets,
            const std::string &path) {
    CallT call;
    call.function = "init_normal";
    call.operands.push_back(use(operand));
    call.ints = {static_cast<int64_t>(hashOf(path)), features, features};
    call.floats = {0, 1};
    call.scalars.push_back(std::make_unique<ScalarT>(scalar(TermKind::Seed)));
    for (ScalarT &offset : offsets)
      call.scalars.push_back(std::make_unique<ScalarT>(offset));
    add(std::move(call));
  }

  void entry(const std::string &name, std::vector<Visit> schedule) {
    auto entry = std::make_unique<EntryT>();
    entry->name = name;
    entry->schedule = std::move(schedule);
    program.entries.push_back(std::move(entry));
  }

  void group(const std::string &name, uint32_t size) {
    program.groups.push_back(std::make_unique<GroupT>());
    program.groups.back()->name = name;
    program.groups.back()->size = size;
  }
  void inputInfo(const std::string &name, std::vector<int64_t> dims) {
    auto info = std::make_unique<InputInfoT>();
    info->name = name;
    info->dtype = DType::F64;
    info->dims = std::move(dims);
    program.inputs.push_back(std::move(info));
  }

  ProgramT program;
};

/// init, prologue, forward, backward, update are sections 0 to 4. 1F1B of two
/// stages for the first, alternating for the last.
std::vector<Visit> scheduleOf(bool isFirst, unsigned microBatches) {
  std::vector<Visit> out = {Visit(1, 0)};
  const unsigned ahead = isFirst ? std::min(2u, microBatches) : 1;
  for (unsigned i = 0; i < ahead; ++i)
    out.push_back(Visit(2, i));
  for (unsigned i = 0; i < microBatches; ++i) {
    out.push_back(Visit(3, i));
    if (i + ahead < microBatches)
      out.push_back(Visit(2, i + ahead));
  }
  out.push_back(Visit(4, 0));
  return out;
}

/// first_sample + rows * microBatch; rank scalar 0 is the first sample.
ScalarT rowsOf(Builder &b, int64_t rows) {
  ScalarT out = b.scalar(TermKind::RankScalar, 0);
  out.terms.push_back(Term(TermKind::MicroBatch, 0, rows));
  return out;
}

ProgramT makeFirst(unsigned microBatches, unsigned replicas, int64_t rows) {
  Builder b("first", {"first_sample"});
  b.program.peers = 1;
  b.group("r0", replicas);
  b.inputInfo("x", {rows * microBatches * replicas, features});
  OperandT w = b.buffer({features, features});
  b.variable("w0", VariableKind::Parameter, w, {features, features});
  OperandT x = b.buffer({rows, features}, 2), h = b.buffer({rows, features});
  OperandT dh = b.buffer({rows, features}), dw = b.buffer({features, features});
  b.begin("init");
  b.init(w, {constantScalar(0), constantScalar(0)}, "w0");
  b.begin("prologue");
  b.fill(dw);
  b.begin("forward");
  b.input(0, x, rowsOf(b, rows));
  b.contract(x, w, h);
  b.send(h, 1);
  b.begin("backward");
  b.receive(dh, 2);
  b.contract(x, dh, dw, true, false, true);
  b.begin("update");
  b.collective(CollectiveKind::AllReduce, dw, dw);
  b.launch("sgd", {{w, Access::ReadWrite}, {dw, Access::Read}});
  b.entry("init", {Visit(0, 0)});
  b.entry("step", scheduleOf(true, microBatches));
  return std::move(b.program);
}

ProgramT makeLast(unsigned microBatches, unsigned replicas, int64_t rows) {
  Builder b("last", {"first_sample", "shard", "leader"});
  b.program.peers = 1;
  b.program.metrics = {"loss"};
  b.group("r0", replicas);
  const int64_t share = rows * microBatches, part = features / replicas;
  b.inputInfo("labels", {share * replicas, features});
  OperandT w = b.buffer({features, features}), m = b.buffer({part, features});
  b.variable("w1", VariableKind::Parameter, w, {features, features});
  b.variable("w1#m", VariableKind::Optimizer, m, {features, features},
             {b.scalar(TermKind::RankScalar, 1), constantScalar(0)});
  OperandT count = b.buffer({}), loss = b.buffer({}),
           all = b.buffer({share, features});
  OperandT h = b.buffer({rows, features}, 2), y = b.buffer({rows, features});
  OperandT labels = b.buffer({rows, features}),
           dy = b.buffer({rows, features}, 2);
  OperandT dh = b.buffer({rows, features}), dw = b.buffer({features, features});
  OperandT dshard = b.buffer({part, features}),
           shard = b.buffer({part, features});
  b.begin("init");
  b.init(w, {constantScalar(0), constantScalar(0)}, "w1");
  b.fill(m);
  b.begin("prologue");
  b.input(0, all, b.scalar(TermKind::RankScalar, 0));
  // The count is read by an op of its own.
  b.program.sections.back()->instructions.back()->source = 1;
  b.program.sources.push_back(std::make_unique<SourceT>());
  b.program.sources.back()->path = "loss#count";
  b.launch("count", {{all, Access::Read}, {count, Access::Write}});
  b.collective(CollectiveKind::AllReduce, count, count);
  b.fill(dw);
  b.fill(loss);
  b.begin("forward");
  b.receive(h, 1);
  b.input(0, labels, rowsOf(b, rows));
  b.contract(h, w, y);
  b.launch("loss", {{y, Access::Read},
                    {labels, Access::Read},
                    {count, Access::Read},
                    {loss, Access::Accumulate},
                    {dy, Access::Write}});
  b.begin("backward");
  b.contract(dy, w, dh, false, true);
  b.send(dh, 2);
  b.contract(h, dy, dw, true, false, true);
  b.begin("update");
  b.collective(CollectiveKind::ReduceScatter, dw, dshard);
  b.copyRows(w, shard, part, b.scalar(TermKind::RankScalar, 1, features));
  b.launch("momentum", {{shard, Access::ReadWrite},
                        {m, Access::ReadWrite},
                        {dshard, Access::Read}});
  b.collective(CollectiveKind::AllGather, shard, w);
  b.collective(CollectiveKind::AllReduce, loss, loss);
  MetricT metric;
  metric.name = "loss";
  metric.operand = b.use(loss);
  metric.count = b.use(count);
  metric.onlyIfZero =
      std::make_unique<ScalarT>(b.scalar(TermKind::RankScalar, 2));
  b.add(std::move(metric));
  b.entry("init", {Visit(0, 0)});
  b.entry("step", scheduleOf(false, microBatches));
  return std::move(b.program);
}

} // namespace

TestSet makeTestSet(unsigned microBatches, unsigned replicas) {
  const int64_t rows = 8 / (microBatches * replicas);
  const int64_t share = rows * microBatches;
  TestSet set;
  set.programs.emplace("first", makeFirst(microBatches, replicas, rows));
  set.programs.emplace("last", makeLast(microBatches, replicas, rows));
  set.manifest.globalBatch = share * replicas;
  set.manifest.communicators.resize(2);
  for (uint32_t rank = 0; rank < 2 * replicas; ++rank) {
    const uint32_t stage = rank / replicas, replica = rank % replicas;
    RankInfo info;
    info.role = stage == 0 ? "first" : "last";
    info.firstSample = share * replica;
    info.samples = share;
    info.scalars = {info.firstSample};
    if (stage == 1) {
      info.scalars.push_back(features / replicas * replica);
      info.scalars.push_back(replica);
    }
    info.groups = {stage};
    info.peers = {stage == 0 ? rank + replicas : rank - replicas};
    set.manifest.communicators[stage].push_back(rank);
    set.manifest.ranks.push_back(std::move(info));
  }
  return set;
}

TestSet makeFusedSet() {
  Builder b("fused", {"part"});
  b.inputInfo("x", {8, features});
  OperandT w = b.buffer({features, features}),
           t = b.buffer({features / 2, features});
  b.variable("w", VariableKind::Parameter, w, {features, features});
  b.variable("t", VariableKind::Parameter, t, {features, features},
             {b.scalar(TermKind::RankScalar, 0), constantScalar(0)});
  OperandT x = b.buffer({8, features}), norm = b.buffer({});
  b.begin("step");
  b.input(0, x, constantScalar(0));
  b.launch("update", {{x, Access::Read},
                      {w, Access::ReadWrite},
                      {t, Access::ReadWrite},
                      {norm, Access::Write}});
  for (std::vector<uint32_t> from :
       {std::vector<uint32_t>{}, {0, 1}, {0, 2}, {0}}) {
    b.program.kernels[0]->feeds.push_back(std::make_unique<FeedT>());
    b.program.kernels[0]->feeds.back()->buffers = std::move(from);
  }
  b.entry("step", {Visit(0, 0)});
  TestSet set;
  set.programs.emplace("fused", std::move(b.program));
  set.manifest.globalBatch = 8;
  for (uint32_t rank = 0; rank < 2; ++rank) {
    RankInfo info;
    info.role = "fused";
    info.samples = 8;
    info.scalars = {rank * features / 2};
    set.manifest.ranks.push_back(std::move(info));
  }
  return set;
}

TestSet makeWideSet(unsigned ranks, unsigned layers) {
  Builder b("wide", {"first_sample"});
  b.group("r0", ranks);
  b.inputInfo("x", {ranks, features});
  OperandT x = b.buffer({1, features});
  std::vector<OperandT> w, h, dw;
  for (unsigned i = 0; i < layers; ++i) {
    w.push_back(b.buffer({features, features}));
    b.variable("w" + std::to_string(i), VariableKind::Parameter, w.back(),
               {features, features});
  }
  for (unsigned i = 0; i < layers; ++i) {
    h.push_back(b.buffer({1, features}));
    dw.push_back(b.buffer({features, features}));
  }
  b.begin("step");
  b.input(0, x, b.scalar(TermKind::RankScalar, 0));
  for (unsigned i = 0; i < layers; ++i)
    b.contract(i == 0 ? x : h[i - 1], w[i], h[i]);
  for (unsigned i = layers; i-- > 0;) {
    b.contract(i == 0 ? x : h[i - 1], h[i], dw[i], true);
    b.collective(CollectiveKind::AllReduce, dw[i], dw[i]);
    b.launch("sgd", {{w[i], Access::ReadWrite}, {dw[i], Access::Read}});
  }
  b.entry("step", {Visit(0, 0)});
  TestSet set;
  set.programs.emplace("wide", std::move(b.program));
  set.manifest.globalBatch = ranks;
  set.manifest.communicators.resize(1);
  for (uint32_t rank = 0; rank < ranks; ++rank) {
    RankInfo info;
    info.role = "wide";
    info.firstSample = rank;
    info.samples = 1;
    info.scalars = {rank};
    info.groups = {0};
    set.manifest.communicators[0].push_back(rank);
    set.manifest.ranks.push_back(std::move(info));
  }
  return set;
}

} // namespace whale::verifier::test
