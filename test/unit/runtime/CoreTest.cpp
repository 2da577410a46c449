//===- CoreTest.cpp - Executor, data and checkpoints ----------------------===//

#include "TestPrograms.h"

#include "runtime/comm/Launcher.h"
#include "runtime/core/Checkpoint.h"
#include "runtime/cpu/CpuDevice.h"
#include "runtime/format/Random.h"

#include <catch2/catch.hpp>

#include <mutex>

using namespace whale::test;
using namespace whale::runtime;

namespace {

// A linear model y = x w, loss = sum |y|^2 / 2 over 8 samples of 4 features
// and 4 outputs, in micro-batches, data parallel over `ranks`, plain gradient
// descent: gradient = x^T y summed over samples, w -= rate * gradient.
constexpr int64_t samples = 8, features = 4;
constexpr double rate = 0.05;

struct Layout {
  uint64_t x = 0, y = 256, gradient = 512, w = 640, state = 768, loss = 896,
           one = 960, identity = 1024, end = 1152;
};

void addContract(SectionT &section, const OperandT &a, const OperandT &b,
                 const OperandT &c, bool transA, double alpha,
                 bool accumulate) {
  ContractT node;
  node.a = boxed(a), node.b = boxed(b), node.c = boxed(c);
  node.transA = transA, node.alpha = alpha, node.accumulate = accumulate;
  node.m = c.dims[0], node.n = c.dims[1];
  node.k = transA ? a.dims[0] : a.dims[1];
  node.lda = a.dims[1], node.ldb = b.dims[1], node.ldc = c.dims[1];
  append(section, std::move(node), 0);
}

/// With `shardedState` a rank keeps features / ranks rows of w between steps
/// and gathers the whole when a step begins.
ProgramT linearProgram(int64_t ranks, int64_t microBatches,
                       bool shardedState) {
  const Layout at;
  const DType f = DType::F64;
  int64_t rows = samples / ranks / microBatches;
  int64_t held = shardedState ? features / ranks : features;
  ProgramT p = emptyProgram("linear", at.end);
  p.rankScalars = {"first_sample", "first_row"};
  p.metrics = {"loss"};
  p.modelHash = "m";
  if (ranks > 1) {
    p.groups.push_back(std::make_unique<GroupT>());
    p.groups[0]->name = "r0";
    p.groups[0]->size = static_cast<uint32_t>(ranks);
  }
  p.inputs.push_back(std::make_unique<InputInfoT>());
  p.inputs[0]->name = "x";
  p.inputs[0]->dtype = f;
  p.inputs[0]->dims = {samples, features};
  p.sources.push_back(std::make_unique<SourceT>());
  p.sources[0]->path = "linear";
  p.sources[0]->file = "model.mlir";
  p.sources[0]->line = 3;
  OperandT x = operand(f, {rows, features}, at.x);
  OperandT y = operand(f, {rows, features}, at.y);
  OperandT gradient = operand(f, {features, features}, at.gradient);
  OperandT w = operand(f, {features, features}, at.w);
  OperandT mine = operand(f, {held, features}, at.state);
  const Term firstRow(TermKind::RankScalar, 1, 1);
  auto addVariable = [&](const char *path, VariableKind kind,
                         const OperandT &box) {
    p.variables.push_back(std::make_unique<VariableT>());
    VariableT &v = *p.variables.back();
    v.path = path;
    v.kind = kind;
    v.operand = boxed(box);
    v.globalDims = {features, features};
    if (box.dims[0] != features)
      v.offsets.push_back(scalar(0, {firstRow}));
  };
  addVariable("w", VariableKind::Parameter, mine);
  addVariable("w#gradient", VariableKind::Gradient, gradient);

  SectionT &init = addSection(p, "init");
  CallT call;
  call.function = "init_normal";
  call.operands.push_back(boxed(mine));
  call.ints = {static_cast<int64_t>(pathHash("w")), features, features};
  call.floats = {0, 0.5};
  call.scalars.push_back(scalar(0, {{TermKind::Seed, 0, 1}}));
  call.scalars.push_back(shardedState ? scalar(0, {firstRow}) : scalar(0));
  call.scalars.push_back(scalar(0));
  append(init, std::move(call), 0);

  SectionT &begin = addSection(p, "begin");
  FillT fill;
  fill.operand = boxed(gradient);
  append(begin, std::move(fill), 0);
  if (shardedState && ranks > 1) {
    CollectiveT gather;
    gather.kind = CollectiveKind::AllGather;
    gather.input = boxed(mine);
    gather.output = boxed(w);
    append(begin, std::move(gather), 0);
  } else {
    CopyT copy;
    copy.src = boxed(mine), copy.dst = boxed(w);
    copy.elementBytes = 8;
    copy.dims = {16}, copy.srcStrides = {1}, copy.dstStrides = {1};
    append(begin, std::move(copy), 0);
  }

  SectionT &micro = addSection(p, "micro");
  InputT input;
  input.operand = boxed(x);
  input.offsets.push_back(scalar(0, {{TermKind::RankScalar, 0, 1},
                                     {TermKind::MicroBatch, 0, rows}}));
  append(micro, std::move(input), 0);
  addContract(micro, x, w, y, false, 1, false);
  addContract(micro, x, y, gradient, true, 1, true);
  OperandT flat = operand(f, {rows * features, 1}, at.y);
  OperandT square = operand(f, {1, 1}, at.loss);
  addContract(micro, flat, flat, square, true, 0.5, false);
  MetricT metric;
  metric.name = "loss";
  metric.operand = boxed(square);
  append(micro, std::move(metric), 0);

  SectionT &update = addSection(p, "update");
  if (ranks > 1) {
    CollectiveT reduce;
    reduce.input = boxed(gradient), reduce.output = boxed(gradient);
    append(update, std::move(reduce), 0);
  }
  // w += -rate * I * gradient, of the held rows. The identity comes by Copy.
  SectionT &identity = *p.sections[0];
  OperandT one = operand(f, {}, at.one);
  FillT fillOne;
  fillOne.operand = boxed(one), fillOne.value = 1;
  append(identity, std::move(fillOne), 0);
  OperandT eye = operand(f, {features, features}, at.identity);
  CopyT diagonal;
  diagonal.src = boxed(one), diagonal.dst = boxed(eye);
  diagonal.elementBytes = 8;
  diagonal.dims = {features}, diagonal.srcStrides = {0},
  diagonal.dstStrides = {features + 1};
  append(identity, std::move(diagonal), 0);
  OperandT wanted = operand(f, {features, features}, at.w);
  // The update of all rows, then the held ones are kept.
  addContract(update, eye, gradient, wanted, false, -rate, true);
  CopyT keep;
  keep.src = boxed(wanted), keep.dst = boxed(mine);
  keep.elementBytes = 8;
  keep.dims = {held * features}, keep.srcStrides = {1}, keep.dstStrides = {1};
  keep.srcOffset =
      shardedState ? scalar(0, {{TermKind::RankScalar, 1, features}})
                   : scalar(0);
  append(update, std::move(keep), 0);

  addEntry(p, entryInit, {Visit(0, 0)});
  std::vector<Visit> schedule = {Visit(1, 0)};
  for (int64_t m = 0; m < microBatches; ++m)
    schedule.push_back(Visit(2, static_cast<uint32_t>(m)));
  schedule.push_back(Visit(3, 0));
  addEntry(p, entryStep, schedule);
  return p;
}

ProgramSet linearSet(const TemporaryDirectory &directory, int64_t ranks,
                     int64_t microBatches, bool shardedState = false) {
  ProgramT program = linearProgram(ranks, microBatches, shardedState);
  Manifest manifest;
  manifest.modelHash = "m";
  manifest.seed = 11;
  if (ranks > 1)
    manifest.communicators.push_back({});
  for (int64_t rank = 0; rank < ranks; ++rank) {
    RankInfo info;
    info.role = "linear";
    info.scalars = {rank * samples / ranks,
                    shardedState ? rank * features / ranks : 0};
    if (ranks > 1) {
      info.groups = {0};
      manifest.communicators[0].push_back(static_cast<uint32_t>(rank));
    }
    manifest.ranks.push_back(info);
  }
  writePrograms(directory.path(), manifest, {&program});
  Result<ProgramSet> set = loadPrograms(directory.path());
  INFO((set.ok() ? "" : set.status().error().text()));
  REQUIRE(set.ok());
  return std::move(*set);
}

struct Outcome {
  std::vector<double> losses;
  std::vector<double> w; ///< whole, from rank 0's last checkpoint
};

/// Runs steps [first, last); saves to `save` after the last, and resumes from
/// the newest checkpoint of `resume` when first > 0.
Status runLinear(const ProgramSet &set, Sharing sharing, int64_t first,
                 int64_t last, const std::string &resume,
                 const std::string &save, std::vector<double> *losses) {
  auto world = World::create(planWorld(set), sharing);
  if (world.failed())
    return world.status();
  std::mutex guard;
  return runRanks(**world, sharing, [&](uint32_t rank, World &shared) {
    CpuOptions options;
    options.arena = shared.arena(rank);
    auto device = makeCpuDevice(options);
    auto network = makeCommunicator(shared, rank, 20000);
    auto executor = Executor::prepare(set, rank, *device, *network, nullptr,
                                      set.manifest.seed);
    if (executor.failed())
      return executor.status();
    // The identity is made by init, so it runs before a checkpoint is read.
    if (auto made = (*executor)->run(entryInit, 0); made.failed())
      return made.status();
    if (first > 0) {
      Result<std::string> latest = findLatest(resume);
      if (latest.failed())
        return latest.status();
      Result<CheckpointIndex> index = readIndex(*latest);
      if (index.failed())
        return index.status();
      if (index->nextStep != first)
        return badInput("wrong step");
      if (Status s = loadCheckpoint(*index, **executor); s.failed())
        return s;
    }
    for (int64_t step = first; step < last; ++step) {
      Result<Metrics> metrics = (*executor)->run(entryStep, step);
      if (metrics.failed())
        return metrics.status();
      std::lock_guard<std::mutex> lock(guard);
      if (losses) {
        losses->resize(static_cast<size_t>(last), 0);
        (*losses)[step] += metrics->at("loss").value;
      }
    }
    return saveCheckpoint(set, **executor, *network, save, last,
                          set.manifest.seed, SavedKinds::Everything);
  });
}

std::vector<double> tensor(const std::string &directory,
                           const std::string &path) {
  Result<std::string> latest = findLatest(directory);
  REQUIRE(latest.ok());
  Result<CheckpointIndex> index = readIndex(*latest);
  REQUIRE(index.ok());
  auto bytes = assemble(*index, path);
  REQUIRE(bytes.ok());
  std::vector<double> out(bytes->size() / sizeof(double));
  std::memcpy(out.data(), bytes->data(), bytes->size());
  return out;
}

void requireOk(const Status &status) {
  INFO((status.ok() ? "" : status.error().text()));
  REQUIRE(status.ok());
}

/// The same training by plain loops: losses, w, and the last gradient.
void naiveLinear(int64_t steps, std::vector<double> &losses,
                 std::vector<double> &w, std::vector<double> &gradient) {
  w.assign(16, 0);
  for (uint64_t i = 0; i < 16; ++i)
    w[i] = 0.5 * standardNormal(
                     randomBlock(randomKey(11, 0), pathHash("w"), i));
  for (int64_t step = 0; step < steps; ++step) {
    gradient.assign(16, 0);
    double loss = 0;
    for (int64_t s = 0; s < samples; ++s) {
      double x[features], y[features] = {};
      for (int64_t i = 0; i < features; ++i)
        x[i] = standardNormal(randomBlock(randomKey(11, step),
                                          pathHash("input/x"),
                                          s * features + i));
      for (int64_t i = 0; i < features; ++i)
        for (int64_t o = 0; o < features; ++o)
          y[o] += x[i] * w[i * features + o];
      for (int64_t o = 0; o < features; ++o)
        loss += 0.5 * y[o] * y[o];
      for (int64_t i = 0; i < 16; ++i)
        gradient[i] += x[i / features] * y[i % features];
    }
    losses.push_back(loss);
    for (int64_t i = 0; i < 16; ++i)
      w[i] -= rate * gradient[i];
  }
}

} // namespace

TEST_CASE("data-parallel gradient descent gives the numbers of plain loops") {
  std::vector<double> losses, w, gradient;
  naiveLinear(5, losses, w, gradient);
  REQUIRE(losses[4] < losses[0]);
  for (Sharing sharing : {Sharing::Threads, Sharing::Processes})
    for (int64_t ranks : {1, 2, 4})
      for (int64_t micro : {1, 2})
        for (bool sharded : {false, true}) {
          TemporaryDirectory programs, saved;
          ProgramSet set = linearSet(programs, ranks, micro, sharded);
          std::vector<double> got;
          // Losses come back in memory, so only from threads.
          bool threads = sharing == Sharing::Threads;
          requireOk(runLinear(set, sharing, 0, 5, "", saved.path(),
                              threads ? &got : nullptr));
          for (size_t i = 0; threads && i < 5; ++i)
            CHECK(got[i] == Approx(losses[i]).epsilon(1e-12));
          std::vector<double> savedW = tensor(saved.path(), "w");
          std::vector<double> savedG = tensor(saved.path(), "w#gradient");
          REQUIRE(savedW.size() == 16);
          for (size_t i = 0; i < 16; ++i) {
            CHECK(savedW[i] == Approx(w[i]).epsilon(1e-11).margin(1e-13));
            CHECK(savedG[i] == Approx(gradient[i]).epsilon(1e-11).margin(1e-12));
          }
        }
}

TEST_CASE("a resumed run is bitwise the uninterrupted one") {
  TemporaryDirectory programs, whole, half, resumed;
  ProgramSet set = linearSet(programs, 2, 2, true);
  requireOk(runLinear(set, Sharing::Threads, 0, 6, "", whole.path(), nullptr));
  requireOk(runLinear(set, Sharing::Threads, 0, 3, "", half.path(), nullptr));
  requireOk(runLinear(set, Sharing::Processes, 3, 6, half.path(),
                      resumed.path(), nullptr));
  CHECK(tensor(whole.path(), "w") == tensor(resumed.path(), "w"));
}

TEST_CASE("a checkpoint is loaded under another plan") {
  TemporaryDirectory programs4, programs2, half, resumed, again;
  ProgramSet four = linearSet(programs4, 4, 1, true);
  ProgramSet two = linearSet(programs2, 2, 2, true);
  requireOk(runLinear(four, Sharing::Threads, 0, 3, "", half.path(), nullptr));
  // No step: what was loaded is saved again, from 2 ranks instead of 4.
  requireOk(runLinear(two, Sharing::Threads, 3, 3, half.path(), resumed.path(),
                      nullptr));
  CHECK(tensor(half.path(), "w") == tensor(resumed.path(), "w"));
  std::vector<double> losses, w, gradient;
  naiveLinear(5, losses, w, gradient);
  requireOk(runLinear(two, Sharing::Threads, 3, 5, half.path(), again.path(),
                      nullptr));
  std::vector<double> got = tensor(again.path(), "w");
  for (size_t i = 0; i < 16; ++i)
    CHECK(got[i] == Approx(w[i]).epsilon(1e-11).margin(1e-13));
}

TEST_CASE("damaged and incomplete checkpoints are refused") {
  TemporaryDirectory programs, saved, other;
  ProgramSet set = linearSet(programs, 2, 1, true);
  requireOk(runLinear(set, Sharing::Threads, 0, 2, "", saved.path(), nullptr));
  const std::string shard = saved / "step-2/shard-1.bin";
  Result<std::string> bytes = readFile(shard);
  REQUIRE(bytes.ok());
  std::string damaged = *bytes;
  damaged[3] = static_cast<char>(damaged[3] ^ 1);
  writeText(shard, damaged);
  Status status = runLinear(set, Sharing::Threads, 2, 3, saved.path(),
                            other.path(), nullptr);
  REQUIRE(status.failed());
  CHECK_THAT(status.error().text(), Catch::Contains("the SHA-256 of 'w'"));
  writeText(shard, bytes->substr(0, 8));
  CHECK(runLinear(set, Sharing::Threads, 2, 3, saved.path(), other.path(),
                  nullptr)
            .failed());
  std::filesystem::remove(saved / "step-2/index.json");
  CHECK(findLatest(saved.path()).failed());
}

TEST_CASE("a programs directory is checked before anything runs") {
  TemporaryDirectory programs;
  linearSet(programs, 2, 1);
  const std::string file = programs / "linear.whalep";
  Result<std::string> bytes = readFile(file);
  REQUIRE(bytes.ok());
  std::string damaged = *bytes;
  damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 4);
  writeText(file, damaged);
  Result<ProgramSet> set = loadPrograms(programs.path());
  REQUIRE(set.failed());
  CHECK_THAT(set.status().error().message,
             Catch::Contains("is not the file of the manifest"));
  CHECK(loadPrograms(programs / "nowhere").failed());
}

TEST_CASE("a failure while running names rank, instruction and model line") {
  TemporaryDirectory programs;
  ProgramT program = linearProgram(1, 1, false);
  program.inputs[0]->name = "tokens";
  program.inputs[0]->dtype = DType::I32;
  program.inputs[0]->range = 50;
  auto *input = program.sections[2]->instructions[0]->operation.AsInput();
  input->operand->dtype = DType::I32;
  Manifest manifest;
  manifest.modelHash = "m";
  manifest.ranks.resize(1);
  manifest.ranks[0].role = "linear";
  manifest.ranks[0].scalars = {0, 0};
  writePrograms(programs.path(), manifest, {&program});
  Result<ProgramSet> set = loadPrograms(programs.path());
  REQUIRE(set.ok());
  writeText(programs / "data.txt", std::string(1000, 'z')); // 122 > 50
  auto tokens = TokenData::open(programs / "data.txt");
  REQUIRE(tokens.ok());
  auto world = World::create(planWorld(*set), Sharing::Threads);
  REQUIRE(world.ok());
  auto device = makeCpuDevice({});
  auto network = makeCommunicator(**world, 0, 1000);
  auto executor =
      Executor::prepare(*set, 0, *device, *network, tokens->get(), 0);
  REQUIRE(executor.ok());
  Result<Metrics> metrics = (*executor)->run(entryStep, 0);
  REQUIRE(metrics.failed());
  CHECK_THAT(metrics.status().error().text(),
             Catch::StartsWith("model.mlir:3:0: error: token 122 of the data "
                               "is outside of the model's vocabulary of 50 "
                               "(rank 0 on '") &&
                 Catch::Contains("section 'micro', instruction 0, op "
                                 "'linear')"));
}

//===----------------------------------------------------------------------===//
// Data
//===----------------------------------------------------------------------===//

namespace {

InputInfoT inputInfo(const std::string &name) {
  InputInfoT info;
  info.name = name;
  info.dtype = DType::I32;
  info.dims = {4, 6};
  info.range = 256;
  return info;
}

std::vector<int32_t> batch(const InputInfoT &info, const BatchKey &key,
                           const TokenData *tokens,
                           std::vector<int64_t> offsets = {0, 0},
                           std::vector<int64_t> dims = {4, 6}) {
  std::vector<int32_t> out(*elementsOf(dims));
  REQUIRE(fillInput(info, key, tokens, offsets, dims, out.data()).ok());
  return out;
}

} // namespace

TEST_CASE("samples depend on seed, step and sample alone") {
  TemporaryDirectory directory;
  std::string text;
  for (int i = 0; i < 1000; ++i)
    text += static_cast<char>((i * i / 7 + i) % 251);
  writeText(directory / "t.txt", text);
  auto tokens = TokenData::open(directory / "t.txt");
  REQUIRE(tokens.ok());
  for (const TokenData *data :
       {static_cast<const TokenData *>(tokens->get()),
        static_cast<const TokenData *>(nullptr)})
    for (DataSplit split : {DataSplit::Training, DataSplit::HeldOut}) {
      BatchKey key{5, 3, split}, later{5, 4, split};
      auto all = batch(inputInfo("tokens"), key, data);
      CHECK(all == batch(inputInfo("tokens"), key, data));
      CHECK(all != batch(inputInfo("tokens"), later, data));
      auto labels = batch(inputInfo("labels"), key, data);
      for (int i = 0; i < 24; ++i)
        if (i % 6 != 5)
          REQUIRE(labels[i] == all[i + 1]); // the next token
      auto part = batch(inputInfo("tokens"), key, data, {2, 3}, {2, 2});
      CHECK(part == std::vector<int32_t>{all[15], all[16], all[21], all[22]});
    }
}

TEST_CASE("the last tenth is held out") {
  TemporaryDirectory directory;
  writeText(directory / "t.txt", std::string(900, 'a') + std::string(100, 'b'));
  auto tokens = TokenData::open(directory / "t.txt");
  REQUIRE(tokens.ok());
  for (int64_t step = 0; step < 200; ++step) {
    for (const char *name : {"tokens", "labels"}) {
      for (int32_t t : batch(inputInfo(name), {1, step, DataSplit::Training},
                             tokens->get()))
        REQUIRE(t == 'a');
      for (int32_t t : batch(inputInfo(name), {1, step, DataSplit::HeldOut},
                             tokens->get()))
        REQUIRE(t == 'b');
    }
  }
}

TEST_CASE("token files of each form") {
  TemporaryDirectory directory;
  std::string wide, npy;
  for (uint16_t i = 0; i < 300; ++i)
    wide += std::string{static_cast<char>(i & 255), static_cast<char>(i >> 8)};
  writeText(directory / "t.bin", wide);
  auto bin = TokenData::open(directory / "t.bin");
  REQUIRE(bin.ok());
  CHECK((*bin)->size() == 300);
  CHECK((**bin)[299] == 299);
  std::string header =
      "{'descr': '<i2', 'fortran_order': False, 'shape': (300,), }\n";
  npy = std::string("\x93NUMPY\x01\x00", 8) +
        static_cast<char>(header.size()) + '\0' + header + wide;
  writeText(directory / "t.npy", npy);
  auto array = TokenData::open(directory / "t.npy");
  REQUIRE(array.ok());
  CHECK((*array)->size() == 300);
  CHECK((**array)[299] == 299);
  writeText(directory / "bad.npy", "hello, this is no array");
  CHECK(TokenData::open(directory / "bad.npy").failed());
  for (size_t size = 0; size < npy.size() - 600; ++size) {
    writeText(directory / "cut.npy", npy.substr(0, size));
    CHECK(TokenData::open(directory / "cut.npy").failed());
  }
  CHECK(TokenData::open(directory / "nowhere").failed());
  writeText(directory / "short.txt", "abc");
  auto few = TokenData::open(directory / "short.txt");
  REQUIRE(few.ok());
  ProgramT program = emptyProgram("r", 0);
  program.inputs.push_back(std::make_unique<InputInfoT>(inputInfo("tokens")));
  CHECK(checkData(program, **few).failed());
}
