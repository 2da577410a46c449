//===- Calibrate.cpp - whalec calibrate -----------------------------------===//
//
// A cluster file of this host: what whale-run measures (tools/whale-run/
// Calibrate.h) as a device type, in the units of cluster.json.
//
//===----------------------------------------------------------------------===//

#include "compiler/support/Json.h"
#include "tools/whalec/CommandLine.h"
#include "tools/whalec/WhaleRun.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

using namespace whale;
using namespace whale::cli;

namespace {
struct Options {
  int64_t ranks = 1;
  std::string communicator = "local", output;
};

/// Products of one precision: seconds by m, then n, then k of one grid.
struct Products {
  std::vector<double> grid, seconds;
};

struct Measured {
  int64_t ranks = 1, memoryBytes = 0;
  double copyRate = 0, launchSeconds = 0;
  Products single, twice;
  double bf16Rate = 0, f16Rate = 0;
  /// One rank has none.
  std::optional<double> linkRate, linkSeconds;
};
} // namespace

static void declare(CLI::App &command, Options &options) {
  command
      .add_option("--ranks", options.ranks,
                  "ranks that will share this host (1); they are measured "
                  "together")
      ->check(atLeast(1));
  command
      .add_option("--communicator", options.communicator,
                  "between the ranks: local (threads) or shm (processes)")
      ->check(oneOf({"local", "shm"}));
  addOutput(command, options.output, "where cluster.json goes (stdout)");
}

//===----------------------------------------------------------------------===//
// What whale-run says
//===----------------------------------------------------------------------===//

static std::vector<double> numbers(json::ObjectReader &reader,
                                   std::string_view key, Diagnostics &diags) {
  std::vector<double> list;
  if (const json::Value::Array *array = reader.requiredArray(key))
    for (const json::Value &element : *array)
      list.push_back(
          json::toNumber(element, "number", diags, json::positiveNumber)
              .value_or(1));
  return list;
}

/// A larger product takes no less time: what noise made shorter is raised.
static void makeMonotone(Products &products) {
  size_t n = products.grid.size();
  for (size_t i = 0; i < products.seconds.size(); ++i) {
    double &time = products.seconds[i];
    if (i % n > 0)
      time = std::max(time, products.seconds[i - 1]);
    if (i / n % n > 0)
      time = std::max(time, products.seconds[i - n]);
    if (i / (n * n) > 0)
      time = std::max(time, products.seconds[i - n * n]);
  }
}

static Products readProducts(json::ObjectReader &all, std::string_view key,
                             Diagnostics &diags) {
  Products products;
  const json::Value *value = all.required(key);
  if (!value)
    return products;
  json::ObjectReader reader(*value, "products", diags);
  products.grid = numbers(reader, "grid", diags);
  products.seconds = numbers(reader, "seconds", diags);
  size_t n = products.grid.size();
  if (reader.finish() && (n < 2 || products.seconds.size() != n * n * n))
    reader.error("the grid and its times do not fit");
  else
    makeMonotone(products);
  return products;
}

/// A ring of p ranks takes 2 (p - 1) steps, and moves 2 (p - 1) / p of the
/// bytes: the model's shape of an all-reduce (cost/CollectiveModel.h).
static void readLink(json::ObjectReader &all, Measured &measured,
                     Diagnostics &diags) {
  const json::Value *value = all.optional("all_reduce");
  if (!value)
    return;
  json::ObjectReader reader(*value, "all_reduce", diags);
  double small = reader.requiredNumber("small_seconds").value_or(1);
  double large = reader.requiredNumber("large_seconds").value_or(2);
  double bytes = reader.requiredNumber("large_bytes").value_or(1);
  reader.finish();
  auto p = static_cast<double>(measured.ranks);
  measured.linkSeconds = small / (2 * (p - 1));
  // Noise may make the large one the faster.
  measured.linkRate =
      bytes * 2 * (p - 1) / p / std::max(large - small, large / 10);
}

static std::optional<Measured> readMeasured(const std::string &text,
                                            Diagnostics &diags) {
  auto value = json::parse(text, "whale-run --calibrate", diags);
  if (!value)
    return std::nullopt;
  size_t before = diags.errorCount();
  json::ObjectReader reader(*value, "measurements", diags);
  Measured measured;
  measured.ranks = reader.requiredInteger("ranks").value_or(1);
  measured.memoryBytes = reader.requiredInteger("memory_bytes").value_or(1);
  measured.copyRate =
      reader.requiredNumber("copy_bytes_per_second").value_or(1);
  measured.launchSeconds = reader.requiredNumber("launch_seconds").value_or(1);
  if (const json::Value *rates = reader.required("product_flops_per_second")) {
    json::ObjectReader group(*rates, "rates", diags);
    measured.bf16Rate = group.requiredNumber("bf16").value_or(1);
    measured.f16Rate = group.requiredNumber("f16").value_or(1);
    group.finish();
  }
  if (const json::Value *products = reader.required("products")) {
    json::ObjectReader group(*products, "products", diags);
    measured.single = readProducts(group, "f32", diags);
    measured.twice = readProducts(group, "f64", diags);
    group.finish();
  }
  readLink(reader, measured, diags);
  reader.finish();
  if (diags.errorCount() != before)
    return std::nullopt;
  return measured;
}

//===----------------------------------------------------------------------===//
// cluster.json
//===----------------------------------------------------------------------===//

/// Four significant digits: the next ones are noise.
static double rounded(double value) {
  if (value == 0)
    return 0;
  double unit = std::pow(10, std::floor(std::log10(value)) - 3);
  double whole = std::round(value / unit);
  // A division by a power of ten that is exact keeps the text short.
  return unit < 1 ? whole / std::round(1 / unit) : whole * unit;
}

/// The fastest product of the grid, in FLOP/s.
static double peakOf(const Products &products) {
  size_t n = products.grid.size(), i = 0;
  double best = 0;
  for (double m : products.grid)
    for (double k : products.grid)
      for (double inner : products.grid)
        best = std::max(best, 2 * m * k * inner / products.seconds[i++]);
  return n ? best : 1;
}

static void writeTable(json::Writer &writer, std::string_view precision,
                       const Products &products) {
  size_t n = products.grid.size();
  writer.key(precision).beginObject();
  writer.field("source", "measured by 'whalec calibrate'");
  writer.field("peak_teraflops", rounded(peakOf(products) / 1e12));
  for (const char *axis : {"m", "n", "k"})
    writer.field(axis, products.grid);
  writer.key("microseconds").beginArray();
  for (size_t m = 0; m < n; ++m) {
    writer.beginArray();
    for (size_t row = 0; row < n; ++row) {
      std::vector<double> times;
      for (size_t k = 0; k < n; ++k)
        times.push_back(rounded(products.seconds[(m * n + row) * n + k] * 1e6));
      writer.value(times);
    }
    writer.endArray();
  }
  writer.endArray().endObject();
}

static void writeDevice(json::Writer &writer, const Measured &measured) {
  constexpr double giga = 1e9, tera = 1e12, gibi = 1073741824.0;
  std::string source = fmt::format(
      "measured by 'whalec calibrate' with {} ranks at once", measured.ranks);
  auto group = [&](std::string_view key) -> json::Writer & {
    return writer.key(key).beginObject().field("source", source);
  };
  writer.field("base", "cpu").field("title", "One rank of this host");
  group("peak_teraflops")
      .field("f64", rounded(peakOf(measured.twice) / tera))
      .field("f32", rounded(peakOf(measured.single) / tera))
      .field("f16", rounded(measured.f16Rate / tera))
      .field("bf16", rounded(measured.bf16Rate / tera))
      .endObject();
  double share = double(measured.memoryBytes) / double(measured.ranks) / gibi;
  group("memory")
      .field("capacity_gibibytes", rounded(share))
      .field("bandwidth_gigabytes_per_second",
             rounded(measured.copyRate / giga))
      .field("achievable_fraction", 1)
      .endObject();
  if (measured.linkRate)
    group("shared_memory")
        .field("bandwidth_gigabytes_per_second",
               rounded(*measured.linkRate / giga))
        .field("latency_microseconds", rounded(*measured.linkSeconds * 1e6))
        .endObject();
  group("launch_overhead")
      .field("microseconds", rounded(measured.launchSeconds * 1e6))
      .endObject();
  writer.key("efficiency").beginObject().field("tile", 1);
  writer.key("tables").beginObject();
  writeTable(writer, "f32", measured.single);
  writeTable(writer, "f64", measured.twice);
  writer.endObject().endObject();
}

static std::string clusterText(const Measured &measured) {
  json::Writer writer;
  writer.beginObject().field("format_version", 1);
  writer.key("device_types").beginObject();
  writer.key("this-host").beginObject();
  writeDevice(writer, measured);
  writer.endObject().endObject();
  writer.field("preset", "this-host").field("ranks", measured.ranks);
  writer.endObject();
  return writer.take();
}

static ExitCode runCalibrate(const Options &options, Session &session) {
  Diagnostics &diagnostics = session.diagnostics;
  auto result =
      callWhaleRun({"--calibrate", "--ranks", std::to_string(options.ranks),
                    "--communicator", options.communicator},
                   diagnostics);
  if (!result)
    return diagnostics.exitCode();
  if (result->code != 0)
    return static_cast<ExitCode>(result->code);
  auto measured = readMeasured(result->output, diagnostics);
  if (!measured)
    return ExitCode::Bug;
  writeProduct(options.output, clusterText(*measured), diagnostics);
  return diagnostics.exitCode();
}

void cli::addCalibrate(CLI::App &app, Session &session) {
  addCommand<Options>(app, session, "calibrate",
                      "measures this host: a cluster.json of it", runCalibrate,
                      declare);
}
