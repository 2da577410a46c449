//===- ParseErrors.h - a wrong command line, in our words -------*- C++ -*-===//

#ifndef WHALE_TOOLS_WHALEC_PARSEERRORS_H
#define WHALE_TOOLS_WHALEC_PARSEERRORS_H

#include "compiler/support/Diagnostics.h"

#include <CLI/CLI.hpp>

namespace whale::cli {

/// Reports why the command line was refused, with the nearest known name where
/// one is unknown.
void reportParseError(const CLI::App &app, const CLI::ParseError &error,
                      Diagnostics &diagnostics);

} // namespace whale::cli

#endif // WHALE_TOOLS_WHALEC_PARSEERRORS_H
