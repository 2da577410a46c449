// Figures that Whale published (USENIX ATC'22, section 5), predicted from the
// speed of one GPU and the links of its testbed: nodes of 8 V100 or P100, 50
// Gb/s between them. The paper does not give batch sizes; 64 a GPU for
// ResNet-50 fits its own numbers. What is asserted is an order, or a ratio with
// the tolerance next to it; where the model misses more, the test says by how
// much.

#include "compiler/cost/CatalogueHardware.h"
#include "compiler/planner/Search.h"
#include "test/unit/planner/TinyModels.h"

#include <catch2/catch.hpp>

using namespace whale;
using namespace whale::planner;

namespace {

/// The catalogue's links, with devices of one stated speed each.
class Calibrated : public cost::CatalogueHardware {
public:
  Calibrated(const Cluster &cluster, std::vector<double> speeds)
      : CatalogueHardware(cluster), speeds(std::move(speeds)) {}
  Picoseconds opTime(unsigned type, const cost::OpWork &work) const override {
    return work.flops / FlopsPerSecond{speeds[type]};
  }
  std::vector<double> speeds;
};

Cluster clusterOf(const std::string &nodes) {
  Diagnostics diags;
  auto catalogue = Catalogue::load(diags);
  auto cluster =
      parseCluster(R"({"format_version": 1, "nodes": [)" + nodes +
                       R"(], "network": {"bandwidth_gigabits_per_second": 50,
              "latency_microseconds": 20}})",
                   "cluster.json", *catalogue, diags);
  INFO(diags.str());
  REQUIRE(cluster);
  return *cluster;
}

Cluster v100s(int64_t gpus) {
  return clusterOf(fmt::format(R"({{"gpus": {{"type": "v100-32", "count": 8}},
                                   "count": {}}})",
                               gpus / 8));
}

/// ResNet-50 as one product of its parameters and FLOPs (4.1 G multiplications
/// a picture) with 25 M activations a sample, and its classifier.
workload::Workload classifier(int64_t batch, int64_t classes) {
  using namespace workload;
  using K = OpKind;
  constexpr Phase F = Phase::Forward, I = Phase::BackwardInput,
                  W = Phase::BackwardWeight;
  std::map<std::string, int64_t> extents = {{"batch", batch},
                                            {"pixels", 10000},
                                            {"channels", 2048},
                                            {"classes", classes},
                                            {"maps", 25'000'000}};
  test::ClassBuilder b("backbone", extents, 4);
  const std::string in = "batch _pixels", out = "batch channels",
                    weights = "_pixels channels", maps = "batch maps";
  auto x = b.argument("x", "batch pixels"),
       w = b.variable("weights", "pixels channels"), m = b.value("maps", maps),
       y = b.value("y", out);
  b.op("convolve", K::Contraction, F, in + "," + weights + "->" + out, {x, w},
       {y}, 400);
  b.op("activate", K::Elementwise, F, out + "->batch _maps", {y}, {m}, 0);
  b.module.results = {y};
  auto dy = b.value("dy", out, ValueKind::ResultGradient);
  b.op("convolve.dw", K::Contraction, W,
       in + ",batch _maps," + out + "->" + weights, {x, m, dy},
       {b.gradientOf(w, "pixels channels")}, 0)
      .flopsPerPoint = 0;
  b.op("convolve.d", K::Contraction, W, in + "," + out + "->" + weights,
       {x, dy}, {b.gradientOf(w, "pixels channels")}, 800);

  test::ClassBuilder h("head", extents, 4);
  auto features = h.argument("features", out),
       labels = h.argument("labels", "batch", 4),
       table = h.variable("table", "channels classes");
  const std::string logits = "batch classes", fc = "channels classes";
  auto z = h.value("logits", logits), loss = h.value("loss", "batch"),
       lse = h.value("lse", "batch"), dz = h.value("dlogits", logits),
       dx = h.value("dfeatures", out);
  h.op("fc", K::Contraction, F, out + "," + fc + "->" + logits,
       {features, table}, {z}, 2);
  h.op("loss", K::Reduction, F, "batch _classes,batch->batch,batch",
       {z, labels}, {loss, lse}, 6)
      .expansionReductions = 2;
  h.op("loss.d", K::Elementwise, I, "batch classes,batch,batch->batch classes",
       {z, labels, lse}, {dz}, 4);
  h.op("fc.dx", K::Contraction, I, logits + "," + fc + "->" + out, {dz, table},
       {dx}, 2);
  h.op("fc.dw", K::Contraction, W, logits + "," + out + "->" + fc,
       {dz, features}, {h.gradientOf(table, fc)}, 2);
  h.module.argumentGradients[0] = dx;

  Workload model;
  model.modelName = "resnet50";
  model.modelHash = "0";
  model.globalBatch = batch;
  ParameterGroup group;
  group.name = "all";
  group.slotBytes = {4};
  model.groups = {group};
  model.classes = {b.take(), h.take()};
  model.runs = {{0, "backbone", 1, {{-1, 0}}},
                {1, "head", 1, {{0, 0}, {-1, 1}}}};
  return model;
}

/// One stage with replicas on all GPUs.
NormalForm replicas(int64_t gpus) {
  NormalForm form;
  Axis axis;
  axis.name = "r0";
  axis.size = gpus;
  form.outerAxes = 1;
  form.stages.resize(1);
  form.stages[0].axes = {axis};
  return form;
}

NormalForm withSplitHead(NormalForm form) {
  form.stages[0].axes[0].colocated = {{{"classes"}, {"head"}}};
  return form;
}

/// FLOP/s with which one GPU does the 319.4 pictures a second of Fig 13.
double speedOfOne() {
  return workload::stepFlops(classifier(64, 100'000)).asDouble() / 64 * 319.4;
}

Prediction predict(const workload::Workload &model,
                   const cost::Hardware &hardware, const NormalForm &form,
                   std::vector<int64_t> cuts, const DeviceMap &devices = {}) {
  CostTable table(model, hardware);
  return evaluate(table, {form, std::move(cuts), devices});
}

/// BertLarge as in EPL's script: micro-batches of 20 sentences of 384 tokens.
workload::Workload bertLarge(int64_t batch) {
  test::GptShape shape;
  shape.layers = 24, shape.hidden = 1024, shape.heads = 16;
  shape.sequence = 384, shape.vocabulary = 30522, shape.batch = batch;
  shape.elementBytes = 4;
  return test::gpt(shape);
}

/// Typical of products in float32: 60 % of a V100's 15.7 TFLOP/s.
constexpr double v100Speed = 0.6 * 15.7e12;

/// `replicas` of a pipeline of `stages` with layers cut evenly, the embedding
/// first and the head last.
Prediction pipelined(int64_t gpus, int64_t stages, int64_t microBatches) {
  Cluster cluster = v100s(gpus);
  Calibrated hardware(cluster, {v100Speed});
  int64_t data = gpus / stages;
  workload::Workload model = bertLarge(20 * microBatches * data);
  NormalForm form = replicas(data);
  form.microBatches = microBatches;
  form.stages.assign(stages, form.stages[0]);
  std::vector<int64_t> cuts = {0};
  for (int64_t s = 1; s < stages; ++s)
    cuts.push_back(1 + 24 * s / stages);
  cuts.push_back(26);
  return predict(model, hardware, form, cuts);
}

} // namespace

// Fig 13, pictures a second. Within a node 7 % off at most; over the network
// data parallelism waits up to a third more or less than in the paper (its 16
// GPUs do better than its 32 let expect), the split classifier is 9 % off.
TEST_CASE("100,000 classes: a split classifier beats data parallelism") {
  struct Row {
    int64_t gpus;
    double data, hybrid;
  };
  double before = 1;
  for (const Row &row :
       {Row{8, 2246, 2547}, Row{16, 2844, 4729}, Row{32, 3611, 8789}}) {
    Cluster cluster = v100s(row.gpus);
    Calibrated hardware(cluster, {speedOfOne()});
    workload::Workload model = classifier(64 * row.gpus, 100'000);
    NormalForm form = replicas(row.gpus);
    double data = predict(model, hardware, form, {0, 2}).samplesPerSecond;
    double hybrid =
        predict(model, hardware, withSplitHead(form), {0, 2}).samplesPerSecond;
    INFO(row.gpus << " GPUs: " << data << " and " << hybrid);
    CHECK(data == Approx(row.data).epsilon(row.gpus == 8 ? 0.07 : 0.30));
    CHECK(hybrid == Approx(row.hybrid).epsilon(0.09));
    // The more GPUs, the more it gains: 1.13, 1.66, 2.43 in the paper.
    CHECK(hybrid / data > before * 1.03);
    before = hybrid / data;
  }
  CHECK(before > 2);
}

TEST_CASE("the search finds Whale's split classifier by itself") {
  for (int64_t gpus : {8, 16, 32}) {
    Cluster cluster = v100s(gpus);
    Calibrated hardware(cluster, {speedOfOne()});
    workload::Workload model = classifier(64 * gpus, 100'000);
    Problem problem{model, hardware, {}};
    Diagnostics diags;
    REQUIRE(check(problem, diags));
    Answer answer = solve(problem, diags);
    REQUIRE(answer.plan);
    INFO(gpus << " GPUs: " << printStrategy(answer.plan->strategy));
    const NormalForm &found = answer.plan->chosen.form;
    REQUIRE(found.stages.size() == 1);
    CHECK(found.stages[0].axes.size() == 1);
    CHECK(found.stages[0].axes[0].colocated ==
          std::vector<ColocatedSplit>{{{"classes"}, {}}});
    CHECK(answer.plan->prediction.step <=
          predict(model, hardware, withSplitHead(replicas(gpus)), {0, 2}).step);
    problem.options.pins.vocabulary = 1;
    Answer without = solve(problem, diags);
    REQUIRE(without.plan);
    CHECK(without.plan->prediction.step > answer.plan->prediction.step);
  }
}

// Fig 14, with the speed of one GPU from Fig 13.
TEST_CASE("a million classes: only the split classifier fits") {
  for (auto [gpus, published] : {std::pair<int64_t, double>(8, 1730),
                                 std::pair<int64_t, double>(16, 3398),
                                 std::pair<int64_t, double>(32, 6577)}) {
    Cluster cluster = v100s(gpus);
    Calibrated hardware(cluster, {speedOfOne()});
    workload::Workload model = classifier(64 * gpus, 1'000'000);
    Prediction hybrid =
        predict(model, hardware, withSplitHead(replicas(gpus)), {0, 2});
    INFO(gpus << " GPUs: " << hybrid.samplesPerSecond);
    CHECK(hybrid.deficit() <= Bytes());
    CHECK(hybrid.samplesPerSecond == Approx(published).epsilon(0.10));
    // With momentum (3 x 8.2 GB of state) 1.5 % of the memory would be left:
    // the paper does not name its optimizer, nor what its framework needs.
    Prediction data = predict(model, hardware, replicas(gpus), {0, 2});
    CHECK(data.stages[0].memory.total().asDouble() >
          0.98 * data.stages[0].capacity.asDouble());
    model.groups[0].slotBytes = {4, 4};
    CHECK(predict(model, hardware, replicas(gpus), {0, 2}).deficit() > Bytes());
    CHECK(predict(model, hardware, withSplitHead(replicas(gpus)), {0, 2})
              .deficit() <= Bytes());
  }
}

// Fig 12: 6.6, 7.3, 5.0 on 8 GPUs; 12.5, 12.0, 9.9 on 16; 23.0, 23.3, 18.6 on
// 32. The number of micro-batches is not given; EPL's script has 10.
TEST_CASE("8 TaskGraphs are worse than 2 and 4") {
  for (int64_t gpus : {8, 16, 32})
    for (int64_t microBatches : {8, 10, 16}) {
      auto rate = [&](int64_t stages) {
        return pipelined(gpus, stages, microBatches).samplesPerSecond;
      };
      INFO(gpus << " GPUs, " << microBatches << " micro-batches: " << rate(2)
                << ", " << rate(4) << ", " << rate(8));
      CHECK(rate(8) < 0.9 * rate(2));
      CHECK(rate(8) < 0.9 * rate(4));
    }
}

namespace {

/// 8 V100 and 8 P100, at their data sheets' ratio of speeds.
Cluster mixedCluster() {
  return clusterOf(R"({"gpus": {"type": "v100-32", "count": 8}},
                      {"gpus": {"type": "p100-16", "count": 8}})");
}
const std::vector<double> mixedSpeeds = {v100Speed, 0.6 * 9.3e12};

} // namespace

// Fig 17: 1.30, 1.27 and 1.45 times as fast as equal batches for ResNet-50,
// GNMT and BertLarge.
TEST_CASE("unequal batches on V100 and P100 gain what Whale's did") {
  Cluster cluster = mixedCluster();
  Calibrated hardware(cluster, mixedSpeeds);
  workload::Workload model = bertLarge(16 * 20);
  CostTable table(model, hardware);
  NormalForm form = replicas(16);
  DeviceMap devices = deviceMaps(form, hardware).front();
  double equal = evaluate(table, {form, {0, 26}, devices}).samplesPerSecond;
  REQUIRE(setShares(table, form, devices, false));
  REQUIRE(!form.stages[0].axes[0].shares.empty());
  double ours = evaluate(table, {form, {0, 26}, devices}).samplesPerSecond;
  INFO(ours / equal);
  CHECK(ours / equal > 1.15);
  CHECK(ours / equal < 1.5);
}

// Fig 18: 4 stages, 2 replicas, 1.23 times as fast as layers cut evenly.
TEST_CASE("uneven stages on V100 and P100 gain what Whale's did") {
  Cluster cluster = clusterOf(R"({"gpus": {"type": "v100-32", "count": 4}},
                                 {"gpus": {"type": "p100-16", "count": 4}})");
  Calibrated hardware(cluster, mixedSpeeds);
  workload::Workload model = bertLarge(2 * 10 * 20);
  CostTable table(model, hardware);
  NormalForm form = replicas(2);
  form.microBatches = 10;
  form.stages.assign(4, form.stages[0]);
  double even = 0, ours = 0;
  for (const DeviceMap &devices : deviceMaps(form, hardware)) {
    if (devices.kind != DeviceMap::Kind::ByStage)
      continue;
    even = std::max(
        even,
        evaluate(table, {form, {0, 7, 13, 19, 26}, devices}).samplesPerSecond);
    if (CutResult best = bestCuts(table, form, devices); best.candidate)
      ours = std::max(ours, best.prediction.samplesPerSecond);
  }
  INFO(ours / even);
  CHECK(ours / even > 1.1);
  CHECK(ours / even < 1.4);
}
