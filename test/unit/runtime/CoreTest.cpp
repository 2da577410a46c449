//===- CoreTest.cpp - Executor, data and checkpoints ----------------------===//

#include "LinearProgram.h"

#include "runtime/comm/Launcher.h"
#include "runtime/core/Checkpoint.h"
#include "runtime/cpu/CpuDevice.h"

#include <catch2/catch.hpp>

#include <mutex>

using namespace whale::test;
using namespace whale::runtime;

namespace {

ProgramSet linearSet(const TemporaryDirectory &directory, int64_t ranks,
                     int64_t microBatches, bool shardedState = false) {
  LinearProgram linear(ranks, microBatches, shardedState);
  writePrograms(directory.path(), linear.manifest(), {&linear.program()});
  Result<ProgramSet> set = loadPrograms(directory.path());
  INFO((set.ok() ? "" : set.status().error().text()));
  REQUIRE(set.ok());
  return std::move(*set);
}

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

} // namespace

TEST_CASE("data-parallel gradient descent gives the numbers of plain loops") {
  const NaiveLinear naive(5);
  REQUIRE(naive.losses[4] < naive.losses[0]);
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
            CHECK(got[i] == Approx(naive.losses[i]).epsilon(1e-12));
          std::vector<double> savedW = tensor(saved.path(), "w");
          std::vector<double> savedG = tensor(saved.path(), "w#gradient");
          REQUIRE(savedW.size() == 16);
          for (size_t i = 0; i < 16; ++i) {
            CHECK(savedW[i] == Approx(naive.w[i]).epsilon(1e-11).margin(1e-13));
            CHECK(savedG[i] == Approx(naive.gradient[i]).epsilon(1e-11).margin(1e-12));
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
  const NaiveLinear naive(5);
  requireOk(runLinear(two, Sharing::Threads, 3, 5, half.path(), again.path(),
                      nullptr));
  std::vector<double> got = tensor(again.path(), "w");
  for (size_t i = 0; i < 16; ++i)
    CHECK(got[i] == Approx(naive.w[i]).epsilon(1e-11).margin(1e-13));
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
  LinearProgram linear(1, 1, false);
  ProgramT &program = linear.program();
  program.inputs[0]->name = "tokens";
  program.inputs[0]->dtype = DType::I32;
  program.inputs[0]->range = 50;
  auto *input = program.sections[2]->instructions[0]->operation.AsInput();
  input->operand->dtype = DType::I32;
  writePrograms(programs.path(), linear.manifest(), {&program});
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
