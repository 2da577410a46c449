# Finds LLVM/MLIR and makes `whale_pch`, the precompiled header that every
# translation unit with MLIR in it shares.
#
# LLVM's own add_mlir_library and HandleLLVMOptions are not used: they switch
# exceptions off. Only tablegen comes from there. The include path of LLVM is
# given to the targets that say MLIR, and to no other.

find_package(MLIR REQUIRED CONFIG HINTS /usr/lib/llvm-22/lib/cmake/mlir)
list(APPEND CMAKE_MODULE_PATH "${MLIR_CMAKE_DIR}" "${LLVM_CMAKE_DIR}")
include(TableGen)
include(AddLLVM)
include(AddMLIR)

add_library(whale_pch STATIC "${PROJECT_SOURCE_DIR}/tools/cmake/Empty.cpp")
target_include_directories(whale_pch SYSTEM PUBLIC ${LLVM_INCLUDE_DIRS}
                                                   ${MLIR_INCLUDE_DIRS})
target_link_libraries(whale_pch PUBLIC MLIR LLVM)
target_precompile_headers(
  whale_pch
  PRIVATE
  <algorithm>
  <cstdint>
  <functional>
  <map>
  <memory>
  <optional>
  <string>
  <utility>
  <vector>
  <llvm/ADT/DenseMap.h>
  <llvm/ADT/MapVector.h>
  <llvm/ADT/STLExtras.h>
  <llvm/ADT/SetVector.h>
  <llvm/ADT/SmallVector.h>
  <llvm/ADT/StringExtras.h>
  <llvm/ADT/StringMap.h>
  <llvm/ADT/StringSwitch.h>
  <llvm/ADT/TypeSwitch.h>
  <llvm/Support/FormatVariadic.h>
  <llvm/Support/raw_ostream.h>
  <mlir/Bytecode/BytecodeOpInterface.h>
  <mlir/IR/Builders.h>
  <mlir/IR/BuiltinAttributes.h>
  <mlir/IR/BuiltinOps.h>
  <mlir/IR/BuiltinTypes.h>
  <mlir/IR/Dialect.h>
  <mlir/IR/DialectImplementation.h>
  <mlir/IR/IRMapping.h>
  <mlir/IR/Matchers.h>
  <mlir/IR/OpDefinition.h>
  <mlir/IR/OpImplementation.h>
  <mlir/IR/PatternMatch.h>
  <mlir/IR/RegionKindInterface.h>
  <mlir/IR/SymbolTable.h>
  <mlir/Interfaces/CallInterfaces.h>
  <mlir/Interfaces/FunctionInterfaces.h>
  <mlir/Interfaces/InferTypeOpInterface.h>
  <mlir/Interfaces/SideEffectInterfaces.h>
  <mlir/Pass/Pass.h>)
