//===- Parameters.h - how many parameters a model has -----------*- C++ -*-===//

#ifndef WHALE_DIALECT_PARAMETERS_H
#define WHALE_DIALECT_PARAMETERS_H

#include "dialects/whale/Whale.h"

#include <optional>

namespace whale {

/// Elements of all variables of kind `parameter` below `@main`, frozen ones
/// included. A chain of n counts n times; a variable that is `tied` to another,
/// and `shared` instances of one name after the first, count nothing. A scan
/// has the variables of one instance of its cell. 0 for a model without
/// `@main`; nothing where the number exceeds int64. The model must be verified.
std::optional<int64_t> countParameters(ModelOp model);

} // namespace whale

#endif // WHALE_DIALECT_PARAMETERS_H
