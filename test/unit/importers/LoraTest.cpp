//===- LoraTest.cpp - adapters on a frozen model --------------------------===//

#include "ImporterTesting.h"

using namespace whale;
using namespace whale::test;

static Lora parsed(std::string_view text) {
  Diagnostics diagnostics;
  std::optional<Lora> lora = parseLora(text, diagnostics);
  INFO(diagnostics.str());
  REQUIRE(lora);
  return *lora;
}

static std::string messageOf(std::string_view text) {
  Diagnostics diagnostics;
  CHECK_FALSE(parseLora(text, diagnostics));
  return diagnostics.str();
}

/// Elements of the model's trained and of its frozen parameters.
struct Counts {
  int64_t trained = 0, frozen = 0;
};
static Counts countsOf(std::string_view name, std::string_view lora) {
  mlir::MLIRContext context;
  ImportOptions options;
  options.lora = parsed(lora);
  auto root = preset(context, name, options);
  Counts counts;
  int64_t all = parametersOf(*root);
  root->walk([](VariableOp variable) {
    if (variable.getFrozen())
      variable.setKind(VariableKind::statistic);
  });
  counts.trained = parametersOf(*root);
  counts.frozen = all - counts.trained;
  return counts;
}

TEST_CASE("the option's text", "[lora]") {
  Lora lora = parsed("rank=8,alpha=4,dropout=0.1,targets=q,v");
  CHECK(lora.rank == 8);
  CHECK(lora.scale() == 0.5);
  CHECK(lora.dropout == 0.1);
  CHECK(lora.targets == std::vector<std::string>{"q", "v"});
  CHECK(parsed("").targets.size() == 4);
  CHECK(parsed("rank=4").scale() == 2);
  CHECK(parsed("targets=q,q,rank=2").targets.size() == 1);
  CHECK(messageOf("rnk=8") ==
        "--lora: error: unknown key 'rnk', expected one of 'rank', 'alpha', "
        "'dropout', 'targets'\n--lora: note: did you mean 'rank'?\n");
  CHECK(messageOf("targets=qq").find("unknown target 'qq'") !=
        std::string::npos);
  CHECK(messageOf("rank=0").find("'rank' must be at least 1, found 0") !=
        std::string::npos);
  CHECK(messageOf("rank=many").find("'rank' must be a whole number") !=
        std::string::npos);
  CHECK(messageOf("q").find("unknown key 'q'") != std::string::npos);
}

TEST_CASE("adapters of llama-2-70b", "[lora]") {
  // Rank 16 on q, k, v and o of 80 layers: 16 (in + out) each.
  int64_t h = 8192, keys = 1024, layers = 80;
  Counts apart = countsOf("llama-2-70b", "rank=16,targets=q,k,v,o");
  CHECK(apart.frozen == 68'976'648'192);
  CHECK(apart.trained == layers * 16 * (2 * (h + h) + 2 * (h + keys)));
  CHECK(apart.trained == 65'536'000);
  // MLPerf Training 4.0 llama2_70b_lora: q, k and v are one matrix. 44,564,480
  // are printed by its reference implementation.
  Counts fused = countsOf("llama-2-70b", "rank=16,alpha=32,targets=qkv,o");
  CHECK(fused.frozen == 68'976'648'192);
  CHECK(fused.trained == 44'564'480);
}

TEST_CASE("adapters of feed-forward layers", "[lora]") {
  Counts counts = countsOf("llama-tiny", "rank=2,targets=gate,up,down");
  CHECK(counts.trained == 2 * 3 * 2 * (64 + 128));
}

TEST_CASE("a target that no layer has", "[lora]") {
  mlir::MLIRContext context;
  ImportOptions options;
  options.lora = parsed("targets=gate");
  Diagnostics diagnostics;
  CHECK_FALSE(importPreset(context, "gpt-tiny", options, diagnostics));
  CHECK(diagnostics.str() ==
        "--lora: error: no layer of the model is a target 'gate'\n");
}
