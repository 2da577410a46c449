//===- Strategy.h - from scopes and files to the strategy tree --*- C++ -*-===//
//
// Region scopes are source syntax. They are read into one planner::Node tree
// beside the model and taken away; what they held is named by path patterns
// ("layers.0..11", "layers.*/attn/q"). A scope that holds all that its parent
// holds has no patterns. Rules:
//   - ops directly in a scope are named by their names, instances by theirs, a
//     chain of n by `name.0..n-1`;
//   - a scope inside another module counts once for each instance; scopes of
//     equal primitive and degree inside modules are one scope on the same
//     devices, their dimensions and paths joined;
//   - `set_default_strategy` starts a scope of what follows it in no scope;
//   - several scopes side by side in @main stay side by side (TaskGraphs).
//
// A strategy file is a tree (planner::readStrategy) or the short form, an
// object of pattern -> scopes, outermost first:
//   {"**": "replica(2, shard = optimizer) recompute(full)",
//    "layers.*/mlp": "split(4, ffn)", "layers.*/attn": "split(4, heads)"}
// Entries of "**" hold the whole model and nest in the file's order; then
// splits and replicas of parts, joined as above; then stages side by side. A
// file takes the place of scopes in the model.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_PASSES_STRATEGY_STRATEGY_H
#define WHALE_PASSES_STRATEGY_STRATEGY_H

#include "compiler/planner/Strategy.h"
#include "dialects/whale/Whale.h"

#include <optional>
#include <string>

namespace whale {

/// Takes the scopes and default strategies out of the model; the tree, or
/// nothing where there are none. Names ops first. Breaches of the nesting table
/// are reported with both places; the model is then left half-way.
llvm::FailureOr<std::optional<planner::Node>> extractStrategy(ModelOp model);

/// Reads either form of a strategy; `file` names it in messages.
std::optional<planner::Node> readStrategyFile(const std::string &path,
                                              Diagnostics &diagnostics);
std::optional<planner::Node> readStrategyText(std::string_view text,
                                              std::string_view file,
                                              Diagnostics &diagnostics);

/// Scopes as in `replica(2) split(4, [heads, ffn])`, each inside the one
/// before. Empty after a report. `replicate` is `replica`.
std::vector<planner::Node> parseScopes(std::string_view text, Place place,
                                       Diagnostics &diagnostics);

/// The tree as attribute `strategy` of the model, and back. Empty where there
/// is none; a tree that cannot be read is reported.
void setStrategy(ModelOp model, const planner::Node &tree);
llvm::FailureOr<std::optional<planner::Node>> strategyOf(ModelOp model);

} // namespace whale

#endif // WHALE_PASSES_STRATEGY_STRATEGY_H
