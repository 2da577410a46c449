//===- CanonicalTest.cpp - canonical mode gives the bits of one rank ------===//
//
// Rows of the matrix with AdamW (where they do not have Adafactor) on short
// sequences, three steps: losses and all variables, bit by bit.
//
//===----------------------------------------------------------------------===//

#include "Matrix.h"
#include "Programs.h"

#include <catch2/catch.hpp>

using namespace e2e;

namespace {

/// The row's model as canonical mode is tested with it.
ModelCase shortened(ModelCase model) {
  if (model.optimizer == "sgd")
    model.optimizer = "adamw";
  // An M6 sequence has image patches and a source of its own before it.
  if (model.preset != "resnet-tiny" && model.preset != "m6-tiny")
    model.sequence = 8;
  return model;
}

ModelCase canonical(ModelCase model, const std::string &precision = "f64") {
  model.isCanonical = true;
  model.precision = precision;
  return model;
}

/// Checks every `every`th row.
void checkRows(size_t every, const std::string &precision) {
  for (Row row : rows()) {
    if (row.number % every != 0)
      continue;
    DYNAMIC_SECTION(row.model.preset
                    << " " << whale::planner::printStrategy(row.plan) << " #"
                    << row.number) {
      row.model = canonical(shortened(row.model), precision);
      CHECK(checkBits(row, row.model) == "");
    }
  }
}

} // namespace

TEST_CASE("canonical mode: N ranks give the bits of one rank", "[canonical]") {
  checkRows(4, "f64");
}

TEST_CASE("canonical mode in f32", "[canonical]") { checkRows(16, "f32"); }

TEST_CASE("canonical mode, every row", "[.][canonical-all]") {
  checkRows(1, "f64");
  checkRows(1, "f32");
}

TEST_CASE("canonical sums are those of the model, rounded", "[canonical]") {
  for (const ModelCase &model : models()) {
    if (model.optimizer != "sgd")
      continue;
    DYNAMIC_SECTION(model.preset
                    << (model.settings.empty() ? "" : " dropout")) {
      const RunResult &exact = oneRank(canonical(model)),
                      &usual = oneRank(model);
      REQUIRE(exact.error == "");
      REQUIRE(usual.error == "");
      CHECK(compare(exact, usual, 1e-11, true) == "");
    }
  }
}

// What equal bits mean: sums in another order do not have them.
TEST_CASE("without accumulators the bits depend on the plan", "[canonical]") {
  size_t usualDiffers = 0, plantedDiffers = 0;
  for (Row row : rows()) {
    if (row.number > 12 || row.number % 4 != 0)
      continue;
    row.model = shortened(row.model);
    std::string usual = checkBits(row, row.model),
                planted = checkBits(row, canonical(row.model));
    INFO(usual << planted);
    REQUIRE((usual.empty() || usual.find("on one rank") != std::string::npos));
    REQUIRE(planted.find("on one rank") != std::string::npos);
    usualDiffers += !usual.empty();
    plantedDiffers += !planted.empty();
  }
  CHECK(usualDiffers > 0);
  CHECK(plantedDiffers == 3);
}
