#include "compiler/planner/Strategy.h"

#include <catch2/catch.hpp>

using namespace whale;
using namespace whale::planner;

namespace {

Node scope(Primitive primitive, int64_t degree = 0,
           std::vector<Node> body = {}) {
  Node node;
  node.primitive = primitive;
  node.degree = degree;
  node.body = std::move(body);
  if (primitive == Primitive::Split)
    node.dims = {"heads"};
  if (primitive == Primitive::Pipeline) {
    node.microBatches = 4;
    node.degree = 0;
  }
  return node;
}

Node root(Node inner) {
  Node node;
  node.body.push_back(std::move(inner));
  return node;
}

/// replica(2){pipeline{stage{split(2)}, stage{split(2)}}}
Node example() {
  Node stage = scope(Primitive::Stage, 0, {scope(Primitive::Split, 2)});
  return root(scope(Primitive::Replica, 2,
                    {scope(Primitive::Pipeline, 0, {stage, stage})}));
}

std::string write(const Node &node) {
  json::Writer writer;
  writeStrategy(writer, node);
  return writer.take();
}

std::optional<Node> read(std::string_view text, Diagnostics &diags) {
  auto json = json::parse(text, "s.json", diags);
  if (!json)
    return std::nullopt;
  return readStrategy(*json, diags);
}

} // namespace

TEST_CASE("the nesting table has every cell in order") {
  REQUIRE(nestingTable().size() == 25);
  for (size_t i = 0; i < 25; ++i) {
    CHECK(static_cast<size_t>(nestingTable()[i].outer) == i / 5);
    CHECK(static_cast<size_t>(nestingTable()[i].inner) == i % 5);
    CHECK(!nestingTable()[i].text.empty());
  }
}

TEST_CASE("every cell of the nesting table does what it says") {
  for (const NestingRule &rule : nestingTable()) {
    INFO(nameOf(rule.outer) << " x " << nameOf(rule.inner));
    Node outer = scope(rule.outer, 2, {scope(rule.inner, 2)});
    if (rule.outer == Primitive::Stage || rule.outer == Primitive::Cluster)
      outer.degree = 0;
    if (rule.inner == Primitive::Stage || rule.inner == Primitive::Cluster)
      outer.body[0].degree = 0;
    // An outer stage needs a pipeline around it, others the root.
    Node tree = rule.outer == Primitive::Stage
                    ? root(scope(Primitive::Pipeline, 0, {outer}))
                : rule.outer == Primitive::Cluster ? outer
                                                   : root(outer);
    Diagnostics diags;
    bool legal = check(tree, diags);
    CHECK(legal == (rule.nesting != Nesting::Illegal));
    if (!legal) {
      CHECK(diags.messages()[0].message == rule.text);
      continue;
    }
    auto form = normalize(tree, diags);
    INFO(diags.str());
    CHECK(form.has_value() == (rule.nesting == Nesting::Legal));
    if (!form)
      CHECK(diags.exitCode() == ExitCode::Unsupported);
  }
}

TEST_CASE("ranks: outer axes major, stages one after another") {
  Diagnostics diags;
  auto form = normalize(example(), diags);
  REQUIRE(form);
  CHECK(form->outerAxes == 1);
  CHECK(form->microBatches == 4);
  REQUIRE(form->stages.size() == 2);
  CHECK(form->stages[1].axes[0].name == "r0");
  CHECK(form->stages[1].axes[1].name == "t0");
  REQUIRE(rankCount(*form) == 8);
  for (int64_t r = 0; r < 2; ++r)
    for (unsigned s = 0; s < 2; ++s)
      for (int64_t t = 0; t < 2; ++t) {
        Coordinates at{s, {r, t}};
        CHECK(rankOf(*form, at) == r * 4 + s * 2 + t);
        CHECK(coordinatesOf(*form, r * 4 + s * 2 + t) == at);
      }
}

TEST_CASE("ranks of stages of unequal size") {
  Node pipeline =
      scope(Primitive::Pipeline, 0,
            {scope(Primitive::Split, 3),
             scope(Primitive::Stage, 0, {scope(Primitive::Split, 2)})});
  Diagnostics diags;
  auto form = normalize(root(scope(Primitive::Split, 2, {pipeline})), diags);
  REQUIRE(form);
  REQUIRE(rankCount(*form) == 10);
  for (int64_t rank = 0; rank < 10; ++rank)
    CHECK(rankOf(*form, coordinatesOf(*form, rank)) == rank);
  CHECK(coordinatesOf(*form, 8) == Coordinates{1, {1, 0}});
}

TEST_CASE("normal form and tree are inverse") {
  Diagnostics diags;
  auto form = normalize(example(), diags);
  REQUIRE(form);
  CHECK(normalize(toTree(*form), diags) == form);
  // A plain nest becomes one stage with one micro-batch; printed, the same.
  Node plain = root(scope(Primitive::Replica, 4, {scope(Primitive::Split, 2)}));
  auto flat = normalize(plain, diags);
  CHECK(normalize(toTree(*flat), diags) == flat);
  CHECK(printStrategy(toTree(*flat)) == printStrategy(plain));
}

TEST_CASE("shares of the batch") {
  Node replica = scope(Primitive::Replica, 2);
  replica.shares = {4, 2};
  Diagnostics diags;
  auto form = normalize(root(replica), diags);
  REQUIRE(form);
  CHECK(batchOf(*form, {0, {0}}, 6) == BatchRange{0, 4});
  CHECK(batchOf(*form, {0, {1}}, 6) == BatchRange{4, 2});
  auto nested = normalize(
      root(scope(Primitive::Replica, 2, {scope(Primitive::Replica, 3)})),
      diags);
  CHECK(batchOf(*nested, {0, {1, 2}}, 12) == BatchRange{10, 2});
}

namespace {

Node colocated(int64_t degree, std::string dim, std::vector<std::string> paths,
               std::vector<Node> body = {}) {
  Node node = scope(Primitive::Split, degree, std::move(body));
  node.dims = {std::move(dim)};
  node.paths = std::move(paths);
  node.colocated = true;
  return node;
}

using Splits = std::vector<ColocatedSplit>;

} // namespace

TEST_CASE("a colocated split is on its replicas' axis") {
  Diagnostics diags;
  Node tree = root(scope(Primitive::Replica, 4, {colocated(4, "e", {"moe"})}));
  auto form = normalize(tree, diags);
  REQUIRE(form);
  CHECK(rankCount(*form) == 4);
  REQUIRE(form->stages[0].axes.size() == 1);
  CHECK(form->stages[0].axes[0].colocated == Splits{{{"e"}, {"moe"}}});
  CHECK(normalize(toTree(*form), diags) == form);
  CHECK(printStrategy(toTree(*form)) == printStrategy(tree));
  CHECK(printStrategy(tree) == "replica(4){split(4, [e], colocated, moe)}");

  SECTION("without a degree on the nearest replicas") {
    Node inner = scope(Primitive::Replica, 2, {colocated(0, "e", {})});
    auto two = normalize(root(scope(Primitive::Replica, 3, {inner})), diags);
    REQUIRE(two);
    CHECK(two->stages[0].axes[0].colocated.empty());
    CHECK(two->stages[0].axes[1].colocated == Splits{{{"e"}, {}}});
  }
  SECTION("of two replicas' degree on both, past a split") {
    Node split = scope(Primitive::Split, 5, {colocated(6, "e", {})});
    Node inner = scope(Primitive::Replica, 2, {split});
    auto both = normalize(root(scope(Primitive::Replica, 3, {inner})), diags);
    REQUIRE(both);
    CHECK(both->stages[0].axes[0].colocated == Splits{{{"e"}, {}}});
    CHECK(both->stages[0].axes[1].colocated == Splits{{{"e"}, {}}});
    CHECK(both->stages[0].axes[2].colocated.empty());
    CHECK(normalize(toTree(*both), diags) == both);
  }
  SECTION("beside other scopes") {
    Node split = scope(Primitive::Split, 2);
    auto beside = normalize(
        root(scope(Primitive::Replica, 4, {split, colocated(4, "e", {"m"})})),
        diags);
    REQUIRE(beside);
    REQUIRE(beside->stages.size() == 1);
    CHECK(rankCount(*beside) == 8);
    CHECK(beside->stages[0].axes[0].colocated == Splits{{{"e"}, {"m"}}});
  }
}

TEST_CASE("a colocated split in a stage") {
  Diagnostics diags;
  Node first = scope(Primitive::Stage), last = first;
  first.paths = {"a"};
  last.paths = {"b"};
  SECTION("on replicas of the stage") {
    first.body = {scope(Primitive::Replica, 2, {colocated(2, "e", {})})};
    last.body = {scope(Primitive::Replica, 2)};
    auto form =
        normalize(root(scope(Primitive::Pipeline, 0, {first, last})), diags);
    REQUIRE(form);
    CHECK(form->stages[0].axes[0].colocated == Splits{{{"e"}, {}}});
    CHECK(form->stages[1].axes[0].colocated.empty());
    CHECK(normalize(toTree(*form), diags) == form);
  }
  SECTION("on replicas around the pipeline: in every stage, by its paths") {
    last.body = {colocated(2, "e", {})};
    Node pipeline = scope(Primitive::Pipeline, 0, {first, last});
    auto form =
        normalize(root(scope(Primitive::Replica, 2, {pipeline})), diags);
    REQUIRE(form);
    for (const StageForm &stage : form->stages)
      CHECK(stage.axes[0].colocated == Splits{{{"e"}, {"b"}}});
    CHECK(normalize(toTree(*form), diags) == form);
  }
  SECTION("which needs paths") {
    last.paths = {};
    last.body = {colocated(2, "e", {})};
    Node pipeline = scope(Primitive::Pipeline, 0, {first, last});
    CHECK(!normalize(root(scope(Primitive::Replica, 2, {pipeline})), diags));
    CHECK(diags.exitCode() == ExitCode::Unsupported);
    CHECK(diags.str() == "error: a colocated split without paths in a stage "
                         "without paths is not compilable yet\n");
  }
}

TEST_CASE("TaskGraphs side by side on the same devices") {
  Diagnostics diags;
  Node features = scope(Primitive::Replica, 8);
  features.paths = {"features"};
  Node classes = scope(Primitive::Split, 8);
  classes.dims = {"classes"};
  classes.paths = {"fc"};
  Node tree;
  tree.colocated = true;
  tree.body = {features, classes};
  auto chain =
      root(scope(Primitive::Replica, 8, {colocated(8, "classes", {"fc"})}));
  SECTION("are the replica and a split on its devices") {
    REQUIRE(check(tree, diags));
    CHECK(normalize(tree, diags) == normalize(chain, diags));
    CHECK(read(write(tree), diags) == tree);
  }
  SECTION("whatever their order, with a split of the replica's own ops") {
    Node heads = scope(Primitive::Split, 2);
    features.body = {heads};
    tree.body = {classes, features};
    heads.paths = {"features"};
    chain.body[0].body[0].body = {heads};
    CHECK(normalize(tree, diags) == normalize(chain, diags));
  }
  SECTION("of other degrees are refused") {
    tree.body[1].degree = 4;
    CHECK(!normalize(tree, diags));
    CHECK(diags.str() == "error: 'split' of degree 4 is colocated, but the "
                         "replicas around it have 8 devices\n");
  }
  SECTION("replicas of two kinds are refused") {
    tree.body.push_back(scope(Primitive::Replica, 4));
    CHECK(!normalize(tree, diags));
    CHECK(diags.str().find("colocated replicas differ") != std::string::npos);
  }
  SECTION("stages are refused") {
    tree.body.push_back(scope(Primitive::Stage));
    CHECK(!check(tree, diags));
    CHECK(diags.str() == "error: a colocated 'cluster' holds replicas and "
                         "splits, not 'stage'\n");
  }
  SECTION("a replica is needed") {
    tree.body = {classes};
    CHECK(!check(tree, diags));
    CHECK(diags.str() == "error: a colocated 'cluster' holds no 'replica'\n");
  }
  SECTION("scopes in the split are not there yet") {
    tree.body[1].body = {scope(Primitive::Split, 2)};
    CHECK(!normalize(tree, diags));
    CHECK(diags.exitCode() == ExitCode::Unsupported);
    CHECK(diags.str() ==
          "error: a scope in a colocated 'split' is not compilable yet\n");
  }
}

TEST_CASE("schedules that are only planned") {
  Node two = root(scope(Primitive::Pipeline, 0,
                        {scope(Primitive::Stage), scope(Primitive::Stage)}));
  Node &pipeline = two.body[0];
  pipeline.schedule = Schedule::Interleaved;
  pipeline.virtualStages = 2;
  Diagnostics diags;
  SECTION("have no normal form that compiles") {
    CHECK(!normalize(two, diags));
    CHECK(diags.exitCode() == ExitCode::Unsupported);
    CHECK(diags.str().find("'interleaved-1f1b'") != std::string::npos);
  }
  SECTION("have one in the full space") {
    std::optional<NormalForm> form = normalize(two, diags, Space::Full);
    REQUIRE(form);
    CHECK(form->virtualStages == 2);
    CHECK(normalize(toTree(*form), diags, Space::Full) == form);
  }
  SECTION("fix their virtual stages") {
    pipeline.schedule = Schedule::ZeroBubbleV;
    pipeline.virtualStages = 3;
    CHECK(!normalize(two, diags, Space::Full));
    CHECK(diags.str() ==
          "error: schedule 'zb-v' has virtual stages 2, found 3\n");
  }
}

TEST_CASE("a pipeline has no more micro-batches than are planned") {
  Node one = root(scope(Primitive::Pipeline, 0, {scope(Primitive::Stage)}));
  Diagnostics diags;
  one.body[0].microBatches = mostMicroBatches;
  CHECK(normalize(one, diags));
  one.body[0].microBatches = mostMicroBatches + 1;
  CHECK(!normalize(one, diags));
  CHECK(diags.str() == "error: 'pipeline' has 65537 micro-batches, expected at "
                       "most 65536\n");
}

TEST_CASE("what has no normal form says why") {
  Diagnostics diags;
  SECTION("no degree") {
    CHECK(!normalize(root(scope(Primitive::Replica)), diags));
    CHECK(diags.str() == "error: 'replica' has no degree\n");
  }
  SECTION("a colocated split without replicas") {
    CHECK(!normalize(root(colocated(2, "e", {})), diags));
    CHECK(diags.str() == "error: 'split' is colocated, but no 'replica' is "
                         "around it\n");
    CHECK(diags.exitCode() == ExitCode::BadInput);
  }
  SECTION("two scopes in one stage") {
    Node stage =
        scope(Primitive::Stage, 0,
              {scope(Primitive::Split, 2), scope(Primitive::Split, 2)});
    CHECK(!normalize(root(scope(Primitive::Pipeline, 0, {stage})), diags));
    CHECK(diags.exitCode() == ExitCode::Unsupported);
  }
  SECTION("stages that cut the batch differently") {
    Node two = scope(Primitive::Replica, 2),
         four = scope(Primitive::Replica, 4);
    Node tree = root(scope(Primitive::Pipeline, 0, {two, four}));
    CHECK(!normalize(tree, diags));
    CHECK(
        diags.str() ==
        "error: stages that cut the batch differently are not compilable yet\n"
        "note: 'whalec plan --space full' plans it\n");
    auto form = normalize(tree, diags, Space::Full);
    REQUIRE(form);
    CHECK(form->stages[1].degree(AxisKind::Replica) == 4);
    CHECK(rankCount(*form) == 6);
    CHECK(normalize(toTree(*form), diags, Space::Full) == form);
  }
}

TEST_CASE("so many layers of a stage recompute in full") {
  Node tree = example();
  Node &pipeline = tree.body[0].body[0];
  pipeline.recomputeLayers = 4;
  pipeline.body[1].recomputeLayers = 1;
  pipeline.body[1].recompute = Recompute::Selective;
  Diagnostics diags;
  auto form = normalize(tree, diags);
  REQUIRE(form);
  CHECK(form->stages[0].recomputeOf(3) == Recompute::Full);
  CHECK(form->stages[0].recomputeOf(4) == Recompute::None);
  CHECK(form->stages[1].recomputeOf(0) == Recompute::Full);
  CHECK(form->stages[1].recomputeOf(1) == Recompute::Selective);
  CHECK(normalize(toTree(*form), diags) == form);
  CHECK(printStrategy(toTree(*form))
            .find("recompute selective, recompute layers 1") !=
        std::string::npos);
  SECTION("not beside all of them") {
    pipeline.recompute = Recompute::Full;
    CHECK(!normalize(tree, diags));
    CHECK(diags.str() ==
          "error: recompute of 4 layers beside recompute 'full' of all\n");
  }
  SECTION("not of virtual stages") {
    pipeline.schedule = Schedule::Interleaved;
    pipeline.virtualStages = 2;
    CHECK(!normalize(tree, diags, Space::Full));
    CHECK(diags.str() == "error: recompute of 4 layers of stages that have 2 "
                         "virtual stages\n");
  }
  SECTION("not fewer than none") {
    pipeline.recomputeLayers = -1;
    pipeline.selectiveLayers = -2;
    CHECK(!check(tree, diags));
    CHECK(diags.str() == "error: -1 recompute layers: must not be negative\n"
                         "error: -2 selective layers: must not be negative\n");
  }
}

TEST_CASE("so many layers of a stage stay gathered where they are cut") {
  Node tree = example();
  Node &replica = tree.body[0], &pipeline = replica.body[0];
  replica.shard = Shard::Parameters;
  pipeline.gatheredLayers = 4;
  pipeline.body[1].gatheredLayers = 0;
  Diagnostics diags;
  auto form = normalize(tree, diags, Space::Full);
  REQUIRE(form);
  CHECK(form->stages[0].gatheredLayers == 4);
  CHECK(form->stages[1].gatheredLayers == 0);
  CHECK(normalize(toTree(*form), diags, Space::Full) == form);
  CHECK(printStrategy(toTree(*form)).find("stage(gathered layers 4)") !=
        std::string::npos);
  form->stages[1].gatheredLayers = 3;
  CHECK(printCompact(toTree(*form)).find(", 7 layers gathered") !=
        std::string::npos);
  auto refused = [&] {
    CHECK(!normalize(tree, diags, Space::Full));
    return diags.str();
  };
  SECTION("not where they are whole") {
    replica.shard = Shard::Gradients;
    CHECK(refused() == "error: 4 layers whose parameters stay gathered in a "
                       "stage whose replicas do not cut them\n");
  }
  SECTION("not beside optimizer state in the host") {
    pipeline.offload.optimizer = 1;
    CHECK(refused() ==
          "error: 4 layers whose parameters stay gathered in a stage with "
          "optimizer state in the host's memory\n");
  }
  SECTION("not of virtual stages") {
    pipeline.schedule = Schedule::Interleaved;
    pipeline.virtualStages = 2;
    CHECK(refused() == "error: 4 layers whose parameters stay gathered in "
                       "stages that have 2 virtual stages\n");
  }
  SECTION("not fewer than none") {
    pipeline.gatheredLayers = -1;
    CHECK(!check(tree, diags));
    CHECK(diags.str() == "error: -1 gathered layers: must not be negative\n");
  }
}

TEST_CASE("so many layers of a stage behind those recompute selectively") {
  Node tree = example();
  Node &pipeline = tree.body[0].body[0];
  pipeline.recomputeLayers = 1;
  pipeline.selectiveLayers = 2;
  pipeline.body[1].recomputeLayers = 0;
  Diagnostics diags;
  auto form = normalize(tree, diags);
  REQUIRE(form);
  std::vector<Recompute> modes;
  for (int64_t at = 0; at < 4; ++at)
    modes.push_back(form->stages[0].recomputeOf(at));
  CHECK(modes == std::vector{Recompute::Full, Recompute::Selective,
                             Recompute::Selective, Recompute::None});
  CHECK(form->stages[1].recomputeOf(1) == Recompute::Selective);
  CHECK(form->stages[1].recomputeOf(2) == Recompute::None);
  CHECK(normalize(toTree(*form), diags) == form);
  std::string text = printStrategy(toTree(*form));
  CHECK(text.find("recompute layers 1, selective layers 2") !=
        std::string::npos);
  pipeline.body[1].recompute = Recompute::Selective;
  CHECK(!normalize(tree, diags));
  CHECK(diags.str() == "error: selective recompute of 2 layers beside "
                       "recompute 'selective' of all\n");
}

TEST_CASE("of so many layers of a stage something lies in the host") {
  Node tree = example();
  Node &pipeline = tree.body[0].body[0];
  pipeline.offload.optimizer = allLayers;
  pipeline.body[1].offload = {6, 2, 1};
  Diagnostics diags;
  auto form = normalize(tree, diags, Space::Full);
  REQUIRE(form);
  CHECK(form->stages[0].offload == Offload{allLayers, 0, 0});
  CHECK(form->stages[1].offload == Offload{6, 2, 1});
  CHECK(normalize(toTree(*form), diags, Space::Full) == form);
  std::string text = printStrategy(toTree(*form));
  CHECK(text.find("stage(offload [optimizer all])") != std::string::npos);
  CHECK(text.find("offload [optimizer 6, parameters 2, activations 1]") !=
        std::string::npos);
  SECTION("which compile does not lower") {
    CHECK(!normalize(tree, diags));
    CHECK(diags.exitCode() == ExitCode::Unsupported);
    CHECK(diags.str().find("error: offload to the host is not compilable yet\n"
                           "note: 'whalec plan --space full' plans it\n") !=
          std::string::npos);
  }
  SECTION("parameters not without their optimizer state") {
    pipeline.body[1].offload.parameters = 7;
    CHECK(!normalize(tree, diags, Space::Full));
    CHECK(diags.str() == "error: parameters of 7 layers in the host's memory, "
                         "but the optimizer's state of 6\n");
  }
  SECTION("not of virtual stages") {
    pipeline.schedule = Schedule::Interleaved;
    pipeline.virtualStages = 2;
    CHECK(!normalize(tree, diags, Space::Full));
    CHECK(diags.str() ==
          "error: offload of stages that have 2 virtual stages\n");
  }
  SECTION("not fewer than none") {
    pipeline.offload.activations = -1;
    CHECK(!check(tree, diags));
    CHECK(diags.str() ==
          "error: 'offload_activations' is -1: must not be negative\n");
  }
}

TEST_CASE("widths of a split's parts") {
  Diagnostics diags;
  Node split = scope(Primitive::Split, 2);
  split.shares = {6, 2};
  auto form = normalize(root(split), diags, Space::Full);
  REQUIRE(form);
  // Only their proportion counts.
  const Axis &axis = form->stages[0].axes[0];
  CHECK(axis.shares == std::vector<int64_t>{3, 1});
  CHECK(form->stages[0].hasUnequalSplits());
  CHECK(printStrategy(toTree(*form)) == "split(2, [heads], shares [3, 1])");
  CHECK(normalize(toTree(*form), diags, Space::Full) == form);
  SECTION("equal ones need not be said") {
    split.shares = {4, 4};
    Node plain = scope(Primitive::Split, 2);
    CHECK(normalize(root(split), diags, Space::Full) ==
          normalize(root(plain), diags, Space::Full));
  }
  SECTION("the number of parts is theirs") {
    split.degree = 0;
    CHECK(normalize(root(split), diags, Space::Full) == form);
  }
  SECTION("only planned yet") {
    CHECK(!normalize(root(split), diags));
    CHECK(diags.str().find("error: a split with shares is not compilable yet\n"
                           "note: 'whalec plan --space full' plans it\n") !=
          std::string::npos);
  }
  SECTION("not of virtual stages") {
    Node pipeline = scope(Primitive::Pipeline, 0,
                          {scope(Primitive::Stage, 0, {split}),
                           scope(Primitive::Stage, 0, {split})});
    pipeline.microBatches = 4;
    pipeline.schedule = Schedule::Interleaved;
    pipeline.virtualStages = 2;
    CHECK(!normalize(root(pipeline), diags, Space::Full));
    CHECK(diags.str() == "error: shares of a split in stages that have 2 "
                         "virtual stages\n");
  }
}

TEST_CASE("a strategy survives JSON") {
  Node tree = example();
  tree.body[0].body[0].body[0].body[0].shares = {2, 1};
  tree.body[0].shares = {3, 5};
  tree.body[0].shard = Shard::Optimizer;
  tree.body[0].body[0].schedule = Schedule::GPipe;
  tree.body[0].body[0].body[0].paths = {"layers.0..3", "embedding"};
  tree.body[0].body[0].body[1].recompute = Recompute::Selective;
  tree.body[0].body[0].body[1].recomputeLayers = 3;
  tree.body[0].body[0].body[0].selectiveLayers = 5;
  tree.body[0].body[0].body[0].gatheredLayers = 6;
  tree.body[0].body[0].body[1].offload = {allLayers, 2, 0};
  Diagnostics diags;
  auto again = read(write(tree), diags);
  INFO(diags.str());
  REQUIRE(again);
  CHECK(*again == tree);
  CHECK(write(*again) == write(tree));
}

TEST_CASE("mistakes in a strategy file have their place") {
  Diagnostics diags;
  auto message = [&](std::string_view text) {
    CHECK(!read(text, diags));
    return diags.str();
  };
  SECTION("misspelled primitive") {
    CHECK(message(R"({"primitive": "replicate"})") ==
          "s.json:1:15: error: unknown primitive 'replicate'\n"
          "s.json:1:15: note: did you mean 'replica'?\n");
  }
  SECTION("unknown key") {
    CHECK(message(R"({"primitive": "stage", "degres": 2})")
              .find("s.json:1:24: error:") == 0);
  }
  SECTION("a field of another primitive") {
    CHECK(message(R"({"primitive": "stage", "micro_batches": 2})") ==
          "s.json:1:1: error: 'micro_batches' belongs to 'pipeline', not to "
          "'stage'\n");
  }
  SECTION("shares against degree") {
    CHECK(message(R"({"primitive": "replica", "degree": 3, "shares": [1, 2]})")
              .find("2 shares for 3 replicas") != std::string::npos);
  }
  SECTION("widths of parts against degree") {
    CHECK(message(R"({"primitive": "split", "degree": 3, "dims": ["ffn"],
                     "shares": [1, 2]})")
              .find("2 shares for 3 parts") != std::string::npos);
  }
  SECTION("a colocated split has its replicas' devices") {
    CHECK(message(R"({"primitive": "replica", "degree": 2, "body": [
        {"primitive": "split", "dims": ["ffn"], "colocated": true,
         "shares": [1, 2]}]})")
              .find("a colocated 'split' has no shares") != std::string::npos);
  }
  SECTION("rows go to their experts evenly") {
    CHECK(message(R"({"primitive": "split", "dims": ["experts", "batch"],
                     "shares": [1, 2]})")
              .find("a 'split' that sends rows to their experts has no "
                    "shares") != std::string::npos);
  }
  SECTION("parts of a dimension are not as many") {
    CHECK(message(R"({"primitive": "split", "dims": ["ffn"],
                     "shares": [9223372036854775807, 9223372036854775806]})")
              .find("shares of a 'split' sum to more than 1048576") !=
          std::string::npos);
  }
  SECTION("illegal nesting names both scopes") {
    CHECK(message(R"({"primitive": "stage", "body": [
  {"primitive": "stage"}]})") ==
          "s.json:2:3: error: a 'stage' cannot hold a 'stage': stages of a "
          "pipeline lie side by side\n"
          "s.json:1:1: note: the outer scope is here\n");
  }
}

TEST_CASE("a strategy on one line") {
  CHECK(printStrategy(example()) ==
        "replica(2){pipeline(4){stage{split(2, [heads])}, stage{split(2, "
        "[heads])}}}");
  Node node;
  node.primitive = Primitive::Replica;
  node.degree = 8;
  node.shares = {5, 5, 5, 5, 4, 4, 6, 1};
  CHECK(printStrategy(node) == "replica(8, shares [4 x 5, 4, 4, 6, 1])");
}
