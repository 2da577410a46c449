//===- PlanJson.cpp - plan.json -------------------------------------------===//

#include "compiler/planner/Plan.h"

#include "compiler/support/Text.h"

#include <fmt/format.h>

#include <algorithm>

namespace whale::planner {

namespace {

using json::ObjectReader;
using json::Writer;
constexpr auto oneLine = Writer::Layout::Inline;

const std::vector<std::string> mapKinds = {"identity", "by_replica", "by_stage",
                                           "by_rank"};

/// The numbers of a stage by name: one table for writing and reading.
struct TimeField {
  std::string_view name;
  Picoseconds StagePrediction::*field;
};
constexpr TimeField timeFields[] = {
    {"forward_seconds", &StagePrediction::forward},
    {"backward_seconds", &StagePrediction::backward},
    {"split_communication_seconds", &StagePrediction::communication},
    {"recompute_seconds", &StagePrediction::recompute},
    {"send_forward_seconds", &StagePrediction::sendForward},
    {"send_backward_seconds", &StagePrediction::sendBackward},
    {"gradient_sync_seconds", &StagePrediction::gradientSync},
    {"update_seconds", &StagePrediction::update},
    {"busy_seconds", &StagePrediction::busy},
    {"idle_seconds", &StagePrediction::bubble}};
struct TrafficField {
  std::string_view name;
  Bytes StagePrediction::*field;
};
constexpr TrafficField trafficFields[] = {
    {"split_bytes", &StagePrediction::splitTraffic},
    {"boundary_bytes", &StagePrediction::boundaryTraffic},
    {"gradient_bytes", &StagePrediction::gradientTraffic}};
struct MemoryField {
  std::string_view name;
  Bytes MemoryParts::*field;
};
constexpr MemoryField memoryFields[] = {
    {"parameters", &MemoryParts::parameters},
    {"gradients", &MemoryParts::gradients},
    {"optimizer", &MemoryParts::optimizer},
    {"statistics", &MemoryParts::other},
    {"activations", &MemoryParts::activations},
    {"transients", &MemoryParts::transients},
    {"communication", &MemoryParts::communication},
    {"layout", &MemoryParts::layout},
    {"reserve", &MemoryParts::reserve}};
constexpr MemoryField hostFields[] = {
    {"parameters", &MemoryParts::hostParameters},
    {"gradients", &MemoryParts::hostGradients},
    {"optimizer", &MemoryParts::hostOptimizer},
    {"activations", &MemoryParts::hostActivations}};
struct BreakdownField {
  std::string_view name;
  Picoseconds Breakdown::*field;
};
constexpr BreakdownField breakdownFields[] = {
    {"compute_seconds", &Breakdown::compute},
    {"recompute_seconds", &Breakdown::recompute},
    {"split_communication_seconds", &Breakdown::splitCommunication},
    {"pipeline_idle_seconds", &Breakdown::pipelineIdle},
    {"gradient_sync_seconds", &Breakdown::gradientSync},
    {"update_seconds", &Breakdown::update},
    {"overhead_seconds", &Breakdown::overhead}};

constexpr std::string_view hostTransfersKey = "host_transfers_seconds";

/// `memory_from` of memory that was measured; absent = the cost model's.
constexpr std::string_view measuredMemory = "compiler";

class PlanWriter {
public:
  PlanWriter(Writer &w, const Plan &plan) : w(w), plan(plan) {}

  void run() {
    w.beginObject().field("format_version", planFormatVersion);
    w.key("inputs").beginObject();
    for (const InputHash &input : plan.inputs)
      w.field(input.name, input.sha256);
    w.endObject();
    w.key("model").beginObject().field("name", plan.modelName);
    w.field("parameters", plan.parameters).endObject();
    precision();
    w.key("strategy");
    writeStrategy(w, plan.strategy);
    meshes();
    ranks();
    w.key("phases").beginArray();
    phase();
    w.endArray();
    alternatives();
    if (plan.insight) {
      w.key("explanation");
      writeInsight(w, *plan.insight);
    }
    if (plan.balance) {
      w.key("balance");
      writeBalance(w, *plan.balance);
    }
    w.field("outcome", nameOf(plan.outcome));
    w.field("gap", plan.gap)
        .field("gap_of_unlike_stages", plan.gapOfUnlike)
        .field("gap_of_inner_cuts", plan.gapOfInner)
        .endObject();
  }

private:
  void meshes() {
    w.key("meshes").beginArray();
    for (const StageForm &stage : plan.chosen.form.stages) {
      w.beginObject(oneLine).key("axes").beginArray();
      for (const Axis &axis : stage.axes) {
        w.beginObject().field("name", axis.name);
        w.field("kind", axis.kind == AxisKind::Replica ? "replica" : "split");
        w.field("size", axis.size);
        if (!axis.dims.empty())
          w.field("dims", axis.dims);
        if (!axis.shares.empty())
          w.field("shares", axis.shares);
        colocated(axis);
        w.endObject();
      }
      w.endArray().endObject();
    }
    w.endArray();
  }

  void colocated(const Axis &axis) {
    if (axis.colocated.empty())
      return;
    w.key("colocated").beginArray();
    for (const ColocatedSplit &split : axis.colocated) {
      w.beginObject().field("dims", split.dims);
      if (!split.paths.empty())
        w.field("paths", split.paths);
      w.endObject();
    }
    w.endArray();
  }

  void ranks() {
    const Candidate &chosen = plan.chosen;
    w.key("ranks").beginObject();
    int64_t count = rankCount(chosen.form);
    w.field("count", count).field("idle_devices", plan.idleDevices);
    w.key("assignment").beginObject(oneLine);
    w.field("kind", mapKinds[static_cast<size_t>(chosen.devices.kind)]);
    w.field("first", chosen.devices.first).endObject();
    w.key("devices").beginArray();
    for (int64_t rank = 0; rank < count;) {
      int64_t device = deviceOf(rank), next = rank + 1;
      while (next < count && deviceOf(next) == device + next - rank)
        ++next;
      w.beginObject(oneLine).field("rank", rank).field("device", device);
      w.field("count", next - rank).endObject();
      rank = next;
    }
    w.endArray().endObject();
  }
  int64_t deviceOf(int64_t rank) const {
    const Candidate &chosen = plan.chosen;
    if (chosen.devices.kind == DeviceMap::Kind::Identity)
      return rank;
    return chosen.devices.deviceOf(chosen.form,
                                   coordinatesOf(chosen.form, rank));
  }

  void phase() {
    const NormalForm &form = plan.chosen.form;
    w.beginObject().field("name", "step");
    w.field("global_batch", plan.globalBatch);
    w.key("stages").beginArray();
    for (size_t s = 0; s < form.stages.size(); ++s) {
      const StagePrediction &stage = plan.prediction.stages[s];
      w.beginObject(oneLine).field("first", stage.first);
      w.field("last", stage.last);
      chunks(stage);
      w.field("paths", form.stages[s].paths);
      w.field("device_type", plan.deviceTypes[stage.deviceType]);
      w.field("recompute", nameOf(form.stages[s].recompute));
      if (form.stages[s].recomputeLayers > 0)
        w.field("recompute_layers", form.stages[s].recomputeLayers);
      if (form.stages[s].selectiveLayers > 0)
        w.field("selective_layers", form.stages[s].selectiveLayers);
      if (form.stages[s].gatheredLayers > 0)
        w.field("gathered_layers", form.stages[s].gatheredLayers);
      forEachOffload(
          [&](std::string_view key, int64_t layers) {
            if (layers > 0)
              w.field(key, layers);
          },
          form.stages[s].offload);
      w.endObject();
    }
    w.endArray();
    w.key("schedule").beginObject(oneLine);
    w.field("order", nameOf(form.schedule));
    w.field("micro_batches", form.microBatches).endObject();
    tensors();
    predicted();
    w.endObject();
  }

  /// What each of several chunks holds.
  void chunks(const StagePrediction &stage) {
    if (stage.chunks.empty())
      return;
    w.key("chunks").beginArray();
    for (const Range &range : stage.chunks)
      w.beginArray().value(range.first).value(range.last).endArray();
    w.endArray();
  }

  void tensors() {
    w.key("tensors").beginArray();
    for (const TensorPlacement &tensor : plan.tensors) {
      w.beginObject(oneLine).field("path", tensor.path);
      w.field("stage", tensor.stage).field("extents", tensor.extents);
      if (!tensor.dimNames.empty())
        w.field("dims", tensor.dimNames);
      w.key("splits").beginArray();
      for (const auto &[axis, dim] : tensor.splits)
        w.beginObject().field("axis", axis).field("dim", dim).endObject();
      w.endArray().endObject();
    }
    w.endArray();
  }

  void predicted() {
    const Prediction &p = plan.prediction;
    w.key("predicted").beginObject();
    w.field("step_seconds", toSeconds(p.step));
    w.field("samples_per_second", p.samplesPerSecond);
    w.field("model_flops_utilization", p.utilization);
    if (p.memoryMeasured)
      w.field("memory_from", measuredMemory);
    w.key("memory_bytes").beginArray();
    for (const StagePrediction &stage : p.stages) {
      w.beginObject(oneLine);
      for (const MemoryField &field : memoryFields)
        w.field(field.name, (stage.memory.*field.field).value());
      w.field("total", stage.memory.total().value());
      w.field("capacity", stage.capacity.value()).endObject();
    }
    w.endArray();
    host();
    w.key("breakdown").beginObject();
    for (const BreakdownField &field : breakdownFields)
      w.field(field.name, toSeconds(p.breakdown.*field.field));
    if (p.breakdown.hostTransfers > Picoseconds())
      w.field(hostTransfersKey, toSeconds(p.breakdown.hostTransfers));
    w.endObject().key("stages").beginArray();
    for (const StagePrediction &stage : p.stages) {
      w.beginObject(oneLine);
      for (const TimeField &field : timeFields)
        w.field(field.name, toSeconds(stage.*field.field));
      for (const TrafficField &field : trafficFields)
        w.field(field.name, (stage.*field.field).value());
      w.field("in_flight", stage.inFlight);
      w.field("device_class", stage.deviceType).endObject();
    }
    w.endArray();
    if (plan.economics) {
      w.key("economics");
      writeEconomics(w, *plan.economics);
    }
    w.endObject();
  }

  /// Only of plans that have something in the host's memory.
  void host() {
    const std::vector<StagePrediction> &stages = plan.prediction.stages;
    if (!plan.prediction.usesHost())
      return;
    w.key("host_memory").beginArray();
    for (const StagePrediction &stage : stages) {
      w.beginObject(oneLine);
      for (const MemoryField &field : hostFields)
        w.field(field.name, (stage.memory.*field.field).value());
      w.field("total", stage.memory.host().value());
      w.field("capacity", stage.hostCapacity.value());
      w.field("traffic_bytes", stage.hostTraffic.value());
      w.field("wait_seconds", toSeconds(stage.hostWait)).endObject();
    }
    w.endArray();
  }

  void alternatives() {
    w.key("alternatives").beginArray();
    for (const Alternative &other : plan.alternatives)
      alternative(other);
    w.endArray();
  }

  void alternative(const Alternative &other) {
    w.beginObject(oneLine).key("strategy");
    writeStrategy(w, other.strategy);
    if (other.step != Picoseconds::max())
      w.field("step_seconds", toSeconds(other.step));
    w.field("memory_bytes", other.memory.value());
    w.field("reason", other.reason).endObject();
  }

  /// Only of plans that change it.
  void precision() {
    if (!plan.precision)
      return;
    w.key("precision").beginObject().field("from", plan.precision->from);
    w.field("to", plan.precision->to);
    if (plan.precision->without) {
      w.key("without");
      alternative(*plan.precision->without);
    }
    w.endObject();
  }

  Writer &w;
  const Plan &plan;
};

class PlanReader {
public:
  explicit PlanReader(Diagnostics &diags) : diags(diags) {}

  Plan run(const json::Value &json) {
    ObjectReader r(json, "plan", diags);
    if (!json::checkFormatVersion(r, "plan", planFormatVersion, diags))
      return std::move(plan);
    inputs(r);
    if (const json::Value *model = r.required("model")) {
      ObjectReader m(*model, "model", diags);
      plan.modelName = m.requiredString("name").value_or("");
      plan.parameters = m.integer("parameters").value_or(0);
      m.finish();
    }
    if (const json::Value *changed = r.optional("precision"))
      precision(*changed);
    if (const json::Value *tree = r.required("strategy"))
      if (auto strategy = readStrategy(*tree, diags)) {
        plan.strategy = std::move(*strategy);
        if (auto form = normalize(plan.strategy, diags, Space::Full))
          plan.chosen.form = std::move(*form);
      }
    r.optional("meshes"); // Follows from the strategy.
    if (const json::Value *value = r.required("ranks"))
      ranks(*value);
    if (const json::Value::Array *phases = r.requiredArray("phases")) {
      if (phases->size() == 1)
        phase(phases->front());
      else
        r.error(fmt::format("{} phases, expected 1", phases->size()));
    }
    alternatives(r);
    if (const json::Value *insight = r.optional("explanation"))
      plan.insight = readInsight(*insight, diags);
    if (const json::Value *balance = r.optional("balance"))
      plan.balance = readBalance(*balance, diags);
    if (auto name = r.string("outcome")) {
      if (auto outcome = outcomeOf(*name))
        plan.outcome = *outcome;
      else
        r.error(fmt::format("unknown outcome '{}'", *name));
    }
    plan.gap = r.number("gap").value_or(0);
    plan.gapOfUnlike = r.boolean("gap_of_unlike_stages").value_or(false);
    plan.gapOfInner = r.boolean("gap_of_inner_cuts").value_or(false);
    r.finish();
    return std::move(plan);
  }

private:
  void inputs(ObjectReader &r) {
    const json::Value *value = r.required("inputs");
    if (!value || !value->isObject())
      return;
    for (const json::Member &member : value->members())
      if (auto hash = json::toString(member.value, quoted(member.key), diags))
        plan.inputs.push_back({member.key, *hash});
  }

  template <class F> void each(ObjectReader &r, std::string_view key, F visit) {
    if (const json::Value::Array *array = r.requiredArray(key))
      for (const json::Value &element : *array)
        visit(element);
  }

  void ranks(const json::Value &value) {
    ObjectReader r(value, "ranks", diags);
    int64_t count = r.requiredInteger("count", json::positive).value_or(0);
    if (!plan.chosen.form.stages.empty() &&
        count != rankCount(plan.chosen.form))
      r.error(fmt::format("{} ranks, the strategy has {}", count,
                          rankCount(plan.chosen.form)));
    plan.idleDevices = r.integer("idle_devices").value_or(0);
    r.optional("devices"); // Follows from the assignment.
    if (const json::Value *assignment = r.required("assignment")) {
      ObjectReader a(*assignment, "assignment", diags);
      std::string kind = a.requiredString("kind").value_or("identity");
      auto it = std::find(mapKinds.begin(), mapKinds.end(), kind);
      if (it == mapKinds.end())
        a.error(fmt::format("unknown kind '{}'", kind));
      else
        plan.chosen.devices.kind =
            static_cast<DeviceMap::Kind>(it - mapKinds.begin());
      each(a, "first", [&](const json::Value &v) {
        plan.chosen.devices.first.push_back(
            json::toInteger(v, "'first'", diags, json::nonNegative)
                .value_or(0));
      });
      a.finish();
    }
    r.finish();
  }

  void phase(const json::Value &value) {
    ObjectReader r(value, "phase", diags);
    r.string("name");
    plan.globalBatch =
        r.requiredInteger("global_batch", json::positive).value_or(1);
    each(r, "stages", [&](const json::Value &v) { stage(v); });
    cuts();
    if (plan.prediction.stages.size() != plan.chosen.form.stages.size())
      r.error(fmt::format("{} stages, the strategy has {}",
                          plan.prediction.stages.size(),
                          plan.chosen.form.stages.size()));
    r.optional("schedule"); // Follows from the strategy.
    each(r, "tensors", [&](const json::Value &v) { tensor(v); });
    if (const json::Value *predicted = r.required("predicted"))
      prediction(*predicted);
    r.finish();
  }

  /// Where the parts that the stages hold begin.
  void cuts() {
    std::vector<Range> parts;
    for (const StagePrediction &stage : plan.prediction.stages)
      for (const Range &range : stage.held())
        parts.push_back(range);
    std::stable_sort(
        parts.begin(), parts.end(),
        [](const Range &a, const Range &b) { return a.first < b.first; });
    for (const Range &part : parts)
      plan.chosen.cuts.push_back(part.first);
    plan.chosen.cuts.push_back(parts.empty() ? 0 : parts.back().last);
  }

  Range chunk(const json::Value &value) {
    const json::Value::Array *ends = json::toArray(value, "'chunks'", diags);
    if (ends && ends->size() == 2) {
      auto end = [&](size_t i) {
        return json::toInteger((*ends)[i], "'chunks'", diags, json::nonNegative)
            .value_or(0);
      };
      return {end(0), end(1)};
    }
    if (ends)
      diags.error(value.place(),
                  fmt::format("a chunk has {} ends, expected 2", ends->size()));
    return {};
  }

  void stage(const json::Value &value) {
    ObjectReader r(value, "stage", diags);
    StagePrediction stage;
    stage.first = r.requiredInteger("first", json::nonNegative).value_or(0);
    stage.last = r.requiredInteger("last", json::positive).value_or(1);
    if (const json::Value::Array *chunks = r.array("chunks"))
      for (const json::Value &one : *chunks)
        stage.chunks.push_back(chunk(one));
    std::string type = r.string("device_type").value_or("");
    deviceNames.push_back(type);
    r.optional("paths");
    // These follow from the strategy.
    r.optional("recompute");
    r.optional("recompute_layers");
    r.optional("selective_layers");
    r.optional("gathered_layers");
    Offload offload;
    forEachOffload([&](std::string_view key, int64_t) { r.optional(key); },
                   offload);
    r.finish();
    plan.prediction.stages.push_back(std::move(stage));
  }

  void tensor(const json::Value &value) {
    ObjectReader r(value, "tensor", diags);
    TensorPlacement result;
    result.path = r.requiredString("path").value_or("");
    result.stage = static_cast<unsigned>(
        r.integer("stage", json::nonNegative).value_or(0));
    each(r, "extents", [&](const json::Value &v) {
      result.extents.push_back(
          json::toInteger(v, "'extents'", diags).value_or(1));
    });
    if (const json::Value::Array *dims = r.array("dims"))
      for (const json::Value &dim : *dims)
        result.dimNames.push_back(
            json::toString(dim, "'dims'", diags).value_or(""));
    each(r, "splits", [&](const json::Value &v) {
      ObjectReader s(v, "split", diags);
      std::string axis = s.requiredString("axis").value_or("");
      result.splits.emplace_back(axis, s.requiredInteger("dim").value_or(0));
      s.finish();
    });
    r.finish();
    plan.tensors.push_back(std::move(result));
  }

  Picoseconds seconds(ObjectReader &r, std::string_view key) {
    return picosecondsFromSeconds(r.number(key).value_or(0));
  }

  void prediction(const json::Value &value) {
    ObjectReader r(value, "prediction", diags);
    Prediction &p = plan.prediction;
    p.step = seconds(r, "step_seconds");
    p.samplesPerSecond = r.number("samples_per_second").value_or(0);
    p.utilization = r.number("model_flops_utilization").value_or(0);
    if (auto from = r.string("memory_from")) {
      p.memoryMeasured = *from == measuredMemory;
      if (!p.memoryMeasured)
        r.error(fmt::format("unknown source of memory '{}'", *from));
    }
    if (const json::Value *economics = r.optional("economics"))
      plan.economics = readEconomics(*economics, diags);
    size_t s = 0;
    each(r, "memory_bytes", [&](const json::Value &v) {
      if (s < p.stages.size())
        memory(v, p.stages[s++]);
    });
    s = 0;
    if (const json::Value::Array *host = r.array("host_memory"))
      for (const json::Value &v : *host)
        if (s < p.stages.size())
          hostMemory(v, p.stages[s++]);
    if (const json::Value *parts = r.required("breakdown")) {
      ObjectReader b(*parts, "breakdown", diags);
      for (const BreakdownField &field : breakdownFields)
        p.breakdown.*field.field = seconds(b, field.name);
      p.breakdown.hostTransfers = seconds(b, hostTransfersKey);
      b.finish();
    }
    s = 0;
    each(r, "stages", [&](const json::Value &v) {
      if (s < p.stages.size())
        times(v, p.stages[s++]);
    });
    r.finish();
  }

  void memory(const json::Value &value, StagePrediction &stage) {
    ObjectReader r(value, "memory", diags);
    for (const MemoryField &field : memoryFields)
      stage.memory.*field.field = Bytes(r.integer(field.name).value_or(0));
    r.integer("total");
    stage.capacity = Bytes(r.integer("capacity").value_or(0));
    r.finish();
  }

  void hostMemory(const json::Value &value, StagePrediction &stage) {
    ObjectReader r(value, "host memory", diags);
    for (const MemoryField &field : hostFields)
      stage.memory.*field.field = Bytes(r.integer(field.name).value_or(0));
    r.integer("total");
    stage.hostCapacity = Bytes(r.integer("capacity").value_or(0));
    stage.hostTraffic = Bytes(r.integer("traffic_bytes").value_or(0));
    stage.hostWait = seconds(r, "wait_seconds");
    r.finish();
  }

  void times(const json::Value &value, StagePrediction &stage) {
    ObjectReader r(value, "stage", diags);
    for (const TimeField &field : timeFields)
      stage.*field.field = seconds(r, field.name);
    for (const TrafficField &field : trafficFields)
      stage.*field.field = Bytes(r.integer(field.name).value_or(0));
    stage.inFlight = r.integer("in_flight").value_or(0);
    stage.deviceType = static_cast<unsigned>(
        r.integer("device_class", {0, 1 << 20}).value_or(0));
    r.finish();
    size_t s = &stage - plan.prediction.stages.data();
    if (plan.deviceTypes.size() <= stage.deviceType)
      plan.deviceTypes.resize(stage.deviceType + 1);
    plan.deviceTypes[stage.deviceType] = deviceNames[s];
  }

  void alternatives(ObjectReader &r) {
    const json::Value::Array *array = r.array("alternatives");
    if (!array)
      return;
    for (const json::Value &value : *array)
      plan.alternatives.push_back(alternative(value));
  }

  Alternative alternative(const json::Value &value) {
    ObjectReader a(value, "alternative", diags);
    Alternative other;
    if (const json::Value *tree = a.required("strategy"))
      if (auto strategy = readStrategy(*tree, diags))
        other.strategy = std::move(*strategy);
    other.step = Picoseconds::max();
    if (auto step = a.number("step_seconds"))
      other.step = picosecondsFromSeconds(*step);
    other.memory = Bytes(a.integer("memory_bytes").value_or(0));
    other.reason = a.string("reason").value_or("");
    a.finish();
    return other;
  }

  void precision(const json::Value &value) {
    ObjectReader r(value, "precision", diags);
    PrecisionChange change;
    change.from = r.requiredString("from").value_or("");
    change.to = r.requiredString("to").value_or("");
    if (const json::Value *without = r.optional("without"))
      change.without = alternative(*without);
    r.finish();
    plan.precision = std::move(change);
  }

  Plan plan;
  std::vector<std::string> deviceNames;
  Diagnostics &diags;
};

constexpr std::string_view outcomeNames[] = {
    "optimal", "feasible", "infeasible", "limit_reached", "interrupted"};

} // namespace

std::string_view nameOf(Outcome outcome) {
  return outcomeNames[static_cast<size_t>(outcome)];
}

std::optional<Outcome> outcomeOf(std::string_view name) {
  auto it = std::find(std::begin(outcomeNames), std::end(outcomeNames), name);
  if (it == std::end(outcomeNames))
    return std::nullopt;
  return static_cast<Outcome>(it - std::begin(outcomeNames));
}

void writePlan(json::Writer &writer, const Plan &plan) {
  PlanWriter(writer, plan).run();
}

std::optional<Plan> readPlan(const json::Value &json,
                             Diagnostics &diagnostics) {
  size_t before = diagnostics.errorCount();
  Plan plan = PlanReader(diagnostics).run(json);
  if (diagnostics.errorCount() != before)
    return std::nullopt;
  return plan;
}

} // namespace whale::planner
