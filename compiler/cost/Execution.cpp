//===- Execution.cpp - the software that runs a plan ----------------------===//

#include "compiler/cost/Execution.h"

#include "compiler/cluster/Catalogue.h"
#include "compiler/support/Text.h"

#include <cassert>

namespace whale::cost {

static constexpr ParameterField fields[] = {
    {"matmul_sustained", &Parameters::matmulSustained},
    {"matmul_sustained_fp8", &Parameters::matmulSustainedFp8},
    {"attention_forward", &Parameters::attentionForward},
    {"attention_backward", &Parameters::attentionBackward},
    {"attention_portable", &Parameters::attentionPortable},
    {"attention_products", &Parameters::attentionProducts},
    {"attention_half_length", &Parameters::attentionHalfLength},
    {"row_scaled_products", &Parameters::rowScaledProducts},
    {"unaligned_products", &Parameters::unalignedProducts},
    {"odd_products", &Parameters::oddProducts},
    {"memory_sustained", &Parameters::memorySustained},
    {"unfused_traffic", &Parameters::unfusedTraffic},
    {"expert_imbalance", &Parameters::expertImbalance},
    {"launch_shown", &Parameters::launchShown},
    {"dispatch_fine_seconds", &Parameters::dispatchFineSeconds},
    {"dispatch_fused_seconds", &Parameters::dispatchFusedSeconds},
    {"dispatch_backward", &Parameters::dispatchBackward},
    {"dispatch_jitter", &Parameters::dispatchJitter},
    {"step_seconds", &Parameters::stepSeconds},
    {"split_sustained", &Parameters::splitSustained},
    {"network_sustained", &Parameters::networkSustained},
    {"split_overlap", &Parameters::splitOverlap},
    {"exchange_overlap", &Parameters::exchangeOverlap},
    {"gradient_overlap", &Parameters::gradientOverlap},
    {"shard_overlap", &Parameters::shardOverlap},
    {"stragglers_per_doubling", &Parameters::stragglersPerDoubling},
    {"allocator_reserved", &Parameters::allocatorReserved},
};

std::span<const ParameterField> parameterFields() { return fields; }

bool readParameters(const json::Value &json, Parameters &parameters,
                    Diagnostics &diagnostics) {
  json::ObjectReader file(json, "parameters file", diagnostics);
  const json::Value *list = &json;
  if (json.isObject() && json.find("parameters")) {
    json::checkFormatVersion(file, "parameters file", 1, diagnostics);
    file.string("made_by");
    list = file.required("parameters");
    if (!file.finish())
      return false;
  }
  json::ObjectReader reader(*list, "parameters", diagnostics);
  for (const ParameterField &field : fields) {
    const json::Value *value = reader.optional(field.name);
    if (value && value->isObject())
      value = value->find("value");
    if (!value)
      continue;
    std::string what = quoted(field.name);
    if (auto number =
            json::toNumber(*value, what, diagnostics, json::nonNegativeNumber))
      parameters.*field.member = *number;
  }
  return reader.finish();
}

static Parameters readEmbedded() {
  Parameters parameters;
  Diagnostics diagnostics;
  for (const EmbeddedFile &file : embeddedCatalogue())
    if (file.path == "execution/parameters.json")
      if (auto json = json::parse(file.text, file.path, diagnostics))
        readParameters(*json, parameters, diagnostics);
  assert(diagnostics.errorCount() == 0 && "the shipped parameters are wrong");
  return parameters;
}

const Parameters &defaultParameters() {
  static const Parameters parameters = readEmbedded();
  return parameters;
}

} // namespace whale::cost
