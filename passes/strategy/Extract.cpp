//===- Extract.cpp - from scopes to the strategy tree ---------------------===//

#include "passes/strategy/NameOps.h"
#include "passes/strategy/Places.h"
#include "passes/strategy/Strategy.h"

#include "llvm/ADT/TypeSwitch.h"

#include <set>

using namespace mlir;
using namespace whale;
using planner::Node;
using planner::Primitive;

//===----------------------------------------------------------------------===//
// One scope
//===----------------------------------------------------------------------===//

static bool isScope(Operation *op) {
  return isa<ReplicaOp, SplitOp, StageOp, PipelineOp, ClusterOp>(op);
}

static std::vector<std::string> texts(ArrayAttr list) {
  std::vector<std::string> result;
  for (Attribute text : list)
    result.push_back(cast<StringAttr>(text).getValue().str());
  return result;
}

/// The scope's own words.
static Node readScope(Operation *op) {
  Node node;
  node.place = placeOf(op->getLoc());
  llvm::TypeSwitch<Operation *>(op)
      .Case([&](ReplicaOp scope) {
        node.primitive = Primitive::Replica;
        node.degree = scope.getDegree().value_or(0);
        if (auto shares = scope.getShares())
          node.shares.assign(shares->begin(), shares->end());
        if (auto shard = scope.getShard())
          node.shard = planner::shardOf(shard->str());
      })
      .Case([&](SplitOp scope) {
        node.primitive = Primitive::Split;
        node.degree = scope.getDegree().value_or(0);
        node.dims = texts(scope.getDims());
        if (auto shares = scope.getShares())
          node.shares.assign(shares->begin(), shares->end());
        node.colocated = scope.getColocated();
      })
      .Case([&](ClusterOp scope) { node.colocated = scope.getColocated(); })
      .Case([&](StageOp scope) {
        node.primitive = Primitive::Stage;
        auto read = [](std::optional<uint64_t> layers) {
          return layers ? std::optional<int64_t>(*layers) : std::nullopt;
        };
        node.recomputeLayers = read(scope.getRecomputeLayers());
        node.selectiveLayers = read(scope.getSelectiveLayers());
        node.gatheredLayers = read(scope.getGatheredLayers());
        node.offload = {read(scope.getOffloadOptimizer()),
                        read(scope.getOffloadParameters()),
                        read(scope.getOffloadActivations())};
      })
      .Case([&](PipelineOp scope) {
        node.primitive = Primitive::Pipeline;
        node.microBatches = scope.getMicroBatches();
        if (auto schedule = scope.getSchedule())
          node.schedule = planner::scheduleOf(schedule->str());
      })
      .Case([&](DefaultStrategyOp scope) {
        bool split = scope.getPrimitive() == "split";
        node.primitive = split ? Primitive::Split : Primitive::Replica;
        node.degree = scope.getDegree().value_or(0);
        if (scope.getDims())
          node.dims = texts(*scope.getDims());
      });
  if (auto mode = op->getAttrOfType<StringAttr>("recompute"))
    node.recompute = planner::recomputeOf(mode.str());
  return node;
}

//===----------------------------------------------------------------------===//
// The tree
//===----------------------------------------------------------------------===//

namespace {

class Extractor {
public:
  explicit Extractor(ModelOp model) : model(model) {}

  /// The tree below a cluster.
  Node run();
  bool found() const { return seen; }

private:
  /// Adds scopes of `block` to `parent`, and the paths of what stands in it.
  /// `prefix` is the pattern of the module's instances.
  void walk(Block &block, StringRef prefix, bool main, Node &parent,
            std::vector<std::string> &paths);
  void enter(Operation *scope, StringRef prefix, bool main, Node &parent,
             std::vector<std::string> &paths);
  void instance(InstanceOp op, StringRef prefix, Node &parent,
                std::vector<std::string> &paths);
  bool hasScopes(ModuleDefOp module);

  ModelOp model;
  bool seen = false;
};

} // namespace

static std::string joinPath(StringRef prefix, StringRef name) {
  return prefix.empty() ? name.str() : (prefix + "/" + name).str();
}

bool Extractor::hasScopes(ModuleDefOp module) {
  bool result = false;
  module.walk([&](Operation *op) {
    if (isScope(op) || isa<DefaultStrategyOp>(op))
      result = true;
    else if (auto inner = dyn_cast<InstanceOp>(op))
      result |= hasScopes(model.lookupSymbol<ModuleDefOp>(inner.getCallee()));
  });
  return result;
}

/// Adds `node` to `parent`; inside modules equal scopes are one.
static void addNode(Node &parent, Node node, bool join) {
  if (join)
    for (Node &other : parent.body)
      if (other.primitive == node.primitive && other.degree == node.degree &&
          other.colocated == node.colocated && other.shares == node.shares &&
          other.body.empty() && node.body.empty()) {
        for (const std::string &dim : node.dims)
          if (!llvm::is_contained(other.dims, dim))
            other.dims.push_back(dim);
        llvm::append_range(other.paths, node.paths);
        return;
      }
  parent.body.push_back(std::move(node));
}

void Extractor::instance(InstanceOp op, StringRef prefix, Node &parent,
                         std::vector<std::string> &paths) {
  std::string name = op.getName().str();
  if (auto count = op.getRepeat())
    name += *count == 1 ? ".0" : ".0.." + std::to_string(*count - 1);
  std::string path = joinPath(prefix, name);
  paths.push_back(path);
  auto callee = model.lookupSymbol<ModuleDefOp>(op.getCallee());
  if (!hasScopes(callee))
    return;
  std::vector<std::string> ignored;
  walk(callee.getBody().front(), path, /*main=*/false, parent, ignored);
}

void Extractor::enter(Operation *scope, StringRef prefix, bool main,
                      Node &parent, std::vector<std::string> &paths) {
  seen = true;
  Node node = readScope(scope);
  std::vector<std::string> own;
  walk(scope->getRegion(0).front(), prefix, main, node, own);
  llvm::append_range(paths, own);
  node.paths = std::move(own);
  addNode(parent, std::move(node), !main);
}

void Extractor::walk(Block &block, StringRef prefix, bool main, Node &parent,
                     std::vector<std::string> &paths) {
  std::optional<Node> standing;
  auto flush = [&] {
    if (standing && !standing->paths.empty())
      addNode(parent, std::move(*standing), !main);
    standing.reset();
  };
  for (Operation &op : block.without_terminator()) {
    if (isa<DefaultStrategyOp>(op)) {
      flush();
      seen = true;
      standing = readScope(&op);
      continue;
    }
    if (isScope(&op)) {
      // The default is suspended inside and goes on after it, as one scope.
      enter(&op, prefix, main, parent, paths);
      continue;
    }
    Node &owner = standing ? *standing : parent;
    size_t before = paths.size();
    if (auto inner = dyn_cast<InstanceOp>(op))
      instance(inner, prefix, owner, paths);
    else if (auto name = op.getAttrOfType<StringAttr>("name");
             name && !isa<InputOp>(op))
      paths.push_back(joinPath(prefix, name.getValue()));
    if (standing)
      standing->paths.insert(standing->paths.end(), paths.begin() + before,
                             paths.end());
  }
  flush();
}

/// Leaves out the patterns of scopes that hold all that their parent holds.
static void dropPaths(Node &node, const std::vector<std::string> &all) {
  std::set<std::string> outer(all.begin(), all.end());
  for (Node &inner : node.body) {
    std::set<std::string> own(inner.paths.begin(), inner.paths.end());
    dropPaths(inner, inner.paths);
    if (own == outer)
      inner.paths.clear();
  }
}

Node Extractor::run() {
  Node root;
  std::vector<std::string> all;
  ModuleDefOp main = model.getMain();
  root.place = placeOf(main.getLoc());
  walk(main.getBody().front(), "", /*main=*/true, root, all);
  dropPaths(root, all);
  // A written cluster is the root itself.
  if (root.body.size() == 1 && root.body[0].primitive == Primitive::Cluster) {
    Node inner = std::move(root.body[0]);
    return inner;
  }
  return root;
}

//===----------------------------------------------------------------------===//
// The model without scopes
//===----------------------------------------------------------------------===//

static void dissolve(Operation *scope) {
  Block &body = scope->getRegion(0).front();
  Operation *yield = body.getTerminator();
  scope->replaceAllUsesWith(yield->getOperands());
  yield->erase();
  scope->getBlock()->getOperations().splice(Block::iterator(scope),
                                            body.getOperations());
  scope->erase();
}

FailureOr<std::optional<Node>> whale::extractStrategy(ModelOp model) {
  nameOps(model);
  if (!model.getMain())
    return model.emitOpError("has no module '@main'");
  Extractor extractor(model);
  Node tree = extractor.run();
  Diagnostics diagnostics;
  if (extractor.found())
    planner::check(tree, diagnostics);
  if (failed(report(diagnostics, model.getLoc())))
    return failure();
  SmallVector<Operation *> scopes;
  model.walk([&](Operation *op) {
    if (isScope(op))
      scopes.push_back(op);
    if (isa<DefaultStrategyOp>(op))
      scopes.push_back(op);
  });
  for (Operation *op : scopes)
    isScope(op) ? dissolve(op) : op->erase();
  if (!extractor.found())
    return std::optional<Node>();
  return std::optional<Node>(std::move(tree));
}
