//===- PositionTest.cpp - buckets, masks and biases, number by number -----===//
//
// The modules that make them are evaluated one element at a time by a small
// interpreter of the elementwise ops that they use, and compared with formulas
// written here on their own.
//
//===----------------------------------------------------------------------===//

#include "ImporterTesting.h"

#include "llvm/ADT/TypeSwitch.h"

#include <cmath>

using namespace whale;
using namespace whale::test;

namespace {
/// Element (row, column) of a value of two dimensions; scalars ignore both.
/// Real arithmetic is that of f32.
double evaluate(mlir::Value value, int64_t row, int64_t column) {
  mlir::Operation *op = value.getDefiningOp();
  REQUIRE(op);
  auto in = [&](unsigned i) {
    return evaluate(op->getOperand(i), row, column);
  };
  bool isReal = mlir::isa<mlir::FloatType>(tensorType(value).getElementType());
  auto rounded = [&](double x) { return isReal ? double(float(x)) : x; };
  return llvm::TypeSwitch<mlir::Operation *, double>(op)
      .Case([&](ConstantOp constant) {
        if (auto real = mlir::dyn_cast<mlir::FloatAttr>(constant.getValue()))
          return rounded(real.getValueAsDouble());
        return double(
            mlir::cast<mlir::IntegerAttr>(constant.getValue()).getInt());
      })
      .Case([&](IotaOp iota) { return double(iota.getDim() ? column : row); })
      .Case([&](AddOp) { return rounded(in(0) + in(1)); })
      .Case([&](SubOp) { return rounded(in(0) - in(1)); })
      .Case([&](MulOp) { return rounded(in(0) * in(1)); })
      .Case([&](MaxOp) { return std::max(in(0), in(1)); })
      .Case([&](MinOp) { return std::min(in(0), in(1)); })
      .Case([&](ExpOp) { return rounded(std::exp(in(0))); })
      .Case([&](LogOp) { return rounded(std::log(in(0))); })
      .Case([&](CastOp) { return isReal ? rounded(in(0)) : std::trunc(in(0)); })
      .Case([&](SelectOp) { return in(0) != 0 ? in(1) : in(2); })
      .Case([&](CompareOp compare) {
        double a = in(0), b = in(1);
        switch (compare.getPredicate()) {
        case Predicate::lt:
          return double(a < b);
        case Predicate::ge:
          return double(a >= b);
        case Predicate::gt:
          return double(a > b);
        default:
          FAIL("predicate");
          return 0.0;
        }
      })
      .Default([&](mlir::Operation *) {
        FAIL(op->getName().getStringRef().str());
        return 0.0;
      });
}

/// The value with this name in a module.
mlir::Value named(mlir::ModuleOp root, llvm::StringRef module,
                  llvm::StringRef name) {
  auto definition = modelOf(root).lookupSymbol<ModuleDefOp>(module);
  REQUIRE(definition);
  for (mlir::Operation &op : definition.getBody().front())
    if (auto own = op.getAttrOfType<mlir::StringAttr>("name");
        own && own == name && !mlir::isa<VariableOp>(op))
      return op.getResult(0);
  FAIL("no op of that name");
  return {};
}

/// T5's buckets as its paper's code computes them (mesh_tensorflow,
/// `_relative_position_bucket`), in single precision.
int64_t t5Bucket(int64_t query, int64_t key, bool isBidirectional,
                 int64_t buckets, int64_t maxDistance) {
  int64_t n = query - key, bucket = 0;
  if (isBidirectional) {
    buckets /= 2;
    if (n < 0)
      bucket += buckets;
    n = std::abs(n);
  } else {
    n = std::max<int64_t>(n, 0);
  }
  int64_t exact = buckets / 2;
  if (n < exact)
    return bucket + n;
  float ratio = std::log(float(n) / float(exact)) /
                float(std::log(double(maxDistance) / double(exact)));
  int64_t far = exact + int64_t(ratio * float(buckets - exact));
  return bucket + std::min(far, buckets - 1);
}
} // namespace

TEST_CASE("t5 buckets", "[positions]") {
  mlir::MLIRContext context;
  ImportOptions options;
  options.sequence = 300;
  options.settings = {{"decoder_sequence", "300"}};
  auto root = preset(context, "t5-tiny", options);
  mlir::Value both = named(*root, "encoder_positions", "bucket.both");
  mlir::Value behind = named(*root, "decoder_positions", "bucket");
  for (int64_t i = 0; i < 300; i += 7)
    for (int64_t j = 0; j < 300; ++j) {
      INFO(i << " " << j);
      REQUIRE(evaluate(both, i, j) == t5Bucket(i, j, true, 32, 128));
      REQUIRE(evaluate(behind, i, j) == t5Bucket(i, j, false, 32, 128));
    }
}

TEST_CASE("m6 mask", "[positions]") {
  mlir::MLIRContext context;
  auto root = preset(context, "m6-tiny");
  mlir::Value bias = named(*root, "mask", "bias");
  // 4 patches and 12 source tokens see each other; 16 target tokens follow.
  for (int64_t i = 0; i < 32; ++i)
    for (int64_t j = 0; j < 32; ++j) {
      INFO(i << " " << j);
      bool seen = j < 16 || (i >= 16 && j <= i);
      REQUIRE((evaluate(bias, i, j) == 0) == seen);
      REQUIRE((seen || evaluate(bias, i, j) < -1e29));
    }
}

/// Slopes as the authors' code gives them (Press et al. 2022, get_slopes).
static std::vector<double> alibiSlopes(int64_t heads) {
  auto ofPower = [](int64_t n) {
    double start = std::pow(2, -std::pow(2, -(std::log2(n) - 3)));
    std::vector<double> slopes;
    for (int64_t i = 0; i < n; ++i)
      slopes.push_back(start * std::pow(start, i));
    return slopes;
  };
  int64_t power = int64_t(1) << int64_t(std::floor(std::log2(heads)));
  std::vector<double> slopes = ofPower(power);
  std::vector<double> more = ofPower(2 * power);
  for (int64_t i = 0; int64_t(slopes.size()) < heads; i += 2)
    slopes.push_back(more[i]);
  return slopes;
}

TEST_CASE("linear biases", "[positions]") {
  for (int64_t heads : {1, 4, 6, 12}) {
    mlir::MLIRContext context;
    ImportOptions options;
    options.settings = {{"n_head", std::to_string(heads)}};
    auto root = preset(context, "bloom-tiny", options);
    std::vector<double> slopes = alibiSlopes(heads);
    for (int64_t head = 0; head < heads; ++head) {
      INFO(heads << " " << head);
      mlir::Value slope =
          named(*root, "linear_bias",
                (heads & (heads - 1)) == 0 ? "slope" : "slope.joined");
      CHECK(evaluate(slope, head, 0) == Approx(slopes[head]).epsilon(1e-5));
    }
  }
}

TEST_CASE("sliding window", "[positions]") {
  mlir::MLIRContext context;
  Diagnostics diagnostics;
  // Attention dropout writes the mask out.
  auto config = json::parse(R"({"model_type": "mistral", "vocab_size": 64,
    "max_position_embeddings": 16, "num_hidden_layers": 2, "hidden_size": 32,
    "intermediate_size": 64, "num_attention_heads": 4, "sliding_window": 5,
    "attention_dropout": 0.5})",
                            "config.json", diagnostics);
  auto root = importHuggingFace(context, *config, {}, diagnostics);
  REQUIRE(root);
  mlir::Value seen = named(*root, "attention", "causal.near");
  for (int64_t i = 0; i < 16; ++i)
    for (int64_t j = 0; j < 16; ++j)
      CHECK((evaluate(seen, i, j) != 0) == (j <= i && i - j < 5));
}
