//===- StrategyJson.cpp - the strategy tree as JSON -----------------------===//

#include "compiler/planner/Strategy.h"

#include "compiler/support/Suggest.h"
#include "compiler/support/Text.h"

#include <fmt/format.h>

namespace whale::planner {

namespace {

/// Takes an enum spelled as a string; complains at the field.
template <class E>
std::optional<E> readName(json::ObjectReader &reader, std::string_view key,
                          std::optional<E> (*find)(std::string_view),
                          std::vector<std::string> known, Diagnostics &diags) {
  std::optional<std::string> text = reader.string(key);
  if (!text)
    return std::nullopt;
  std::optional<E> result = find(*text);
  if (!result) {
    const json::Value *value = reader.optional(key);
    Diag &error =
        diags.error(value->place(), fmt::format("unknown {} '{}'", key, *text));
    if (auto near = suggest(*text, known))
      error.hint(fmt::format("did you mean '{}'?", *near));
    else
      error.hint(fmt::format("known are {}", quotedList(known)));
  }
  return result;
}

std::vector<std::string> readStrings(json::ObjectReader &reader,
                                     std::string_view key, Diagnostics &diags) {
  std::vector<std::string> result;
  if (const json::Value::Array *array = reader.array(key))
    for (const json::Value &element : *array)
      if (auto text = json::toString(element, quoted(key), diags))
        result.push_back(*text);
  return result;
}

std::vector<std::string> scheduleNames() {
  std::vector<std::string> names;
  for (Schedule schedule : simulator::allOrders())
    names.emplace_back(nameOf(schedule));
  return names;
}

/// A number of instances, or "all".
std::optional<int64_t> readLayers(json::ObjectReader &reader,
                                  std::string_view key, Diagnostics &diags) {
  const json::Value *value = reader.optional(key);
  if (!value)
    return std::nullopt;
  if (value->isString() && value->asString() == "all")
    return allLayers;
  return json::toInteger(*value, quoted(key), diags, json::nonNegative);
}

Node readNode(const json::Value &value, Diagnostics &diags) {
  Node node;
  node.place = value.place();
  json::ObjectReader reader(value, "strategy scope", diags);
  if (reader.required("primitive"))
    if (auto primitive = readName<Primitive>(
            reader, "primitive", primitiveOf,
            {"replica", "split", "stage", "pipeline", "cluster"}, diags))
      node.primitive = *primitive;
  node.degree = reader.integer("degree", json::positive).value_or(0);
  node.dims = readStrings(reader, "dims", diags);
  node.colocated = reader.boolean("colocated").value_or(false);
  if (const json::Value::Array *shares = reader.array("shares"))
    for (const json::Value &share : *shares)
      if (auto n = json::toInteger(share, "'shares'", diags, json::positive))
        node.shares.push_back(*n);
  node.shard =
      readName<Shard>(reader, "shard", shardOf,
                      {"none", "optimizer", "gradients", "parameters"}, diags);
  node.microBatches =
      reader.integer("micro_batches", json::positive).value_or(0);
  node.schedule = readName<Schedule>(reader, "schedule", scheduleOf,
                                     scheduleNames(), diags);
  node.virtualStages =
      reader.integer("virtual_stages", json::positive).value_or(0);
  node.paths = readStrings(reader, "paths", diags);
  node.recompute = readName<Recompute>(reader, "recompute", recomputeOf,
                                       {"none", "selective", "full"}, diags);
  node.recomputeLayers = reader.integer("recompute_layers", json::nonNegative);
  node.selectiveLayers = reader.integer("selective_layers", json::nonNegative);
  node.gatheredLayers = reader.integer("gathered_layers", json::nonNegative);
  forEachOffload(
      [&](std::string_view key, std::optional<int64_t> &layers) {
        layers = readLayers(reader, key, diags);
      },
      node.offload);
  // The parser bounds the depth.
  if (const json::Value::Array *body = reader.array("body"))
    for (const json::Value &inner : *body)
      node.body.push_back(readNode(inner, diags));
  reader.finish();
  return node;
}

} // namespace

std::optional<Node> readStrategy(const json::Value &json,
                                 Diagnostics &diagnostics) {
  size_t before = diagnostics.errorCount();
  Node node = readNode(json, diagnostics);
  if (diagnostics.errorCount() != before || !check(node, diagnostics))
    return std::nullopt;
  if (node.primitive == Primitive::Cluster)
    return node;
  Node root;
  root.place = node.place;
  root.body.push_back(std::move(node));
  return root;
}

void writeStrategy(json::Writer &writer, const Node &node) {
  writer.beginObject();
  writer.field("primitive", nameOf(node.primitive));
  if (node.degree)
    writer.field("degree", node.degree);
  if (!node.dims.empty())
    writer.field("dims", node.dims);
  if (node.colocated)
    writer.field("colocated", true);
  if (!node.shares.empty())
    writer.field("shares", node.shares);
  if (node.shard)
    writer.field("shard", nameOf(*node.shard));
  if (node.microBatches)
    writer.field("micro_batches", node.microBatches);
  if (node.schedule)
    writer.field("schedule", nameOf(*node.schedule));
  if (node.virtualStages)
    writer.field("virtual_stages", node.virtualStages);
  if (!node.paths.empty())
    writer.field("paths", node.paths);
  if (node.recompute)
    writer.field("recompute", nameOf(*node.recompute));
  if (node.recomputeLayers)
    writer.field("recompute_layers", *node.recomputeLayers);
  if (node.selectiveLayers)
    writer.field("selective_layers", *node.selectiveLayers);
  if (node.gatheredLayers)
    writer.field("gathered_layers", *node.gatheredLayers);
  forEachOffload(
      [&](std::string_view key, std::optional<int64_t> layers) {
        if (layers == allLayers)
          writer.field(key, "all");
        else if (layers)
          writer.field(key, *layers);
      },
      node.offload);
  if (!node.body.empty()) {
    writer.key("body").beginArray();
    for (const Node &inner : node.body)
      writeStrategy(writer, inner);
    writer.endArray();
  }
  writer.endObject();
}

} // namespace whale::planner
