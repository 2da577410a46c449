// What the types of devices let a shape do, against what its costs say.

#include "compiler/planner/Throughput.h"
#include "compiler/planner/MapTable.h"
#include "compiler/planner/Sharing.h"
#include "test/unit/planner/RandomProblem.h"

#include <catch2/catch.hpp>

#include <list>

using namespace whale;
using namespace whale::planner;

namespace {

struct Compared {
  int64_t known = 0, unknown = 0;
  /// The bounds as parts of what shapes take, summed up.
  double tight = 0;
};

/// A shape on each of its maps, with the shares that it starts with: those with
/// which its slowest replica is about as fast as can be.
void compare(CostTable &table, const std::vector<std::string> &dims,
             const Choice &shape, Throughput &throughput, MapTable &maps,
             Compared &sum) {
  const FormMaps &all = maps.of(shape);
  for (size_t m = 0; m < all.maps.size(); ++m) {
    NormalForm form = formOf(shape, dims);
    if (!setShares(table, form, all.maps[m], false))
      continue;
    Picoseconds bound = throughput.bound(shape, all.maps[m].kind, all.blocks[m],
                                         shape.microBatches);
    SpreadCosts costs =
        spreadCosts(table, form, replicaCosts(table, form, all.maps[m]), false);
    Picoseconds step = evenBound(costs, shape.pipeline, shape.microBatches);
    // As if all stages were the fastest: those of one type may differ by where
    // they lie, of which the types know nothing.
    costs.kinds.clear(), costs.kindOf.clear();
    step = std::max(step, evenBound(costs, shape.pipeline, shape.microBatches));
    INFO("data " << shape.data << ", tensor " << shape.tensor << ", stages "
                 << shape.pipeline << ", micro-batches " << shape.microBatches
                 << ", map " << m << ", recompute " << nameOf(shape.recompute));
    CHECK(bound.value() <= step.value());
    // One of several that are the same, stage by stage.
    std::vector<Choice> two = {shape, shape};
    if (bound > Picoseconds() && all.maps[m].kind != DeviceMap::Kind::ByOuter) {
      std::list<Throughput::Times> times;
      std::vector<Throughput::Kind> kinds;
      for (size_t pool = 0; pool < all.blocks[m].size(); ++pool)
        for (int64_t s = 0; s < all.blocks[m][pool]; ++s)
          kinds.emplace_back(&times.emplace_back(throughput.leastOf(pool, two)),
                             1);
      CHECK(throughput.boundOf(kinds, shape.microBatches) == bound);
    }
    ++(bound > Picoseconds() ? sum.known : sum.unknown);
    sum.tight += bound.asDouble() / std::max(1.0, step.asDouble());
  }
}

} // namespace

TEST_CASE("no shape is faster than its types of devices let it be") {
  Compared sum;
  for (unsigned seed = 0; seed < 400; ++seed) {
    test::RandomProblem random(seed);
    Problem problem = random.problem();
    INFO("seed " << seed << ": " << random.text());
    CostTable table(problem.workload, problem.hardware);
    std::vector<std::string> dims = splitDims(problem.workload);
    Throughput throughput(table, dims);
    MapTable maps(problem.hardware);
    for (Choice shape : enumerate(problem))
      for (Recompute recompute : {Recompute::None, Recompute::Full}) {
        shape.recompute = recompute;
        compare(table, dims, shape, throughput, maps, sum);
      }
  }
  CHECK(sum.known > 10'000);
  // Blocks in several types, and experts.
  CHECK(sum.unknown > 0);
  CHECK(sum.tight / static_cast<double>(sum.known) > 0.8);
}

TEST_CASE("costs are looked up at every power of two, and between") {
  for (int64_t samples : {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64}) {
    workload::Workload model =
        test::chain({test::denseLayer({{"batch", samples},
                                       {"sequence", 8},
                                       {"hidden", 64},
                                       {"ffn", 256}})},
                    {4}, samples);
    test::RoundHardware on({{}}, {{0, 2, 2}});
    CostTable table(model, on);
    Throughput throughput(table, {});
    Choice two;
    two.pipeline = 2;
    NormalForm form = formOf(two, {});
    SpreadCosts costs =
        spreadCosts(table, form, replicaCosts(table, form, {}), false);
    INFO(samples << " samples");
    CHECK(throughput.bound(two, DeviceMap::Kind::Identity, {2}, 1) ==
          evenBound(costs, 2, 1));
  }
}
