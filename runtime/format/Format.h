//===- Format.h - Constants and sizes of the program format -----*- C++ -*-===//

#ifndef WHALE_RUNTIME_FORMAT_FORMAT_H
#define WHALE_RUNTIME_FORMAT_FORMAT_H

#include "runtime/format/Status.h"
#include "runtime/format/program_generated.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace whale::format {

/// Version of programs and manifests that this code writes. A reader takes
/// equal major and any minor.
inline constexpr uint16_t formatMajor = 1;
inline constexpr uint16_t formatMinor = 0;

/// Arenas, and operands that kernels touch, are aligned to this many bytes
/// (one AVX-512 register, one cache line).
inline constexpr uint64_t arenaAlignment = 64;

/// Limits that a loader enforces on files it did not write.
inline constexpr uint64_t maxRank = 32;          ///< dimensions of a tensor
inline constexpr uint64_t maxArenaBytes = 1ull << 46;
inline constexpr uint64_t maxProgramBytes = 1ull << 31;

/// Names of files in a programs/ directory.
inline constexpr const char *manifestName = "manifest.json";
inline constexpr const char *programExtension = ".whalep";

/// Names of entries that whale-run knows.
inline constexpr const char *entryInit = "init";
inline constexpr const char *entryStep = "step";
inline constexpr const char *entryEval = "eval";
inline constexpr const char *entryGradients = "gradients";

/// Bytes of one element; 0 for a value outside of the enumeration.
uint64_t bytesOf(DType dtype);
/// "f32", "bf16", ...; "invalid" outside of the enumeration.
std::string_view nameOf(DType dtype);
/// The inverse of nameOf.
std::optional<DType> dtypeOf(std::string_view name);
bool isFloat(DType dtype);

/// a * b and a + b, or nothing when uint64 overflows.
std::optional<uint64_t> checkedMultiply(uint64_t a, uint64_t b);
std::optional<uint64_t> checkedAdd(uint64_t a, uint64_t b);

/// Product of dims, or nothing when one is negative or it overflows.
std::optional<uint64_t> elementsOf(const std::vector<int64_t> &dims);
/// Elements times the size of the type, or nothing.
std::optional<uint64_t> bytesOf(const OperandT &operand);

/// What a Scalar's terms stand for.
struct ScalarValues {
  int64_t step = 0;
  int64_t microBatch = 0;
  int64_t seed = 0;
  const std::vector<int64_t> *rankScalars = nullptr; ///< null = none
};

/// Value of a scalar (int64, wraps); a missing rank scalar counts as 0.
int64_t evaluate(const ScalarT &scalar, const ScalarValues &values);

/// The constant as a scalar.
ScalarT constantScalar(int64_t value);

/// Bytes of a program, with file identifier.
std::vector<uint8_t> packProgram(const ProgramT &program);

/// Reads what packProgram wrote: FlatBuffers verification, version. Does not
/// check meaning, see Check.h. `name` is used in messages.
Result<ProgramT> unpackProgram(const uint8_t *bytes, size_t size,
                               const std::string &name);

} // namespace whale::format

#endif // WHALE_RUNTIME_FORMAT_FORMAT_H
