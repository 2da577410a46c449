//===- StrategyFile.cpp - strategies as text ------------------------------===//

#include "compiler/support/Files.h"
#include "compiler/support/Json.h"
#include "compiler/support/Suggest.h"
#include "compiler/support/Text.h"
#include "passes/strategy/Places.h"
#include "passes/strategy/Strategy.h"

#include <cctype>
#include <charconv>

using namespace mlir;
using namespace whale;
using planner::Node;
using planner::Primitive;

//===----------------------------------------------------------------------===//
// Scopes in words
//===----------------------------------------------------------------------===//

namespace {

/// `word(arg, key = arg, [arg, arg]) word ...`
class ScopeParser {
public:
  ScopeParser(std::string_view text, Place place, Diagnostics &diagnostics)
      : text(text), place(std::move(place)), diagnostics(diagnostics) {}

  std::vector<Node> run();

private:
  void fail(std::string message) {
    if (!failed)
      added = &diagnostics.error(place, std::move(message) + " in '" +
                                            std::string(text) + "'");
    failed = true;
  }
  void skip() {
    while (at < text.size() && text[at] == ' ')
      ++at;
  }
  bool eat(char c) {
    skip();
    if (at >= text.size() || text[at] != c)
      return false;
    ++at;
    return true;
  }
  std::string word() {
    skip();
    size_t begin = at;
    if (at < text.size() && text[at] == '-')
      ++at;
    while (
        at < text.size() &&
        (std::isalnum(static_cast<unsigned char>(text[at])) || text[at] == '_'))
      ++at;
    return std::string(text.substr(begin, at - begin));
  }
  void scope();
  void recomputeScope();
  void gatheredScope();
  void offloadScope();
  /// What a word that is no scope says belongs to the scope before it, or to a
  /// new one.
  Node &saidOf() {
    if (!nodes.empty())
      return nodes.back();
    return alone ? *alone : alone.emplace();
  }
  void arguments(Node &node);
  void argument(Node &node, const std::string &key, const std::string &value);
  static std::optional<int64_t> number(const std::string &value) {
    int64_t result = 0;
    auto [end, error] =
        std::from_chars(value.data(), value.data() + value.size(), result);
    if (error != std::errc() || end != value.data() + value.size())
      return std::nullopt;
    return result;
  }

  std::string_view text;
  Place place;
  Diagnostics &diagnostics;
  size_t at = 0;
  bool failed = false;
  /// The message of this parser.
  Diag *added = nullptr;
  std::vector<Node> nodes;
  /// What was said before any scope.
  std::optional<Node> alone;
};

} // namespace

void ScopeParser::argument(Node &node, const std::string &key,
                           const std::string &value) {
  std::optional<int64_t> count = number(value);
  if (key == "shard") {
    auto shard = planner::shardOf(value);
    if (!shard)
      return fail("unknown shard '" + value + "'");
    node.shard = *shard;
  } else if (key == "virtual_stages") {
    if (!count || *count < 1)
      return fail("virtual stages '" + value + "' is no number");
    node.virtualStages = *count;
  } else if (key == "shares") {
    if (!count || *count < 1)
      return fail("share '" + value + "' is no number");
    node.shares.push_back(*count);
  } else if (!key.empty()) {
    fail("unknown key '" + key + "'");
  } else if (count && *count < 1) {
    fail("a count of " + value + ", expected 1 or more,");
  } else if (count && node.primitive == Primitive::Pipeline) {
    node.microBatches = *count;
  } else if (count) {
    node.degree = *count;
  } else if (node.primitive == Primitive::Split && value == "colocated") {
    node.colocated = true;
  } else if (node.primitive == Primitive::Split) {
    node.dims.push_back(value);
  } else if (auto schedule = planner::scheduleOf(value);
             schedule && node.primitive == Primitive::Pipeline) {
    node.schedule = schedule;
  } else {
    fail("unknown word '" + value + "'");
  }
}

void ScopeParser::arguments(Node &node) {
  std::string key;
  bool list = false;
  while (!failed) {
    if (eat('[')) {
      list = true;
      continue;
    }
    std::string value = word();
    if (value.empty())
      return fail("expected a word");
    if (eat('=')) {
      key = value;
      continue;
    }
    argument(node, key, value);
    if (list && eat(']'))
      list = false;
    if (!list)
      key.clear();
    if (eat(')'))
      return;
    if (!eat(','))
      return fail("expected ',' or ')'");
  }
}

/// `recompute`, `recompute(selective)`, `recompute(selective, layers = 4)`,
/// `recompute(layers = 4, selective_layers = 8)`.
void ScopeParser::recomputeScope() {
  Node &node = saidOf();
  node.recompute = planner::Recompute::Full;
  if (!eat('('))
    return;
  auto countOf = [&](std::string_view key) -> std::optional<int64_t> * {
    return key == "layers"             ? &node.recomputeLayers
           : key == "selective_layers" ? &node.selectiveLayers
                                       : nullptr;
  };
  std::string key = word();
  node.recompute = planner::Recompute::None;
  if (!countOf(key)) {
    node.recompute = planner::recomputeOf(key);
    if (!node.recompute)
      return fail("unknown recompute '" + key + "'");
    if (!eat(','))
      return void(eat(')'));
    key = word();
  }
  for (;; key = word()) {
    std::optional<int64_t> *count = countOf(key);
    if (!count)
      return fail("expected 'layers' or 'selective_layers'");
    std::string value = eat('=') ? word() : "";
    *count = number(value);
    if (count->value_or(-1) < 0)
      return fail("recompute " + key + " '" + value + "' is no number");
    if (!eat(','))
      return void(eat(')'));
  }
}

/// `gathered(layers = 4)`.
void ScopeParser::gatheredScope() {
  if (!eat('(') || word() != "layers" || !eat('='))
    return fail("expected '(layers = ' behind 'gathered'");
  std::string value = word();
  std::optional<int64_t> &layers = saidOf().gatheredLayers;
  layers = number(value);
  if (layers.value_or(-1) < 0)
    return fail("gathered layers '" + value + "' is no number");
  if (!eat(')'))
    fail("expected ')'");
}

/// `offload(optimizer)`, `offload(optimizer = 8, activations = 2)`.
void ScopeParser::offloadScope() {
  Node &node = saidOf();
  if (!eat('('))
    return fail("expected '('");
  do {
    std::string kind = "offload_" + word();
    std::string value = eat('=') ? word() : "all";
    std::optional<int64_t> layers =
        value == "all" ? planner::allLayers : number(value);
    if (layers.value_or(-1) < 0)
      return fail("'" + kind + "' is '" + value + "', expected a number");
    bool isKnown = false;
    planner::forEachOffload(
        [&](std::string_view name, std::optional<int64_t> &said) {
          if (name != kind)
            return;
          said = layers;
          isKnown = true;
        },
        node.offload);
    if (!isKnown)
      return fail("unknown '" + kind + "'");
  } while (eat(','));
  if (!eat(')'))
    fail("expected ',' or ')'");
}

void ScopeParser::scope() {
  std::string name = word();
  if (name == "recompute")
    return recomputeScope();
  if (name == "gathered")
    return gatheredScope();
  if (name == "offload")
    return offloadScope();
  auto primitive = planner::primitiveOf(name == "replicate" ? "replica" : name);
  if (!primitive) {
    fail("unknown primitive '" + name + "'");
    std::vector<std::string> known = {"replica",  "split",     "stage",
                                      "pipeline", "recompute", "gathered",
                                      "offload"};
    if (auto near = suggest(name, known); near && added)
      added->hint("did you mean '" + *near + "'?");
    return;
  }
  Node node;
  node.primitive = *primitive;
  node.place = place;
  if (eat('(') && !eat(')'))
    arguments(node);
  nodes.push_back(std::move(node));
}

std::vector<Node> ScopeParser::run() {
  for (skip(); at < text.size() && !failed; skip())
    scope();
  if (nodes.empty() && alone) {
    // A cluster that says nothing else.
    nodes.emplace_back().place = place;
  }
  if (alone && !nodes.empty()) {
    nodes.front().recompute = alone->recompute;
    nodes.front().recomputeLayers = alone->recomputeLayers;
    nodes.front().selectiveLayers = alone->selectiveLayers;
    nodes.front().gatheredLayers = alone->gatheredLayers;
    nodes.front().offload = alone->offload;
  }
  if (nodes.empty())
    fail("no scope");
  if (failed)
    nodes.clear();
  return nodes;
}

std::vector<Node> whale::parseScopes(std::string_view text, Place place,
                                     Diagnostics &diagnostics) {
  return ScopeParser(text, std::move(place), diagnostics).run();
}

//===----------------------------------------------------------------------===//
// The short form
//===----------------------------------------------------------------------===//

/// Nests `nodes`, outermost first, around `inner`.
static std::vector<Node> nest(std::vector<Node> nodes,
                              std::vector<Node> inner) {
  while (!nodes.empty()) {
    Node node = std::move(nodes.back());
    nodes.pop_back();
    node.body = std::move(inner);
    inner.clear();
    inner.push_back(std::move(node));
  }
  return inner;
}

/// Adds a scope of a part of the model, joined with one of equal degree.
static void addPart(std::vector<Node> &parts, const Node &node) {
  for (Node &other : parts)
    if (other.primitive == node.primitive && other.degree == node.degree &&
        other.colocated == node.colocated && other.shares == node.shares &&
        other.shard == node.shard) {
      for (const std::string &dim : node.dims)
        if (std::find(other.dims.begin(), other.dims.end(), dim) ==
            other.dims.end())
          other.dims.push_back(dim);
      other.paths.insert(other.paths.end(), node.paths.begin(),
                         node.paths.end());
      return;
    }
  parts.push_back(node);
}

static std::optional<Node> readShortForm(const json::Value &file,
                                         Diagnostics &diagnostics) {
  size_t before = diagnostics.errorCount();
  Node root;
  root.place = file.place();
  std::vector<Node> whole, parts, stages;
  for (const json::Member &member : file.members()) {
    auto text = json::toString(member.value, quoted(member.key), diagnostics);
    if (!text)
      continue;
    for (Node &node : parseScopes(*text, member.value.place(), diagnostics)) {
      bool all = member.key == "**";
      if (node.primitive == Primitive::Cluster) {
        if (!all)
          diagnostics.error(node.place,
                            "recompute, gathered layers or offload of a part "
                            "of the model that is no stage is not compilable "
                            "yet",
                            ExitCode::Unsupported);
        root.recompute = node.recompute;
        root.recomputeLayers = node.recomputeLayers;
        root.selectiveLayers = node.selectiveLayers;
        root.gatheredLayers = node.gatheredLayers;
        root.offload = node.offload;
        continue;
      }
      if (!all)
        node.paths = {member.key};
      if (node.primitive == Primitive::Stage)
        stages.push_back(std::move(node));
      else if (all)
        whole.push_back(std::move(node));
      else
        addPart(parts, node);
    }
  }
  // A pipeline is what its stages stand in directly.
  auto pipeline = std::find_if(whole.begin(), whole.end(), [](const Node &n) {
    return n.primitive == Primitive::Pipeline;
  });
  if (pipeline != whole.end())
    parts.insert(parts.end(), pipeline, whole.end()),
        whole.erase(pipeline, whole.end());
  root.body = nest(std::move(whole), nest(std::move(parts), std::move(stages)));
  if (diagnostics.errorCount() != before || !planner::check(root, diagnostics))
    return std::nullopt;
  return root;
}

static std::optional<Node> readEither(const std::optional<json::Value> &file,
                                      Diagnostics &diagnostics) {
  if (!file)
    return std::nullopt;
  if (!file->isObject()) {
    diagnostics.error(file->place(), "a strategy must be an object");
    return std::nullopt;
  }
  if (file->find("primitive"))
    return planner::readStrategy(*file, diagnostics);
  // A plan holds the tree.
  if (const json::Value *tree = file->find("strategy"))
    return planner::readStrategy(*tree, diagnostics);
  return readShortForm(*file, diagnostics);
}

std::optional<Node> whale::readStrategyFile(const std::string &path,
                                            Diagnostics &diagnostics) {
  return readEither(json::parseFile(path, diagnostics), diagnostics);
}

std::optional<Node> whale::readStrategyText(std::string_view text,
                                            std::string_view file,
                                            Diagnostics &diagnostics) {
  return readEither(json::parse(text, file, diagnostics), diagnostics);
}

//===----------------------------------------------------------------------===//
// As an attribute
//===----------------------------------------------------------------------===//

void whale::setStrategy(ModelOp model, const Node &tree) {
  json::Writer writer;
  writer.beginArray(json::Writer::Layout::Inline);
  planner::writeStrategy(writer, tree);
  writer.endArray();
  std::string text = writer.take();
  // One line, without the array that made it one.
  StringRef inner = StringRef(text).trim().drop_front().drop_back().trim();
  model->setAttr("strategy", StringAttr::get(model.getContext(), inner));
}

FailureOr<std::optional<Node>> whale::strategyOf(ModelOp model) {
  auto text = model->getAttrOfType<StringAttr>("strategy");
  if (!text)
    return std::optional<Node>();
  Diagnostics diagnostics;
  std::optional<Node> tree =
      readStrategyText(text.getValue(), "strategy", diagnostics);
  if (failed(report(diagnostics, model.getLoc())))
    return failure();
  return tree;
}
