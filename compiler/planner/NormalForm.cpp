//===- NormalForm.cpp - strategy tree <-> stages with mesh axes -----------===//

#include "compiler/planner/Strategy.h"

#include "compiler/support/CheckedMath.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <numeric>

namespace whale::planner {

namespace {

/// Whale's own spelling of colocation, TaskGraphs side by side on the same
/// devices, as a chain: the replica, and in it the splits of their own paths.
class Chain {
public:
  explicit Chain(Diagnostics &diags) : diags(diags) {}

  Node run(const Node &cluster) {
    Node root = cluster, replica;
    root.colocated = false;
    bool first = true;
    for (const Node &scope : cluster.body) {
      if (scope.primitive == Primitive::Split) {
        noScopesIn(scope);
        splits.push_back(scope);
        splits.back().colocated = true;
      } else if (first) {
        replica = scope;
        first = false;
      } else {
        alike(replica, scope);
      }
    }
    restrict(replica);
    root.body = {nest(std::move(replica))};
    return root;
  }

private:
  void noScopesIn(const Node &scope) {
    if (!scope.body.empty())
      diags.error(scope.body[0].place,
                  fmt::format("a scope in a colocated '{}' is not compilable "
                              "yet",
                              nameOf(scope.primitive)),
                  ExitCode::Unsupported);
  }

  void alike(const Node &replica, const Node &other) {
    noScopesIn(other);
    if (replica.degree != other.degree || replica.shares != other.shares ||
        replica.shard != other.shard)
      diags.error(other.place, "colocated replicas differ")
          .note(replica.place, "the first is here");
  }

  /// What stands in the replica goes on to hold the replica's part only.
  void restrict(Node &replica) {
    std::vector<Node> *body = &replica.body;
    for (; !body->empty(); body = &body->front().body) {
      Node &inner = body->front();
      if (body->size() > 1 || inner.primitive != Primitive::Split)
        noScopesIn(replica);
      if (inner.paths.empty())
        inner.paths = replica.paths;
    }
    replica.paths.clear();
  }

  Node nest(Node replica) {
    std::vector<Node> inner = std::move(replica.body);
    for (size_t i = splits.size(); i-- > 0;) {
      splits[i].body = std::move(inner);
      inner = {std::move(splits[i])};
    }
    replica.body = std::move(inner);
    return replica;
  }

  Diagnostics &diags;
  std::vector<Node> splits;
};

/// Walks the tree from the root; `above` collects axes until the stages.
class Normalizer {
public:
  Normalizer(Space space, Diagnostics &diags) : space(space), diags(diags) {}

  std::optional<NormalForm> run(const Node &root) {
    StageForm above;
    bool chain = root.primitive == Primitive::Cluster && root.colocated;
    descend(chain ? Chain(diags).run(root) : root, above);
    for (StageForm &stage : form.stages) {
      for (const auto &[axis, split] : aroundPipeline)
        if (axis < stage.axes.size())
          addOnce(stage.axes[axis].colocated, split);
      nameAxes(stage);
    }
    checkBatchCuts(root);
    checkSchedule(root);
    checkRecompute(root);
    checkGathered(root);
    checkOffload(root);
    checkUnequalSplits(root);
    if (diags.errorCount() != errorsBefore)
      return std::nullopt;
    return std::move(form);
  }

private:
  void unsupported(const Node &node, std::string message) {
    diags.error(node.place, std::move(message), ExitCode::Unsupported);
  }

  void checkLowered(const Node &node) {
    if (auto why = notLowered(node); why && space == Space::Default)
      diags.error(node.place, *why, ExitCode::Unsupported)
          .hint(std::string(notLoweredHint));
  }

  void inherit(const Node &node, StageForm &stage) {
    if (node.recompute)
      stage.recompute = *node.recompute;
    stage.recomputeLayers =
        node.recomputeLayers.value_or(stage.recomputeLayers);
    stage.selectiveLayers =
        node.selectiveLayers.value_or(stage.selectiveLayers);
    stage.gatheredLayers = node.gatheredLayers.value_or(stage.gatheredLayers);
    forEachOffload(
        [](auto, int64_t &here, std::optional<int64_t> said) {
          here = said.value_or(here);
        },
        stage.offload, node.offload);
    checkLowered(node);
    // The paths of a split restrict the axis, those of others the stage.
    if (!node.paths.empty() && node.primitive != Primitive::Split)
      stage.paths = node.paths;
  }

  void addAxis(const Node &node, StageForm &stage) {
    Axis axis;
    axis.kind = node.primitive == Primitive::Replica ? AxisKind::Replica
                                                     : AxisKind::Split;
    axis.size =
        node.degree ? node.degree : static_cast<int64_t>(node.shares.size());
    axis.dims = node.dims;
    axis.shares = node.shares;
    if (axis.kind == AxisKind::Split)
      simplify(axis.shares);
    axis.shard = node.shard.value_or(Shard::None);
    if (node.primitive == Primitive::Split)
      axis.paths = node.paths;
    if (axis.size == 0)
      diags.error(node.place,
                  fmt::format("'{}' has no degree", nameOf(node.primitive)));
    stage.axes.push_back(std::move(axis));
  }

  /// Widths in lowest terms; equal ones need not be said.
  static void simplify(std::vector<int64_t> &widths) {
    int64_t common = 0;
    for (int64_t width : widths)
      common = std::gcd(common, width);
    for (int64_t &width : widths)
      width /= common;
    if (std::count(widths.begin(), widths.end(), 1) == std::ssize(widths))
      widths.clear();
  }

  bool isAxis(const Node &node) const {
    return node.primitive == Primitive::Replica ||
           (node.primitive == Primitive::Split && !node.colocated);
  }

  static void addOnce(std::vector<ColocatedSplit> &list,
                      const ColocatedSplit &split) {
    if (std::find(list.begin(), list.end(), split) == list.end())
      list.push_back(split);
  }

  /// The nearest replica axes whose sizes multiply to the split's degree.
  std::vector<size_t> replicasOf(const Node &split, const StageForm &stage) {
    std::vector<size_t> axes;
    int64_t devices = 1;
    for (size_t i = stage.axes.size(); i-- > 0;) {
      if (stage.axes[i].kind != AxisKind::Replica)
        continue;
      if (!axes.empty() && devices >= split.degree)
        break;
      axes.push_back(i);
      devices = saturatingMultiply(devices, stage.axes[i].size);
    }
    if (!axes.empty() && (split.degree == 0 || split.degree == devices))
      return axes;
    diags.error(split.place,
                axes.empty() || split.degree == 0
                    ? std::string("'split' is colocated, but no 'replica' is "
                                  "around it")
                    : fmt::format("'split' of degree {} is colocated, but the "
                                  "replicas around it have {} devices",
                                  split.degree, devices));
    return {};
  }

  /// Puts a colocated split on its replicas' axes. Those around the pipeline
  /// are the same in every stage.
  void colocate(const Node &node, StageForm &stage) {
    checkLowered(node);
    ColocatedSplit split{node.dims, node.paths};
    for (size_t axis : replicasOf(node, stage)) {
      if (axis >= form.outerAxes) {
        addOnce(stage.axes[axis].colocated, split);
        continue;
      }
      if (split.paths.empty())
        split.paths = stage.paths;
      if (split.paths.empty())
        unsupported(node, "a colocated split without paths in a stage without "
                          "paths is not compilable yet");
      aroundPipeline.emplace_back(axis, split);
    }
  }

  /// What stands in a scope, without colocated splits that hold no other: they
  /// take no devices of their own.
  std::vector<const Node *> chainBelow(const Node &node, StageForm &stage) {
    std::vector<const Node *> below;
    for (const Node &child : node.body)
      if (child.colocated && child.body.empty())
        colocate(child, stage);
      else
        below.push_back(&child);
    return below;
  }

  /// The scope's own axis, or what it asks of those around it.
  void enter(const Node &node, StageForm &stage) {
    inherit(node, stage);
    if (isAxis(node))
      addAxis(node, stage);
    else if (node.primitive == Primitive::Split)
      colocate(node, stage);
  }

  void enterPipeline(const Node &node) {
    form.microBatches = node.microBatches;
    form.schedule = node.schedule.value_or(Schedule::OneFOneB);
    form.virtualStages = simulator::chunksOf(
        form.schedule, std::max<int64_t>(node.virtualStages, 1));
    if (node.microBatches == 0)
      diags.error(node.place, "'pipeline' has no number of micro-batches");
    if (node.microBatches > mostMicroBatches)
      diags.error(node.place,
                  fmt::format("'pipeline' has {} micro-batches, expected at "
                              "most {}",
                              node.microBatches, mostMicroBatches));
    if (node.virtualStages > 1 && form.virtualStages != node.virtualStages)
      diags.error(node.place,
                  fmt::format("schedule '{}' has virtual stages {}, found {}",
                              nameOf(form.schedule), form.virtualStages,
                              node.virtualStages));
  }

  /// What the schedule asks of stages and micro-batches.
  void checkSchedule(const Node &root) {
    simulator::ScheduleSpec spec;
    spec.order = form.schedule;
    spec.stages = static_cast<int64_t>(form.stages.size());
    spec.chunks = form.virtualStages;
    spec.microBatches = form.microBatches;
    if (form.microBatches == 0 || form.stages.empty())
      return;
    if (auto broken = simulator::brokenRule(spec))
      diags.error(root.place, *broken);
  }

  void checkRecompute(const Node &root) {
    for (const StageForm &stage : form.stages) {
      int64_t layers =
          saturatingAdd(stage.recomputeLayers, stage.selectiveLayers);
      if (layers == 0)
        continue;
      if (stage.recompute == Recompute::Full)
        return void(diags.error(
            root.place, fmt::format("recompute of {} layers beside recompute "
                                    "'full' of all",
                                    layers)));
      if (stage.selectiveLayers > 0 && stage.recompute != Recompute::None)
        return void(diags.error(
            root.place, fmt::format("selective recompute of {} layers beside "
                                    "recompute 'selective' of all",
                                    stage.selectiveLayers)));
      if (form.virtualStages > 1)
        return void(diags.error(
            root.place, fmt::format("recompute of {} layers of stages that "
                                    "have {} virtual stages",
                                    layers, form.virtualStages)));
    }
  }

  void checkGathered(const Node &root) {
    for (const StageForm &stage : form.stages) {
      if (stage.gatheredLayers == 0)
        continue;
      auto refuse = [&](std::string_view why) {
        diags.error(root.place,
                    fmt::format("{} layers whose parameters stay gathered {}",
                                stage.gatheredLayers, why));
      };
      if (std::none_of(
              stage.axes.begin(), stage.axes.end(),
              [](const Axis &axis) { return axis.shard == Shard::Parameters; }))
        return refuse("in a stage whose replicas do not cut them");
      if (stage.offload.optimizer > 0)
        return refuse("in a stage with optimizer state in the host's memory");
      if (form.virtualStages > 1)
        return refuse(fmt::format("in stages that have {} virtual stages",
                                  form.virtualStages));
    }
  }

  void checkOffload(const Node &root) {
    for (const StageForm &stage : form.stages) {
      const Offload &offload = stage.offload;
      if (offload.parameters > offload.optimizer)
        return void(diags.error(
            root.place,
            fmt::format("parameters of {} layers in the host's memory, but the "
                        "optimizer's state of {}",
                        layerCount(offload.parameters),
                        layerCount(offload.optimizer))));
      if (offload != Offload() && form.virtualStages > 1)
        return void(diags.error(
            root.place, fmt::format("offload of stages that have {} virtual "
                                    "stages",
                                    form.virtualStages)));
    }
  }

  void checkUnequalSplits(const Node &root) {
    for (const StageForm &stage : form.stages)
      if (stage.hasUnequalSplits() && form.virtualStages > 1)
        return void(diags.error(
            root.place, fmt::format("shares of a split in stages that have {} "
                                    "virtual stages",
                                    form.virtualStages)));
  }

  /// Above the stages.
  void descend(const Node &node, StageForm above) {
    enter(node, above);
    if (node.primitive == Primitive::Pipeline)
      enterPipeline(node);
    std::vector<const Node *> below = chainBelow(node, above);
    bool sequence = node.primitive == Primitive::Pipeline || below.size() > 1 ||
                    (!below.empty() && below[0]->primitive == Primitive::Stage);
    if (!sequence && below.size() == 1)
      return descend(*below[0], std::move(above));
    form.outerAxes = above.axes.size();
    if (below.empty())
      form.stages.push_back(std::move(above));
    for (const Node *child : below) {
      StageForm stage = above;
      descendStage(*child, stage);
      form.stages.push_back(std::move(stage));
    }
  }

  /// A stage and what is inside; a replica or split is a stage by itself.
  void descendStage(const Node &node, StageForm &stage) {
    if (node.primitive == Primitive::Pipeline)
      return unsupported(node, "a pipeline inside a stage is not compilable "
                               "yet");
    if (node.primitive == Primitive::Split && !node.colocated &&
        !node.paths.empty() && stage.axes.size() == form.outerAxes &&
        stage.paths.empty())
      stage.paths = node.paths;
    enter(node, stage);
    std::vector<const Node *> below = chainBelow(node, stage);
    if (below.size() > 1)
      return unsupported(*below[1], "several scopes side by side in one stage "
                                    "are not compilable yet");
    if (!below.empty())
      descendStage(*below[0], stage);
  }

  static void nameAxes(StageForm &stage) {
    int replicas = 0, splits = 0;
    for (Axis &axis : stage.axes)
      axis.name = axis.kind == AxisKind::Replica
                      ? fmt::format("r{}", replicas++)
                      : fmt::format("t{}", splits++);
  }

  /// Programs keep the samples of a micro-batch on a chain of ranks.
  void checkBatchCuts(const Node &root) {
    if (space == Space::Default && !cutsBatchAlike(form))
      diags
          .error(root.place,
                 "stages that cut the batch differently are not compilable yet",
                 ExitCode::Unsupported)
          .hint(std::string(notLoweredHint));
  }

  NormalForm form;
  /// Colocated splits of single stages on replicas around the pipeline.
  std::vector<std::pair<size_t, ColocatedSplit>> aroundPipeline;
  Space space;
  Diagnostics &diags;
  size_t errorsBefore = diags.errorCount();
};

Node scopeOf(const Axis &axis) {
  Node node;
  node.primitive =
      axis.kind == AxisKind::Replica ? Primitive::Replica : Primitive::Split;
  node.degree = axis.size;
  node.dims = axis.dims;
  node.shares = axis.shares;
  if (axis.kind == AxisKind::Replica)
    node.shard = axis.shard;
  node.paths = axis.paths;
  return node;
}

/// Nests a colocated split on `axis` around `inner`.
std::vector<Node> wrapColocated(const Axis &axis, const ColocatedSplit &split,
                                std::vector<Node> inner) {
  Node node;
  node.primitive = Primitive::Split;
  node.degree = axis.size;
  node.dims = split.dims;
  node.colocated = true;
  node.paths = split.paths;
  node.body = std::move(inner);
  return {std::move(node)};
}

/// Wraps `inner` in the scopes of `axes`, outermost first.
std::vector<Node> wrap(std::span<const Axis> axes, std::vector<Node> inner) {
  for (size_t i = axes.size(); i-- > 0;) {
    for (size_t s = axes[i].colocated.size(); s-- > 0;)
      inner = wrapColocated(axes[i], axes[i].colocated[s], std::move(inner));
    Node node = scopeOf(axes[i]);
    node.body = std::move(inner);
    inner.clear();
    inner.push_back(std::move(node));
  }
  return inner;
}

} // namespace

int64_t StageForm::innerDevices(unsigned outerAxes) const {
  int64_t devices = 1;
  for (size_t i = outerAxes; i < axes.size(); ++i)
    devices = saturatingMultiply(devices, axes[i].size);
  return devices;
}

bool StageForm::hasUnequalSplits() const {
  return std::any_of(axes.begin(), axes.end(), [](const Axis &axis) {
    return axis.kind == AxisKind::Split && !axis.shares.empty();
  });
}

int64_t StageForm::degree(AxisKind kind) const {
  int64_t product = 1;
  for (const Axis &axis : axes)
    if (axis.kind == kind)
      product = saturatingMultiply(product, axis.size);
  return product;
}

std::optional<std::string> notLowered(const Node &node) {
  if (node.shard == Shard::Gradients || node.shard == Shard::Parameters)
    return fmt::format("shard '{}' is not compilable yet", nameOf(*node.shard));
  if (node.primitive == Primitive::Split && !node.shares.empty())
    return "a split with shares is not compilable yet";
  bool offloads = false;
  forEachOffload(
      [&](auto, std::optional<int64_t> layers) {
        offloads |= layers.value_or(0) > 0;
      },
      node.offload);
  if (offloads)
    return "offload to the host is not compilable yet";
  if (node.schedule && *node.schedule != Schedule::GPipe &&
      *node.schedule != Schedule::OneFOneB)
    return fmt::format("schedule '{}' is not compilable yet",
                       nameOf(*node.schedule));
  if (node.dims.size() > 1 && std::find(node.dims.begin(), node.dims.end(),
                                        sampleDim) != node.dims.end())
    return "a split of experts and batch, which sends rows to their experts, "
           "is not compilable yet";
  return std::nullopt;
}

std::optional<NormalForm> normalize(const Node &root, Diagnostics &diagnostics,
                                    Space space) {
  return Normalizer(space, diagnostics).run(root);
}

Node toTree(const NormalForm &form) {
  Node root;
  std::span<const Axis> outer(form.stages.front().axes.data(), form.outerAxes);
  std::vector<Node> stages;
  for (const StageForm &stage : form.stages) {
    Node node;
    node.primitive = Primitive::Stage;
    node.paths = stage.paths;
    node.recompute = stage.recompute;
    if (stage.recomputeLayers > 0)
      node.recomputeLayers = stage.recomputeLayers;
    if (stage.selectiveLayers > 0)
      node.selectiveLayers = stage.selectiveLayers;
    if (stage.gatheredLayers > 0)
      node.gatheredLayers = stage.gatheredLayers;
    forEachOffload(
        [](auto, std::optional<int64_t> &said, int64_t layers) {
          if (layers > 0)
            said = layers;
        },
        node.offload, stage.offload);
    node.body = wrap(std::span(stage.axes).subspan(form.outerAxes), {});
    stages.push_back(std::move(node));
  }
  Node pipeline;
  pipeline.primitive = Primitive::Pipeline;
  pipeline.microBatches = form.microBatches;
  pipeline.schedule = form.schedule;
  if (form.schedule == Schedule::Interleaved)
    pipeline.virtualStages = form.virtualStages;
  pipeline.body = std::move(stages);
  std::vector<Node> inner;
  inner.push_back(std::move(pipeline));
  root.body = wrap(outer, std::move(inner));
  return root;
}

/// Calls `visit` with the inner devices of one stage after another; those that
/// share their axes are counted once.
template <class F> static void forEachInner(const NormalForm &form, F visit) {
  const SharedVector<Axis> *last = nullptr;
  int64_t devices = 0;
  for (const StageForm &stage : form.stages) {
    if (!last || !stage.axes.sharesWith(*last))
      devices = stage.innerDevices(form.outerAxes);
    last = &stage.axes;
    visit(devices);
  }
}

int64_t rankCount(const NormalForm &form) {
  int64_t inner = 0, outer = 1;
  forEachInner(form,
               [&](int64_t devices) { inner = saturatingAdd(inner, devices); });
  for (unsigned i = 0; i < form.outerAxes; ++i)
    outer = saturatingMultiply(outer, form.stages.front().axes[i].size);
  return saturatingMultiply(outer, inner);
}

Coordinates coordinatesOf(const NormalForm &form, int64_t rank) {
  int64_t inner = 0;
  for (const StageForm &stage : form.stages)
    inner += stage.innerDevices(form.outerAxes);
  int64_t outer = rank / inner, rest = rank % inner;
  Coordinates result;
  while (rest >= form.stages[result.stage].innerDevices(form.outerAxes))
    rest -= form.stages[result.stage++].innerDevices(form.outerAxes);
  const std::vector<Axis> &axes = form.stages[result.stage].axes;
  result.axes.resize(axes.size());
  for (size_t i = axes.size(); i-- > 0;) {
    int64_t &number = i >= form.outerAxes ? rest : outer;
    result.axes[i] = number % axes[i].size;
    number /= axes[i].size;
  }
  return result;
}

int64_t rankOf(const NormalForm &form, const Coordinates &coordinates) {
  const std::vector<Axis> &axes = form.stages[coordinates.stage].axes;
  int64_t outer = 0, within = 0;
  for (size_t i = 0; i < axes.size(); ++i) {
    int64_t &number = i < form.outerAxes ? outer : within;
    number = number * axes[i].size + coordinates.axes[i];
  }
  // Of the first stages there are no others to count.
  if (outer == 0 && coordinates.stage == 0)
    return within;
  int64_t inner = 0, offset = 0;
  unsigned stage = 0;
  forEachInner(form, [&](int64_t devices) {
    if (stage++ == coordinates.stage)
      offset = inner;
    inner += devices;
  });
  return outer * inner + offset + within;
}

bool cutsBatchAlike(const NormalForm &form) {
  auto nextReplica = [](const StageForm &stage, size_t from) {
    while (from < stage.axes.size() &&
           stage.axes[from].kind != AxisKind::Replica)
      ++from;
    return from;
  };
  const StageForm &first = form.stages.front();
  return std::all_of(
      form.stages.begin(), form.stages.end(), [&](const StageForm &stage) {
        if (stage.axes.sharesWith(first.axes))
          return true;
        size_t a = nextReplica(first, 0), b = nextReplica(stage, 0);
        while (a < first.axes.size() && b < stage.axes.size() &&
               first.axes[a].size == stage.axes[b].size &&
               first.axes[a].shares == stage.axes[b].shares)
          a = nextReplica(first, a + 1), b = nextReplica(stage, b + 1);
        return a == first.axes.size() && b == stage.axes.size();
      });
}

BatchRange batchOf(const NormalForm &form, const Coordinates &coordinates,
                   int64_t globalBatch) {
  BatchRange range{0, globalBatch};
  const std::vector<Axis> &axes = form.stages[coordinates.stage].axes;
  for (size_t i = 0; i < axes.size(); ++i) {
    if (axes[i].kind != AxisKind::Replica)
      continue;
    int64_t c = coordinates.axes[i];
    if (!axes[i].shares.empty()) {
      for (int64_t before = 0; before < c; ++before)
        range.first += axes[i].shares[before];
      range.count = axes[i].shares[c];
      continue;
    }
    int64_t each = range.count / axes[i].size;
    int64_t extra = range.count % axes[i].size;
    range.first += c * each + std::min(c, extra);
    range.count = each + (c < extra ? 1 : 0);
  }
  return range;
}

} // namespace whale::planner
