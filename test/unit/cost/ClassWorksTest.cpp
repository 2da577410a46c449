// Costs for many numbers of samples from one look at a class, against a look at
// it for each number.

#include "compiler/cost/CatalogueHardware.h"
#include "compiler/cost/ClassCost.h"
#include "compiler/cost/LocalWork.h"
#include "test/unit/workload/Models.h"

#include <catch2/catch.hpp>

#include <numeric>

using namespace whale;
using namespace whale::cost;
using namespace whale::workload;

namespace {

constexpr int64_t batch = 32;

Workload gpt() {
  test::GptShape shape;
  shape.batch = batch, shape.sequence = 8, shape.hidden = 16;
  shape.heads = 4, shape.vocabulary = 32;
  return test::gpt(shape);
}

/// A recurrent layer: the same two products and an activation in each of many
/// steps.
ModuleClass recurrent(int64_t steps) {
  test::ClassBuilder c("recurrent",
                       {{"b", batch}, {"h", 64}, {"f", 256}, {"g", 64}}, 2);
  auto x = c.argument("x", "b h");
  auto up = c.variable("up", "h f"), down = c.variable("down", "f h");
  for (int64_t step = 0; step < steps; ++step) {
    std::string at = std::to_string(step);
    auto u = c.value("u" + at, "b f"), a = c.value("a" + at, "b f"),
         y = c.value("y" + at, "b h");
    c.op("up" + at, OpKind::Contraction, Phase::Forward, "b h, h f -> b f",
         {x, up}, {u}, 2);
    c.op("act" + at, OpKind::Elementwise, Phase::Forward, "b f -> b f", {u},
         {a}, 1);
    c.op("down" + at, OpKind::Contraction, Phase::Forward, "b f, f h -> b h",
         {a, down}, {y}, 2);
    x = y;
  }
  c.module.results = {x};
  return c.take();
}

/// None, Megatron's, with the sequence, and on the devices of replicas.
std::vector<LocalMesh> meshes() {
  std::vector<LocalMesh> all(1);
  for (const std::vector<std::string> &dims :
       {std::vector<std::string>{"heads", "ffn", "vocabulary", "f"},
        {"heads", "ffn", "vocabulary", "s"},
        {"hidden"}}) {
    all.emplace_back();
    all.back().axes.push_back({4, dims});
  }
  all.push_back(all[1]);
  all.back().axes.front().replica = true;
  all.push_back(all.back());
  all.back().axes.push_back({2, {"heads", "ffn", "vocabulary", "f"}});
  return all;
}

bool isSame(const ShardedClass &one, const ShardedClass &other) {
  bool same = one.valueBytes == other.valueBytes &&
              one.placements == other.placements &&
              one.variableElements == other.variableElements &&
              one.ops.size() == other.ops.size() &&
              one.transfers.size() == other.transfers.size() &&
              one.copies.size() == other.copies.size();
  for (size_t i = 0; same && i < one.ops.size(); ++i)
    same = one.ops[i].extents == other.ops[i].extents &&
           one.ops[i].loops == other.ops[i].loops &&
           one.ops[i].copies == other.ops[i].copies;
  for (size_t t = 0; same && t < one.transfers.size(); ++t)
    same = one.transfers[t].bytes == other.transfers[t].bytes &&
           one.transfers[t].staging == other.transfers[t].staging &&
           one.transfers[t].kind == other.transfers[t].kind;
  for (size_t c = 0; same && c < one.copies.size(); ++c)
    same = one.copies[c].bytes == other.copies[c].bytes;
  return same;
}

bool isSame(const ClassCost &one, const ClassCost &other) {
  return one.forward == other.forward && one.backward == other.backward &&
         one.weight == other.weight && one.recompute == other.recompute &&
         one.forwardKernels == other.forwardKernels &&
         one.backwardKernels == other.backwardKernels &&
         one.traffic == other.traffic && one.flops == other.flops &&
         one.argumentBytes == other.argumentBytes &&
         one.memory->saved == other.memory->saved &&
         one.memory->savedArguments == other.memory->savedArguments &&
         one.memory->forwardTransient == other.memory->forwardTransient &&
         one.memory->forwardTotal == other.memory->forwardTotal &&
         one.memory->backwardTotal == other.memory->backwardTotal &&
         one.memory->backwardOnce == other.memory->backwardOnce;
}

struct Machine {
  Machine() {
    Diagnostics diags;
    auto catalogue = Catalogue::load(diags);
    cluster = parseCluster(
        R"({"format_version": 1, "nodes": [
              {"gpus": {"type": "a100-80", "count": 8}},
              {"gpus": {"type": "v100-32", "count": 8}}],
            "network": {"bandwidth_gigabits_per_second": 200,
                        "latency_microseconds": 5}})",
        "c.json", *catalogue, diags);
    INFO(diags.str());
    REQUIRE(cluster);
    hardware = std::make_unique<CatalogueHardware>(*cluster);
  }

  std::optional<Cluster> cluster;
  std::unique_ptr<CatalogueHardware> hardware;
};

} // namespace

TEST_CASE("a class for other samples is as it is cut for these") {
  Workload model = gpt();
  model.classes.push_back(recurrent(3));
  int scaled = 0, cutElse = 0;
  for (const ModuleClass &module : model.classes)
    for (LocalMesh mesh : meshes())
      for (int64_t from : {1, 8, 32}) {
        std::vector<uint32_t> all(module.ops.size());
        std::iota(all.begin(), all.end(), 0);
        mesh.samples = from;
        Rescaled rescaled(model, module, mesh);
        for (int64_t to : {32, 1, 3, 7, 8, 20}) {
          mesh.samples = to;
          INFO(module.name << " from " << from << " to " << to);
          if (!rescaled.scale(to, all)) {
            ++cutElse;
            continue;
          }
          ++scaled;
          CHECK(isSame(rescaled.sharded(), shard(model, module, mesh)));
        }
      }
  CHECK(scaled > 300);
  // Replicas cannot cut one sample.
  CHECK(cutElse > 0);
}

TEST_CASE("works of a class for other samples and devices are made alike") {
  Workload model = gpt();
  model.classes.push_back(recurrent(5));
  Machine machine;
  for (const ModuleClass &module : model.classes)
    for (const LocalMesh &mesh : meshes())
      for (Recompute mode :
           {Recompute::None, Recompute::Selective, Recompute::Full}) {
        ClassContext context;
        context.mesh = mesh;
        context.mesh.samples = 8;
        context.recompute = mode;
        for (const SplitAxis &axis : mesh.axes) {
          context.groups.emplace_back();
          context.groups.back().size = axis.size;
        }
        ClassWorks works(model, module, context, *machine.hardware);
        for (int64_t samples : {32, 1, 8, 20})
          for (unsigned type : {1, 0}) {
            context.mesh.samples = samples;
            context.deviceType = type;
            auto work = works.of(samples, type, *machine.hardware);
            if (!work)
              continue;
            CHECK(isSame(withGroups(*work, context, *machine.hardware),
                         classCost(model, module, context, *machine.hardware)));
          }
      }
}

TEST_CASE("each of many equal ops takes its time") {
  Workload model = gpt();
  ModuleClass module = recurrent(40);
  Machine machine;
  std::vector<bool> all(module.values.size(), true);
  for (int64_t samples : {1, 12, 32}) {
    ClassContext context;
    context.mesh.samples = samples;
    ClassCost cost = classCost(model, module, context, *machine.hardware);
    ShardedClass sharded = shard(model, module, context.mesh);
    Picoseconds forward;
    Flops flops;
    for (uint32_t i = 0; i < module.ops.size(); ++i) {
      OpWork work = localWork(model, module, sharded, i, all);
      forward += machine.hardware->opTime(0, work);
      flops += work.flops;
    }
    CHECK(cost.forward == forward);
    CHECK(cost.flops == flops);
    CHECK(cost.forwardKernels == std::ssize(module.ops));
  }
}
