//===- ExpertWidth.h - a name for the width of experts ----------*- C++ -*-===//

#ifndef WHALE_VALIDATION_EXPERTWIDTH_H
#define WHALE_VALIDATION_EXPERTWIDTH_H

#include "compiler/workload/Workload.h"

namespace whale::validation {

/// What nameExpertWidth() calls it.
constexpr const char *expertWidth = "expert_ffn";

/// Names the inner dimension of experts in all ops that it goes through, so
/// that an axis can cut it, as expert tensor parallelism does. The products of
/// experts name only what lies before and behind them.
void nameExpertWidth(workload::Workload &workload);

} // namespace whale::validation

#endif // WHALE_VALIDATION_EXPERTWIDTH_H
