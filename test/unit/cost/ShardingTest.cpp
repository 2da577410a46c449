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

namespace {

/// Rank `number` of a split with these widths.
LocalMesh unequal(const std::vector<int64_t> &widths, size_t number,
                  std::vector<std::string> dims = megatron) {
  LocalMesh result = mesh(std::ssize(widths), 4, std::move(dims));
  auto [least, most] = std::minmax_element(widths.begin(), widths.end());
  int64_t sum = 0;
  for (int64_t width : widths)
    sum += width;
  result.axes[0].widths = {widths[number], *least, *most, sum};
  return result;
}

} // namespace

TEST_CASE("ranks of unequal widths have their share of what is cut") {
  Workload model = gpt(shape());
  const ModuleClass &block = model.classes[1];
  ShardedClass whole = shard(model, block, mesh(1, 4)),
               wide = shard(model, block, unequal({3, 1}, 0)),
               narrow = shard(model, block, unequal({3, 1}, 1)),
               quarter = shard(model, block, mesh(4, 4));
  // A fourth of everything is what one of four equal ranks has.
  CHECK(narrow.variableElements == quarter.variableElements);
  CHECK(narrow.valueBytes == quarter.valueBytes);
  for (size_t i = 0; i < block.ops.size(); ++i)
    CHECK(narrow.ops[i].extents == quarter.ops[i].extents);
  // Both together have what is cut once, and the rest twice.
  for (size_t v = 0; v < block.variables.size(); ++v) {
    int64_t all = whole.variableElements[v];
    bool isCut = narrow.variableElements[v] < all;
    CHECK(wide.variableElements[v] == (isCut ? all / 4 * 3 : all));
  }
  // All-reduces are of the whole, whoever takes part.
  CHECK(list(block, wide) == list(block, quarter));
  CHECK(list(block, narrow) == list(block, quarter));
}

TEST_CASE("unequal parts are exchanged as if all were as the largest") {
  Workload model = gpt(shape());
  const ModuleClass &block = model.classes[1];
  auto gathered = [&](const LocalMesh &on) {
    int64_t bytes = 0;
    for (const Transfer &t : shard(model, block, on).transfers)
      if (t.kind == CollectiveKind::AllGather ||
          t.kind == CollectiveKind::ReduceScatter)
        bytes += t.bytes.value();
    return bytes;
  };
  const std::vector<std::string> sequence = {"heads", "ffn", "sequence"};
  int64_t equal = gathered(mesh(2, 4, sequence));
  REQUIRE(equal > 0);
  // The largest of two parts is 3/4 of the whole: as two of these.
  for (size_t rank : {0, 1})
    CHECK(gathered(unequal({3, 1}, rank, sequence)) == equal / 2 * 3);
}

TEST_CASE("a loop is cut if the smallest part has an iteration") {
  Workload model = gpt(shape());
  const ModuleClass &block = model.classes[1];
  auto cutsHeads = [&](const std::vector<int64_t> &widths) {
    ShardedClass sharded = shard(model, block, unequal(widths, 0, {"heads"}));
    return std::any_of(sharded.ops.begin(), sharded.ops.end(),
                       [](const LocalOp &op) { return op.loops[0] >= 0; });
  };
  // Of four heads.
  CHECK(cutsHeads({3, 1}));
  CHECK(cutsHeads({2, 1}));
  CHECK(!cutsHeads({4, 1}));
  LocalMesh required = unequal({4, 1}, 0, {"heads"});
  required.axes[0].required = {"heads"};
  std::optional<ShortLoop> found = shortLoop(model, block, required);
  REQUIRE(found);
  CHECK(found->pieces == 5);
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

namespace {

/// Two replicas of two samples each, with a split on their devices.
LocalMesh replicas(std::vector<std::string> dims) {
  LocalMesh result = mesh(2, 4, std::move(dims));
  result.axes[0].replica = true;
  return result;
}

} // namespace

TEST_CASE("a head whose classes are cut over the replicas' devices") {
  Workload model = gpt(shape());
  const ModuleClass &head = model.classes[2];
  ShardedClass sharded = shard(model, head, replicas({"vocabulary"}));
  // Features and targets of all samples, kept for the backward part; the
  // softmax' statistics; the features' gradient, of which each replica wants
  // its own.
  std::string hidden = std::to_string(4 * 8 * 16 * 2),
              rows = std::to_string(4 * 8 * 4);
  CHECK(list(head, sharded) ==
        std::vector<std::string>{
            "all_gather n " + hidden, "all_gather targets " + rows,
            "all_reduce loss " + rows, "all_reduce loss " + rows,
            "reduce_scatter dn " + hidden});
  CHECK(sharded.variableElements == std::vector<int64_t>{16, 32 * 16 / 2});
  // Arguments and their gradients are of a replica's own samples.
  for (const char *name : {"x", "dx"})
    CHECK(sharded.valueBytes[valueNamed(head, name)] == Bytes(2 * 8 * 16 * 2));
  CHECK(sharded.valueBytes[valueNamed(head, "logits")] ==
        Bytes(4 * 8 * 32 / 2 * 2));

  SECTION("only where the split holds the op") {
    LocalMesh none = replicas({"vocabulary"});
    none.axes[0].holds.assign(head.ops.size(), false);
    CHECK(shard(model, head, none).transfers.empty());
  }
  SECTION("ZeRO-1 cuts what the split does not") {
    LocalMesh zero = replicas({"vocabulary"});
    zero.axes[0].shardsState = true;
    CHECK(shard(model, head, zero).ownedElements ==
          std::vector<int64_t>{16 / 2, 32 * 16 / 2});
  }
}

TEST_CASE("a split that no op has a dimension for leaves replicas alone") {
  Workload model = gpt(shape());
  const ModuleClass &block = model.classes[1];
  ShardedClass sharded = shard(model, block, replicas({"experts"})),
               plain = shard(model, block, mesh(1, 2));
  CHECK(sharded.transfers.empty());
  CHECK(sharded.valueBytes == plain.valueBytes);
  CHECK(sharded.variableElements == plain.variableElements);
  for (size_t i = 0; i < block.ops.size(); ++i)
    CHECK(sharded.ops[i].extents == plain.ops[i].extents);
}

/// A block of experts behind a wide value: each row meets one of 4.
static ModuleClass expertBlock() {
  test::ClassBuilder c("experts",
                       {{"batch", 8},
                        {"experts", 4},
                        {"hidden", 16},
                        {"expert_ffn", 32},
                        {"out", 16}},
                       2);
  auto x = c.argument("x", "batch hidden"),
       residual = c.argument("residual", "batch out");
  auto w1 = c.variable("w1", "experts hidden expert_ffn"),
       w2 = c.variable("w2", "experts expert_ffn out");
  auto h = c.value("h", "batch expert_ffn"), z = c.value("z", "batch out"),
       y = c.value("y", "batch out");
  auto routed = [&](std::string name, const std::string &text,
                    std::vector<uint32_t> operands, uint32_t result) {
    Op &op = c.op(std::move(name), OpKind::Contraction, Phase::Forward, text,
                  std::move(operands), {result}, 2);
    op.usedDenominator = 4;
  };
  routed("up", "batch hidden, experts hidden expert_ffn -> batch expert_ffn",
         {x, w1}, h);
  routed("down", "batch expert_ffn, experts expert_ffn out -> batch out",
         {h, w2}, z);
  c.op("add", OpKind::Elementwise, Phase::Forward,
       "batch out, batch out -> batch out", {z, residual}, {y}, 1);
  c.module.results = {y};
  return c.take();
}

TEST_CASE("sums are scattered before rows go home from their experts") {
  Workload workload = gpt(shape());
  ModuleClass block = expertBlock();
  LocalMesh mesh;
  mesh.samples = 4;
  workload.batchDim = "batch", workload.globalBatch = 8;
  mesh.axes.push_back({2, {"experts", "batch"}});
  mesh.axes.push_back({2, {"expert_ffn", "out"}});
  ShardedClass sharded = shard(workload, block, mesh);
  int64_t scattered = 0, exchanged = 0;
  for (const Transfer &t : sharded.transfers) {
    if (block.values[t.value].name != "z")
      continue;
    if (t.kind == CollectiveKind::ReduceScatter)
      scattered = t.bytes.value();
    if (t.kind == CollectiveKind::AllToAll)
      exchanged = t.bytes.value();
  }
  // 2 rows of 16 bf16 elements; half of each row travels.
  CHECK(scattered == 2 * 16 * 2);
  CHECK(exchanged == scattered / 2);
}

TEST_CASE("what two axes cut is gathered along one after the other") {
  test::ClassBuilder c("gathers", {{"a", 8}, {"b", 16}, {"c", 8}, {"d", 16}},
                       2);
  auto x = c.argument("x", "a b"), h = c.value("h", "a b"),
       y = c.value("y", "c d");
  c.op("cut", OpKind::Movement, Phase::Forward, "a b -> a b", {x}, {h}, 1);
  c.op("whole", OpKind::Movement, Phase::Forward, "c d -> c d", {h}, {y}, 1);
  c.module.results = {y};
  LocalMesh mesh;
  mesh.axes = {{2, {"a"}}, {2, {"b"}}};
  ShardedClass sharded = shard(gpt(shape()), c.take(), mesh);
  // h is 8 x 16 elements of 2 bytes; the second copy is made of the first.
  REQUIRE(sharded.transfers.size() == 2);
  CHECK(sharded.transfers[0].bytes == Bytes(8 * 8 * 2));
  CHECK(sharded.transfers[1].bytes == Bytes(8 * 16 * 2));
  REQUIRE(sharded.copies.size() == 2);
  CHECK(sharded.copies[0].bytes == Bytes(8 * 8 * 2));
  CHECK(sharded.copies[1].bytes == Bytes(8 * 16 * 2));
  CHECK(sharded.ops[1].copies == std::vector<int32_t>{1});
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
  // x -> a -> b -> y, backward uses a: values of 128 bytes.
  test::ClassBuilder c("chain", {{"batch", 1}, {"n", 128}}, 1);
  const std::string d = "batch n";
  auto x = c.argument("x", d), a = c.value("a", d), b = c.value("b", d),
       y = c.value("y", d);
  auto unary = [&](std::string name, Phase phase, std::vector<uint32_t> from,
                   uint32_t to) {
    std::string text = d;
    for (size_t i = 1; i < from.size(); ++i)
      text += "," + d;
    c.op(std::move(name), OpKind::Movement, phase, text + "->" + d,
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
  CHECK(none.saved == Bytes(128));             // a
  CHECK(none.forwardTransient == Bytes(256));  // b and y
  CHECK(none.forwardTotal == Bytes(384));      // a, b and y
  CHECK(none.backwardTransient == Bytes(256)); // dy and db, or db and dx
  CHECK(none.backwardTotal == Bytes(384));     // with a
  // Full keeps x and makes a again.
  ClassMemory full = memory(Recompute::Full);
  CHECK(full.saved == Bytes(128));
  CHECK(full.forwardTransient == Bytes(256));
  CHECK(full.backwardTransient == Bytes(384)); // dy, a, db
  // b fused away: a and y are all there is.
  model.classes[0].ops[1].fused = true;
  CHECK(memory(Recompute::None).forwardTotal == Bytes(256));
  model.classes[0].ops[1].fused = false;
  // Generated kernels write over what they are the last to read: y over b.
  for (Op &op : model.classes[0].ops)
    op.kind = OpKind::Elementwise;
  CHECK(memory(Recompute::None).forwardTotal == Bytes(256));
  CHECK(memory(Recompute::None).savedArguments[0] == Bytes());
  CHECK(memory(Recompute::Full).savedArguments[0] == Bytes(128));
}

TEST_CASE("a copy that both parts read is saved in place of its value") {
  // a = x w1 is cut by columns; b = a w2 and the gradient of w2 need it whole.
  test::ClassBuilder c("gather", {{"batch", 4}, {"m", 64}, {"n", 64}}, 1);
  auto x = c.argument("x", "batch m"), a = c.value("a", "batch n"),
       y = c.value("y", "batch m");
  auto op = [&](std::string name, Phase phase, std::string text,
                std::vector<uint32_t> from, uint32_t to) {
    c.op(std::move(name), OpKind::Contraction, phase, std::move(text),
         std::move(from), {to}, 1);
  };
  op("columns", Phase::Forward, "batch m -> batch n", {x}, a);
  op("whole", Phase::Forward, "batch n -> batch m", {a}, y);
  c.module.results = {y};
  auto dy = c.value("dy", "batch m", ValueKind::ResultGradient),
       dx = c.value("dx", "batch m");
  op("backward", Phase::BackwardInput, "batch m, batch n -> batch m", {dy, a},
     dx);
  c.module.argumentGradients = {dx};
  // The second and third op do not know the first one's columns.
  for (size_t i : {1, 2})
    for (LoopDim &loop : c.module.ops[i].loops)
      if (loop.name == "n")
        loop.name = "k";
  Workload model;
  model.globalBatch = 4;
  model.groups = {ParameterGroup{}};
  model.classes = {c.take()};
  model.runs = {{0, "gather", 1, {{-1, 0}}}};
  Diagnostics diags;
  REQUIRE(check(model, diags));
  const ModuleClass &module = model.classes[0];
  ShardedClass sharded = shard(model, module, mesh(2, 4, {"n"}));
  REQUIRE(sharded.copies.size() == 1);
  CHECK(sharded.copies[0].bytes == Bytes(4 * 64));
  CHECK(sharded.copies[0].inBackward);
  // One gathering serves both; its parts of rows are put in order.
  CHECK(list(module, sharded) == std::vector<std::string>{"all_gather a 256"});
  CHECK(sharded.transfers[0].staging == Bytes(256));
  ClassMemory memory =
      classMemory(model, module, sharded, residuals(module, Recompute::None));
  CHECK(memory.saved == Bytes(256));
  // The gathering: a's half, the whole in two orders, y.
  CHECK(memory.forwardTotal == Bytes(128 + 256 + 256 + 256));
  // Gathered again in the backward part, its half is kept instead.
  SavedForm again;
  again.gathersAgain = true;
  CHECK(classMemory(model, module, sharded, residuals(module, Recompute::None),
                    again)
            .saved == Bytes(128));
}

TEST_CASE("factored moments are a row and a column of each shard") {
  Workload model = gpt(shape());
  model.groups[0].slotBytes.clear();
  model.groups[0].factoredBytes = 4;
  ModuleClass &block = model.classes[1];
  int64_t whole = 0, halves = 0;
  for (Variable &variable : block.variables) {
    variable.factorCut = variable.extents.size() > 1;
    int64_t rows = variable.extents[0], columns = variable.elements() / rows;
    whole += variable.factorCut ? rows + columns : rows;
  }
  CHECK(stateBytes(model, block, shard(model, block, mesh(1, 4))).factored ==
        Bytes(4 * whole));
  // Megatron's halves: rows or columns of each matrix.
  ShardedClass half = shard(model, block, mesh(2, 4));
  for (size_t i = 0; i < block.variables.size(); ++i) {
    const Variable &variable = block.variables[i];
    int64_t rows = half.variableExtents[i][0];
    int64_t columns = half.variableElements[i] / rows;
    CHECK(rows * columns * (variable.factorCut ? 2 : 1) == variable.elements());
    halves += variable.factorCut ? rows + columns : rows;
  }
  CHECK(stateBytes(model, block, half).factored == Bytes(4 * halves));
  CHECK(halves < whole);
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
