//===- ErrorBands.cpp - how far off predictions were ----------------------===//

#include "compiler/report/ErrorBands.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <limits>

namespace whale::report {

namespace {

/// One row of the file.
struct Row {
  std::string gpuType;
  /// Inclusive; `most` is absent where there is no limit.
  int64_t fewest = 1, most = std::numeric_limits<int64_t>::max();
  planner::ErrorBand band;
};

Row readRow(const json::Value &value, Diagnostics &diags) {
  json::ObjectReader r(value, "error band", diags);
  Row row;
  row.gpuType = r.requiredString("gpu_type").value_or("");
  row.fewest = r.requiredInteger("devices_from").value_or(1);
  row.most = r.integer("devices_to").value_or(row.most);
  row.band.count = r.requiredInteger("runs", json::positive).value_or(1);
  row.band.median = r.requiredNumber("median").value_or(0);
  row.band.p90 = r.requiredNumber("p90").value_or(0);
  r.finish();
  return row;
}

planner::MemoryBand readMemoryRow(const json::Value &value,
                                  Diagnostics &diags) {
  json::ObjectReader r(value, "memory band", diags);
  planner::MemoryBand band;
  band.runs = r.requiredString("gpu_type").value_or("");
  band.count = r.requiredInteger("runs", json::positive).value_or(1);
  band.median = r.requiredNumber("median").value_or(0);
  band.over = r.requiredNumber("over").value_or(0);
  r.finish();
  return band;
}

struct Bands {
  std::vector<Row> times;
  std::vector<planner::MemoryBand> memory;
};

Bands readEmbedded() {
  Bands result;
  Diagnostics diags;
  for (const EmbeddedFile &file : embeddedCatalogue()) {
    if (file.path != "execution/error-bands.json")
      continue;
    auto json = json::parse(file.text, file.path, diags);
    if (!json)
      continue;
    json::ObjectReader r(*json, "error bands", diags);
    json::checkFormatVersion(r, "error bands", 1, diags);
    r.string("made_by");
    if (const json::Value::Array *bands = r.requiredArray("bands"))
      for (const json::Value &value : *bands)
        result.times.push_back(readRow(value, diags));
    if (const json::Value::Array *bands = r.requiredArray("memory_bands"))
      for (const json::Value &value : *bands)
        result.memory.push_back(readMemoryRow(value, diags));
    r.finish();
  }
  assert(diags.errorCount() == 0 && "the shipped error bands are wrong");
  return result;
}

const Bands &embeddedBands() {
  static const Bands bands = readEmbedded();
  return bands;
}

bool isCalled(const DeviceType &type, const std::string &name) {
  return type.name == name ||
         std::find(type.aliases.begin(), type.aliases.end(), name) !=
             type.aliases.end();
}

std::string sizeOf(const Row &row) {
  if (row.most == std::numeric_limits<int64_t>::max())
    return fmt::format("{} devices or more", row.fewest);
  return fmt::format("{} to {} devices", row.fewest, row.most);
}

} // namespace

planner::ErrorBand errorBand(const DeviceType &type, int64_t devices) {
  for (const Row &row : embeddedBands().times)
    if (row.fewest <= devices && devices <= row.most &&
        isCalled(type, row.gpuType)) {
      planner::ErrorBand band = row.band;
      band.runs = type.name + ", " + sizeOf(row);
      return band;
    }
  return {};
}

planner::MemoryBand memoryBand(const DeviceType &type) {
  for (const planner::MemoryBand &row : embeddedBands().memory)
    if (isCalled(type, row.runs)) {
      planner::MemoryBand band = row;
      band.runs = type.name;
      band.margin = type.margin;
      return band;
    }
  return {};
}

std::string print(const planner::ErrorBand &band) {
  if (band.count == 0)
    return "unknown error: no measured runs on such devices and of such a size";
  return fmt::format("+-{:.1f} % (p90 of {} measured runs on {}; median {:.1f} "
                     "%)",
                     100 * band.p90, band.count, band.runs, 100 * band.median);
}

std::string print(const planner::MemoryBand &band) {
  if (band.count == 0)
    return "unknown error: no measured runs on such devices";
  return fmt::format("9 of 10 of {} measured runs on {} took at most {:.1f} % "
                     "more; median error {:.1f} %",
                     band.count, band.runs, 100 * band.over, 100 * band.median);
}

} // namespace whale::report
