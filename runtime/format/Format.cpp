//===- Format.cpp ---------------------------------------------------------===//

#include "runtime/format/Format.h"

#include <array>

namespace whale::format {

namespace {

struct DTypeRow {
  std::string_view name;
  uint64_t bytes;
  bool isFloat;
};

/// Rows by value of DType.
constexpr std::array<DTypeRow, 10> dtypes = {{{"f32", 4, true},
                                              {"f64", 8, true},
                                              {"bf16", 2, true},
                                              {"f16", 2, true},
                                              {"i32", 4, false},
                                              {"i64", 8, false},
                                              {"i8", 1, false},
                                              {"u8", 1, false},
                                              {"i1", 1, false},
                                              {"accumulator", 32, false}}};
static_assert(dtypes.size() == static_cast<size_t>(DType::MAX) + 1);

const DTypeRow *rowOf(DType dtype) {
  size_t index = static_cast<size_t>(dtype);
  return index < dtypes.size() ? &dtypes[index] : nullptr;
}

/// Tables may nest only as deep as the schema does; the format's own files
/// never come near these.
constexpr flatbuffers::uoffset_t maxDepth = 16;
constexpr flatbuffers::uoffset_t maxTables = 100'000'000;

} // namespace

uint64_t bytesOf(DType dtype) {
  const DTypeRow *row = rowOf(dtype);
  return row ? row->bytes : 0;
}

std::string_view nameOf(DType dtype) {
  const DTypeRow *row = rowOf(dtype);
  return row ? row->name : "invalid";
}

std::optional<DType> dtypeOf(std::string_view name) {
  for (size_t i = 0; i < dtypes.size(); ++i)
    if (dtypes[i].name == name)
      return static_cast<DType>(i);
  return std::nullopt;
}

bool isFloat(DType dtype) {
  const DTypeRow *row = rowOf(dtype);
  return row && row->isFloat;
}

std::optional<uint64_t> checkedMultiply(uint64_t a, uint64_t b) {
  uint64_t result = 0;
  if (__builtin_mul_overflow(a, b, &result))
    return std::nullopt;
  return result;
}

std::optional<uint64_t> checkedAdd(uint64_t a, uint64_t b) {
  uint64_t result = 0;
  if (__builtin_add_overflow(a, b, &result))
    return std::nullopt;
  return result;
}

std::optional<uint64_t> elementsOf(const std::vector<int64_t> &dims) {
  std::optional<uint64_t> total = 1;
  for (int64_t dim : dims) {
    if (dim < 0)
      return std::nullopt;
    total = checkedMultiply(*total, static_cast<uint64_t>(dim));
    if (!total)
      return std::nullopt;
  }
  return total;
}

std::optional<uint64_t> bytesOf(const OperandT &operand) {
  std::optional<uint64_t> elements = elementsOf(operand.dims);
  uint64_t size = bytesOf(operand.dtype);
  if (!elements || size == 0)
    return std::nullopt;
  return checkedMultiply(*elements, size);
}

int64_t evaluate(const ScalarT &scalar, const ScalarValues &values) {
  auto termValue = [&](const Term &term) -> int64_t {
    switch (term.kind()) {
    case TermKind::Step:
      return values.step;
    case TermKind::MicroBatch:
      return values.microBatch;
    case TermKind::Seed:
      return values.seed;
    case TermKind::RankScalar:
      break;
    }
    bool known = values.rankScalars && term.kind() == TermKind::RankScalar &&
                 term.index() < values.rankScalars->size();
    return known ? (*values.rankScalars)[term.index()] : 0;
  };
  uint64_t result = static_cast<uint64_t>(scalar.constant);
  for (const Term &term : scalar.terms)
    result += static_cast<uint64_t>(term.coefficient()) *
              static_cast<uint64_t>(termValue(term));
  return static_cast<int64_t>(result);
}

ScalarT constantScalar(int64_t value) {
  ScalarT scalar;
  scalar.constant = value;
  return scalar;
}

std::vector<uint8_t> packProgram(const ProgramT &program) {
  flatbuffers::FlatBufferBuilder builder;
  FinishProgramBuffer(builder, Program::Pack(builder, &program));
  return {builder.GetBufferPointer(),
          builder.GetBufferPointer() + builder.GetSize()};
}

Result<ProgramT> unpackProgram(const uint8_t *bytes, size_t size,
                               const std::string &name) {
  if (size < 8 || size > maxProgramBytes || !ProgramBufferHasIdentifier(bytes))
    return badInput("'" + name + "' is not a whale program");
  flatbuffers::Verifier verifier(bytes, size, maxDepth, maxTables);
  if (!VerifyProgramBuffer(verifier))
    return badInput("program '" + name + "' is damaged");
  const Program *root = GetProgram(bytes);
  if (root->formatMajor() != formatMajor)
    return Status::error(ErrorKind::Unsupported,
                         "program '" + name + "' has format version " +
                             std::to_string(root->formatMajor()) +
                             ", this version reads " +
                             std::to_string(formatMajor));
  ProgramT program;
  root->UnPackTo(&program);
  return program;
}

} // namespace whale::format
