#include "compiler/cost/CatalogueHardware.h"
#include "compiler/cost/ClassCost.h"
#include "compiler/cost/HandFusion.h"
#include "compiler/cost/LocalWork.h"
#include "test/unit/workload/Models.h"

#include <catch2/catch.hpp>

using namespace whale;
using namespace whale::cost;
using namespace whale::workload;

namespace {

/// A node of 8 A100 with neutral parameters.
struct Machine {
  Machine() {
    Diagnostics diags;
    auto catalogue = Catalogue::load(diags);
    auto read = parseCluster(
        R"({"format_version": 1, "preset": "dgx-a100", "nodes": 1})", "c.json",
        *catalogue, diags);
    INFO(diags.str());
    REQUIRE(read);
    cluster = std::move(*read);
    hardware.emplace(cluster);
    hardware->execution = {};
  }
  Stack &stack() { return hardware->execution.stack; }
  Parameters &parameters() { return hardware->execution.parameters; }
  const DeviceType &device() const { return cluster.classes[0].type.device; }

  Cluster cluster;
  std::optional<CatalogueHardware> hardware;
};

Workload model() {
  test::GptShape shape;
  shape.batch = 4, shape.sequence = 64, shape.hidden = 128, shape.heads = 4;
  shape.vocabulary = 256, shape.elementBytes = 2;
  return test::gpt(shape);
}

const ModuleClass &block(const Workload &workload) {
  return workload.classes[1];
}

ClassContext context(int64_t split) {
  ClassContext result;
  result.mesh.samples = 4;
  if (split > 1) {
    result.mesh.axes.push_back({split, {"heads", "ffn", "vocabulary"}});
    result.groups.push_back({0, split, 1});
  }
  return result;
}

OpWork attention() {
  OpWork work;
  work.kind = OpKind::Attention;
  work.precision = "bf16";
  work.flops = Flops(1'000'000'000'000);
  work.keys = 4096, work.headSize = 128;
  work.scores = 1e9;
  return work;
}

} // namespace

TEST_CASE("attention in one kernel reaches less of peak over short keys") {
  Machine machine;
  auto seconds = [&](int64_t keys) {
    OpWork work = attention();
    work.keys = keys;
    Picoseconds launch = machine.device().launchOverhead;
    return toSeconds(machine.hardware->opTime(0, work) - launch);
  };
  double whole = seconds(4096);
  CHECK(seconds(512) == Approx(whole));
  machine.parameters().attentionHalfLength = 512;
  CHECK(seconds(512) == Approx(2 * whole));
  CHECK(seconds(4096) == Approx(whole * 4608 / 4096));
}

TEST_CASE("scores in memory stream, and products of odd heads are slow") {
  Machine machine;
  machine.stack().attention = Attention::Unfused;
  machine.parameters().attentionProducts = 0.5;
  machine.parameters().unalignedProducts = 0.25;
  // What norms reach of the bandwidth is nothing to streams of scores.
  machine.parameters().memorySustained = 0.1;
  const DeviceType &device = machine.device();
  OpWork work = attention();
  double products = work.flops.asDouble() / (312e12 * 0.5);
  double scores =
      6.5 * 2 * 1e9 /
      (device.memoryBandwidth.value * device.achievableMemoryFraction);
  double launches = 6 * toSeconds(device.launchOverhead);
  CHECK(toSeconds(machine.hardware->opTime(0, work)) ==
        Approx(products + scores + launches));
  work.headSize = 150;
  CHECK(toSeconds(machine.hardware->opTime(0, work)) ==
        Approx(4 * products + scores + launches));
}

TEST_CASE("products on rows of an odd length are slow, where they are kept") {
  Machine machine;
  machine.parameters().oddProducts = 0.5;
  auto flops = [](int64_t vocabulary, int64_t split) {
    test::GptShape shape;
    shape.batch = 4, shape.sequence = 256, shape.hidden = 512, shape.heads = 4;
    shape.vocabulary = vocabulary, shape.elementBytes = 2;
    Workload workload = test::gpt(shape);
    workload.precision = "bf16";
    const ModuleClass &head = workload.classes.back();
    LocalMesh mesh = context(split).mesh;
    ShardedClass sharded = shard(workload, head, mesh);
    std::vector<bool> all(head.values.size(), true);
    int64_t odd = 0;
    for (uint32_t i = 0; i < head.ops.size(); ++i)
      odd += localWork(workload, head, sharded, i, all).oddRows;
    return odd;
  };
  // The logits, and the products for both gradients.
  CHECK(flops(8191, 1) == 3);
  CHECK(flops(8192, 1) == 0);
  // Shards are padded.
  CHECK(flops(8191, 2) == 0);
  OpWork work;
  work.kind = OpKind::Contraction;
  work.batch = 1, work.m = work.n = work.k = 8192;
  work.flops = Flops(2 * 8192LL * 8192 * 8192);
  work.oddRows = true;
  auto seconds = [&](std::string_view precision, bool keeps) {
    machine.stack().keepsOddRows = keeps;
    work.precision = precision;
    return toSeconds(machine.hardware->opTime(0, work) -
                     machine.device().launchOverhead);
  };
  CHECK(seconds("bf16", true) == Approx(2 * seconds("bf16", false)));
  CHECK(seconds("tf32", true) == Approx(seconds("tf32", false)));
}

TEST_CASE("products with a scale for each row are slower, in 8 bits") {
  Machine machine;
  OpWork work;
  work.kind = OpKind::Contraction;
  work.batch = 1, work.m = work.n = work.k = 8192;
  work.flops = Flops(2 * 8192LL * 8192 * 8192);
  machine.parameters().rowScaledProducts = 0.5;
  auto seconds = [&](std::string_view precision, bool rows) {
    machine.stack().scalesRows = rows;
    work.precision = precision;
    return toSeconds(machine.hardware->opTime(0, work) -
                     machine.device().launchOverhead);
  };
  CHECK(seconds("fp8", true) == Approx(2 * seconds("fp8", false)));
  CHECK(seconds("bf16", true) == Approx(seconds("bf16", false)));
}

TEST_CASE("the host issues gradients faster, and split ranks wait") {
  Workload workload = model();
  Machine machine;
  machine.stack().dispatch = Dispatch::Fine;
  Parameters &parameters = machine.parameters();
  // So slow that nothing else counts.
  parameters.dispatchFineSeconds = 1;
  parameters.dispatchBackward = 0.5;
  auto cost = [&](Recompute mode, int64_t split) {
    ClassContext asked = context(split);
    asked.recompute = mode;
    return classCost(workload, block(workload), asked, *machine.hardware);
  };
  ClassCost none = cost(Recompute::None, 1);
  double forward = static_cast<double>(none.forwardKernels);
  double backward = static_cast<double>(none.backwardKernels);
  CHECK(toSeconds(none.forward) == Approx(forward));
  CHECK(toSeconds(none.backward) == Approx(backward / 2));
  // What is repeated is issued like the forward part.
  ClassCost full = cost(Recompute::Full, 1);
  double repeated = static_cast<double>(full.backwardKernels) - backward;
  CHECK(repeated > 0);
  CHECK(toSeconds(full.backward) == Approx(repeated + backward / 2));
  // 4 ranks are two doublings.
  parameters.dispatchJitter = 0.1;
  ClassCost four = cost(Recompute::None, 4);
  CHECK(toSeconds(four.forward) ==
        Approx(1.2 * static_cast<double>(four.forwardKernels)));
}

TEST_CASE("ranks that hold the same value send a share each") {
  Workload workload = model();
  Machine machine;
  auto message = [&] {
    return classCost(workload, block(workload), context(4), *machine.hardware)
        .messages.at(0);
  };
  // 4 samples of 64 x 128 elements of 2 bytes.
  const Bytes stream(4 * 64 * 128 * 2);
  CHECK(message().forward == stream);
  CHECK(message().gatherForward == Picoseconds());
  machine.stack().scattersMessages = true;
  Message shared = message();
  CHECK(shared.forward == Bytes(stream.value() / 4));
  CHECK(shared.backward == shared.forward);
  CHECK(shared.gatherForward ==
        machine.hardware->collectiveTime({0, 4, 1}, CollectiveKind::AllGather,
                                         stream));
}

TEST_CASE("inputs of products are kept in 8 bits") {
  Workload workload = model();
  workload.precision = "fp8";
  const ModuleClass &module = block(workload);
  Machine machine;
  auto saved = [&] {
    return classCost(workload, module, context(1), *machine.hardware)
        .memory->saved;
  };
  Bytes wide = saved();
  machine.stack().keepsNarrow = true;
  // By hand: what is saved and read in the backward part by products alone.
  ResidualPlan plan = residuals(module, Recompute::None);
  Bytes halves;
  for (uint32_t v : plan.saved) {
    bool onlyProducts = true;
    for (const Op &op : module.ops)
      for (const Access &operand : op.operands)
        if (operand.value == v && op.phase != Phase::Forward)
          onlyProducts &= op.kind == OpKind::Contraction;
    if (onlyProducts)
      halves += Bytes(module.values[v].elements());
  }
  CHECK(halves > Bytes());
  CHECK(saved() == wide - halves);
  // Not where the layers are in 16 bits.
  workload.precision = "bf16";
  CHECK(saved() == wide);
}

TEST_CASE("scores of attention are kept unless they are repeated") {
  Workload workload = model();
  // As importers name it: no dimension of the scores.
  for (Op &op : workload.classes[1].ops)
    for (LoopDim &loop : op.loops)
      if (op.kind == OpKind::Attention && loop.name.ends_with("head_dim"))
        loop.name = "head";
  Machine machine;
  auto memory = [&](Recompute mode) {
    ClassContext asked = context(1);
    asked.recompute = mode;
    return *classCost(workload, block(workload), asked, *machine.hardware)
                .memory;
  };
  Bytes none = memory(Recompute::None).saved;
  Bytes full = memory(Recompute::Full).saved;
  machine.stack().attention = Attention::Unfused;
  // 5 bytes for each of 4 samples, 4 heads and 64 x 64 positions.
  Bytes scores(5LL * 4 * 4 * 64 * 64);
  CHECK(memory(Recompute::None).saved == none + scores);
  CHECK(memory(Recompute::Full).saved == full);
}

TEST_CASE("masks of dropout are kept unless their layer is repeated") {
  Workload workload = model();
  // As if the activation were a dropout: 4 samples, 64 positions, 512 wide.
  for (Op &op : workload.classes[1].ops)
    op.random = op.name == "gelu";
  Machine machine;
  auto memory = [&](Recompute mode, int64_t split = 1) {
    ClassContext asked = context(split);
    asked.recompute = mode;
    return *classCost(workload, block(workload), asked, *machine.hardware)
                .memory;
  };
  ClassMemory none = memory(Recompute::None), half = memory(Recompute::None, 2);
  ClassMemory full = memory(Recompute::Full);
  machine.stack().keepsMasks = true;
  Bytes mask(4LL * 64 * 512);
  CHECK(memory(Recompute::None).saved == none.saved + mask);
  CHECK(memory(Recompute::None).backwardTotal == none.backwardTotal + mask);
  // The width is split, and the mask with it.
  CHECK(memory(Recompute::None, 2).saved ==
        half.saved + Bytes(mask.value() / 2));
  CHECK(memory(Recompute::Full).saved == full.saved);
  CHECK(memory(Recompute::Full).backwardTransient ==
        full.backwardTransient + mask);
}

TEST_CASE("projections of one input are one product, without sums") {
  Workload workload = model();
  const ModuleClass &module = block(workload);
  Stack stack;
  HandFusion alone(module, stack);
  stack.joinsProducts = true;
  HandFusion joined(module, stack);
  size_t groups = 0;
  for (uint32_t i = 0; i < module.ops.size(); ++i) {
    CHECK(alone.joined(i).empty());
    CHECK(!alone.isAbsent(i));
    std::span<const uint32_t> parts = joined.joined(i);
    groups += !parts.empty() && parts.front() == i;
    for (uint32_t part : parts) {
      CHECK(module.ops[part].kind == OpKind::Contraction);
      CHECK(module.ops[part].phase == module.ops[i].phase);
    }
    if (!parts.empty())
      CHECK(
          joined.isAddedFirst(i) ==
          (module.ops[i].phase == Phase::BackwardInput && parts.front() != i));
  }
  INFO(groups);
  // Fewer kernels never take longer.
  Machine machine;
  ClassCost before = classCost(workload, module, context(1), *machine.hardware);
  machine.stack() = stack;
  ClassCost after = classCost(workload, module, context(1), *machine.hardware);
  CHECK(after.forward <= before.forward);
  CHECK(after.backward <= before.backward);
  CHECK(after.flops == before.flops);
  CHECK((groups == 0) == (after.forwardKernels == before.forwardKernels));
}

TEST_CASE("a joined product has the size of its parts") {
  OpWork part;
  part.flops = Flops(100);
  part.bytes = Bytes(10);
  part.batch = 1, part.m = 5, part.n = 7, part.k = 11;
  std::vector<OpWork> parts = {part, part, part};
  OpWork columns = joinedWork(parts, false), depth = joinedWork(parts, true);
  CHECK(columns.n == 21);
  CHECK(columns.k == 11);
  CHECK(depth.n == 7);
  CHECK(depth.k == 33);
  CHECK(columns.flops == Flops(300));
  CHECK(depth.bytes == Bytes(30));
}

TEST_CASE("buffers that are filled first double the host's time") {
  Workload workload = model();
  Machine machine;
  machine.stack().dispatch = Dispatch::Fine;
  machine.parameters().dispatchFineSeconds = 1e-3;
  ClassCost once =
      classCost(workload, block(workload), context(1), *machine.hardware);
  machine.stack().fillsBuffers = true;
  ClassCost twice =
      classCost(workload, block(workload), context(1), *machine.hardware);
  CHECK(twice.forward == once.forward * 2);
}

TEST_CASE("filling a buffer takes a kernel and its traffic") {
  Workload workload = model();
  const ModuleClass &module = block(workload);
  Machine machine;
  auto forward = [&] {
    return classCost(workload, module, context(1), *machine.hardware).forward;
  };
  Picoseconds before = forward(), fills;
  // By hand: of the forward part, what lies in memory.
  ResidualPlan plan = residuals(module, Recompute::None);
  for (const Op &op : module.ops) {
    uint32_t made = op.results.front().value;
    bool isKept =
        std::binary_search(plan.saved.begin(), plan.saved.end(), made);
    if (op.phase != Phase::Forward || (op.fused && !isKept))
      continue;
    double bandwidth = machine.device().memoryBandwidth.value *
                       machine.device().achievableMemoryFraction;
    Bytes bytes;
    for (const Access &result : op.results)
      bytes += Bytes(module.values[result.value].bytes());
    fills +=
        machine.device().launchOverhead + bytes / BytesPerSecond{bandwidth};
  }
  CHECK(fills > Picoseconds());
  machine.stack().fillsBuffers = true;
  CHECK(forward().value() == (before + fills).value());
}

TEST_CASE("packed examples, 8-bit and older attention") {
  Machine machine;
  machine.parameters().attentionForward = 0.5;
  OpWork work = attention();
  work.keys = 4096;
  Picoseconds whole = machine.hardware->opTime(0, work);
  machine.stack().packedTokens = 512;
  Picoseconds launch = machine.device().launchOverhead;
  CHECK((whole - launch).value() / 8 ==
        Approx((machine.hardware->opTime(0, work) - launch).value()));
  machine.stack() = {};
  machine.stack().narrowAttention = true;
  CHECK(machine.hardware->opTime(0, work) < whole);
  machine.stack() = {};
  machine.stack().attention = Attention::Portable;
  Picoseconds second = machine.hardware->opTime(0, work);
  machine.stack().attention = Attention::PortableFirst;
  CHECK(machine.hardware->opTime(0, work) > second);
}

TEST_CASE("a loss on float32 logits moves and keeps more") {
  Workload workload = model();
  const ModuleClass &head = workload.classes.back();
  Machine machine;
  auto cost = [&](int64_t bytes) {
    machine.stack().logitCopyBytes = bytes;
    return classCost(workload, head, context(1), *machine.hardware);
  };
  ClassCost none = cost(0), one = cost(4), two = cost(8);
  // 4 samples of 64 positions and 256 words.
  constexpr int64_t logits = 4 * 64 * 256;
  CHECK(one.memory->backwardTransient ==
        none.memory->backwardTransient + Bytes(4 * logits));
  CHECK(two.memory->backwardTransient ==
        none.memory->backwardTransient + Bytes(8 * logits));
  CHECK(one.forward > none.forward);
  CHECK(one.backward >= none.backward);
  CHECK(two.forward == one.forward);
  // In place of the logits of 2 bytes: they go when the copy is there.
  machine.stack().replacesLogits = true;
  ClassCost replaced = cost(4);
  CHECK(replaced.memory->saved == none.memory->saved + Bytes(2 * logits));
  CHECK(replaced.memory->backwardTransient == none.memory->backwardTransient);
  CHECK(replaced.memory->backwardTotal ==
        none.memory->backwardTotal + Bytes(2 * logits));
  CHECK(replaced.memory->backwardOnce == one.memory->backwardOnce);
}

TEST_CASE("elementwise kernels of a framework move more bytes") {
  Machine machine;
  OpWork work;
  work.kind = OpKind::Elementwise;
  work.precision = "bf16";
  work.bytes = Bytes(1'000'000'000);
  auto moving = [&] {
    return toSeconds(machine.hardware->opTime(0, work) -
                     machine.device().launchOverhead);
  };
  double once = moving();
  machine.parameters().unfusedTraffic = 1.5;
  CHECK(moving() == Approx(once));
  machine.stack().fusedElementwise = false;
  CHECK(moving() == Approx(1.5 * once));
  // Copies in float32 of what has 16 bits.
  machine.stack().widensElementwise = true;
  CHECK(moving() == Approx(3 * once));
  work.precision = "f32";
  CHECK(moving() == Approx(1.5 * once));
}

TEST_CASE("collectives of splits are hidden where they overlap") {
  Workload workload = model();
  Machine machine;
  machine.parameters().splitOverlap = 0.5;
  auto communication = [&](double share) {
    machine.stack().overlappedSplits = share;
    ClassCost cost =
        classCost(workload, block(workload), context(4), *machine.hardware);
    return toSeconds(cost.forwardCommunication);
  };
  double whole = communication(0);
  CHECK(whole > 0);
  CHECK(communication(1) == Approx(0.5 * whole));
  CHECK(communication(0.5) == Approx(0.75 * whole));
}

TEST_CASE("sequence parallelism gathers in 8 bits, and again") {
  Workload workload = model();
  workload.precision = "fp8";
  Machine machine;
  ClassContext asked = context(4);
  asked.mesh.axes[0].dims.insert(asked.mesh.axes[0].dims.end(),
                                 {"sequence", "keys"});
  auto cost = [&] {
    return classCost(workload, block(workload), asked, *machine.hardware);
  };
  ClassCost wide = cost();
  machine.stack().gathersNarrow = true;
  ClassCost narrow = cost();
  CHECK(narrow.forwardCommunication < wide.forwardCommunication);
  // As many bytes are counted; 16 bits go back.
  CHECK(narrow.memory->saved == wide.memory->saved);
  machine.stack().gathersNarrow = false;
  machine.stack().gathersAgain = true;
  ClassCost again = cost();
  // Both gathered inputs of products: 4 samples x 64 x 128, of which a quarter
  // is kept in any case.
  CHECK(again.memory->saved < wide.memory->saved);
  CHECK(again.forward == wide.forward);
}

TEST_CASE("an epilogue spares a kernel of its own") {
  Workload workload = model();
  ModuleClass module = block(workload);
  Machine machine;
  auto kernels = [&] {
    return classCost(workload, module, context(1), *machine.hardware)
        .forwardKernels;
  };
  // A bias behind the first product of one reader.
  size_t product = 0;
  while (module.ops[product].name != "fc1")
    ++product;
  Op bias;
  bias.name = "bias";
  bias.kind = OpKind::Elementwise;
  bias.linearity = Linearity::Joint;
  const Access made = module.ops[product].results.front();
  const Value like = module.values[made.value];
  module.values.push_back(like);
  uint32_t sum = static_cast<uint32_t>(module.values.size() - 1);
  for (int64_t extent : like.extents) {
    LoopDim loop;
    loop.extent = extent;
    bias.loops.push_back(loop);
  }
  std::vector<std::vector<uint32_t>> dims;
  for (uint32_t d = 0; d < like.extents.size(); ++d)
    dims.push_back({d});
  bias.operands = {{made.value, dims}};
  bias.results = {{sum, dims}};
  for (Op &op : module.ops)
    for (Access &operand : op.operands)
      if (operand.value == made.value)
        operand.value = sum;
  module.ops.insert(module.ops.begin() + static_cast<int64_t>(product) + 1,
                    bias);
  auto alone = kernels();
  machine.stack().addsBiasInProducts = true;
  CHECK(kernels() == alone - 1);
}

TEST_CASE("the backward kernels of activations read less") {
  Workload workload = model();
  Machine machine;
  auto cost = [&](bool repeats) {
    machine.stack().repeatsActivations = repeats;
    return classCost(workload, block(workload), context(1), *machine.hardware);
  };
  ClassCost read = cost(false), repeated = cost(true);
  CHECK(repeated.memory->saved <= read.memory->saved);
  CHECK(repeated.flops == read.flops);
}

TEST_CASE("a selection by operator keeps every second product") {
  Workload workload = model();
  Machine machine;
  auto cost = [&](Recompute mode, bool second) {
    machine.stack().keepsSecondProducts = second;
    ClassContext asked = context(1);
    asked.recompute = mode;
    return classCost(workload, block(workload), asked, *machine.hardware);
  };
  ClassCost none = cost(Recompute::None, true),
            half = cost(Recompute::Selective, true),
            full = cost(Recompute::Full, true);
  // Between keeping all and keeping nothing.
  CHECK(full.memory->saved < half.memory->saved);
  CHECK(half.memory->saved < none.memory->saved);
  CHECK(none.recompute < half.recompute);
  CHECK(half.recompute < full.recompute);
  CHECK(cost(Recompute::None, false).memory->saved == none.memory->saved);
}
