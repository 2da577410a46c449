//===- Runs.h - tables of runs for tests ------------------------*- C++ -*-===//

#ifndef WHALE_TEST_UNIT_VALIDATION_RUNS_H
#define WHALE_TEST_UNIT_VALIDATION_RUNS_H

#include <map>
#include <sstream>
#include <string>

namespace whale::validation {

/// The names of all columns.
inline std::string header() {
  return "id,source,model_family,params_b,layers,hidden,ffn_hidden,heads,"
         "kv_heads,seq,vocab,experts,top_k,gpu_type,gpus_total,gpus_per_node,"
         "intra_node_link,inter_node_link_gbps,global_batch,micro_batch,tp,pp,"
         "vp,cp,ep,dp,zero_stage,sequence_parallel,recompute,precision,"
         "measured_metric,measured_value,mem_gb_per_gpu,notes";
}

/// A row with these fields; the others are empty.
inline std::string row(const std::map<std::string, std::string> &fields) {
  std::istringstream names(header());
  std::string text, name;
  while (std::getline(names, name, ',')) {
    auto it = fields.find(name);
    text += (text.empty() && name == "id" ? "" : ",") +
            (it == fields.end() ? std::string() : it->second);
  }
  return text;
}

} // namespace whale::validation

#endif // WHALE_TEST_UNIT_VALIDATION_RUNS_H
