// Stages with replicas and splits of their own: what they cost, against what
// the same stages cost in plans whose stages are alike.

#include "compiler/planner/UnlikeBound.h"
#include "test/unit/planner/RoundHardware.h"
#include "test/unit/planner/TinyModels.h"

#include <catch2/catch.hpp>

using namespace whale;
using namespace whale::planner;
using test::RoundHardware;

namespace {

constexpr int64_t batch = 24, microBatches = 4;

workload::Workload model() {
  return test::chain(
      {test::denseLayer(
          {{"batch", batch}, {"sequence", 8}, {"hidden", 64}, {"ffn", 256}})},
      {4}, batch);
}

/// Of a micro-batch, between layers.
constexpr int64_t boundaryBytes = batch / microBatches * 8 * 64 * 4;

StageForm stage(int64_t replicas, int64_t split = 1) {
  Choice choice;
  choice.data = replicas;
  choice.tensor = split;
  return formOf(choice, {"ffn"}).stages.front();
}

Prediction predict(const RoundHardware &machine, std::vector<StageForm> stages,
                   DeviceMap map = {}) {
  NormalForm form;
  form.microBatches = microBatches;
  form.stages = std::move(stages);
  workload::Workload some = model();
  CostTable table(some, machine);
  return evaluate(table, {form, {0, 2, 4}, std::move(map)});
}

/// Devices that each have a link of their own.
RoundHardware machine() { return {{{}}, {{0, 4, 1}}}; }

Picoseconds message(const RoundHardware &on, int64_t bytes) {
  return picosecondsFromSeconds(on.outside.latencySeconds) +
         Bytes(bytes) / BytesPerSecond(on.outside.bytesPerSecond);
}

} // namespace

TEST_CASE("a stage of more replicas gives each its part of a micro-batch") {
  RoundHardware on = machine();
  Prediction two = predict(on, {stage(2), stage(2)}),
             one = predict(on, {stage(1), stage(1)}),
             mixed = predict(on, {stage(2), stage(1)});
  const StagePrediction &first = mixed.stages[0], &last = mixed.stages[1];
  CHECK(first.forward == two.stages[0].forward);
  CHECK(first.backward == two.stages[0].backward);
  CHECK(first.memory.activations == two.stages[0].memory.activations);
  CHECK(first.gradientSync == two.stages[0].gradientSync);
  CHECK(first.gradientSync > Picoseconds());
  CHECK(last.forward == one.stages[1].forward);
  CHECK(last.backward == one.stages[1].backward);
  CHECK(last.memory.total() == one.stages[1].memory.total());
  CHECK(last.gradientSync == Picoseconds());
  // Both halves come to the one replica, and go back from it.
  CHECK(first.sendForward == message(on, boundaryBytes));
  CHECK(last.sendBackward == message(on, boundaryBytes));
  CHECK(two.stages[0].sendForward == message(on, boundaryBytes / 2));
}

TEST_CASE("the step of unlike stages is that of their pipeline") {
  RoundHardware on = machine();
  on.outside = {1e13, 1e-9};
  // The second stage is three times as long, and waits for nothing but the
  // first micro-batch.
  Prediction mixed = predict(on, {stage(3), stage(1)});
  const StagePrediction &first = mixed.stages[0], &last = mixed.stages[1];
  REQUIRE(last.forward + last.backward > first.forward + first.backward +
                                             first.sendForward +
                                             last.sendBackward);
  Picoseconds computed = first.forward + first.sendForward +
                         (last.forward + last.backward) * microBatches;
  Picoseconds back = computed + last.sendBackward + first.backward +
                     first.gradientSync + first.update;
  CHECK(mixed.step == std::max(back, computed + last.update));
}

TEST_CASE("shares of a stage are its own, and the fullest replica counts") {
  RoundHardware on = machine();
  StageForm uneven = stage(2);
  // Of 6 samples a micro-batch 2 and 4.
  uneven.axes[0].shares = {8, 16};
  Prediction mixed = predict(on, {stage(1), uneven}),
             three = predict(on, {stage(1), stage(3)});
  CHECK(mixed.stages[1].forward == three.stages[1].forward * 2);
  NormalForm form;
  form.microBatches = microBatches;
  form.stages = {stage(1), uneven};
  CHECK(!cutsBatchAlike(form));
  CHECK(batchOf(form, {1, {1}}, batch) == BatchRange{8, 16});
  CHECK(batchOf(form, {0, {}}, batch) == BatchRange{0, batch});
}

TEST_CASE("messages between unlike splits go to each rank") {
  RoundHardware on = machine();
  Prediction mixed = predict(on, {stage(1, 2), stage(1)}),
             other = predict(on, {stage(1), stage(1, 2)});
  // One of two that have the whole sends it; one that has it sends it twice.
  CHECK(mixed.stages[0].sendForward == message(on, boundaryBytes));
  CHECK(other.stages[0].sendForward == message(on, boundaryBytes * 2));
  CHECK(mixed.stages[0].forward == other.stages[1].forward);
}

TEST_CASE("a split behind an odd number of devices may cross nodes") {
  RoundHardware on({{}}, {{0, 8, 4}});
  // Devices 0, 1 and 2, 3 and 4 of nodes of four.
  auto stages = {stage(1), stage(1, 2), stage(1, 2)};
  NormalForm form;
  form.microBatches = microBatches;
  form.stages = stages;
  workload::Workload some = model();
  CostTable table(some, on);
  Prediction crossing = evaluate(table, {form, {0, 1, 2, 4}, {}});
  form.stages = {stage(1, 2), stage(1, 2), stage(1)};
  Prediction within = evaluate(table, {form, {0, 1, 3, 4}, {}});
  CHECK(crossing.stages[1].forward == within.stages[0].forward);
  CHECK(crossing.stages[2].forward > within.stages[1].forward);
}

TEST_CASE("bounds hold for unlike stages") {
  workload::Workload some = model();
  // Equal devices, and two types.
  RoundHardware alike = machine(),
                types({{"a"}, {"b", 3e11, 1e12}}, {{0, 4, 4}, {1, 4, 2}});
  for (const RoundHardware *on : {&alike, &types})
    for (int64_t first : {1, 2, 3})
      for (int64_t last : {1, 2, 3})
        for (int64_t split : {1, 2}) {
          NormalForm form;
          form.microBatches = microBatches;
          form.stages = {stage(first), stage(last, split)};
          if (first == last && split == 1)
            continue;
          for (const DeviceMap &map : deviceMaps(form, *on)) {
            CostTable table(some, *on);
            Picoseconds best = Picoseconds::max();
            for (int64_t cut : {1, 2, 3})
              best = std::min(best,
                              evaluate(table, {form, {0, cut, 4}, map}).step);
            Picoseconds bound = lowerBound(table, form, map);
            CHECK(bound.value() <= best.value());
            CHECK(bound.asDouble() > 0.6 * best.asDouble());
            CutResult found = bestCuts(table, form, map);
            REQUIRE(found.candidate);
            CHECK(found.prediction.step == best);
          }
        }
}

namespace {

/// Two replicas with any sharding, and a split.
std::vector<NormalForm> pairs(Schedule schedule, int64_t stages) {
  std::vector<NormalForm> forms;
  for (Shard shard : {Shard::None, Shard::Optimizer, Shard::Parameters}) {
    StageForm two = stage(2);
    two.axes[0].shard = shard;
    forms.push_back({0, microBatches, 1, schedule, {}});
    forms.back().stages.assign(stages, two);
  }
  forms.push_back(forms.front());
  forms.back().stages.assign(stages, stage(1, 2));
  return forms;
}

/// The fastest plan that fits, of all cuts and all that three stages may have.
Picoseconds bestOf(CostTable &table, const std::vector<NormalForm> &forms,
                   const Menus &menus, const DeviceMap &map) {
  Picoseconds best = Picoseconds::max();
  for (size_t a : menus[0])
    for (size_t b : menus[1])
      for (size_t c : menus[2]) {
        NormalForm form = forms[a];
        form.stages[1] = forms[b].stages[1];
        form.stages[2] = forms[c].stages[2];
        for (std::vector<int64_t> cuts :
             {std::vector<int64_t>{0, 1, 2, 4}, {0, 1, 3, 4}, {0, 2, 3, 4}}) {
          Prediction prediction = evaluate(table, {form, cuts, map});
          if (prediction.deficit() <= Bytes())
            best = std::min(best, prediction.step);
        }
      }
  return best;
}

} // namespace

TEST_CASE("no choice of what stages have beats its bound") {
  workload::Workload some = model();
  int unfit = 0;
  for (int64_t room : {1'000'000'000, 1'500'000, 1'200'000, 900'000, 600'000})
    for (Schedule schedule :
         {Schedule::OneFOneB, Schedule::ZeroBubbleH1, Schedule::ZeroBubble2p})
      for (bool isMixed : {false, true}) {
        RoundHardware on(
            {{"a"}, {"b", 3e11, 1e12}},
            isMixed ? std::vector<test::RoundNodes>{{0, 4, 2}, {1, 4, 2}}
                    : std::vector<test::RoundNodes>{{0, 8, 4}});
        for (test::RoundDevice &device : on.devices)
          device.memory = room;
        std::vector<NormalForm> forms = pairs(schedule, 3);
        DeviceMap map;
        if (isMixed)
          map = {DeviceMap::Kind::ByStage, {0, 4, 6}};
        CostTable table(some, on);
        UnlikeBound bounds(table, forms, map, true),
            any(table, forms, map, false);
        for (const Menus &menus :
             {Menus{{0, 1, 2, 3}, {0, 1, 2, 3}, {0, 1, 2, 3}},
              Menus{{0, 1}, {2, 3}, {3}}, Menus{{3}, {0}, {2}}}) {
          Picoseconds best = bestOf(table, forms, menus, map);
          UnlikeBound::Best least = bounds.of(menus, {}, Picoseconds::max());
          INFO(room << " B, " << nameOf(schedule) << ", mixed " << isMixed);
          CHECK(least.bound <= best);
          CHECK(any.of(menus, {}, Picoseconds::max()).bound <= best);
          if (best == Picoseconds::max()) {
            ++unfit;
            continue;
          }
          CHECK(least.bound.asDouble() > 0.6 * best.asDouble());
          REQUIRE(least.configurations.size() == 3);
          for (size_t s = 0; s < 3; ++s)
            CHECK(std::count(menus[s].begin(), menus[s].end(),
                             least.configurations[s]) == 1);
          // What is as fast is not below it.
          CHECK(bounds.of(menus, {}, least.bound).configurations.empty());
        }
      }
  // Some fit nowhere.
  CHECK(unfit > 0);
  CHECK(unfit < 60);
}

namespace {

/// What a stage of so many devices may have: replicas, a split of two beside
/// them, and state that the replicas cut.
std::vector<StageForm> ofSize(int64_t devices) {
  std::vector<StageForm> some = {stage(devices)};
  if (devices % 2 == 0)
    some.push_back(stage(devices / 2, 2));
  if (devices > 1) {
    some.push_back(stage(devices));
    some.back().axes[0].shard = Shard::Parameters;
  }
  return some;
}

} // namespace

TEST_CASE("bounds hold for unequal numbers of devices") {
  workload::Workload some = model();
  int compared = 0;
  for (int64_t room : {1'000'000'000, 1'200'000, 900'000})
    for (Schedule schedule : {Schedule::OneFOneB, Schedule::ZeroBubbleH1})
      for (const std::vector<int64_t> &sizes :
           {std::vector<int64_t>{1, 2, 6}, {6, 2, 1}, {3, 1, 2}, {1, 3, 1}})
        for (bool isMixed : {false, true}) {
          RoundHardware on(
              {{"a"}, {"b", 3e11, 1e12}},
              isMixed ? std::vector<test::RoundNodes>{{0, 8, 4}, {1, 8, 2}}
                      : std::vector<test::RoundNodes>{{0, 16, 4}});
          for (test::RoundDevice &device : on.devices)
            device.memory = room;
          DeviceMap map;
          if (isMixed)
            map = {DeviceMap::Kind::ByStage, {0, 8, 8 + sizes[1]}};
          // Stages that have fewer than three repeat their last one.
          std::vector<NormalForm> forms(3);
          Menus menus(3);
          for (size_t s = 0; s < 3; ++s) {
            std::vector<StageForm> own = ofSize(sizes[s]);
            for (size_t k = 0; k < 3; ++k)
              forms[k].stages.push_back(own[std::min(k, own.size() - 1)]);
            for (size_t k = 0; k < own.size(); ++k)
              menus[s].push_back(k);
          }
          for (NormalForm &form : forms)
            form.microBatches = microBatches, form.schedule = schedule;
          CostTable table(some, on);
          UnlikeBound bounds(table, forms, map, true),
              any(table, forms, map, false);
          Picoseconds best = bestOf(table, forms, menus, map);
          UnlikeBound::Best least = bounds.of(menus, {}, Picoseconds::max());
          INFO(room << " B, " << nameOf(schedule) << ", mixed " << isMixed
                    << ", " << sizes[0] << ' ' << sizes[1] << ' ' << sizes[2]);
          CHECK(least.bound <= best);
          Picoseconds whatever = any.of(menus, {}, Picoseconds::max()).bound;
          any.setSchedule(schedule);
          Picoseconds unlimited = any.of(menus, {}, Picoseconds::max()).bound;
          CHECK(unlimited <= best);
          CHECK(whatever.asDouble() <= 1.0001 * unlimited.asDouble());
          if (best == Picoseconds::max())
            continue;
          ++compared;
          CHECK(least.bound.asDouble() > 0.5 * best.asDouble());
          // What is left out of the menus is not missed.
          CHECK(bestOf(table, forms, bounds.worthTrying(menus), map) == best);
        }
  CHECK(compared > 30);
}
