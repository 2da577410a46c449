//===- OptimizersTest.cpp - updates against plain loops -------------------===//
//
// The oracle writes each optimizer as its paper does, in double, element by
// element, fed with gradients of the model in modules.
//
//===----------------------------------------------------------------------===//

#include "passes/plan/Optimizers.h"
#include "passes/plan/ApplyPlan.h"
#include "test/unit/plan/Testing.h"

#include <catch2/catch.hpp>

#include <cmath>

using namespace whale;
using namespace whale::test;
using reference::Interpreter;
using reference::Tensor;
using reference::TensorMap;

namespace {

/// One parameter under one optimizer.
struct Oracle {
  std::vector<double> m, v, rows, columns;

  void sgd(std::vector<double> &p, std::vector<double> g, double rate,
           double decay, double momentum) {
    m.resize(p.size());
    for (size_t i = 0; i < p.size(); ++i) {
      g[i] += decay * p[i];
      m[i] = momentum * m[i] + g[i];
      p[i] -= rate * m[i];
    }
  }
  void adamW(std::vector<double> &p, const std::vector<double> &g, double rate,
             double decay, int t) {
    m.resize(p.size());
    v.resize(p.size());
    for (size_t i = 0; i < p.size(); ++i) {
      p[i] *= 1 - rate * decay;
      m[i] = 0.8 * m[i] + 0.2 * g[i];
      v[i] = 0.95 * v[i] + 0.05 * g[i] * g[i];
      double mean = m[i] / (1 - std::pow(0.8, t));
      double square = v[i] / (1 - std::pow(0.95, t));
      p[i] -= rate * mean / (std::sqrt(square) + 1e-8);
    }
  }
  /// Algorithm 4 of Shazeer and Stern 2018; `cut` columns per row, 0 for a
  /// vector (algorithm 5's unfactored moment).
  void adafactor(std::vector<double> &p, const std::vector<double> &g,
                 double rate, int t, size_t width) {
    double decay = 1 - std::pow(t, -0.8);
    size_t n = p.size(), height = width ? n / width : n;
    std::vector<double> u(n), square(n);
    for (size_t i = 0; i < n; ++i)
      square[i] = g[i] * g[i] + 1e-30;
    if (!width) {
      v.resize(n);
      for (size_t i = 0; i < n; ++i) {
        v[i] = decay * v[i] + (1 - decay) * square[i];
        u[i] = g[i] / std::sqrt(v[i]);
      }
    } else {
      rows.resize(height);
      columns.resize(width);
      double total = 0;
      for (size_t r = 0; r < height; ++r) {
        double sum = 0;
        for (size_t c = 0; c < width; ++c)
          sum += square[r * width + c];
        total += rows[r] = decay * rows[r] + (1 - decay) * sum;
      }
      for (size_t c = 0; c < width; ++c) {
        double sum = 0;
        for (size_t r = 0; r < height; ++r)
          sum += square[r * width + c];
        columns[c] = decay * columns[c] + (1 - decay) * sum;
      }
      for (size_t i = 0; i < n; ++i)
        u[i] = g[i] / std::sqrt(rows[i / width] * columns[i % width] / total);
    }
    auto rms = [&](const std::vector<double> &x) {
      double sum = 0;
      for (double e : x)
        sum += e * e;
      return std::sqrt(sum / x.size());
    };
    double step = std::max(1e-3, rms(p)) * std::min(rate, 1 / std::sqrt(t)) /
                  std::max(1.0, rms(u));
    for (size_t i = 0; i < n; ++i)
      p[i] -= step * u[i];
  }
};

/// Columns of the matrix that Adafactor sees.
size_t widthOf(const reference::Shape &shape) {
  if (shape.size() < 2)
    return 0;
  size_t best = 0, bestSize = SIZE_MAX, total = reference::countOf(shape);
  for (size_t cut = 1; cut < shape.size(); ++cut) {
    size_t rows = 1;
    for (size_t i = 0; i < cut; ++i)
      rows *= shape[i];
    if (rows + total / rows < bestSize)
      bestSize = rows + total / rows, best = total / rows;
  }
  return best;
}

/// Trains three steps both ways; `apply(oracle, p, g, t, tensor)` updates.
template <typename Apply>
double compare(const std::string &spec, double clip, Apply apply) {
  reference::Model model(modelText("gpt", spec)), flat(modelText("gpt", spec));
  REQUIRE(model.differentiate());
  REQUIRE(flat.differentiate());
  REQUIRE(succeeded(plan::buildFlatStep(flat.op())));
  Interpreter expected(model.op()), found(flat.op());
  expected.inputs = found.inputs = randomInputs(model.op(), "main", 7);
  expected.seed = found.seed = 5;
  std::map<std::string, Oracle> oracles;
  for (int t = 1; t <= 3; ++t) {
    expected.step = t - 1;
    auto result = expected.run();
    REQUIRE(succeeded(result));
    double norm = 0;
    for (auto &[path, gradient] : result->gradients)
      for (double g : gradient.reals)
        norm += g * g;
    double factor = clip ? std::min(1.0, clip / (std::sqrt(norm) + 1e-6)) : 1.0;
    for (auto &[path, gradient] : result->gradients) {
      std::vector<double> g = gradient.reals;
      for (double &element : g)
        element *= factor;
      Tensor &variable = expected.variables.at(path);
      apply(oracles[path], variable.reals, g, t, variable.shape);
    }
    auto trained = found.train();
    INFO(flat.diagnostics());
    REQUIRE(succeeded(trained));
  }
  return difference(found.variables, expected.variables);
}

} // namespace

TEST_CASE("each optimizer follows its formula") {
  SECTION("sgd with decay and clipping") {
    CHECK(compare("{optimizer = {name = \"sgd\", learning_rate = 0.1, "
                  "weight_decay = 0.01}, clip_norm = 0.5}",
                  0.5, [](Oracle &o, auto &p, auto &g, int, auto &) {
                    o.sgd(p, g, 0.1, 0.01, 0);
                  }) < 1e-12);
  }
  SECTION("momentum") {
    CHECK(compare("{optimizer = {name = \"momentum\", learning_rate = 0.1, "
                  "momentum = 0.7}}",
                  0, [](Oracle &o, auto &p, auto &g, int, auto &) {
                    o.sgd(p, g, 0.1, 0, 0.7);
                  }) < 1e-12);
  }
  SECTION("adamw") {
    CHECK(compare("{optimizer = {name = \"adamw\", learning_rate = 0.1, beta1 "
                  "= 0.8, beta2 = 0.95, weight_decay = 0.2}}",
                  0, [](Oracle &o, auto &p, auto &g, int t, auto &) {
                    o.adamW(p, g, 0.1, 0.2, t);
                  }) < 1e-9);
  }
  SECTION("adafactor") {
    CHECK(compare("{optimizer = {name = \"adafactor\", learning_rate = 0.3}}",
                  0, [](Oracle &o, auto &p, auto &g, int t, auto &shape) {
                    o.adafactor(p, g, 0.3, t, widthOf(shape));
                  }) < 1e-9);
  }
}

TEST_CASE("the learning rate warms up and decays") {
  auto rate = [](const char *kind, int t) {
    // 2 steps of warm-up, end at step 6 with 0.1.
    double warm = std::min(1.0, t / 2.0);
    double progress = std::min(std::max((t - 1 - 2) / 4.0, 0.0), 1.0);
    double decay = std::string(kind) == "linear"
                       ? 1 - 0.9 * progress
                       : 0.1 + 0.45 * (1 + std::cos(M_PI * progress));
    return 0.5 * warm * decay;
  };
  for (const char *kind : {"linear", "cosine"}) {
    std::string spec =
        std::string("{optimizer = {name = \"sgd\", "
                    "learning_rate = 0.5}, schedule = {kind = \"") +
        kind +
        "\", warmup_steps = 2, total_steps = 6, final_fraction "
        "= 0.1}}";
    CHECK(compare(spec, 0, [&](Oracle &o, auto &p, auto &g, int t, auto &) {
            o.sgd(p, g, rate(kind, t), 0, 0);
          }) < 1e-12);
  }
}

TEST_CASE("the first group that matches decides") {
  CHECK(compare("{optimizer = {name = \"sgd\", learning_rate = 0.1}, groups = "
                "[{match = \"**bias\", learning_rate = 0.0}]}",
                0, [](Oracle &o, auto &p, auto &g, int, auto &shape) {
                  // The only rank-1 tensors of 12 elements are the biases.
                  bool bias = shape == reference::Shape{12};
                  o.sgd(p, g, bias ? 0.0 : 0.1, 0, 0);
                }) < 1e-12);
}

TEST_CASE("Adafactor's matrix is the squarest cut") {
  CHECK(plan::factorCut({768, 12, 1, 64}) == 1);
  CHECK(plan::factorCut({12, 1, 64, 768}) == 3);
  CHECK(plan::factorCut({4, 4}) == 1);
}
