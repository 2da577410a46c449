//===- Function.h - Functions of the CPU device -----------------*- C++ -*-===//

#ifndef WHALE_RUNTIME_CPU_FUNCTION_H
#define WHALE_RUNTIME_CPU_FUNCTION_H

#include "runtime/core/Convert.h"
#include "runtime/core/Device.h"
#include "runtime/cpu/Blas.h"

#include <functional>
#include <vector>

namespace whale::runtime {

/// What a call of a function sees: addresses of its operands and the values of
/// its scalars; shapes and ints come from the node.
struct FunctionCall {
  const format::CallT &node;
  const Blas &blas;
  std::vector<std::byte *> data;
  std::vector<int64_t> scalars;

  template <typename T> T *as(size_t operand) const {
    return reinterpret_cast<T *>(data[operand]);
  }
  const std::vector<int64_t> &dims(size_t operand) const {
    return node.operands[operand]->dims;
  }
  format::DType dtype(size_t operand) const {
    return node.operands[operand]->dtype;
  }
  int64_t integer(size_t i, int64_t fallback = 0) const {
    return i < node.ints.size() ? node.ints[i] : fallback;
  }
  int64_t scalar(size_t i) const { return i < scalars.size() ? scalars[i] : 0; }
};

/// A function of runtime/format/Functions.h.
struct CpuFunction {
  /// Shapes and types, once at load: after it `run` is safe on any data.
  std::function<Status(const format::CallT &node)> check;
  std::function<Status(FunctionCall &call)> run;
};

/// The function of a name, or null. Made of the tables below.
const CpuFunction *findCpuFunction(const std::string &name);

/// A row of a table of functions.
struct NamedFunction {
  const char *name;
  CpuFunction function;
};
std::vector<NamedFunction> attentionFunctions();
std::vector<NamedFunction> convolutionFunctions();
std::vector<NamedFunction> gatherFunctions();
std::vector<NamedFunction> expertFunctions();
std::vector<NamedFunction> initFunctions();
std::vector<NamedFunction> canonicalFunctions();

//===----------------------------------------------------------------------===//
// Helpers for checks and types
//===----------------------------------------------------------------------===//

/// Collects the first broken condition of a check.
class Shapes {
public:
  explicit Shapes(const format::CallT &node) : Node(node) {}

  const std::vector<int64_t> &dims(size_t i) const {
    return Node.operands[i]->dims;
  }
  format::DType dtype(size_t i) const { return Node.operands[i]->dtype; }
  bool require(bool condition, const std::string &message) {
    if (!condition && Problem.empty())
      Problem = message;
    return condition;
  }
  /// All operands of the list have one floating type.
  bool requireFloats(std::initializer_list<size_t> operands);
  bool requireInts(std::initializer_list<size_t> operands);
  bool requireRank(size_t operand, size_t rank);
  bool requireDims(size_t operand, const std::vector<int64_t> &dims);
  Status status() const {
    return Problem.empty() ? Status()
                           : format::badInput("'" + Node.function +
                                              "': " + Problem);
  }

private:
  const format::CallT &Node;
  std::string Problem;
};

/// Calls `function` with a value of the C++ type of a floating type.
template <typename Function>
auto dispatchFloat(format::DType dtype, Function &&function) {
  using format::DType;
  switch (dtype) {
  case DType::F64:
    return function(double());
  case DType::BF16:
    return function(BF16());
  case DType::F16:
    return function(F16());
  default:
    return function(float());
  }
}

/// Reads an index operand as int64, whatever its type.
class Indices {
public:
  Indices(const FunctionCall &call, size_t operand)
      : Data(call.data[operand]),
        IsWide(call.dtype(operand) == format::DType::I64) {}
  int64_t operator[](uint64_t i) const {
    return IsWide ? reinterpret_cast<const int64_t *>(Data)[i]
                  : reinterpret_cast<const int32_t *>(Data)[i];
  }

private:
  const std::byte *Data;
  bool IsWide;
};

/// A tensor in its compute type: the operand itself, or a converted copy of a
/// 16-bit one. A result is written back, rounded, by store().
template <typename T> class Wide {
public:
  using Compute = typename ElementTraits<T>::Compute;
  static constexpr bool isCopy = !std::is_same_v<T, Compute>;

  Wide(T *data, uint64_t size, bool isInput) : Data(data), Size(size) {
    if constexpr (isCopy) {
      Copy.resize(size);
      for (uint64_t i = 0; isInput && i < size; ++i)
        Copy[i] = ElementTraits<T>::load(data[i]);
    }
  }
  Wide(const FunctionCall &call, size_t operand, bool isInput)
      : Wide(call.as<T>(operand), *format::elementsOf(call.dims(operand)),
             isInput) {}

  Compute *get() {
    if constexpr (isCopy)
      return Copy.data();
    else
      return Data;
  }
  uint64_t size() const { return Size; }
  void store() {
    if constexpr (isCopy)
      for (uint64_t i = 0; i < Size; ++i)
        Data[i] = ElementTraits<T>::store(Copy[i]);
  }

private:
  T *Data;
  uint64_t Size;
  std::vector<Compute> Copy;
};

} // namespace whale::runtime

#endif // WHALE_RUNTIME_CPU_FUNCTION_H
