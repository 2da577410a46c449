//===- StrategyTest.cpp - strategies as text, attribute and tree ----------===//

#include "passes/strategy/Strategy.h"

#include "mlir/IR/OwningOpRef.h"

#include <catch2/catch.hpp>

using namespace whale;
using planner::Node;
using planner::Primitive;

static Node read(std::string_view text) {
  Diagnostics diagnostics;
  auto tree = readStrategyText(text, "s.json", diagnostics);
  INFO(diagnostics.str());
  REQUIRE(tree);
  return *tree;
}

static std::string errorOf(std::string_view text) {
  Diagnostics diagnostics;
  CHECK_FALSE(readStrategyText(text, "s.json", diagnostics));
  return diagnostics.str();
}

TEST_CASE("a tree survives as the model's attribute") {
  mlir::MLIRContext context;
  context.loadDialect<WhaleDialect>();
  mlir::OpBuilder builder(&context);
  mlir::OwningOpRef<ModelOp> model(
      ModelOp::create(builder, builder.getUnknownLoc(), "m"));
  model->getBody().emplaceBlock();
  auto none = strategyOf(*model);
  REQUIRE(succeeded(none));
  CHECK_FALSE(*none);
  for (const char *text :
       {R"J({"**": "replica(2, shard = optimizer) split(4, heads, ffn)"})J",
        R"J({"**": "replica(shares = [3, 5]) pipeline(8, gpipe)",
                "a": "stage recompute(full)",
                "b": "stage recompute(selective, layers = 2)"})J",
        R"J({"**": "recompute(layers = 3, selective_layers = 2) replica(2)"})J",
        R"J({"**": "replica(2, shard = parameters) gathered(layers = 3)"})J",
        R"J({"a": "stage gathered(layers = 3)", "b": "stage"})J"}) {
    Node tree = read(text);
    setStrategy(*model, tree);
    auto again = strategyOf(*model);
    REQUIRE(succeeded(again));
    CHECK(**again == tree);
  }
}

TEST_CASE("short forms nest what holds the whole and join parts") {
  Node tree = read(R"J({"**": "replicate(2)", "x/mlp": "split(4, ffn)",
                        "x/attn": "split(4, heads)"})J");
  Node split;
  split.primitive = Primitive::Split;
  split.degree = 4;
  split.dims = {"ffn", "heads"};
  split.paths = {"x/mlp", "x/attn"};
  Node replica;
  replica.primitive = Primitive::Replica;
  replica.degree = 2;
  replica.body = {split};
  Node root;
  root.body = {replica};
  CHECK(tree == root);
  // The long form means the same.
  CHECK(read(R"J({"primitive": "replica", "degree": 2, "body": [
                  {"primitive": "split", "degree": 4, "dims": ["ffn", "heads"],
                   "paths": ["x/mlp", "x/attn"]}]})J") == root);
}

TEST_CASE("wrong texts are refused where they stand") {
  CHECK(errorOf(R"J({"**": "replcia(2)"})J") ==
        "s.json:1:8: error: unknown primitive 'replcia' in 'replcia(2)'\n"
        "s.json:1:8: note: did you mean 'replica'?\n");
  CHECK_THAT(errorOf(R"J({"**": "split(4, ffn"})J"),
             Catch::Contains("expected ',' or ')'"));
  CHECK_THAT(errorOf(R"J({"**": "replica(2, shard = all)"})J"),
             Catch::Contains("unknown shard 'all'"));
  CHECK_THAT(errorOf(R"J({"**": "recompute(some)"})J"),
             Catch::Contains("unknown recompute 'some'"));
  CHECK_THAT(errorOf(R"J({"**": "recompute(none, 4)"})J"),
             Catch::Contains("expected 'layers' or 'selective_layers'"));
  CHECK_THAT(errorOf(R"J({"**": "recompute(layers = many)"})J"),
             Catch::Contains("recompute layers 'many' is no number"));
  CHECK_THAT(
      errorOf(R"J({"**": "recompute(layers = 1, selective_layers = x)"})J"),
      Catch::Contains("recompute selective_layers 'x' is no number"));
  CHECK_THAT(errorOf(R"J({"**": "gathered(3)"})J"),
             Catch::Contains("expected '(layers = ' behind 'gathered'"));
  CHECK_THAT(errorOf(R"J({"**": "gathered(layers = x)"})J"),
             Catch::Contains("gathered layers 'x' is no number"));
  CHECK_THAT(errorOf(R"J({"**": 3})J"), Catch::Contains("'**'"));
  CHECK_THAT(errorOf(R"J({"**": ""})J"), Catch::Contains("no scope"));
  CHECK_THAT(errorOf("[]"), Catch::Contains("must be an object"));
  // The nesting table is asked too.
  CHECK_THAT(errorOf(R"J({"**": "pipeline(2) pipeline(2)"})J"),
             Catch::Contains("cannot hold a 'pipeline'"));
}
