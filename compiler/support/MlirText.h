//===- MlirText.h - a look at MLIR text before it is parsed -----*- C++ -*-===//
//
// MLIR's parser is recursive and does not survive hostile text: some 2,050
// nested regions or 6,800 nested brackets in an attribute end it by a stack
// overflow (measured with LLVM 22, 8 MiB of stack). This scan is iterative,
// linear, and refuses such text with its place.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_SUPPORT_MLIRTEXT_H
#define WHALE_SUPPORT_MLIRTEXT_H

#include "compiler/support/Diagnostics.h"

#include <cstdint>
#include <string_view>

namespace whale {

/// Most elements of one tensor; sizes in bytes and FLOPs then fit 64 bits.
constexpr int64_t maxTensorElements = int64_t(1) << 48;

struct MlirTextLimits {
  size_t bytes = size_t(256) << 20;
  /// Of brackets of all kinds, aliases counted with what they stand for.
  unsigned depth = 256;
  /// Tokens that one alias stands for, with the aliases in it.
  size_t aliasTokens = 1'000'000;
};

/// Whether MLIR's parser may see `text`. Reports what it must not see: bytes
/// that are not UTF-8 text (bytecode too), brackets too deep or of different
/// kinds, strings without end, tensor types of more than `maxTensorElements`,
/// aliases that grow without bound; and what models do not have: affine maps,
/// embedded resources. `file` is the name in messages.
bool checkMlirText(std::string_view text, std::string_view file,
                   Diagnostics &diagnostics, const MlirTextLimits &limits = {});

} // namespace whale

#endif // WHALE_SUPPORT_MLIRTEXT_H
