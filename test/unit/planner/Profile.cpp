//===- Profile.cpp - measured layers as a planning problem ----------------===//

#include "test/unit/planner/Profile.h"

#include <catch2/catch.hpp>

#include <cmath>
#include <fstream>
#include <sstream>

namespace whale::test {

using namespace workload;

std::vector<ProfiledLayer> Profile::unrolled() const {
  std::vector<ProfiledLayer> result;
  for (const ProfiledLayer &layer : layers)
    for (int64_t i = 0; i < layer.count; ++i)
      result.push_back(layer);
  return result;
}

int64_t Profile::samplesTime() const {
  int64_t sum = 0;
  for (const ProfiledLayer &layer : layers)
    sum += layer.count * layer.time();
  return sum;
}

int64_t Profile::parameterBytes() const {
  int64_t sum = 0;
  for (const ProfiledLayer &layer : layers)
    sum += layer.count * layer.parameterBytes;
  return sum;
}

/// "# Times and bytes of 32 samples; ..." -> 32.
static double samplesOf(const std::string &line) {
  return std::stod(line.substr(line.find(" of ") + 4));
}

Profile readProfile(const std::string &name) {
  std::ifstream file(std::string(WHALE_PROFILES) + "/" + name + ".csv");
  REQUIRE(file);
  Profile profile;
  profile.name = name;
  std::string source, samples, header, line;
  std::getline(file, source);
  std::getline(file, samples);
  std::getline(file, header);
  double batch = samplesOf(samples);
  while (std::getline(file, line)) {
    std::vector<std::string> cells;
    std::istringstream stream(line);
    for (std::string cell; std::getline(stream, cell, ',');)
      cells.push_back(cell);
    REQUIRE(cells.size() == 6);
    ProfiledLayer layer;
    layer.count = std::stoll(cells[0]);
    layer.name = cells[1];
    layer.forward = std::llround(std::stod(cells[2]) * 1e6 / batch);
    layer.backward = std::llround(std::stod(cells[3]) * 1e6 / batch);
    layer.parameterBytes = std::stoll(cells[4]);
    layer.sentBytes = std::llround(std::stod(cells[5]) / batch);
    profile.layers.push_back(layer);
  }
  return profile;
}

namespace {

/// [batch, n] of single bytes, whole in every iteration but for the batch.
Access rows(uint32_t value) { return {value, {{0}, {}}}; }

class LayerBuilder {
public:
  LayerBuilder(int64_t batch, int64_t received, const ProfiledLayer &layer)
      : batch(batch), layer(layer) {
    module.name = layer.name;
    uint32_t x = value("x", ValueKind::Argument, received);
    module.arguments = {x};
    uint32_t y = value("y", ValueKind::Temporary, layer.sentBytes);
    module.results = {y};
    op("forward", Phase::Forward, layer.forward, {rows(x)}, {rows(y)});
    uint32_t dy = value("dy", ValueKind::ResultGradient, layer.sentBytes);
    uint32_t dx = value("dx", ValueKind::Temporary, received);
    module.argumentGradients = {dx};
    int64_t half = layer.backward / 2;
    op("input", Phase::BackwardInput, layer.backward - half, {rows(dy)},
       {rows(dx)});
    addWeights(half, x, dy);
  }

  ModuleClass take() { return std::move(module); }

private:
  void addWeights(int64_t time, uint32_t x, uint32_t dy) {
    std::vector<Access> made;
    if (int64_t elements = layer.parameterBytes / 4; elements > 0) {
      Variable weights;
      weights.name = "weights";
      weights.extents = {elements};
      weights.dimNames = {""};
      module.variables.push_back(weights);
      Value gradient;
      gradient.name = "weights#d";
      gradient.kind = ValueKind::VariableGradient;
      gradient.extents = {elements};
      module.values.push_back(gradient);
      made.push_back({static_cast<uint32_t>(module.values.size() - 1), {{}}});
    } else {
      made.push_back(rows(value("unused", ValueKind::Temporary, 1)));
    }
    op("weight", Phase::BackwardWeight, time, {rows(x), rows(dy)}, made);
  }

  uint32_t value(std::string name, ValueKind kind, int64_t bytes) {
    Value made;
    made.name = std::move(name);
    made.kind = kind;
    made.extents = {batch, std::max<int64_t>(1, bytes)};
    made.elementBytes = 1;
    module.values.push_back(made);
    return static_cast<uint32_t>(module.values.size() - 1);
  }

  void op(std::string name, Phase phase, int64_t nanoseconds,
          std::vector<Access> operands, std::vector<Access> results) {
    Op made;
    made.name = std::move(name);
    made.kind = OpKind::Contraction;
    made.phase = phase;
    LoopDim samples;
    samples.name = "batch";
    samples.extent = batch;
    made.loops = {samples};
    made.operands = std::move(operands);
    made.results = std::move(results);
    made.flopsPerPoint = nanoseconds;
    module.ops.push_back(std::move(made));
  }

  int64_t batch;
  const ProfiledLayer &layer;
  ModuleClass module;
};

} // namespace

Workload workloadOf(const Profile &profile, int64_t batch) {
  Workload model;
  model.modelName = profile.name;
  model.modelHash = "0";
  model.globalBatch = batch;
  ParameterGroup group;
  group.name = "all";
  model.groups = {group};
  int64_t received = 1;
  auto add = [&](const ProfiledLayer &layer, int64_t count) {
    auto index = static_cast<uint32_t>(model.classes.size());
    model.classes.push_back(LayerBuilder(batch, received, layer).take());
    model.runs.push_back({index,
                          "part" + std::to_string(index),
                          count,
                          {{static_cast<int64_t>(index) - 1, 0}}});
    received = layer.sentBytes;
  };
  for (const ProfiledLayer &layer : profile.layers) {
    // The first of equal layers may receive something else.
    bool apart = layer.count > 1 && received != layer.sentBytes;
    if (apart)
      add(layer, 1);
    if (layer.count > apart)
      add(layer, layer.count - apart);
  }
  return model;
}

workload::Workload layeredModel(std::string name, int64_t batch, int64_t layers,
                                std::vector<workload::ModuleClass> classes) {
  workload::Workload model;
  model.modelName = std::move(name);
  model.modelHash = "0";
  model.globalBatch = batch;
  model.classes = std::move(classes);
  model.runs = {{0, "embedding", 1, {{-1, 0}}},
                {1, "layers", layers, {{0, 0}}},
                {2, "head", 1, {{1, 0}}}};
  return model;
}

} // namespace whale::test
