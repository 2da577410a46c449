// Other planners' published profiles, asked of ours: the cuts of PipeDream's
// straight pipelines, and DAPPLE's plans for 16 V100 on three clusters under
// its own objective.

#include "compiler/planner/Partition.h"
#include "compiler/planner/Search.h"
#include "test/unit/planner/Profile.h"
#include "test/unit/planner/RoundHardware.h"

#include <catch2/catch.hpp>

#include <numeric>

using namespace whale;
using namespace whale::planner;
using test::Profile;
using test::ProfiledLayer;

namespace {

const char *const profiles[] = {
    "dapple-vgg-19",  "dapple-bert-48",  "dapple-xlnet-36", "dapple-amoeba-36",
    "dapple-gnmt-16", "pipedream-vgg16", "piper-bert-32"};

/// The least maximum time of `stages` contiguous stages of at most `memory`
/// bytes of parameters each, by dynamic programming over all cuts (PipeDream,
/// SOSP'19, section 3.1, without replicas); -1 where none fits.
int64_t bestBottleneck(const std::vector<ProfiledLayer> &layers, int64_t stages,
                       int64_t memory) {
  constexpr int64_t none = std::numeric_limits<int64_t>::max();
  size_t n = layers.size();
  std::vector<int64_t> best(n + 1, none);
  best[0] = 0;
  for (int64_t s = 0; s < stages; ++s) {
    std::vector<int64_t> next(n + 1, none);
    for (size_t end = 1; end <= n; ++end) {
      int64_t time = 0, bytes = 0;
      for (size_t first = end; first-- > 0;) {
        time += layers[first].time();
        bytes += layers[first].parameterBytes;
        if (bytes > memory)
          break;
        if (best[first] != none)
          next[end] = std::min(next[end], std::max(best[first], time));
      }
    }
    best = std::move(next);
  }
  return best[n] == none ? -1 : best[n];
}

} // namespace

TEST_CASE("cuts of profiled layers are as good as PipeDream's recurrence") {
  for (const char *name : profiles) {
    Profile profile = test::readProfile(name);
    std::vector<ProfiledLayer> layers = profile.unrolled();
    for (int64_t stages : {2, 3, 4, 8, 16})
      // Without a limit, and with little more memory than there must be.
      for (int64_t memory :
           {profile.parameterBytes(), profile.parameterBytes() * 5 / 4 / stages,
            profile.parameterBytes() * 2 / stages}) {
        INFO(name << ", " << stages << " stages, " << memory << " bytes");
        PartitionProblem problem;
        std::vector<Picoseconds> times;
        for (const ProfiledLayer &layer : profile.layers) {
          problem.counts.push_back(layer.count);
          times.push_back(Picoseconds(layer.time()));
        }
        problem.times.assign(stages, times);
        problem.fits = [&](unsigned, int64_t first, int64_t last) {
          int64_t bytes = 0;
          for (int64_t i = first; i < last; ++i)
            bytes += layers[i].parameterBytes;
          return bytes <= memory;
        };
        std::optional<Partition> found = partition(problem);
        int64_t best = bestBottleneck(layers, stages, memory);
        REQUIRE(found.has_value() == (best >= 0));
        if (found)
          CHECK(found->bottleneck.value() == best);
      }
  }
}

namespace {

/// 16 V100 as DAPPLE's planner has them (src/environment of AlibabaPAI/DAPPLE):
/// NVLink of 25 GB/s, of which an all-reduce within a node uses half as many as
/// it has GPUs; between nodes all-reduces and messages at rates of their own.
class DappleCluster : public test::RoundHardware {
public:
  /// `perNode` GPUs a node, a network `slower` than 25 Gb/s.
  DappleCluster(int64_t perNode, double slower)
      : RoundHardware({{"v100", 1e9, 1e30}}, {{0, 16, perNode}}),
        reduces(3e9 / slower), sends(1e9 / slower), perNode(perNode) {}

  Picoseconds collectiveTime(const cost::Group &group, CollectiveKind,
                             Bytes bytes) const override {
    return seconds(allReduce(group.size, isLocal(group), bytes.asDouble()));
  }
  Picoseconds sendTime(int64_t from, int64_t to, int64_t,
                       Bytes bytes) const override {
    return seconds(send(nodeOf(from) != nodeOf(to), bytes.asDouble()));
  }
  double allReduce(int64_t size, bool local, double bytes) const {
    if (size == 1)
      return 0;
    auto n = static_cast<double>(size);
    double moved = bytes * 2 * (n - 1) / n;
    return local ? moved / nvlink / static_cast<double>(size / 2)
                 : moved / reduces;
  }
  double send(bool crosses, double bytes) const {
    return bytes / (crosses ? sends : nvlink);
  }
  bool isLocal(const cost::Group &group) const {
    return nodeOf(group.first) ==
           nodeOf(group.first + group.stride * (group.size - 1));
  }

private:
  static Picoseconds seconds(double time) {
    return picosecondsFromSeconds(time);
  }
  static constexpr double nvlink = 25e9;
  double reduces, sends;

public:
  int64_t perNode;
};

/// What DAPPLE chooses: layers and replicas of each stage; all stages but the
/// only one lie in nodes of their own where they fit.
struct DapplePlan {
  std::vector<int64_t> layers, replicas;
};

/// DAPPLE's pipeline latency (PPoPP'21, section 4.2): warm-up, steady phase of
/// the pivot stage, and the end with gradients' synchronisation; messages are
/// stages, too. Seconds.
double dappleLatency(const std::vector<ProfiledLayer> &layers,
                     const DapplePlan &plan, const DappleCluster &cluster,
                     int64_t batch, int64_t microBatches) {
  std::vector<double> forward, backward, reduce;
  double samples = static_cast<double>(batch) / microBatches;
  size_t at = 0;
  for (size_t s = 0; s < plan.layers.size(); ++s) {
    double f = 0, b = 0, bytes = 0;
    for (int64_t i = 0; i < plan.layers[s]; ++i, ++at) {
      f += static_cast<double>(layers[at].forward) / 1e9;
      b += static_cast<double>(layers[at].backward) / 1e9;
      bytes += static_cast<double>(layers[at].parameterBytes);
    }
    auto replicas = static_cast<double>(plan.replicas[s]);
    forward.push_back(f * samples / replicas);
    backward.push_back(b * samples / replicas);
    reduce.push_back(cluster.allReduce(
        plan.replicas[s], plan.replicas[s] <= cluster.perNode, bytes));
    if (s + 1 == plan.layers.size())
      break;
    double sent = cluster.send(
        true,
        samples * static_cast<double>(layers[at - 1].sentBytes) / replicas);
    forward.push_back(sent);
    backward.push_back(sent);
    reduce.push_back(0);
  }
  size_t stages = forward.size(), pivot = stages - 1;
  double rounds = static_cast<double>(microBatches - 1);
  auto between = [&](size_t first, size_t last) {
    double sum = 0;
    for (size_t s = first; s < last; ++s)
      sum += forward[s] + backward[s];
    return sum;
  };
  for (size_t s = stages - 1; s-- > 0;)
    if (rounds * (forward[s] + backward[s]) >
        rounds * (forward[pivot] + backward[pivot]) + between(s + 1, pivot))
      pivot = s;
  double warmUp = 0, ending = 0, after = 0;
  for (size_t s = 0; s <= pivot; ++s)
    warmUp += forward[s];
  for (size_t s = pivot + 1; s-- > 0;) {
    after += backward[s];
    ending = std::max(ending, reduce[s] + after);
  }
  after = 0;
  for (size_t s = pivot + 1; s < stages; ++s) {
    after += backward[s];
    ending = std::max(ending, reduce[s] - after + backward[pivot]);
  }
  return warmUp + rounds * (forward[pivot] + backward[pivot]) + ending;
}

/// The least latency of a plan over the numbers of micro-batches that give
/// every replica whole samples.
double bestLatency(const std::vector<ProfiledLayer> &layers,
                   const DapplePlan &plan, const DappleCluster &cluster,
                   int64_t batch) {
  double best = std::numeric_limits<double>::max();
  int64_t most = *std::max_element(plan.replicas.begin(), plan.replicas.end());
  for (int64_t m = 1; m * most <= batch; ++m)
    if (batch % m == 0)
      best = std::min(best, dappleLatency(layers, plan, cluster, batch, m));
  return best;
}

Plan planFor(const workload::Workload &model, const DappleCluster &cluster) {
  Problem problem{model, cluster, {}};
  problem.options.pins.recompute = Recompute::None;
  problem.options.pins.zero = 0;
  Diagnostics diags;
  REQUIRE(check(problem, diags));
  Answer answer = solve(problem, diags);
  INFO(diags.str());
  REQUIRE(answer.plan);
  return *answer.plan;
}

/// Layers of each stage of a pipeline without replicas, cut for the least
/// bottleneck.
std::vector<int64_t> straightCuts(const std::vector<ProfiledLayer> &layers,
                                  size_t stages) {
  int64_t limit = bestBottleneck(layers, static_cast<int64_t>(stages),
                                 std::numeric_limits<int64_t>::max());
  std::vector<int64_t> counts = {0};
  int64_t time = 0, left = static_cast<int64_t>(layers.size());
  for (const ProfiledLayer &layer : layers) {
    auto after = static_cast<int64_t>(stages - counts.size());
    if (counts.back() > 0 && (time + layer.time() > limit || left <= after)) {
      counts.push_back(0);
      time = 0;
    }
    ++counts.back();
    time += layer.time();
    --left;
  }
  return counts;
}

DapplePlan asDapple(const Plan &plan) {
  DapplePlan result;
  for (size_t s = 0; s < plan.chosen.form.stages.size(); ++s) {
    result.layers.push_back(plan.chosen.cuts[s + 1] - plan.chosen.cuts[s]);
    result.replicas.push_back(
        plan.chosen.form.stages[s].degree(AxisKind::Replica));
  }
  return result;
}

const DappleCluster clusterA(8, 1), clusterB(1, 1), clusterC(1, 3);

} // namespace

// Speed-ups over one GPU that DAPPLE prints for plain data parallelism (figure
// 11); its cluster C has a third of the rates of 25 Gb/s.
TEST_CASE("data parallelism on DAPPLE's profiles is as fast as it says") {
  struct Measured {
    const char *profile;
    int64_t batch;
    const DappleCluster &cluster;
    double published;
  };
  for (const Measured &row :
       {Measured{"dapple-vgg-19", 2048, clusterA, 10.1},
        Measured{"dapple-vgg-19", 2048, clusterC, 5.8},
        Measured{"dapple-xlnet-36", 128, clusterC, 6.3}}) {
    Profile profile = test::readProfile(row.profile);
    workload::Workload model = test::workloadOf(profile, row.batch);
    CostTable table(model, row.cluster);
    Choice choice;
    choice.data = 16;
    Candidate candidate{
        formOf(choice, {}), {0, workload::instanceCount(model)}, {}};
    double one = static_cast<double>(profile.samplesTime() * row.batch) / 1e9;
    double gain = one / toSeconds(evaluate(table, candidate).step);
    INFO(row.profile << ": " << gain);
    CHECK(gain == Approx(row.published).epsilon(0.03));
  }
}

namespace {

struct Published {
  const char *profile;
  int64_t batch;
  const DappleCluster &cluster;
  DapplePlan plan;
};

/// A published plan beside ours: seconds under DAPPLE's objective, and on our
/// simulator.
struct Compared {
  double ours = 0, theirs = 0, oursSimulated = 0, theirsSimulated = 0;
};

/// A stage's replicas with shares that are as equal as whole samples of every
/// micro-batch can be.
StageForm stageOf(int64_t replicas, int64_t batch, int64_t microBatches) {
  Choice choice;
  choice.data = replicas;
  StageForm stage = formOf(choice, {}).stages.front();
  int64_t samples = batch / microBatches;
  for (int64_t i = 0; i < replicas && samples % replicas > 0; ++i)
    stage.axes.front().shares.push_back(
        (samples / replicas + (i < samples % replicas)) * microBatches);
  return stage;
}

/// The published plan with the best number of micro-batches.
double simulated(const workload::Workload &model, const DapplePlan &plan,
                 const DappleCluster &cluster) {
  CostTable table(model, cluster);
  NormalForm form;
  std::vector<int64_t> cuts = {0};
  for (int64_t count : plan.layers)
    cuts.push_back(cuts.back() + count);
  double best = std::numeric_limits<double>::max();
  int64_t most = *std::max_element(plan.replicas.begin(), plan.replicas.end());
  for (int64_t m = 1; m * most <= model.globalBatch; m *= 2) {
    form.microBatches = m;
    form.stages.clear();
    for (int64_t replicas : plan.replicas)
      form.stages.push_back(stageOf(replicas, model.globalBatch, m));
    best = std::min(best, toSeconds(evaluate(table, {form, cuts, {}}).step));
  }
  return best;
}

Compared compare(const Published &row) {
  Profile profile = test::readProfile(row.profile);
  std::vector<ProfiledLayer> layers = profile.unrolled();
  workload::Workload model = test::workloadOf(profile, row.batch);
  Plan plan = planFor(model, row.cluster);
  DapplePlan published = row.plan;
  if (published.layers.empty())
    published.layers = straightCuts(layers, published.replicas.size());
  REQUIRE(std::accumulate(published.layers.begin(), published.layers.end(),
                          size_t(0)) == layers.size());
  Compared result;
  result.ours = dappleLatency(layers, asDapple(plan), row.cluster, row.batch,
                              plan.chosen.form.microBatches);
  result.theirs = bestLatency(layers, published, row.cluster, row.batch);
  result.oursSimulated = toSeconds(plan.prediction.step);
  result.theirsSimulated = simulated(model, published, row.cluster);
  UNSCOPED_INFO(row.profile << ": " << result.ours << " s, published "
                            << result.theirs << " s; on our simulator "
                            << result.oursSimulated << " and "
                            << result.theirsSimulated << " s; ours is "
                            << printStrategy(plan.strategy));
  return result;
}

const std::vector<int64_t> straight(16, 1);

} // namespace

// Table 3 of the paper. The published split is in layers of the model; here
// with the embeddings and losses around them.
TEST_CASE("no plan of DAPPLE's with equal replicas beats ours") {
  int clear = 0;
  for (const Published &row : {
           Published{"dapple-vgg-19", 2048, clusterA, {{25}, {16}}},
           Published{"dapple-vgg-19", 2048, clusterB, {{25}, {16}}},
           Published{"dapple-gnmt-16", 1024, clusterA, {{18, 15}, {8, 8}}},
           Published{"dapple-gnmt-16", 1024, clusterB, {{18, 15}, {8, 8}}},
           Published{"dapple-gnmt-16", 1024, clusterC, {{}, straight}},
           Published{"dapple-bert-48", 64, clusterA, {{25, 26}, {8, 8}}},
           Published{"dapple-bert-48", 64, clusterB, {{}, straight}},
           Published{"dapple-bert-48", 64, clusterC, {{}, straight}},
           Published{"dapple-xlnet-36", 128, clusterA, {{22, 19}, {8, 8}}},
           Published{"dapple-xlnet-36", 128, clusterB, {{22, 19}, {8, 8}}},
           Published{"dapple-xlnet-36", 128, clusterC, {{}, straight}},
           Published{"dapple-amoeba-36", 128, clusterA, {{28, 15}, {8, 8}}},
       }) {
    Compared both = compare(row);
    CHECK(both.oursSimulated <= both.theirsSimulated);
    // Their objective has messages that never keep a stage waiting, also for
    // the last micro-batch's way back. Two plans of ours that look worse by
    // it (BERT and XLNet on B, by up to 17 %) are faster where they do, BERT's
    // by 13 %.
    CHECK(both.ours <= 1.18 * both.theirs);
    clear += both.ours <= both.theirs * (1 + 1e-9);
  }
  CHECK(clear >= 10);
}

// On 25 Gb/s the gradients of VGG's classifier take longer than its layers: by
// our costs it is best on two of the GPUs, with ever fewer from the
// convolutions on.
TEST_CASE("VGG's convolutions have more GPUs than its classifier") {
  workload::Workload model =
      test::workloadOf(test::readProfile("dapple-vgg-19"), 2048);
  Problem problem{model, clusterB, {}};
  problem.options.space = Space::Full;
  Diagnostics diags;
  Answer best = solve(problem, diags);
  REQUIRE(best.plan);
  std::vector<int64_t> devices;
  for (const StageForm &stage : best.plan->chosen.form.stages)
    devices.push_back(stage.innerDevices(0));
  UNSCOPED_INFO(printStrategy(best.plan->strategy));
  CHECK(devices.size() > 1);
  CHECK(devices.front() > devices.back());
  CHECK(std::is_sorted(devices.rbegin(), devices.rend()));
  for (int64_t replicas : {4, 8, 16}) {
    problem.options.pins.data = replicas;
    Answer alike = solve(problem, diags);
    REQUIRE(alike.plan);
    INFO(replicas << " replicas of each stage");
    CHECK(best.plan->prediction.step <
          alike.plan->prediction.step.scaled(0.96));
  }
}

TEST_CASE("published stages of unequal replicas are not better than ours") {
  // 11 replicas, then 5: others of ours are as good or better.
  Compared slow =
      compare({"dapple-amoeba-36", 128, clusterC, {{32, 11}, {11, 5}}});
  CHECK(slow.ours < 0.9 * slow.theirs);
  Compared fast =
      compare({"dapple-amoeba-36", 128, clusterB, {{32, 11}, {11, 5}}});
  CHECK(fast.ours < 1.01 * fast.theirs);
  // 15 replicas, then one: on 10 Gb/s that keeps VGG's 480 MB of classifier out
  // of every all-reduce.
  double best = std::numeric_limits<double>::max(), simulated = best;
  for (int64_t first : {16, 17, 18, 19, 20}) {
    Compared both = compare(
        {"dapple-vgg-19", 2048, clusterC, {{first, 25 - first}, {15, 1}}});
    best = std::min(best, both.theirs / both.ours);
    simulated = std::min(simulated, both.theirsSimulated / both.oursSimulated);
  }
  INFO("theirs takes " << best << " of ours, on our simulator " << simulated);
  CHECK(best < 0.6);
  // Their objective divides the message by the 15 that send it, as if the one
  // that receives it had as many links; with its one link it is slower.
  CHECK(simulated > 1);
}
