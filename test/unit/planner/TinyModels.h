//===- TinyModels.h - models of a few ops for planner tests -----*- C++ -*-===//

#ifndef WHALE_TEST_PLANNER_TINYMODELS_H
#define WHALE_TEST_PLANNER_TINYMODELS_H

#include "test/unit/workload/Models.h"

#include <fmt/format.h>

namespace whale::test {

/// Two products with an activation between them, and their backward part.
inline ModuleClass denseLayer(std::map<std::string, int64_t> extents) {
  ClassBuilder c("dense", std::move(extents), 4);
  using K = OpKind;
  constexpr Phase F = Phase::Forward, I = Phase::BackwardInput,
                  W = Phase::BackwardWeight;
  const std::string x3 = "batch sequence hidden", u3 = "batch sequence ffn",
                    up = "hidden ffn", down = "ffn hidden";
  auto x = c.argument("x", x3), w1 = c.variable("up", up),
       w2 = c.variable("down", down), u = c.value("u", u3),
       a = c.value("a", u3), y = c.value("y", x3);
  c.op("up", K::Contraction, F, x3 + "," + up + "->" + u3, {x, w1}, {u}, 2);
  c.op("act", K::Elementwise, F, u3 + "->" + u3, {u}, {a}, 8).cheap = true;
  c.op("down", K::Contraction, F, u3 + "," + down + "->" + x3, {a, w2}, {y}, 2);
  c.module.results = {y};
  auto dy = c.value("dy", x3, ValueKind::ResultGradient),
       da = c.value("da", u3), du = c.value("du", u3), dx = c.value("dx", x3);
  c.op("down.dx", K::Contraction, I, x3 + "," + down + "->" + u3, {dy, w2},
       {da}, 2);
  c.op("down.dw", K::Contraction, W, u3 + "," + x3 + "->" + down, {a, dy},
       {c.gradientOf(w2, down)}, 2);
  c.op("act.dx", K::Elementwise, I, u3 + "," + u3 + "->" + u3, {da, u}, {du},
       10);
  c.op("up.dx", K::Contraction, I, u3 + "," + up + "->" + x3, {du, w1}, {dx},
       2);
  c.op("up.dw", K::Contraction, W, x3 + "," + u3 + "->" + up, {x, du},
       {c.gradientOf(w1, up)}, 2);
  c.module.argumentGradients = {dx};
  return c.take();
}

/// Experts of two products with room for `capacity` rows of a sample each, and
/// their backward part.
inline ModuleClass expertLayer(int64_t batch, int64_t capacity, int64_t ffn,
                               int64_t experts = 8, int64_t hidden = 1024) {
  using K = OpKind;
  constexpr Phase F = Phase::Forward, I = Phase::BackwardInput,
                  W = Phase::BackwardWeight;
  ClassBuilder c("layer",
                 {{"batch", batch},
                  {"experts", experts},
                  {"capacity", capacity},
                  {"tokens", experts * capacity},
                  {"hidden", hidden},
                  {"ffn", ffn}},
                 4);
  const std::string x3 = "batch tokens hidden",
                    rows = "batch experts capacity hidden",
                    wide = "batch experts capacity ffn",
                    up = "experts hidden ffn", down = "experts ffn hidden",
                    there = "batch _tokens hidden->batch _experts _capacity "
                            "hidden",
                    back = "batch _experts _capacity hidden->batch _tokens "
                           "hidden";
  auto x = c.argument("x", x3), w1 = c.variable("up", up),
       w2 = c.variable("down", down), b = c.value("b", rows),
       h = c.value("h", wide), o = c.value("o", rows), y = c.value("y", x3);
  c.op("dispatch", K::Movement, F, there, {x}, {b}, 0);
  c.op("up", K::Contraction, F, rows + "," + up + "->" + wide, {b, w1}, {h}, 2);
  c.op("down", K::Contraction, F, wide + "," + down + "->" + rows, {h, w2}, {o},
       2);
  c.op("collect", K::Movement, F, back, {o}, {y}, 0);
  c.module.results = {y};
  auto dy = c.value("dy", x3, ValueKind::ResultGradient),
       od = c.value("do", rows), dh = c.value("dh", wide),
       db = c.value("db", rows), dx = c.value("dx", x3);
  c.op("collect#d", K::Movement, I, there, {dy}, {od}, 0);
  c.op("down#d", K::Contraction, I, rows + "," + down + "->" + wide, {od, w2},
       {dh}, 2);
  c.op("down#d.1", K::Contraction, W, wide + "," + rows + "->" + down, {h, od},
       {c.gradientOf(w2, down)}, 2);
  c.op("up#d", K::Contraction, I, wide + "," + up + "->" + rows, {dh, w1}, {db},
       2);
  c.op("up#d.1", K::Contraction, W, rows + "," + wide + "->" + up, {b, dh},
       {c.gradientOf(w1, up)}, 2);
  c.op("dispatch#d", K::Movement, I, back, {db}, {dx}, 0);
  c.module.argumentGradients = {dx};
  return c.take();
}

/// A chain of runs: `counts[i]` instances of `classes[i]`.
inline Workload chain(std::vector<ModuleClass> classes,
                      const std::vector<int64_t> &counts, int64_t batch) {
  Workload model;
  model.modelName = "chain";
  model.modelHash = "0";
  model.globalBatch = batch;
  ParameterGroup group;
  group.name = "all";
  group.slotBytes = {4, 4};
  model.groups = {group};
  model.classes = std::move(classes);
  for (uint32_t i = 0; i < counts.size(); ++i)
    model.runs.push_back({i,
                          fmt::format("part{}", i),
                          counts[i],
                          {{static_cast<int64_t>(i) - 1, 0}}});
  return model;
}

} // namespace whale::test

#endif // WHALE_TEST_PLANNER_TINYMODELS_H
