// Scaled rotary frequencies against numbers that were computed with the code of
// the releases, written down here.

#include "dialects/whale/RotaryScaling.h"

#include "mlir/IR/MLIRContext.h"

#include <catch2/catch.hpp>

#include <cmath>

using namespace whale;
using llvm::APFloat;

namespace {
double frequencyOf(RotaryScalingAttr scaling, double theta, int64_t half,
                   int64_t pair) {
  RotaryRamp ramp = rampOf(scaling, theta, half);
  double f = std::pow(theta, -double(pair) / double(half));
  double keep =
      ramp.slope * (ramp.overFrequency ? f : double(pair)) + ramp.offset;
  double least = 1 / scaling.getFactor().convertToDouble();
  return f * (least + std::clamp(keep, 0.0, 1.0) * (1 - least));
}

struct Known {
  int64_t pair;
  double frequency;
};

void check(RotaryScalingAttr scaling, double theta, int64_t half,
           std::initializer_list<Known> known) {
  for (auto [pair, frequency] : known) {
    INFO("pair " << pair);
    CHECK(frequencyOf(scaling, theta, half, pair) ==
          Approx(frequency).epsilon(1e-12));
  }
}
} // namespace

TEST_CASE("scaled rotary frequencies are those of the releases", "[rotary]") {
  mlir::MLIRContext context;
  context.loadDialect<WhaleDialect>();
  auto make = [&](RotaryScalingKind kind, double factor, double low,
                  double high, double positions) {
    return RotaryScalingAttr::get(&context, kind, APFloat(factor), APFloat(low),
                                  APFloat(high), APFloat(positions),
                                  APFloat(1.0));
  };
  // Llama-3.1-8B: heads of 128.
  check(make(RotaryScalingKind::llama3, 8, 1, 4, 8192), 5e5, 64,
        {{1, 0.8146172338565447},
         {28, 0.003211445994752591},
         {29, 0.002166570763503359},
         {32, 0.0005248461609929547},
         {34, 0.0001785078127679964},
         {35, 9.556212353964683e-05},
         {63, 3.068925988914511e-07}});
  // DeepSeek-V3: 64 turned elements.
  check(make(RotaryScalingKind::yarn, 40, 1, 32, 4096), 1e4, 32,
        {{0, 1.0},
         {10, 0.05623413251903491},
         {11, 0.03900692656714386},
         {15, 0.008334508951020777},
         {20, 0.0007905694150420946},
         {23, 3.33380358040831e-05},
         {31, 3.3338035804083097e-06}});
  check(make(RotaryScalingKind::linear, 4, 1, 2, 1), 1e4, 2,
        {{0, 0.25}, {1, 0.0025}});
}
