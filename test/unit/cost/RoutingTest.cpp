#include "compiler/cost/Routing.h"
#include "compiler/cost/CatalogueHardware.h"
#include "compiler/cost/ClassCost.h"
#include "test/unit/workload/Models.h"

#include <catch2/catch.hpp>

#include <fmt/format.h>
#include <numeric>
#include <set>

using namespace whale;
using namespace whale::cost;
using namespace whale::workload;

namespace {

/// Calls `use` with every set of `chosen` of `all` numbers.
template <class Use> void forEachChoice(int64_t all, int64_t chosen, Use use) {
  std::vector<int64_t> numbers(static_cast<size_t>(chosen));
  std::iota(numbers.begin(), numbers.end(), 0);
  while (true) {
    use(numbers);
    int64_t i = chosen - 1;
    while (i >= 0 && numbers[i] == all - chosen + i)
      --i;
    if (i < 0)
      return;
    ++numbers[i];
    for (int64_t next = i + 1; next < chosen; ++next)
      numbers[next] = numbers[next - 1] + 1;
  }
}

/// The mean over all choices of groups, and of experts in them.
double countedParts(const Routing &routing, int64_t parts) {
  double sum = 0, choices = 0;
  int64_t each = routing.experts / routing.groups;
  forEachChoice(routing.groups, routing.groupsChosen,
                [&](const std::vector<int64_t> &groups) {
                  forEachChoice(
                      each * routing.groupsChosen, routing.chosen,
                      [&](const std::vector<int64_t> &places) {
                        std::set<int64_t> hit;
                        for (int64_t place : places) {
                          int64_t expert =
                              groups[place / each] * each + place % each;
                          hit.insert(expert * parts / routing.experts);
                        }
                        sum += static_cast<double>(hit.size());
                        choices += 1;
                      });
                });
  return sum / choices;
}

Cluster clusterOf(std::string_view preset, int64_t nodes) {
  Diagnostics diags;
  auto catalogue = Catalogue::load(diags);
  auto read = parseCluster(
      fmt::format(R"({{"format_version": 1, "preset": "{}", "nodes": {}}})",
                  preset, nodes),
      "c.json", *catalogue, diags);
  INFO(diags.str());
  REQUIRE(read);
  return std::move(*read);
}

/// Two products of 8 experts, of which each row has chosen two, with an
/// activation between; all rows of a micro-batch are there.
ModuleClass expertBlock() {
  test::ClassBuilder c("experts",
                       {{"batch", 64},
                        {"sequence", 16},
                        {"choices", 2},
                        {"experts", 8},
                        {"hidden", 128},
                        {"ffn", 256},
                        {"out", 128}},
                       2);
  auto w = c.argument("w", "batch sequence choices hidden"),
       x = c.value("x", "batch sequence choices hidden");
  auto up = c.variable("up", "experts hidden ffn"),
       down = c.variable("down", "experts ffn out");
  auto h = c.value("h", "batch sequence choices ffn"),
       a = c.value("a", "batch sequence choices ffn"),
       y = c.value("y", "batch sequence choices out"),
       z = c.value("z", "batch sequence out");
  auto routed = [&](std::string name, const std::string &text,
                    std::vector<uint32_t> operands, uint32_t result) {
    Op &op = c.op(std::move(name), OpKind::Contraction, Phase::Forward, text,
                  std::move(operands), {result}, 2);
    op.usedDenominator = 8;
  };
  auto reduce = [&](std::string name, const std::string &dims, uint32_t from,
                    uint32_t to) {
    c.op(std::move(name), OpKind::Reduction, Phase::Forward, dims, {from}, {to},
         1)
        .linearity = Linearity::None;
  };
  reduce("norm",
         "batch sequence choices hidden -> batch sequence choices hidden", w,
         x);
  routed("up",
         "batch sequence choices hidden, experts hidden ffn -> batch sequence "
         "choices ffn",
         {x, up}, h);
  c.op("activation", OpKind::Elementwise, Phase::Forward,
       "batch sequence choices ffn -> batch sequence choices ffn", {h}, {a}, 1);
  routed("down",
         "batch sequence choices ffn, experts ffn out -> batch sequence "
         "choices out",
         {a, down}, y);
  reduce("combine", "batch sequence choices out -> batch sequence out", y, z);
  c.module.results = {z};
  return c.take();
}

struct Fixture {
  Fixture() : cluster(clusterOf("dgx-h100", 4)), hardware(cluster) {
    hardware.execution = {};
    workload = test::gpt({});
    workload.batchDim = "batch", workload.globalBatch = 64;
    workload.precision = "bf16";
  }
  ClassCost cost(const ClassContext &context) const {
    return classCost(workload, block, context, hardware);
  }
  Cluster cluster;
  CatalogueHardware hardware;
  Workload workload;
  ModuleClass block = expertBlock();
};

ClassContext overNodes(int64_t size) {
  ClassContext context;
  context.mesh.samples = 8 * size;
  context.mesh.axes.push_back({size, {"experts", "batch"}});
  context.mesh.axes.back().replica = true;
  context.groups.push_back({0, size, 32 / size});
  return context;
}

} // namespace

TEST_CASE("expected parts are the mean over all choices") {
  for (int64_t experts : {4, 8, 12})
    for (int64_t chosen : {1, 2, 3, 4})
      for (int64_t parts : {1, 2, 4}) {
        Routing routing{experts, chosen};
        CHECK(expectedParts(routing, parts) ==
              Approx(countedParts(routing, parts)));
      }
  // 8 groups of 2 or 4 experts, of which 3 are chosen, and 4 groups of 3.
  for (Routing routing : {Routing{16, 3, 8, 3}, Routing{16, 4, 8, 3},
                          Routing{12, 4, 4, 2}, Routing{12, 5, 4, 3}})
    for (int64_t parts : {1, 2, 4, 8, 16}) {
      bool counts = routing.groups % parts == 0 || parts % routing.groups == 0;
      if (counts && routing.experts % parts == 0)
        CHECK(expectedParts(routing, parts) ==
              Approx(countedParts(routing, parts)));
    }
  // DeepSeek-V3 on 8 nodes: at most 4 of them.
  CHECK(expectedParts({256, 8, 8, 4}, 8) == Approx(3.62).epsilon(0.01));
  // As many parts as experts, or more: one for each choice.
  CHECK(expectedParts({8, 3}, 8) == Approx(3));
  CHECK(expectedParts({8, 3}, 64) == Approx(3));
}

TEST_CASE("the experts of a class say how rows choose") {
  Routing routing = routingOf(expertBlock());
  CHECK(routing.experts == 8);
  CHECK(routing.chosen == 2);
  CHECK(routingOf(test::gpt({}).classes[1]).experts == 1);
}

TEST_CASE("an exchange takes what DeepEP and HybridEP publish") {
  // Bandwidths of copies to nodes, their own among them, or to ranks of one
  // NVLink domain, of kernels alone and as called from PyTorch: 4,096 rows of
  // 7,168 elements of 16 bits, 8 experts a row, 8 experts a rank, any as likely
  // (deepseek-ai/DeepEP, docs/README_Hybrid-EP.md, dispatch).
  struct Published {
    std::string_view preset;
    int64_t nodes, ranks;
    double alone, called;
  };
  constexpr Published rows[] = {
      {"dgx-h100", 2, 16, 76.8, 57.7},  {"dgx-h100", 4, 32, 57.7, 47.4},
      {"dgx-h100", 8, 64, 50.6, 41.5},  {"dgx-b200", 1, 8, 735, 536},
      {"gb200-nvl72", 4, 16, 707, 523}, {"gb200-nvl72", 8, 32, 642, 486}};
  for (const Published &row : rows) {
    Cluster cluster = clusterOf(row.preset, row.nodes);
    Routing routing{8 * row.ranks, 8};
    double one = 4096.0 * 7168 * 2;
    Group group{0, row.ranks, 1, 1};
    double seconds = toSeconds(
        CollectiveModel(cluster)
            .exchange(group, {Bytes::fromDouble(8 * one), routing, row.ranks})
            .time);
    bool crosses = row.preset == "dgx-h100";
    double copies = expectedParts(routing, crosses ? row.nodes : row.ranks);
    double published = copies * one / 1e9;
    INFO(row.preset << ' ' << row.ranks << ": " << published / seconds);
    CHECK(published / seconds < row.alone * 1.15);
    CHECK(published / seconds > row.called / 1.15);
  }
}

TEST_CASE("rows that are sent once are never slower than their copies") {
  Cluster cluster = clusterOf("dgx-h100", 8);
  CollectiveModel model(cluster);
  for (int64_t size : {2, 8, 16, 64})
    for (int64_t bytes : {int64_t(1) << 20, int64_t(1) << 28}) {
      Group group{0, size, 64 / size, 1};
      Picoseconds copies =
          model.collective(group, CollectiveKind::AllToAll, Bytes(bytes)).time;
      Picoseconds once =
          model.exchange(group, {Bytes(bytes), {256, 8, 1, 1}, size}).time;
      INFO(size << ' ' << bytes);
      CHECK(once <= copies);
      // One expert a row: nothing to be spared within a domain.
      CHECK(model.exchange(group, {Bytes(bytes), {1, 1}, size}).time == copies);
    }
}

TEST_CASE("the fullest rank's rows count, in traffic and in memory") {
  Fixture fixture;
  Execution &execution = fixture.hardware.execution;
  ClassCost even = fixture.cost(overNodes(4));
  execution.parameters.expertImbalance = 1.5;
  ClassCost uneven = fixture.cost(overNodes(4));
  CHECK(uneven.traffic.asDouble() ==
        Approx(1.5 * even.traffic.asDouble()).epsilon(1e-4));
  // 4 ranks with 2 of 8 experts each: now and then one has both of a row.
  execution.stack.sendsRowsOnce = false;
  double once =
      uneven.traffic.asDouble() / fixture.cost(overNodes(4)).traffic.asDouble();
  CHECK(once == Approx(countedParts({8, 2}, 4) / 2).epsilon(1e-4));
  execution.stack.sendsRowsOnce = true;
  // Kept: none, there is no backward part; live: what products make of rows.
  CHECK(uneven.memory->forwardTotal > even.memory->forwardTotal);
  execution.stack.balancesExperts = true;
  CHECK(fixture.cost(overNodes(4)).traffic == even.traffic);
  CHECK(fixture.cost(overNodes(4)).memory->forwardTotal ==
        even.memory->forwardTotal);
}

TEST_CASE("exchanges hide behind the compute of their direction") {
  Fixture fixture;
  Execution &execution = fixture.hardware.execution;
  ClassContext context = overNodes(4);
  Picoseconds alone = fixture.cost(context).forwardCommunication;
  CHECK(alone > Picoseconds());
  execution.stack.overlapsExchange = true;
  CHECK(fixture.cost(context).forwardCommunication == alone);
  execution.parameters.exchangeOverlap = 1;
  ClassCost hidden = fixture.cost(context);
  Picoseconds compute = hidden.forward - hidden.forwardCommunication;
  CHECK(hidden.forwardCommunication == alone - std::min(alone, compute));
}

TEST_CASE("ranks of a split send the rows of their positions") {
  Fixture fixture;
  ClassContext context;
  context.mesh.samples = 2;
  context.mesh.axes.push_back({2, {"experts", "heads", "sequence", "keys"}});
  context.groups.push_back({0, 2, 1});
  LocalMesh mesh = context.mesh;
  mesh.axes[0].rows = "sequence";
  ShardedClass sharded = shard(fixture.workload, fixture.block, mesh);
  REQUIRE(sharded.transfers.size() == 2);
  for (const Transfer &transfer : sharded.transfers) {
    CHECK(transfer.kind == CollectiveKind::AllToAll);
    CHECK(transfer.ofRows);
    // 2 samples of 8 positions, 2 copies of 128 elements of 2 bytes.
    CHECK(transfer.bytes == Bytes(2 * 8 * 2 * 128 * 2));
  }
  // Half the experts see all rows that chose them: as much as half the rows.
  const LocalOp &up = sharded.ops[1];
  CHECK(up.extents == std::vector<int64_t>{2, 8, 2, 128, 4, 256});
  CHECK(up.routedParts == 2);
  // Without that, all rows are gathered.
  auto gathers = [&] {
    return fixture.cost(context).traffic > Bytes(2 * 2 * 8 * 2 * 128 * 2);
  };
  CHECK(gathers());
  fixture.hardware.execution.stack.sendsPositions = true;
  CHECK_FALSE(gathers());
}
