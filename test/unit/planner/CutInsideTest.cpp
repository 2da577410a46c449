#include "compiler/planner/CutInside.h"
#include "compiler/planner/Search.h"
#include "compiler/workload/Fragments.h"
#include "test/unit/planner/RoundHardware.h"
#include "test/unit/workload/Models.h"

#include <catch2/catch.hpp>

using namespace whale;
using namespace whale::planner;
using namespace whale::test;

namespace {

/// Some layers on two devices or three, one stage each.
struct Pipeline {
  Pipeline(int64_t stages, GptShape shape)
      : model(namedGpt(shape)),
        machine({{"unit", 1e12, 1e30}}, {{0, stages, stages}}) {
    options.pins.pipeline = stages;
    options.pins.microBatches = 4;
    options.pins.schedule = Schedule::OneFOneB;
    options.pins.virtualStages = 1;
    machine.inside = {1e13, 1e-9};
  }

  Problem problem() const { return {model, machine, options}; }
  Plan best() const {
    Diagnostics diags;
    Answer answer = solve(problem(), diags);
    INFO(diags.str());
    REQUIRE(answer.plan);
    return *answer.plan;
  }

  workload::Workload model;
  RoundHardware machine;
  Options options;
};

/// Where the second of two stages may begin: at which instance, and before
/// which of its forward ops.
std::vector<std::pair<int64_t, size_t>> allPlaces(const workload::Workload &m) {
  std::vector<std::pair<int64_t, size_t>> places;
  for (int64_t i = 0; i < workload::instanceCount(m); ++i) {
    if (i > 0)
      places.push_back({i, 0});
    const workload::Run &run = m.runs[workload::instanceAt(m, i).run];
    if (run.name == "layers")
      for (size_t op : innerCuts(m.classes[run.moduleClass], 5))
        places.push_back({i, op});
  }
  return places;
}

/// Two stages that begin there, as a person would write them: every op by its
/// name.
Node written(const workload::Workload &m, const Plan &like, int64_t instance,
             size_t op) {
  NormalForm form = like.chosen.form;
  form.stages[0].paths.clear();
  form.stages[1].paths.clear();
  for (int64_t i = 0; i < workload::instanceCount(m); ++i) {
    workload::InstanceRef ref = workload::instanceAt(m, i);
    const workload::Run &run = m.runs[ref.run];
    std::string path = run.path(ref.index);
    if (i != instance || op == 0) {
      form.stages[i >= instance].paths.push_back(path);
      continue;
    }
    const std::vector<workload::Op> &ops = m.classes[run.moduleClass].ops;
    for (size_t k = 0; k < ops.size(); ++k)
      if (ops[k].phase == workload::Phase::Forward)
        form.stages[k >= op].paths.push_back(path + "/" + ops[k].name);
  }
  return toTree(form);
}

std::string dump(const workload::Workload &model) {
  json::Writer writer;
  workload::writeWorkload(writer, model);
  return writer.take();
}

} // namespace

TEST_CASE("cuts inside of layers are the best of all that can be written") {
  // Heads of several sizes, which move the middle of the model.
  GptShape shape;
  shape.layers = GENERATE(2, 3, 5);
  shape.vocabulary = GENERATE(64, 1024, 2048);
  shape.tied = false;
  Pipeline pipeline(2, shape);
  Plan between = pipeline.best();
  auto inside = cutInside(pipeline.problem(), between);
  Picoseconds ours =
      inside ? inside->plan.prediction.step : between.prediction.step;
  Picoseconds least = between.prediction.step;
  for (auto [instance, op] : allPlaces(pipeline.model)) {
    Problem problem = pipeline.problem();
    problem.options.strategy = written(pipeline.model, between, instance, op);
    workload::Workload cut = asCut(pipeline.model, problem.options.strategy);
    CHECK((op > 0) == (cut.runs.size() > pipeline.model.runs.size()));
    problem.options.pins = {};
    Problem asked{cut, pipeline.machine, problem.options};
    Diagnostics diags;
    Answer answer = solve(asked, diags);
    INFO(diags.str());
    REQUIRE(answer.plan);
    least = std::min(least, answer.plan->prediction.step);
  }
  CHECK(ours == least);
  if (inside) {
    CHECK(ours < between.prediction.step);
    // The paths say which workload it is of.
    CHECK(dump(asCut(pipeline.model, inside->plan.strategy)) ==
          dump(inside->workload));
    Diagnostics diags;
    CHECK(verify(inside->plan,
                 {inside->workload, pipeline.machine, pipeline.options},
                 diags));
    INFO(diags.str());
  }
}

TEST_CASE("an odd layer is shared") {
  GptShape shape;
  shape.layers = 3;
  shape.vocabulary = 8;
  Pipeline pipeline(2, shape);
  Plan between = pipeline.best();
  auto inside = cutInside(pipeline.problem(), between);
  REQUIRE(inside);
  // Two layers and one before; a product more or less now.
  CHECK(inside->plan.prediction.step.asDouble() <
        0.95 * between.prediction.step.asDouble());
  CHECK(inside->plan.gap >= 0);
  std::string text;
  for (const std::string &path : inside->plan.chosen.form.stages[0].paths)
    text += path + " ";
  CHECK(text.find("layers.1/") != std::string::npos);
}

TEST_CASE("one stage is not cut, and chunks are not") {
  GptShape shape;
  Pipeline one(1, shape);
  one.options.pins.schedule.reset();
  CHECK(!cutInside(one.problem(), one.best()));
  shape.layers = 6;
  Pipeline chunks(2, shape);
  chunks.options.space = Space::Full;
  chunks.options.pins.schedule = Schedule::Interleaved;
  chunks.options.pins.virtualStages = 2;
  CHECK(!cutInside(chunks.problem(), chunks.best()));
}
