//===- Strategy.cpp - names, nesting table, check -------------------------===//

#include "compiler/planner/Strategy.h"

#include "compiler/support/PathPattern.h"
#include "compiler/support/Text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace whale::planner {

namespace {

constexpr std::array<std::string_view, 5> primitiveNames = {
    "replica", "split", "stage", "pipeline", "cluster"};
constexpr std::array<std::string_view, 4> shardNames = {
    "none", "optimizer", "gradients", "parameters"};
constexpr std::array<std::string_view, 3> recomputeNames = {"none", "selective",
                                                            "full"};

template <class E, size_t N>
std::optional<E> find(const std::array<std::string_view, N> &names,
                      std::string_view name) {
  auto it = std::find(names.begin(), names.end(), name);
  if (it == names.end())
    return std::nullopt;
  return static_cast<E>(it - names.begin());
}

using P = Primitive;
using N = Nesting;

constexpr std::string_view clusterInside =
    "'cluster' is the outermost scope and cannot stand inside another";

constexpr std::array<NestingRule, 25> table = {{
    {P::Replica, P::Replica, N::Legal,
     "each replica's share of the batch is cut again; two replica axes"},
    {P::Replica, P::Split, N::Legal,
     "the ops of each replica are cut; a replica axis, then a split axis"},
    {P::Replica, P::Stage, N::Legal,
     "each replica is a chain of stages with one micro-batch; a replica axis "
     "above the stages"},
    {P::Replica, P::Pipeline, N::Legal,
     "each replica runs a pipeline of its own; a replica axis above the "
     "stages"},
    {P::Replica, P::Cluster, N::Illegal, clusterInside},
    {P::Split, P::Replica, N::Legal,
     "ops are cut and each part's batch is cut again; a split axis, then a "
     "replica axis"},
    {P::Split, P::Split, N::Legal,
     "ops are cut along two dimensions, or one dimension twice; two split "
     "axes"},
    {P::Split, P::Stage, N::Legal,
     "every stage's ops are cut the same way; a split axis above the stages"},
    {P::Split, P::Pipeline, N::Legal,
     "every stage's ops are cut the same way; a split axis above the stages"},
    {P::Split, P::Cluster, N::Illegal, clusterInside},
    {P::Stage, P::Replica, N::Legal,
     "the stage's micro-batches are cut; a replica axis of this stage"},
    {P::Stage, P::Split, N::Legal,
     "the stage's ops are cut; a split axis of this stage"},
    {P::Stage, P::Stage, N::Illegal,
     "a 'stage' cannot hold a 'stage': stages of a pipeline lie side by side"},
    {P::Stage, P::Pipeline, N::NotYet,
     "the stage runs its part of each micro-batch as a pipeline of its own"},
    {P::Stage, P::Cluster, N::Illegal, clusterInside},
    {P::Pipeline, P::Replica, N::Legal,
     "a stage whose ops are replicated; a replica axis of that stage"},
    {P::Pipeline, P::Split, N::Legal,
     "a stage whose ops are cut; a split axis of that stage"},
    {P::Pipeline, P::Stage, N::Legal,
     "one stage; stages take their devices one after another"},
    {P::Pipeline, P::Pipeline, N::Illegal,
     "a 'pipeline' cannot hold a 'pipeline' directly: put the inner one in a "
     "'stage'"},
    {P::Pipeline, P::Cluster, N::Illegal, clusterInside},
    {P::Cluster, P::Replica, N::Legal,
     "a replica axis; several side by side are stages with one micro-batch"},
    {P::Cluster, P::Split, N::Legal,
     "a split axis; several side by side are stages with one micro-batch"},
    {P::Cluster, P::Stage, N::Legal,
     "stages with one micro-batch: plain model parallelism"},
    {P::Cluster, P::Pipeline, N::Legal, "the whole model as a pipeline"},
    {P::Cluster, P::Cluster, N::Illegal, clusterInside},
}};

/// The checks of one node by itself.
struct NodeCheck {
  const Node &node;
  Diagnostics &diags;
  bool ok = true;

  void fail(std::string message) {
    diags.error(node.place, std::move(message));
    ok = false;
  }
  void only(bool said, std::string_view field, std::string_view owner) {
    if (said)
      fail(fmt::format("'{}' belongs to '{}', not to '{}'", field, owner,
                       nameOf(node.primitive)));
  }
  void fields() {
    bool replica = node.primitive == P::Replica;
    bool split = node.primitive == P::Split;
    bool pipeline = node.primitive == P::Pipeline;
    only(node.degree != 0 && !replica && !split, "degree",
         "replica' and 'split");
    only(!node.dims.empty() && !split, "dims", "split");
    only(node.colocated && !split && node.primitive != P::Cluster, "colocated",
         "split' and 'cluster");
    only(!node.shares.empty() && !replica && !split, "shares",
         "replica' and 'split");
    only(node.shard.has_value() && !replica, "shard", "replica");
    only(node.microBatches != 0 && !pipeline, "micro_batches", "pipeline");
    only(node.schedule.has_value() && !pipeline, "schedule", "pipeline");
    only(node.virtualStages != 0 && !pipeline, "virtual_stages", "pipeline");
    if (split && node.dims.empty())
      fail("'split' names no dimension");
  }
  void numbers() {
    if (node.degree < 0)
      fail(fmt::format("degree {} is not positive", node.degree));
    if (node.microBatches < 0)
      fail(
          fmt::format("{} micro-batches: must be positive", node.microBatches));
    if (node.recomputeLayers.value_or(0) < 0)
      fail(fmt::format("{} recompute layers: must not be negative",
                       *node.recomputeLayers));
    if (node.selectiveLayers.value_or(0) < 0)
      fail(fmt::format("{} selective layers: must not be negative",
                       *node.selectiveLayers));
    if (node.gatheredLayers.value_or(0) < 0)
      fail(fmt::format("{} gathered layers: must not be negative",
                       *node.gatheredLayers));
    forEachOffload(
        [&](std::string_view name, std::optional<int64_t> layers) {
          if (layers.value_or(0) < 0)
            fail(
                fmt::format("'{}' is {}: must not be negative", name, *layers));
        },
        node.offload);
    for (int64_t share : node.shares)
      if (share <= 0)
        fail(fmt::format("share {} is not positive", share));
    if (!node.shares.empty() && node.degree != 0 &&
        node.degree != static_cast<int64_t>(node.shares.size()))
      fail(fmt::format("{} shares for {} {}", node.shares.size(), node.degree,
                       node.primitive == P::Split ? "parts" : "replicas"));
    if (!node.shares.empty() && node.primitive == P::Split)
      splitShares();
  }
  /// What lies on other scopes' devices, and rows that go to experts, have
  /// equal parts.
  void splitShares() {
    if (node.colocated)
      fail("a colocated 'split' has no shares");
    if (node.dims.size() > 1 && std::find(node.dims.begin(), node.dims.end(),
                                          sampleDim) != node.dims.end())
      fail("a 'split' that sends rows to their experts has no shares");
    int64_t sum = 0;
    for (int64_t share : node.shares)
      sum = share > mostParts - sum ? mostParts + 1 : sum + share;
    if (sum > mostParts)
      fail(fmt::format("shares of a 'split' sum to more than {}", mostParts));
  }
  /// Side by side on the same devices: replicas, and splits on theirs.
  void colocatedBody() {
    if (!node.colocated || node.primitive != P::Cluster)
      return;
    bool replica = false;
    for (const Node &inner : node.body) {
      replica |= inner.primitive == P::Replica;
      if (inner.primitive == P::Replica || inner.primitive == P::Split)
        continue;
      diags.error(inner.place,
                  fmt::format("a colocated 'cluster' holds replicas and "
                              "splits, not '{}'",
                              nameOf(inner.primitive)));
      ok = false;
    }
    if (!replica)
      fail("a colocated 'cluster' holds no 'replica'");
  }
  void patterns() {
    for (const std::string &path : node.paths)
      ok &= PathPattern::parse(path, node.place, diags).has_value();
  }
};

bool checkBelow(const Node &node, Diagnostics &diags, int depth) {
  if (depth > 64) {
    diags.error(node.place, "more than 64 scopes in each other");
    return false;
  }
  NodeCheck one{node, diags};
  one.fields();
  one.numbers();
  one.colocatedBody();
  one.patterns();
  bool ok = one.ok;
  for (const Node &inner : node.body) {
    const NestingRule &rule = nestingRule(node.primitive, inner.primitive);
    if (rule.nesting == Nesting::Illegal) {
      diags.error(inner.place, std::string(rule.text))
          .note(node.place, "the outer scope is here");
      ok = false;
    }
    ok &= checkBelow(inner, diags, depth + 1);
  }
  return ok;
}

} // namespace

std::string_view nameOf(Primitive p) {
  return primitiveNames[static_cast<size_t>(p)];
}
std::string_view nameOf(Shard s) { return shardNames[static_cast<size_t>(s)]; }
std::string_view nameOf(Recompute r) {
  return recomputeNames[static_cast<size_t>(r)];
}
std::optional<Primitive> primitiveOf(std::string_view name) {
  return find<Primitive>(primitiveNames, name);
}
std::optional<Shard> shardOf(std::string_view name) {
  return find<Shard>(shardNames, name);
}
std::optional<Recompute> recomputeOf(std::string_view name) {
  return find<Recompute>(recomputeNames, name);
}
std::optional<Schedule> scheduleOf(std::string_view name) {
  for (Schedule schedule : simulator::allOrders())
    if (nameOf(schedule) == name)
      return schedule;
  return std::nullopt;
}

bool Node::operator==(const Node &other) const {
  return primitive == other.primitive && degree == other.degree &&
         dims == other.dims && colocated == other.colocated &&
         shares == other.shares && shard == other.shard &&
         microBatches == other.microBatches && schedule == other.schedule &&
         virtualStages == other.virtualStages && paths == other.paths &&
         recompute == other.recompute &&
         recomputeLayers == other.recomputeLayers &&
         selectiveLayers == other.selectiveLayers &&
         gatheredLayers == other.gatheredLayers && offload == other.offload &&
         body == other.body;
}

std::string layerCount(int64_t layers) {
  return layers == allLayers ? "all" : fmt::format("{}", layers);
}

std::span<const NestingRule> nestingTable() { return table; }

const NestingRule &nestingRule(Primitive outer, Primitive inner) {
  return table[static_cast<size_t>(outer) * 5 + static_cast<size_t>(inner)];
}

bool check(const Node &root, Diagnostics &diagnostics) {
  return checkBelow(root, diagnostics, 0);
}

/// Whether the scope says that something lies in the host's memory.
static bool offloads(const Node &node) {
  bool result = false;
  forEachOffload(
      [&](auto, std::optional<int64_t> layers) {
        result |= layers.value_or(0) > 0;
      },
      node.offload);
  return result;
}

/// One stage with one micro-batch, of which nothing else is said.
static bool isPlainPipeline(const Node &node) {
  return node.primitive == Primitive::Pipeline && node.microBatches == 1 &&
         node.body.size() == 1 && node.body[0].paths.empty() &&
         node.body[0].recompute.value_or(Recompute::None) == Recompute::None &&
         node.body[0].recomputeLayers.value_or(0) == 0 &&
         node.body[0].selectiveLayers.value_or(0) == 0 &&
         node.body[0].gatheredLayers.value_or(0) == 0 &&
         !offloads(node.body[0]);
}

/// "offload [optimizer 4, activations all]".
static std::string offloadWords(const Node &node) {
  std::vector<std::string> kinds;
  forEachOffload(
      [&](std::string_view name, std::optional<int64_t> layers) {
        if (layers.value_or(0) > 0)
          kinds.push_back(fmt::format("{} {}", name.substr(sizeof("offload")),
                                      layerCount(*layers)));
      },
      node.offload);
  return fmt::format("offload [{}]", fmt::join(kinds, ", "));
}

/// "shares [96 x 5, 8 x 4]"; of fewer than three equal ones each.
static std::string shareWords(std::span<const int64_t> shares) {
  std::vector<std::string> words;
  for (size_t first = 0, end = 0; first < shares.size(); first = end) {
    while (end < shares.size() && shares[end] == shares[first])
      ++end;
    if (end - first > 2)
      words.push_back(fmt::format("{} x {}", end - first, shares[first]));
    else
      words.insert(words.end(), end - first, std::to_string(shares[first]));
  }
  return fmt::format("shares [{}]", fmt::join(words, ", "));
}

std::string printStrategy(const Node &node) {
  if (isPlainPipeline(node)) {
    std::vector<std::string> inner;
    for (const Node &child : node.body[0].body)
      inner.push_back(printStrategy(child));
    return fmt::format("{}", fmt::join(inner, ", "));
  }
  std::vector<std::string> words;
  if (node.degree)
    words.push_back(fmt::format("{}", node.degree));
  if (!node.dims.empty())
    words.push_back(fmt::format("[{}]", fmt::join(node.dims, ", ")));
  if (node.colocated)
    words.push_back("colocated");
  if (!node.shares.empty())
    words.push_back(shareWords(node.shares));
  if (node.shard.value_or(Shard::None) != Shard::None)
    words.push_back(fmt::format("shard {}", nameOf(*node.shard)));
  if (node.microBatches)
    words.push_back(fmt::format("{}", node.microBatches));
  if (node.schedule)
    words.push_back(std::string(nameOf(*node.schedule)));
  if (node.virtualStages > 1)
    words.push_back(fmt::format("{} virtual stages", node.virtualStages));
  if (!node.paths.empty())
    words.push_back(fmt::format("{}", fmt::join(node.paths, " ")));
  if (node.recompute.value_or(Recompute::None) != Recompute::None)
    words.push_back(fmt::format("recompute {}", nameOf(*node.recompute)));
  if (node.recomputeLayers.value_or(0) > 0)
    words.push_back(fmt::format("recompute layers {}", *node.recomputeLayers));
  if (node.selectiveLayers.value_or(0) > 0)
    words.push_back(fmt::format("selective layers {}", *node.selectiveLayers));
  if (node.gatheredLayers.value_or(0) > 0)
    words.push_back(fmt::format("gathered layers {}", *node.gatheredLayers));
  if (offloads(node))
    words.push_back(offloadWords(node));
  std::vector<std::string> inner;
  for (const Node &child : node.body)
    inner.push_back(printStrategy(child));
  std::erase(inner, "");
  std::string body = fmt::format("{}", fmt::join(inner, ", "));
  if (node.primitive == Primitive::Cluster && words.empty())
    return body.empty() ? "cluster" : body;
  std::string text(nameOf(node.primitive));
  if (!words.empty())
    text += fmt::format("({})", fmt::join(words, ", "));
  if (!body.empty())
    text += fmt::format("{{{}}}", body);
  return text;
}

std::string printCompact(const Node &node) {
  Node copy = node;
  if (copy.primitive == Primitive::Pipeline && copy.body.size() > 1) {
    // Stages are alike if they differ in no more than what they hold and how
    // many layers that leads them to recompute or to keep gathered.
    int64_t layers = 0, selective = 0, gathered = 0;
    Offload offload;
    for (Node &stage : copy.body) {
      stage.paths.clear();
      layers += std::exchange(stage.recomputeLayers, {}).value_or(0);
      selective += std::exchange(stage.selectiveLayers, {}).value_or(0);
      gathered += std::exchange(stage.gatheredLayers, {}).value_or(0);
      forEachOffload(
          [](auto, int64_t &sum, std::optional<int64_t> &said) {
            sum = saturatingAdd(sum, std::exchange(said, {}).value_or(0));
          },
          offload, stage.offload);
    }
    bool equal =
        std::all_of(copy.body.begin(), copy.body.end(),
                    [&](const Node &stage) { return stage == copy.body[0]; });
    if (equal) {
      std::string stage = printStrategy(copy.body[0]);
      copy.body.clear();
      std::string sums =
          layers ? fmt::format(", {} layers in full", layers) : std::string();
      if (selective)
        sums += fmt::format(", {} layers selectively", selective);
      if (gathered)
        sums += fmt::format(", {} layers gathered", gathered);
      forEachOffload(
          [&](std::string_view name, int64_t sum) {
            if (sum > 0)
              sums +=
                  fmt::format(", {} of {} layers in the host",
                              name.substr(sizeof("offload")), layerCount(sum));
          },
          offload);
      return fmt::format("{}{{{} x {}{}}}", printStrategy(copy),
                         node.body.size(), stage, sums);
    }
    copy = node;
  }
  if (copy.body.size() != 1)
    return printStrategy(copy);
  std::string inner = printCompact(copy.body[0]);
  Node outer = copy;
  outer.body.clear();
  std::string text = printStrategy(outer);
  if (copy.primitive == Primitive::Pipeline)
    return printStrategy(copy);
  if (copy.primitive == Primitive::Cluster)
    return inner.empty() ? text : inner;
  return inner.empty() ? text : fmt::format("{}{{{}}}", text, inner);
}

} // namespace whale::planner
