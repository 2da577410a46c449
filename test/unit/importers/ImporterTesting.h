//===- ImporterTesting.h - what the importer tests share --------*- C++ -*-===//

#ifndef WHALE_TEST_IMPORTERTESTING_H
#define WHALE_TEST_IMPORTERTESTING_H

#include "compiler/importers/Importers.h"
#include "dialects/whale/Parameters.h"
#include "dialects/whale/Whale.h"

#include "mlir/Parser/Parser.h"

#include <catch2/catch.hpp>

namespace whale::test {

inline ModelOp modelOf(mlir::ModuleOp root) {
  return *root.getOps<ModelOp>().begin();
}

inline std::string print(mlir::ModuleOp root) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  root.print(stream);
  return text;
}

/// The preset's model; fails the test where there is none.
inline mlir::OwningOpRef<mlir::ModuleOp>
preset(mlir::MLIRContext &context, std::string_view name,
       const ImportOptions &options = {}) {
  Diagnostics diagnostics;
  auto root = importPreset(context, name, options, diagnostics);
  INFO(diagnostics.str());
  REQUIRE(root);
  return root;
}

inline int64_t parametersOf(mlir::ModuleOp root) {
  std::optional<int64_t> count = countParameters(modelOf(root));
  REQUIRE(count.has_value());
  return *count;
}

inline int64_t parametersOf(std::string_view name,
                            const ImportOptions &options = {}) {
  mlir::MLIRContext context;
  return parametersOf(*preset(context, name, options));
}

/// All messages of the import of a config.json text.
inline std::string messagesOf(std::string_view config,
                              const ImportOptions &options = {}) {
  mlir::MLIRContext context;
  Diagnostics diagnostics;
  auto json = json::parse(config, "config.json", diagnostics);
  if (json) {
    auto root = importHuggingFace(context, *json, options, diagnostics);
    CHECK(bool(root) == !diagnostics.hasErrors());
    // Wrong input is found before anything is built.
    CHECK(diagnostics.exitCode() != ExitCode::Bug);
  }
  return diagnostics.str();
}

} // namespace whale::test

#endif // WHALE_TEST_IMPORTERTESTING_H
