//===- ParametersTest.cpp - parameter counts against published ones -------===//
//
// The published numbers are those of `sum(p.numel())` over the reference
// implementations' models, or the papers'.
//
//===----------------------------------------------------------------------===//

#include "ImporterTesting.h"

using namespace whale;
using namespace whale::test;

TEST_CASE("gpt2 parameter counts", "[parameters]") {
  CHECK(parametersOf("gpt2-small") == 124'439'808);
  CHECK(parametersOf("gpt2-medium") == 354'823'168);
  CHECK(parametersOf("gpt2-large") == 774'030'080);
  CHECK(parametersOf("gpt2-xl") == 1'557'611'200);
}

TEST_CASE("gpt3 in closed form", "[parameters]") {
  int64_t h = 12288, layers = 96, vocabulary = 50257, positions = 2048;
  // Weights 12 h^2 and biases and norms 13 h a layer; the last norm.
  int64_t expected =
      layers * (12 * h * h + 13 * h) + (vocabulary + positions) * h + 2 * h;
  CHECK(parametersOf("gpt3-175b") == expected);
  CHECK(expected == 174'604'259'328);
}

TEST_CASE("llama parameter counts", "[parameters]") {
  CHECK(parametersOf("llama-2-7b") == 6'738'415'616);
  CHECK(parametersOf("llama-2-70b") == 68'976'648'192);
  CHECK(parametersOf("llama-3-8b") == 8'030'261'248);
  CHECK(parametersOf("llama-3-70b") == 70'553'706'496);
  CHECK(parametersOf("llama-3-405b") == 405'853'388'800);
  CHECK(parametersOf("mistral-7b") == 7'241'732'096);
  CHECK(parametersOf("mixtral-8x7b") == 46'702'792'704);
}

static std::optional<int64_t> countText(const char *text) {
  mlir::MLIRContext context;
  context.loadDialect<WhaleDialect>();
  auto root = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
  REQUIRE(root);
  return countParameters(modelOf(*root));
}

TEST_CASE("chains multiply, tied and shared count once", "[parameters]") {
  CHECK(countText(R"(whale.model @m {
    whale.module @leaf() {
      %a = whale.variable "a" constant(0.0) : tensor<3x5xf32>
      %s = whale.variable "s" kind statistic constant(0.0) : tensor<7xf32>
      whale.return
    }
    whale.module @pair() {
      whale.instance @leaf "x"() : () -> ()
      whale.instance @leaf "y"() : () -> ()
      whale.return
    }
    whale.module @main() {
      whale.instance @pair "chain"() repeat 4 : () -> ()
      whale.instance @leaf "one"() shared : () -> ()
      whale.instance @leaf "one"() shared : () -> ()
      %t = whale.variable "t" constant(0.0) tied "one/a" : tensor<3x5xf32>
      %f = whale.variable "f" constant(0.0) frozen : tensor<2xf32>
      whale.return
    }
  })") == 4 * 2 * 15 + 15 + 2);
}

TEST_CASE("a scan has one cell's variables", "[parameters]") {
  CHECK(countText(R"(whale.model @m {
    whale.module @cell(%h: tensor<2x3xf32>, %x: tensor<2x3xf32>)
        -> (tensor<2x3xf32>, tensor<2x3xf32>) {
      %w = whale.variable "w" constant(0.0) : tensor<3xf32>
      whale.return %h, %x : tensor<2x3xf32>, tensor<2x3xf32>
    }
    whale.module @main() {
      %h = whale.constant 0.0 : tensor<2x3xf32>
      %x = whale.constant 0.0 : tensor<2x9x3xf32>
      %0, %1 = whale.scan @cell "rnn" carry(%h) over(%x) dim 1
        : (tensor<2x3xf32>), (tensor<2x9x3xf32>)
        -> tensor<2x3xf32>, tensor<2x9x3xf32>
      whale.return
    }
  })") == 3);
}

TEST_CASE("a count beyond int64 is none", "[parameters]") {
  CHECK_FALSE(countText(R"(whale.model @m {
    whale.module @main() {
      %a = whale.variable "a" constant(0.0)
        : tensor<4294967296x4294967296xf32>
      whale.return
    }
  })"));
  CHECK_FALSE(countText(R"(whale.model @m {
    whale.module @leaf() {
      %a = whale.variable "a" constant(0.0) : tensor<4294967296xf32>
      whale.return
    }
    whale.module @main() {
      whale.instance @leaf "x"() repeat 4294967296 : () -> ()
      whale.return
    }
  })"));
  CHECK(countText("whale.model @m {}") == 0);
}
