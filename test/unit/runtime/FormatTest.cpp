//===- FormatTest.cpp -----------------------------------------------------===//

#include "TestPrograms.h"

#include "runtime/core/Convert.h"
#include "runtime/format/Functions.h"
#include "runtime/format/Random.h"

#include <catch2/catch.hpp>

#include <functional>

using namespace whale::test;
using namespace whale::runtime;

TEST_CASE("sha256 gives the digests of FIPS 180-4") {
  CHECK(sha256Hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495"
                         "991b7852b855");
  CHECK(sha256Hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb"
                            "410ff61f20015ad");
  CHECK(sha256Hex(std::string(1000000, 'a')) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  Sha256 pieces;
  for (char c : std::string("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmno"
                            "mnopnopq"))
    pieces.update(&c, 1);
  CHECK(pieces.hex() == "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ece"
                        "dd419db06c1");
}

TEST_CASE("philox gives the known answers of Random123") {
  CHECK(philox({0, 0, 0, 0}, {0, 0}) ==
        std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c,
                                0x9b00dbd8});
  CHECK(philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
               {0xffffffff, 0xffffffff}) ==
        std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6,
                                0x6d5451fd});
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
               {0xa4093822, 0x299f31d0}) ==
        std::array<uint32_t, 4>{0xd16cfe09, 0x94fdcceb, 0x5001e420,
                                0x24126ea1});
}

TEST_CASE("16-bit types round to nearest even and come back") {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    uint16_t half = static_cast<uint16_t>(bits);
    float asF16 = toFloat(F16{half}), asBF16 = toFloat(BF16{half});
    if (asF16 == asF16)
      REQUIRE(toF16(asF16).bits == half);
    if (asBF16 == asBF16)
      REQUIRE(toBF16(asBF16).bits == half);
  }
  CHECK(toF16(1.0f + 0x1p-11f).bits == toF16(1.0f).bits); // tie to even
  CHECK(toF16(1.0f + 0x3p-11f).bits == toF16(1.0f + 0x1p-9f).bits);
  CHECK(toF16(65520.0f).bits == 0x7c00);
  CHECK(toF16(65519.0f).bits == 0x7bff);
  CHECK(toBF16(1.0f + 0x1p-8f).bits == toBF16(1.0f).bits);
  CHECK(toFloat(toF16(NAN)) != toFloat(toF16(NAN)));
  CHECK(toFloat(toBF16(NAN)) != toFloat(toBF16(NAN)));
}

namespace {

ProgramT sampleTables() {
  ProgramT p = emptyProgram("role0", 4096);
  p.peers = 1;
  p.rankScalars = {"shift"};
  p.metrics = {"loss"};
  p.groups.push_back(std::make_unique<GroupT>());
  p.groups[0]->name = "r0";
  p.groups[0]->size = 2;
  p.inputs.push_back(std::make_unique<InputInfoT>());
  p.inputs[0]->name = "tokens";
  p.inputs[0]->dtype = DType::I32;
  p.inputs[0]->dims = {8, 4};
  p.kernels.push_back(std::make_unique<KernelT>());
  p.kernels[0]->symbol = "k0";
  p.kernels[0]->library = "lib";
  p.kernels[0]->operandBytes = {64};
  p.kernels[0]->scalars = 1;
  p.sources.push_back(std::make_unique<SourceT>());
  p.sources[0]->path = "layers.0/q";
  p.sources[0]->file = "model.mlir";
  p.sources[0]->line = 7;
  p.variables.push_back(std::make_unique<VariableT>());
  p.variables[0]->path = "w";
  p.variables[0]->operand = boxed(operand(DType::F32, {2, 8}, 0));
  p.variables[0]->globalDims = {4, 8};
  p.variables[0]->offsets.push_back(scalar(0, {{TermKind::RankScalar, 0, 2}}));
  return p;
}

void addComputation(SectionT &section) {
  LaunchT launch;
  launch.operands.push_back(boxed(operand(DType::F32, {16}, 0)));
  launch.scalars.push_back(scalar(0, {{TermKind::Step, 0, 1}}));
  append(section, std::move(launch), 0);
  ContractT contract;
  contract.a = boxed(operand(DType::F32, {4, 4}, 0));
  contract.b = boxed(operand(DType::F32, {4, 4}, 64));
  contract.c = boxed(operand(DType::F32, {4, 4}, 128));
  contract.m = contract.n = contract.k = 4;
  contract.lda = contract.ldb = contract.ldc = 4;
  append(section, std::move(contract), 0);
  CallT call;
  call.function = "init_constant";
  call.operands.push_back(boxed(operand(DType::F32, {16}, 0)));
  call.floats = {1.0};
  append(section, std::move(call), 0);
}

void addCommunication(SectionT &section) {
  CollectiveT collective;
  collective.kind = CollectiveKind::AllGather;
  collective.input = boxed(operand(DType::F32, {4}, 0));
  collective.output = boxed(operand(DType::F32, {8}, 64));
  append(section, std::move(collective), 0);
  SendT send;
  send.operand = boxed(operand(DType::F32, {4}, 0));
  append(section, std::move(send), 0);
  ReceiveT receive;
  receive.operand = boxed(operand(DType::F32, {4}, 0));
  append(section, std::move(receive), 0);
}

void addMovement(SectionT &section) {
  CopyT copy;
  copy.src = boxed(operand(DType::F32, {16}, 0));
  copy.dst = boxed(operand(DType::F32, {8}, 64));
  copy.elementBytes = 4;
  copy.dims = {2, 4};
  copy.srcStrides = {4, 1};
  copy.dstStrides = {4, 1};
  copy.srcOffset = scalar(0, {{TermKind::RankScalar, 0, 8}});
  append(section, std::move(copy), 0);
  FillT fill;
  fill.operand = boxed(operand(DType::F32, {4}, 4080));
  append(section, std::move(fill), 0);
  InputT input;
  input.operand = boxed(operand(DType::I32, {4, 4}, 256));
  input.offsets.push_back(scalar(0, {{TermKind::MicroBatch, 0, 4}}));
  append(section, std::move(input), 0);
  MetricT metric;
  metric.name = "loss";
  metric.operand = boxed(operand(DType::F32, {}, 0));
  append(section, std::move(metric), 0);
}

/// One of each operation, all in bounds; arena of 4096 bytes.
ProgramT sampleProgram() {
  ProgramT p = sampleTables();
  SectionT &section = addSection(p, "body");
  addComputation(section);
  addCommunication(section);
  addMovement(section);
  addEntry(p, "step", {Visit(0, 0), Visit(0, 1)});
  return p;
}

Manifest sampleManifest() {
  Manifest m;
  m.communicators = {{0, 1}};
  for (int64_t rank = 0; rank < 2; ++rank) {
    RankInfo info;
    info.role = "role0";
    info.scalars = {rank};
    info.groups = {0};
    info.peers = {static_cast<uint32_t>(1 - rank)};
    m.ranks.push_back(info);
  }
  return m;
}

template <typename T> T &nodeOf(ProgramT &p, size_t index) {
  return *static_cast<T *>(p.sections[0]->instructions[index]->operation.value);
}

} // namespace

TEST_CASE("a program survives packing") {
  ProgramT p = sampleProgram();
  REQUIRE(checkProgram(p, "p").ok());
  std::vector<uint8_t> bytes = packProgram(p);
  Result<ProgramT> back = unpackProgram(bytes.data(), bytes.size(), "p");
  REQUIRE(back.ok());
  CHECK(packProgram(*back) == bytes);
  CHECK(checkRank(*back, sampleManifest(), 0).ok());
  CHECK(checkRank(*back, sampleManifest(), 1).ok());
}

TEST_CASE("a program of another version is refused") {
  ProgramT p = sampleProgram();
  p.formatMajor = formatMajor + 1;
  std::vector<uint8_t> bytes = packProgram(p);
  Result<ProgramT> back = unpackProgram(bytes.data(), bytes.size(), "p");
  REQUIRE(back.failed());
  CHECK(back.status().error().kind == ErrorKind::Unsupported);
}

TEST_CASE("damaged programs are refused or well formed, never a crash") {
  std::vector<uint8_t> bytes = packProgram(sampleProgram());
  std::mt19937 random(1);
  int refused = 0;
  for (int i = 0; i < 20000; ++i) {
    std::vector<uint8_t> damaged = bytes;
    for (int flips = 1 + i % 3; flips > 0; --flips)
      damaged[random() % damaged.size()] = static_cast<uint8_t>(random());
    if (i % 10 == 0)
      damaged.resize(random() % damaged.size());
    Result<ProgramT> p = unpackProgram(damaged.data(), damaged.size(), "p");
    refused += p.failed() || checkProgram(*p, "p").failed() ||
               checkRank(*p, sampleManifest(), 0).failed();
  }
  CHECK(refused > 8000);
}

namespace {

/// What is broken, how, and what the checker says.
struct Damage {
  const char *what;
  std::function<void(ProgramT &)> damage;
  const char *message;
};

const Damage damages[] = {
      {"arena", [](ProgramT &p) { p.arenaBytes = 4095; }, "leaves the arena"},
      {"arena overflow",
       [](ProgramT &p) { nodeOf<FillT>(p, 7).operand->offset = ~0ull - 7; },
       "leaves the arena"},
      {"huge shape",
       [](ProgramT &p) {
         nodeOf<FillT>(p, 7).operand->dims = {int64_t(1) << 40,
                                              int64_t(1) << 40};
       },
       "bad shape"},
      {"negative",
       [](ProgramT &p) { nodeOf<FillT>(p, 7).operand->dims = {-1}; },
       "bad shape"},
      {"slots",
       [](ProgramT &p) { nodeOf<FillT>(p, 7).operand->slots = 2; },
       "slots that overlap"},
      {"kernel", [](ProgramT &p) { nodeOf<LaunchT>(p, 0).kernel = 1; },
       "kernel 1 does not exist"},
      {"kernel feeds",
       [](ProgramT &p) {
         for (int i = 0; i < 2; ++i)
           p.kernels[0]->feeds.push_back(std::make_unique<FeedT>());
       },
       "does not say of all buffers what feeds them"},
      {"kernel feed",
       [](ProgramT &p) {
         p.kernels[0]->feeds.push_back(std::make_unique<FeedT>());
         p.kernels[0]->feeds[0]->buffers = {9};
       },
       "has no buffer 9"},
      {"kernel feed left out",
       [](ProgramT &p) { p.kernels[0]->feeds.resize(1); },
       "has an empty feed"},
      {"kernel operand",
       [](ProgramT &p) { nodeOf<LaunchT>(p, 0).operands[0]->dims = {15}; },
       "the kernel touches 64"},
      {"kernel operands",
       [](ProgramT &p) { nodeOf<LaunchT>(p, 0).operands.clear(); },
       "takes 1 operands"},
      {"contract a", [](ProgramT &p) { nodeOf<ContractT>(p, 1).m = 5; },
       "reads beyond operand a"},
      {"contract b", [](ProgramT &p) { nodeOf<ContractT>(p, 1).ldb = 5; },
       "reads beyond operand b"},
      {"contract c", [](ProgramT &p) { nodeOf<ContractT>(p, 1).ldc = 5; },
       "writes beyond operand c"},
      {"contract batch",
       [](ProgramT &p) {
         nodeOf<ContractT>(p, 1).batch = {BatchDim(2, 16, 0, 0)};
       },
       "reads beyond operand a"},
      {"contract overlap",
       [](ProgramT &p) { nodeOf<ContractT>(p, 1).c->offset = 64; },
       "operands b and c overlap"},
      {"contract types",
       [](ProgramT &p) { nodeOf<ContractT>(p, 1).a->dtype = DType::I32; },
       "is not defined"},
      {"group", [](ProgramT &p) { nodeOf<CollectiveT>(p, 3).group = 1; },
       "group 1 does not exist"},
      {"shares",
       [](ProgramT &p) { nodeOf<CollectiveT>(p, 3).output->dims = {7}; },
       "do not make 7"},
      {"counts",
       [](ProgramT &p) { nodeOf<CollectiveT>(p, 3).counts = {4, 5}; },
       "do not make 8"},
      {"largest accumulator",
       [](ProgramT &p) {
         for (auto *operand : {&nodeOf<CollectiveT>(p, 3).input,
                               &nodeOf<CollectiveT>(p, 3).output})
           (*operand)->dtype = DType::Accumulator;
         nodeOf<CollectiveT>(p, 3).reduction = Reduction::Max;
       },
       "accumulators are only summed"},
      {"accumulator of one",
       [](ProgramT &p) {
         nodeOf<FillT>(p, 7).operand =
             boxed(operand(DType::Accumulator, {1}, 0));
         nodeOf<FillT>(p, 7).value = 1;
       },
       "accumulators are only filled with 0"},
      {"peer", [](ProgramT &p) { nodeOf<SendT>(p, 4).peer = 1; },
       "peer 1 of 1"},
      {"copy source",
       [](ProgramT &p) { nodeOf<CopyT>(p, 6).srcStrides = {16, 1}; },
       "copy leaves its source"},
      {"copy target",
       [](ProgramT &p) { nodeOf<CopyT>(p, 6).dstOffset = scalar(1); },
       "copy leaves its target"},
      {"copy offset by rank",
       [](ProgramT &p) {
         nodeOf<CopyT>(p, 6).srcOffset =
             scalar(9, {{TermKind::RankScalar, 0, 8}});
       },
       "copy leaves its source"},
      {"copy offset by step",
       [](ProgramT &p) {
         nodeOf<CopyT>(p, 6).srcOffset = scalar(0, {{TermKind::Step, 0, 1}});
       },
       "uses step or seed"},
      {"input", [](ProgramT &p) { nodeOf<InputT>(p, 8).input = 1; },
       "input 1 does not exist"},
      {"input rows",
       [](ProgramT &p) { p.entries[0]->schedule.push_back(Visit(0, 2)); },
       "leaves its global shape"},
      {"input type",
       [](ProgramT &p) { nodeOf<InputT>(p, 8).operand->dtype = DType::F32; },
       "its operand is f32"},
      {"metric",
       [](ProgramT &p) { nodeOf<MetricT>(p, 9).operand->dims = {2}; },
       "must be one"},
      {"metric name", [](ProgramT &p) { nodeOf<MetricT>(p, 9).name = "x"; },
       "not in the program's list"},
      {"source",
       [](ProgramT &p) { p.sections[0]->instructions[0]->source = 1; },
       "source 1 does not exist"},
      {"wait",
       [](ProgramT &p) { p.sections[0]->instructions[1]->waits = {1}; },
       "not before it"},
      {"section", [](ProgramT &p) { p.entries[0]->schedule = {Visit(1, 0)}; },
       "visits section 1 of 1"},
      {"variable box",
       [](ProgramT &p) { p.variables[0]->globalDims = {3, 8}; },
       "leaves its global shape"},
      {"rank scalar",
       [](ProgramT &p) {
         p.variables[0]->offsets[0] =
             scalar(0, {{TermKind::RankScalar, 1, 1}});
       },
       "unknown term"},
};

} // namespace

TEST_CASE("every bound is checked") {
  for (const Damage &row : damages) {
    ProgramT p = sampleProgram();
    row.damage(p);
    INFO(row.what);
    Status status = checkProgram(p, "p");
    if (status.ok())
      status = checkRank(p, sampleManifest(), 1);
    REQUIRE(status.failed());
    CHECK_THAT(status.error().text(), Catch::Contains(row.message));
  }
}

TEST_CASE("an error names the place in the model") {
  ProgramT p = sampleProgram();
  nodeOf<SendT>(p, 4).peer = 3;
  Status status = checkProgram(p, "p");
  REQUIRE(status.failed());
  CHECK(status.error().text() ==
        "model.mlir:7:0: error: program 'p': peer 3 of 1 does not exist "
        "(section 'body', instruction 4, op 'layers.0/q')");
}

TEST_CASE("a manifest survives writing") {
  Manifest m = sampleManifest();
  m.model = "tiny";
  m.seed = -3;
  m.isCanonical = true;
  m.globalBatch = 8;
  std::string hash(64, 'a');
  m.files = {{"role0.whalep", 12, hash}, {"kernels/v4.so", 5, hash}};
  m.roles = {{"role0", "role0.whalep"}};
  m.libraries = {{"lib", {{"x86-64-v4", "kernels/v4.so"}}}};
  m.ranks[1].coordinates = {{"r0", 1}};
  m.predicted = R"({"step_seconds":0.5})";
  const std::string text = writeManifest(m);
  Result<Manifest> back = readManifest(text, "manifest.json");
  REQUIRE(back.ok());
  CHECK(writeManifest(*back) == text);
  CHECK(back->isCanonical);
}

TEST_CASE("bad manifests are refused with a reason") {
  const std::string good = [] {
    Manifest m = sampleManifest();
    m.files = {{"r.whalep", 1, std::string(64, '0')}};
    m.roles = {{"role0", "r.whalep"}};
    return writeManifest(m);
  }();
  REQUIRE(readManifest(good, "m").ok());
  auto replaced = [&](const std::string &from, const std::string &to) {
    std::string text = good;
    size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    return text.replace(at, from.size(), to);
  };
  const std::pair<std::string, std::string> cases[] = {
      {"{", "not valid JSON"},
      {"[]", "not valid JSON"},
      {std::string(100000, '['), "nested too deep"},
      {"{}", "no format_version"},
      {replaced("\"1.0\"", "\"9.0\""), "format version 9"},
      {replaced("\"path\": \"r.whalep\"", "\"path\": \"../x\""),
       "leaves the directory"},
      {replaced("\"path\": \"r.whalep\"", "\"path\": \"/x\""),
       "leaves the directory"},
      {replaced("\"file\": \"r.whalep\"", "\"file\": \"x\""), "unknown file"},
      {replaced("\"role\": \"role0\"", "\"role\": \"x\""), "unknown role"},
      {replaced("\"role\": \"role0\"", "\"role\": 3"), "must be a string"},
      {replaced("\"seed\": 0", "\"canonical\": 1, \"seed\": 0"),
       "must be true or false"},
      {replaced("\"global_batch\": 0", "\"global_batch\": -1"), "at least 0"},
  };
  for (const auto &[text, message] : cases) {
    Result<Manifest> m = readManifest(text, "m");
    REQUIRE(m.failed());
    CHECK_THAT(m.status().error().message, Catch::Contains(message));
  }
}
