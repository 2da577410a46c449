#include "compiler/cost/ClassCost.h"
#include "test/unit/workload/Models.h"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace whale;
using namespace whale::cost;
using namespace whale::workload;
using test::gpt;
using test::GptShape;

namespace {

const std::vector<std::string> megatron = {"heads", "ffn", "vocabulary"};

LocalMesh mesh(int64_t split, int64_t samples,
               std::vector<std::string> dims = megatron) {
  LocalMesh result;
  result.samples = samples;
  if (split > 1)
    result.axes.push_back({split, std::move(dims)});
  return result;
}

/// "all_reduce p 4096" for each transfer, in order.
std::vector<std::string> list(const ModuleClass &module,
                              const ShardedClass &sharded) {
  std::vector<std::string> result;
  for (const Transfer &t : sharded.transfers)
    result.push_back(std::string(collectiveName(t.kind)) + " " +
                     module.values[t.value].name + " " +
                     std::to_string(t.bytes.value()));
  std::sort(result.begin(), result.end());
  return result;
}

uint32_t valueNamed(const ModuleClass &module, std::string_view name) {
  for (uint32_t v = 0; v < module.values.size(); ++v)
    if (module.values[v].name == name)
      return v;
  FAIL("no value " << name);
  return 0;
}

GptShape shape() {
  GptShape s;
  s.batch = 4, s.sequence = 8, s.hidden = 16, s.heads = 4, s.vocabulary = 32;
  return s;
}

} // namespace

TEST_CASE("a block split over heads and ffn is Megatron's") {
  Workload model = gpt(shape());
  const ModuleClass &block = model.classes[1];
  ShardedClass sharded = shard(model, block, mesh(2, 4));
  // Two all-reduces forward, two backward: [4, 8, 16] of bf16.
  std::string bytes = std::to_string(4 * 8 * 16 * 2);
  CHECK(list(block, sharded) ==
        std::vector<std::string>{
            "all_reduce dn1 " + bytes, "all_reduce dn2 " + bytes,
            "all_reduce p " + bytes, "all_reduce w " + bytes});
  // Column weights by their columns, row weights by their rows, norms whole.
  std::vector<int64_t> elements = {16,          16 * 16 / 2, 16 * 16 / 2,
                                   16 * 16 / 2, 16 * 16 / 2, 16,
                                   16 * 64 / 2, 16 * 64 / 2};
  CHECK(sharded.variableElements == elements);
  CHECK(sharded.valueBytes[valueNamed(block, "u")] ==
        Bytes(4 * 8 * 64 * 2 / 2));
  CHECK(sharded.valueBytes[valueNamed(block, "x")] == Bytes(4 * 8 * 16 * 2));
}

TEST_CASE("FLOPs per rank are those of the model divided") {
  Workload model = gpt(shape());
  for (int64_t split : {1, 2, 4})
    for (int64_t samples : {1, 2, 4}) {
      ShardedClass sharded =
          shard(model, model.classes[1], mesh(split, samples));
      for (size_t i = 0; i < model.classes[1].ops.size(); ++i) {
        const Op &op = model.classes[1].ops[i];
        if (op.kind != OpKind::Contraction)
          continue;
        int64_t points = 1;
        for (int64_t extent : sharded.ops[i].extents)
          points *= extent;
        CHECK(points * split * (4 / samples) == op.points());
      }
    }
}

TEST_CASE("embedding and head split over the vocabulary") {
  Workload model = gpt(shape());
  int64_t hidden = 4 * 8 * 16 * 2, rows = 4 * 8 * 4;
  // Each rank looks up its rows: a partial sum of the embeddings.
  CHECK(list(model.classes[0], shard(model, model.classes[0], mesh(4, 4))) ==
        std::vector<std::string>{"all_reduce h " + std::to_string(hidden)});
  // Softmax over cut logits: maximum and sum per row; gradient of the input.
  CHECK(list(model.classes[2], shard(model, model.classes[2], mesh(4, 4))) ==
        std::vector<std::string>{"all_reduce dn " + std::to_string(hidden),
                                 "all_reduce loss " + std::to_string(rows),
                                 "all_reduce loss " + std::to_string(rows)});
}

TEST_CASE("a split of only the columns gathers what the next op needs whole") {
  Workload model = gpt(shape());
  // q, k, v and attention are cut by heads; the rest is not.
  ShardedClass sharded = shard(model, model.classes[1], mesh(2, 4, {"ffn"}));
  CHECK(sharded.transfers.size() == 2);
  // hidden: fc1 sums over it (partial u), fc2 has it in its result.
  sharded = shard(model, model.classes[1], mesh(2, 4, {"hidden"}));
  auto found = list(model.classes[1], sharded);
  CHECK(std::count_if(found.begin(), found.end(), [](const std::string &t) {
          return t.starts_with("all_gather");
        }) > 0);
}

TEST_CASE("extents need not divide") {
  GptShape s = shape();
  s.ffn = 66;
  Workload model = gpt(s);
  ShardedClass sharded = shard(model, model.classes[1], mesh(4, 4));
  // 66 = 17 + 17 + 16 + 16.
  CHECK(sharded.variableElements[6] == 16 * 17);
}

TEST_CASE("partial sums wait for the last addition") {
  // dq, dk and dv give three partial gradients of n1: one all-reduce, not 3.
  Workload model = gpt(shape());
  for (Op &op : model.classes[1].ops)
    op.linearity = Linearity::None;
  CHECK(shard(model, model.classes[1], mesh(2, 4)).transfers.size() == 6);
}

TEST_CASE("lifetimes by hand") {
  // x -> a -> b -> y, backward uses a: values of 100 bytes.
  test::ClassBuilder c("chain", {{"batch", 1}, {"n", 100}}, 1);
  const std::string d = "batch n";
  auto x = c.argument("x", d), a = c.value("a", d), b = c.value("b", d),
       y = c.value("y", d);
  auto unary = [&](std::string name, Phase phase, std::vector<uint32_t> from,
                   uint32_t to) {
    std::string text = d;
    for (size_t i = 1; i < from.size(); ++i)
      text += "," + d;
    c.op(std::move(name), OpKind::Elementwise, phase, text + "->" + d,
         std::move(from), {to}, 1);
  };
  unary("f1", Phase::Forward, {x}, a);
  unary("f2", Phase::Forward, {a}, b);
  unary("f3", Phase::Forward, {b}, y);
  c.module.results = {y};
  auto dy = c.value("dy", d, ValueKind::ResultGradient), db = c.value("db", d),
       dx = c.value("dx", d);
  unary("b2", Phase::BackwardInput, {dy, a}, db);
  unary("b1", Phase::BackwardInput, {db}, dx);
  c.module.argumentGradients = {dx};
  Workload model;
  model.globalBatch = 1;
  model.groups = {ParameterGroup{}};
  model.classes = {c.take()};
  model.runs = {{0, "chain", 1, {{-1, 0}}}};
  Diagnostics diags;
  REQUIRE(check(model, diags));

  const ModuleClass &module = model.classes[0];
  ShardedClass sharded = shard(model, module, mesh(1, 1));
  auto memory = [&](Recompute mode) {
    return classMemory(model, module, sharded, residuals(module, mode));
  };
  ClassMemory none = memory(Recompute::None);
  CHECK(none.saved == Bytes(100));             // a
  CHECK(none.forwardTransient == Bytes(200));  // b and y
  CHECK(none.forwardTotal == Bytes(300));      // a, b and y
  CHECK(none.backwardTransient == Bytes(200)); // dy and db, or db and dx
  CHECK(none.backwardTotal == Bytes(300));     // with a
  // Full keeps x and makes a again.
  ClassMemory full = memory(Recompute::Full);
  CHECK(full.saved == Bytes(100));
  CHECK(full.forwardTransient == Bytes(200));
  CHECK(full.backwardTransient == Bytes(300)); // dy, a, db
  // b fused away: a and y are all there is.
  model.classes[0].ops[1].fused = true;
  CHECK(memory(Recompute::None).forwardTotal == Bytes(200));
}

TEST_CASE("state of a block: mixed precision AdamW is 4 + 2 + 4 + 8 bytes") {
  Workload model = gpt(shape());
  ShardedClass sharded = shard(model, model.classes[1], mesh(1, 4));
  StateBytes state = stateBytes(model, model.classes[1], sharded);
  int64_t elements = 12 * 16 * 16 + 2 * 16;
  // Masters, and copies of those that matrix products read: not of the norms.
  CHECK(state.parameters == Bytes(4 * elements));
  CHECK(state.copies == Bytes(2 * 12 * 16 * 16));
  CHECK(state.gradients == Bytes(4 * elements));
  CHECK(state.optimizer == Bytes(8 * elements));
  // Only the head's table is tied.
  sharded = shard(model, model.classes[2], mesh(1, 4));
  CHECK(stateBytes(model, model.classes[2], sharded, true).parameters ==
        Bytes(4 * 32 * 16));
}
