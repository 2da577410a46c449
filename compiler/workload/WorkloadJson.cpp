//===- WorkloadJson.cpp - a workload as JSON ------------------------------===//
//
// For tests, dumps and reproducers. Members that have their default are left
// out.
//
//===----------------------------------------------------------------------===//

#include "compiler/workload/Workload.h"

#include "compiler/support/Text.h"

#include <fmt/format.h>

#include <array>

namespace whale::workload {

namespace {

using Names = std::vector<std::string>;

const Names loopKinds = {"parallel", "indexed", "window", "sequential",
                         "whole"};
const Names reductions = {"sum", "max", "min"};
const Names linearities = {"none", "joint", "first", "each"};
const Names phases = {"forward", "backward_input", "backward_weight"};
const Names opKinds = {"contraction", "convolution", "attention",
                       "elementwise", "reduction",   "gather",
                       "scatter",     "movement",    "other"};
const Names valueKinds = {"argument", "variable", "result_gradient",
                          "variable_gradient", "temporary"};
const Names variableKinds = {"parameter", "statistic", "counter"};

using json::ObjectReader;
using json::Value;
using json::Writer;
using JsonValue = json::Value;

template <class E> const std::string &name(const Names &names, E value) {
  return names[static_cast<size_t>(value)];
}

class Reader {
public:
  explicit Reader(Diagnostics &diags) : diags(diags) {}

  Workload workload(const JsonValue &json) {
    Workload result;
    ObjectReader r(json, "workload", diags);
    result.modelName = r.requiredString("model").value_or("");
    result.modelHash = r.string("model_hash").value_or("");
    result.precision = r.string("precision").value_or("f32");
    result.batchDim = r.string("batch_dim").value_or("batch");
    result.globalBatch =
        r.requiredInteger("global_batch", json::positive).value_or(1);
    result.sampleGroup = r.integer("sample_group", json::positive).value_or(1);
    result.modelFlops =
        Flops(r.integer("model_flops", json::nonNegative).value_or(0));
    list(r, "groups", result.groups, &Reader::group);
    list(r, "classes", result.classes, &Reader::moduleClass);
    list(r, "runs", result.runs, &Reader::run);
    r.finish();
    return result;
  }

private:
  template <class T>
  void list(ObjectReader &r, std::string_view key, std::vector<T> &result,
            T (Reader::*read)(const JsonValue &)) {
    if (const JsonValue::Array *array = r.array(key))
      for (const JsonValue &element : *array)
        result.push_back((this->*read)(element));
  }

  int64_t positiveInteger(const JsonValue &json) {
    return json::toInteger(json, "extent", diags, json::positive).value_or(1);
  }
  int64_t anyInteger(const JsonValue &json) {
    return json::toInteger(json, "index", diags).value_or(0);
  }
  uint32_t index(const JsonValue &json) {
    return static_cast<uint32_t>(
        json::toInteger(json, "index", diags, {0, 0x7fffffff}).value_or(0));
  }
  std::string text(const JsonValue &json) {
    return json::toString(json, "name", diags).value_or("");
  }
  std::vector<uint32_t> indices(const JsonValue &json) {
    std::vector<uint32_t> result;
    if (const JsonValue::Array *array = json::toArray(json, "indices", diags))
      for (const JsonValue &element : *array)
        result.push_back(index(element));
    return result;
  }

  template <class E>
  E kind(ObjectReader &r, std::string_view key, const Names &names, E unset) {
    std::optional<std::string> text = r.string(key);
    for (size_t i = 0; text && i < names.size(); ++i)
      if (names[i] == *text)
        return static_cast<E>(i);
    if (text)
      r.error(fmt::format("unknown {} '{}'", key, *text));
    return unset;
  }
  uint32_t small(ObjectReader &r, std::string_view key) {
    return static_cast<uint32_t>(r.integer(key, {0, 0x7fffffff}).value_or(0));
  }

  ParameterGroup group(const JsonValue &json) {
    ParameterGroup result;
    ObjectReader r(json, "group", diags);
    result.name = r.string("name").value_or("");
    list(r, "slot_bytes", result.slotBytes, &Reader::positiveInteger);
    result.factoredBytes = r.integer("factored_bytes").value_or(0);
    result.masterBytes = r.integer("master_bytes").value_or(0);
    result.gradientBytes = r.integer("gradient_bytes").value_or(4);
    r.finish();
    return result;
  }

  Run run(const JsonValue &json) {
    Run result;
    ObjectReader r(json, "run", diags);
    result.moduleClass = small(r, "class");
    result.name = r.requiredString("name").value_or("");
    result.count = r.integer("count", json::positive).value_or(1);
    result.first = r.integer("first", json::nonNegative).value_or(0);
    result.of = r.integer("of", json::nonNegative).value_or(0);
    list(r, "fragment", result.fragment, &Reader::text);
    list(r, "arguments", result.arguments, &Reader::source);
    r.finish();
    return result;
  }
  Source source(const JsonValue &json) {
    Source result;
    ObjectReader r(json, "source", diags);
    result.run = r.integer("run").value_or(-1);
    result.result = small(r, "result");
    r.finish();
    return result;
  }

  ModuleClass moduleClass(const JsonValue &json) {
    ModuleClass result;
    ObjectReader r(json, "class", diags);
    result.name = r.requiredString("name").value_or("");
    list(r, "variables", result.variables, &Reader::variable);
    list(r, "values", result.values, &Reader::value);
    list(r, "ops", result.ops, &Reader::op);
    list(r, "arguments", result.arguments, &Reader::index);
    list(r, "results", result.results, &Reader::index);
    list(r, "argument_gradients", result.argumentGradients,
         &Reader::anyInteger);
    r.finish();
    return result;
  }

  Variable variable(const JsonValue &json) {
    Variable result;
    ObjectReader r(json, "variable", diags);
    result.name = r.requiredString("name").value_or("");
    result.kind = kind(r, "kind", variableKinds, VariableKind::Parameter);
    list(r, "extents", result.extents, &Reader::positiveInteger);
    list(r, "dims", result.dimNames, &Reader::text);
    result.elementBytes = r.integer("element_bytes").value_or(4);
    result.frozen = r.boolean("frozen").value_or(false);
    result.tied = r.string("tied").value_or("");
    result.factorCut = small(r, "factor_cut");
    result.group = small(r, "group");
    r.finish();
    return result;
  }

  workload::Value value(const JsonValue &json) {
    workload::Value result;
    ObjectReader r(json, "value", diags);
    result.name = r.string("name").value_or("");
    result.kind = kind(r, "kind", valueKinds, ValueKind::Temporary);
    result.index = small(r, "index");
    list(r, "extents", result.extents, &Reader::positiveInteger);
    result.elementBytes = r.integer("element_bytes").value_or(4);
    r.finish();
    return result;
  }

  Op op(const JsonValue &json) {
    Op result;
    ObjectReader r(json, "op", diags);
    result.name = r.requiredString("name").value_or("");
    result.kind = kind(r, "kind", opKinds, OpKind::Other);
    result.phase = kind(r, "phase", phases, Phase::Forward);
    list(r, "loops", result.loops, &Reader::loop);
    list(r, "operands", result.operands, &Reader::access);
    list(r, "results", result.results, &Reader::access);
    result.flopsPerPoint = r.integer("flops_per_point").value_or(1);
    result.usedNumerator = r.integer("used_numerator").value_or(1);
    result.usedDenominator = r.integer("used_denominator").value_or(1);
    result.fused = r.boolean("fused").value_or(false);
    result.linearity = kind(r, "linear", linearities, Linearity::None);
    result.cheap = r.boolean("cheap").value_or(false);
    result.random = r.boolean("random").value_or(false);
    result.expansionReductions = small(r, "expansion_reductions");
    result.workspaceBytes = r.integer("workspace_bytes").value_or(0);
    result.groupsChosen = r.integer("groups_chosen").value_or(1);
    result.groups = r.integer("groups").value_or(1);
    r.finish();
    return result;
  }

  LoopDim loop(const JsonValue &json) {
    LoopDim result;
    ObjectReader r(json, "loop", diags);
    result.name = r.string("name").value_or("");
    list(r, "aliases", result.aliases, &Reader::text);
    result.extent = r.integer("extent", json::positive).value_or(1);
    result.kind = kind(r, "kind", loopKinds, LoopKind::Parallel);
    result.reduction = kind(r, "reduction", reductions, Reduction::Sum);
    result.multiple = r.integer("multiple", json::positive).value_or(1);
    r.finish();
    return result;
  }

  Access access(const JsonValue &json) {
    Access result;
    ObjectReader r(json, "access", diags);
    result.value = small(r, "value");
    list(r, "dims", result.dims, &Reader::indices);
    r.finish();
    return result;
  }

  Diagnostics &diags;
};

class Printer {
public:
  explicit Printer(Writer &w) : w(w) {}

  void workload(const Workload &m) {
    w.beginObject();
    w.field("model", m.modelName).field("model_hash", m.modelHash);
    w.field("precision", m.precision).field("batch_dim", m.batchDim);
    w.field("global_batch", m.globalBatch);
    w.field("sample_group", m.sampleGroup);
    if (m.modelFlops > Flops())
      w.field("model_flops", static_cast<int64_t>(m.modelFlops.value()));
    list("groups", m.groups, &Printer::group);
    list("classes", m.classes, &Printer::moduleClass);
    list("runs", m.runs, &Printer::run);
    w.endObject();
  }

private:
  static constexpr auto oneLine = Writer::Layout::Inline;

  template <class T>
  void list(std::string_view key, const std::vector<T> &elements,
            void (Printer::*print)(const T &)) {
    w.key(key).beginArray();
    for (const T &element : elements)
      (this->*print)(element);
    w.endArray();
  }

  void group(const ParameterGroup &g) {
    w.beginObject(oneLine).field("name", g.name);
    w.field("slot_bytes", g.slotBytes);
    if (g.factoredBytes > 0)
      w.field("factored_bytes", g.factoredBytes);
    w.field("master_bytes", g.masterBytes);
    w.field("gradient_bytes", g.gradientBytes).endObject();
  }

  void run(const Run &r) {
    w.beginObject(oneLine).field("class", r.moduleClass);
    w.field("name", r.name).field("count", r.count);
    if (r.of > 0)
      w.field("first", r.first).field("of", r.of);
    if (!r.fragment.empty())
      w.field("fragment", r.fragment);
    list("arguments", r.arguments, &Printer::source);
    w.endObject();
  }
  void source(const Source &s) {
    w.beginObject().field("run", s.run).field("result", s.result).endObject();
  }

  void moduleClass(const ModuleClass &m) {
    w.beginObject().field("name", m.name);
    list("variables", m.variables, &Printer::variable);
    list("values", m.values, &Printer::value);
    list("ops", m.ops, &Printer::op);
    w.field("arguments", m.arguments).field("results", m.results);
    w.field("argument_gradients", m.argumentGradients).endObject();
  }

  void variable(const Variable &v) {
    w.beginObject(oneLine).field("name", v.name);
    w.field("kind", name(variableKinds, v.kind)).field("extents", v.extents);
    if (!v.dimNames.empty())
      w.field("dims", v.dimNames);
    w.field("element_bytes", v.elementBytes);
    if (v.frozen)
      w.field("frozen", true);
    if (!v.tied.empty())
      w.field("tied", v.tied);
    if (v.factorCut > 0)
      w.field("factor_cut", v.factorCut);
    w.field("group", v.group).endObject();
  }

  void value(const workload::Value &v) {
    w.beginObject(oneLine).field("name", v.name);
    w.field("kind", name(valueKinds, v.kind));
    if (v.index)
      w.field("index", v.index);
    w.field("extents", v.extents).field("element_bytes", v.elementBytes);
    w.endObject();
  }

  void op(const Op &o) {
    w.beginObject(oneLine).field("name", o.name);
    w.field("kind", name(opKinds, o.kind))
        .field("phase", name(phases, o.phase));
    list("loops", o.loops, &Printer::loop);
    list("operands", o.operands, &Printer::access);
    list("results", o.results, &Printer::access);
    w.field("flops_per_point", o.flopsPerPoint);
    if (o.usedNumerator != 1 || o.usedDenominator != 1)
      w.field("used_numerator", o.usedNumerator)
          .field("used_denominator", o.usedDenominator);
    if (o.fused)
      w.field("fused", true);
    if (o.linearity != Linearity::None)
      w.field("linear", name(linearities, o.linearity));
    if (o.cheap)
      w.field("cheap", true);
    if (o.random)
      w.field("random", true);
    if (o.expansionReductions)
      w.field("expansion_reductions", o.expansionReductions);
    if (o.workspaceBytes)
      w.field("workspace_bytes", o.workspaceBytes);
    if (o.groups > 1)
      w.field("groups_chosen", o.groupsChosen).field("groups", o.groups);
    w.endObject();
  }

  void loop(const LoopDim &l) {
    w.beginObject().field("name", l.name);
    if (!l.aliases.empty())
      w.field("aliases", l.aliases);
    w.field("extent", l.extent);
    if (l.kind != LoopKind::Parallel)
      w.field("kind", name(loopKinds, l.kind));
    if (l.reduction != Reduction::Sum)
      w.field("reduction", name(reductions, l.reduction));
    if (l.multiple != 1)
      w.field("multiple", l.multiple);
    w.endObject();
  }

  void access(const Access &a) {
    w.beginObject().field("value", a.value);
    w.field("dims", a.dims).endObject();
  }

  Writer &w;
};

} // namespace

std::optional<Workload> readWorkload(const json::Value &json,
                                     Diagnostics &diagnostics) {
  size_t before = diagnostics.errorCount();
  Workload result = Reader(diagnostics).workload(json);
  if (diagnostics.errorCount() != before || !check(result, diagnostics))
    return std::nullopt;
  return result;
}

void writeWorkload(json::Writer &writer, const Workload &workload) {
  Printer(writer).workload(workload);
}

} // namespace whale::workload
