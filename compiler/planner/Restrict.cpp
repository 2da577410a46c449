//===- Restrict.cpp - what a written strategy leaves free -----------------===//

#include "compiler/planner/Restrict.h"

#include <fmt/format.h>

namespace whale::planner {

namespace {

/// Walks a chain of scopes; anything that is no chain is taken as written.
class Reader {
public:
  Restriction run(const Node &root) {
    chain(root, false);
    return std::move(result);
  }

private:
  void chain(const Node &node, bool inStage) {
    result.asWritten |= node.colocated;
    if (node.recompute)
      result.pins.recompute = node.recompute;
    auto pin = [](std::optional<int64_t> &pinned, std::optional<int64_t> said) {
      if (said)
        pinned = said;
    };
    pin(result.pins.recomputeLayers, node.recomputeLayers);
    pin(result.pins.selectiveLayers, node.selectiveLayers);
    pin(result.pins.gatheredLayers, node.gatheredLayers);
    pin(result.pins.offloadOptimizer, node.offload.optimizer);
    pin(result.pins.offloadParameters, node.offload.parameters);
    pin(result.pins.offloadActivations, node.offload.activations);
    switch (node.primitive) {
    case Primitive::Replica:
      return replica(node, inStage);
    case Primitive::Split:
      return split(node, inStage);
    case Primitive::Pipeline:
      return pipeline(node);
    case Primitive::Stage:
    case Primitive::Cluster:
      return below(node, inStage);
    }
  }

  void below(const Node &node, bool inStage) {
    for (const Node &inner : node.body)
      result.asWritten |= inner.colocated;
    if (node.body.size() > 1)
      return stages(node);
    if (node.body.empty())
      return;
    if (!inStage && node.body[0].primitive == Primitive::Stage)
      return stages(node);
    chain(node.body[0], inStage);
  }

  void replica(const Node &node, bool inStage) {
    bool again = result.pins.data.has_value() || replicaSeen;
    if (again || splitSeen || !node.shares.empty() || !node.paths.empty())
      result.asWritten = true;
    replicaSeen = true;
    if (node.degree)
      result.pins.data = node.degree;
    if (node.shard)
      result.pins.zero = static_cast<int64_t>(*node.shard);
    if (inStage)
      result.pipelineOutside = true;
    below(node, inStage);
    if (pipelineSeen && !inStage)
      result.pipelineOutside = false;
  }

  void split(const Node &node, bool inStage) {
    if (splitSeen || !node.shares.empty() || !node.paths.empty())
      result.asWritten = true;
    splitSeen = true;
    if (node.degree)
      result.pins.tensor = node.degree;
    result.dims = node.dims;
    below(node, inStage);
    if (pipelineSeen && !inStage)
      result.asWritten = true;
  }

  void pipeline(const Node &node) {
    pipelineSeen = true;
    if (node.microBatches)
      result.pins.microBatches = node.microBatches;
    result.pins.schedule = node.schedule;
    if (node.virtualStages)
      result.pins.virtualStages = node.virtualStages;
    if (!node.body.empty())
      stages(node);
  }

  void stages(const Node &node) {
    if (node.primitive != Primitive::Pipeline)
      result.pins.microBatches = 1;
    pipelineSeen = true;
    result.pins.pipeline = static_cast<int64_t>(node.body.size());
    bool paths = false;
    for (const Node &stage : node.body) {
      // Stages must be alike but for their paths.
      Node first = node.body[0], other = stage;
      first.paths = other.paths;
      if (!(first == other) || stage.primitive != Primitive::Stage)
        result.asWritten = true;
      result.stagePaths.push_back(stage.paths);
      paths |= !stage.paths.empty();
    }
    if (!paths)
      result.stagePaths.clear();
    chain(node.body[0], true);
  }

  Restriction result;
  bool replicaSeen = false, splitSeen = false, pipelineSeen = false;
};

} // namespace

Restriction restrictionOf(const Node &strategy) {
  return Reader().run(strategy);
}

std::optional<Pins> mergePins(const Pins &pins, const Restriction &restriction,
                              const Node &strategy, Diagnostics &diagnostics) {
  Pins merged = pins;
  bool ok = true;
  auto merge = [&](std::string_view name, auto &mine, const auto &written) {
    if (!written)
      return;
    if (mine && *mine != *written) {
      diagnostics
          .error({}, fmt::format("pin '{}' contradicts the strategy", name))
          .note(strategy.place, "the strategy is here");
      ok = false;
    }
    mine = written;
  };
  forEachPin([&](std::string_view name, auto pin) {
    merge(name, merged.*pin, restriction.pins.*pin);
  });
  if (!ok)
    return std::nullopt;
  return merged;
}

} // namespace whale::planner
