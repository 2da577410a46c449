//===- InsightJson.cpp - insight and economics in plan.json ---------------===//

#include "compiler/planner/Insight.h"

namespace whale::planner {

namespace {

using json::ObjectReader;
using json::Writer;
constexpr auto oneLine = Writer::Layout::Inline;

Picoseconds seconds(ObjectReader &r, std::string_view key) {
  return picosecondsFromSeconds(r.number(key).value_or(0));
}

template <class F> void each(ObjectReader &r, std::string_view key, F f) {
  if (const json::Value::Array *array = r.array(key))
    for (const json::Value &value : *array)
      f(value);
}

void writeStage(Writer &w, const StageInsight &stage) {
  w.beginObject().field("bound_by", stage.boundBy);
  w.key("seconds_by_resource").beginArray();
  for (const ResourceTime &each : stage.resources)
    w.beginObject(oneLine)
        .field("resource", each.resource)
        .field("seconds", toSeconds(each.time))
        .endObject();
  w.endArray().field("idle_seconds", toSeconds(stage.idle));
  w.field("memory_used", stage.memoryUsed);
  w.key("traffic").beginArray();
  for (const LinkTraffic &each : stage.traffic)
    w.beginObject(oneLine)
        .field("purpose", each.purpose)
        .field("link", each.link)
        .field("bytes", each.bytes.value())
        .endObject();
  w.endArray().endObject();
}

StageInsight readStage(const json::Value &value, Diagnostics &diags) {
  ObjectReader r(value, "stage", diags);
  StageInsight stage;
  stage.boundBy = r.requiredString("bound_by").value_or("");
  each(r, "seconds_by_resource", [&](const json::Value &one) {
    ObjectReader s(one, "resource", diags);
    std::string name = s.requiredString("resource").value_or("");
    stage.resources.push_back({std::move(name), seconds(s, "seconds")});
    s.finish();
  });
  stage.idle = seconds(r, "idle_seconds");
  stage.memoryUsed = r.number("memory_used").value_or(0);
  each(r, "traffic", [&](const json::Value &one) {
    ObjectReader t(one, "traffic", diags);
    LinkTraffic traffic;
    traffic.purpose = t.requiredString("purpose").value_or("");
    traffic.link = t.requiredString("link").value_or("");
    traffic.bytes = Bytes(t.integer("bytes").value_or(0));
    t.finish();
    stage.traffic.push_back(std::move(traffic));
  });
  r.finish();
  return stage;
}

Marginal readMarginal(const json::Value &value, Diagnostics &diags) {
  ObjectReader r(value, "marginal value", diags);
  Marginal marginal;
  marginal.change = r.requiredString("change").value_or("");
  marginal.step = seconds(r, "step_seconds");
  if (auto planned = r.number("planned_step_seconds"))
    marginal.planned = picosecondsFromSeconds(*planned);
  marginal.strategy = r.string("planned_strategy").value_or("");
  r.finish();
  return marginal;
}

ErrorBand readBand(const json::Value &value, Diagnostics &diags) {
  ObjectReader r(value, "error band", diags);
  ErrorBand band;
  band.runs = r.string("runs").value_or("");
  band.count = r.integer("count", json::nonNegative).value_or(0);
  band.median = r.number("median").value_or(0);
  band.p90 = r.number("p90").value_or(0);
  r.finish();
  return band;
}

void writeMemoryBand(Writer &w, const MemoryBand &band) {
  w.beginObject(oneLine).field("count", band.count);
  if (band.count > 0)
    w.field("runs", band.runs)
        .field("median", band.median)
        .field("over", band.over)
        .field("margin_bytes", band.margin.value());
  w.endObject();
}

MemoryBand readMemoryBand(const json::Value &value, Diagnostics &diags) {
  ObjectReader r(value, "memory band", diags);
  MemoryBand band;
  band.runs = r.string("runs").value_or("");
  band.count = r.integer("count", json::nonNegative).value_or(0);
  band.median = r.number("median").value_or(0);
  band.over = r.number("over").value_or(0);
  band.margin = Bytes(r.integer("margin_bytes").value_or(0));
  r.finish();
  return band;
}

void writeTraining(Writer &w, const TrainingCost &training) {
  w.beginObject().field("tokens", training.tokens);
  w.field("steps", training.steps).field("seconds", training.seconds);
  if (training.mtbfSeconds > 0) {
    w.field("seconds_with_failures", training.secondsWithFailures);
    w.field("mtbf_seconds", training.mtbfSeconds);
    w.field("checkpoint_interval_seconds", training.checkpointInterval);
  }
  if (training.dollars)
    w.field("dollars", *training.dollars);
  if (training.joules)
    w.field("joules", *training.joules);
  w.endObject();
}

TrainingCost readTraining(const json::Value &value, Diagnostics &diags) {
  ObjectReader r(value, "training", diags);
  TrainingCost training;
  training.tokens = r.integer("tokens").value_or(0);
  training.steps = r.integer("steps").value_or(0);
  training.seconds = r.number("seconds").value_or(0);
  training.secondsWithFailures =
      r.number("seconds_with_failures").value_or(training.seconds);
  training.mtbfSeconds = r.number("mtbf_seconds").value_or(0);
  training.checkpointInterval =
      r.number("checkpoint_interval_seconds").value_or(0);
  training.dollars = r.number("dollars");
  training.joules = r.number("joules");
  r.finish();
  return training;
}

void writeSizes(Writer &w, const std::vector<SizePoint> &sizes) {
  w.beginArray();
  for (const SizePoint &point : sizes) {
    w.beginObject(oneLine).field("devices", point.devices);
    if (!point.byClass.empty()) {
      w.key("devices_by_class").beginArray();
      for (int64_t devices : point.byClass)
        w.value(devices);
      w.endArray();
    }
    if (point.step)
      w.field("step_seconds", toSeconds(*point.step));
    if (point.dollarsPerStep)
      w.field("dollars_per_step", *point.dollarsPerStep);
    if (point.joulesPerStep)
      w.field("joules_per_step", *point.joulesPerStep);
    w.field("meets_deadline", point.meetsDeadline).endObject();
  }
  w.endArray();
}

SizePoint readSize(const json::Value &value, Diagnostics &diags) {
  ObjectReader r(value, "size", diags);
  SizePoint point;
  point.devices = r.requiredInteger("devices").value_or(0);
  each(r, "devices_by_class", [&](const json::Value &devices) {
    point.byClass.push_back(
        json::toInteger(devices, "devices of a class", diags).value_or(0));
  });
  if (auto step = r.number("step_seconds"))
    point.step = picosecondsFromSeconds(*step);
  point.dollarsPerStep = r.number("dollars_per_step");
  point.joulesPerStep = r.number("joules_per_step");
  point.meetsDeadline = r.boolean("meets_deadline").value_or(false);
  r.finish();
  return point;
}

} // namespace

void writeInsight(Writer &w, const Insight &insight) {
  w.beginObject().key("stages").beginArray();
  for (const StageInsight &stage : insight.stages)
    writeStage(w, stage);
  w.endArray().key("marginal").beginArray();
  for (const Marginal &marginal : insight.marginal) {
    w.beginObject(oneLine).field("change", marginal.change);
    w.field("step_seconds", toSeconds(marginal.step));
    if (marginal.planned)
      w.field("planned_step_seconds", toSeconds(*marginal.planned));
    if (!marginal.strategy.empty())
      w.field("planned_strategy", marginal.strategy);
    w.endObject();
  }
  w.endArray().key("error_band").beginObject(oneLine);
  w.field("count", insight.band.count);
  if (insight.band.count > 0)
    w.field("runs", insight.band.runs)
        .field("median", insight.band.median)
        .field("p90", insight.band.p90);
  w.endObject().key("memory_band");
  writeMemoryBand(w, insight.memoryBand);
  w.endObject();
}

Insight readInsight(const json::Value &json, Diagnostics &diags) {
  ObjectReader r(json, "explanation", diags);
  Insight insight;
  each(r, "stages", [&](const json::Value &value) {
    insight.stages.push_back(readStage(value, diags));
  });
  each(r, "marginal", [&](const json::Value &value) {
    insight.marginal.push_back(readMarginal(value, diags));
  });
  if (const json::Value *band = r.optional("error_band"))
    insight.band = readBand(*band, diags);
  if (const json::Value *band = r.optional("memory_band"))
    insight.memoryBand = readMemoryBand(*band, diags);
  r.finish();
  return insight;
}

void writeEconomics(Writer &w, const Economics &economics) {
  w.beginObject().field("objective", economics.objective);
  if (!economics.sizes.empty()) {
    w.key("sizes");
    writeSizes(w, economics.sizes);
  }
  w.field("tokens_per_step", economics.tokensPerStep);
  w.field("devices", economics.devices);
  w.field("tokens_per_second", economics.tokensPerSecond);
  if (economics.dollarsPerStep)
    w.field("dollars_per_step", *economics.dollarsPerStep);
  if (economics.joulesPerStep)
    w.field("joules_per_step", *economics.joulesPerStep);
  if (economics.training) {
    w.key("training");
    writeTraining(w, *economics.training);
  }
  w.endObject();
}

Economics readEconomics(const json::Value &json, Diagnostics &diags) {
  ObjectReader r(json, "economics", diags);
  Economics economics;
  economics.objective = r.string("objective").value_or("");
  each(r, "sizes", [&](const json::Value &value) {
    economics.sizes.push_back(readSize(value, diags));
  });
  economics.tokensPerStep = r.integer("tokens_per_step").value_or(0);
  economics.devices = r.integer("devices").value_or(0);
  economics.tokensPerSecond = r.number("tokens_per_second").value_or(0);
  economics.dollarsPerStep = r.number("dollars_per_step");
  economics.joulesPerStep = r.number("joules_per_step");
  if (const json::Value *training = r.optional("training"))
    economics.training = readTraining(*training, diags);
  r.finish();
  return economics;
}

} // namespace whale::planner
