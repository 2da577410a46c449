//===- Machine.cpp - runs lowered programs in tests -----------------------===//

#include "test/unit/lower/Machine.h"

#include "dialects/rank/Rank.h"
#include "mlir/Parser/Parser.h"
#include "runtime/format/Check.h"
#include "llvm/Support/FileSystem.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <dlfcn.h>

using namespace whale;
using namespace whale::test;
using namespace whale::format;

Machine::Machine(const std::string &text, lower::LowerOptions options,
                 const std::string &target) {
  context.loadDialect<WhaleDialect, rank::RankDialect>();
  auto module = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
  REQUIRE(module);
  auto lowered = lower::lowerPrograms(*module, options);
  REQUIRE(mlir::succeeded(lowered));
  set_ = std::move(*lowered);
  Status status = checkProgram(set_.roles[0].program, "role0");
  INFO((status.failed() ? status.error().message : std::string()));
  REQUIRE(!status.failed());
  arena.assign(set_.roles[0].program.arenaBytes + 64, 0);
  for (const auto &binary : set_.libraries) {
    if (binary.target != target)
      continue;
    llvm::SmallString<64> name;
    REQUIRE(!llvm::sys::fs::createTemporaryFile("whale", "so", name));
    path = std::string(name);
    std::error_code code;
    llvm::raw_fd_ostream(path, code) << binary.bytes;
    library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library)
      FAIL(dlerror());
  }
}

Machine::~Machine() {
  if (library)
    dlclose(library);
  if (!path.empty())
    llvm::sys::fs::remove(path);
}

unsigned Machine::count(Operation kind) const {
  unsigned found = 0;
  for (const auto &section : set_.roles[0].program.sections)
    if (section->name != "init")
      for (const auto &instruction : section->instructions)
        found += instruction->operation.type == kind;
  return found;
}

char *Machine::address(const OperandT &operand) {
  uintptr_t base = (reinterpret_cast<uintptr_t>(arena.data()) + 63) / 64 * 64;
  uint64_t slot = operand.slots > 1 ? microBatch % operand.slots : 0;
  return reinterpret_cast<char *>(base + operand.offset +
                                  slot * operand.stride);
}

double Machine::load(const OperandT &operand, int64_t index) {
  char *p = address(operand) + index * bytesOf(operand.dtype);
  auto as = [&](auto zero) {
    std::memcpy(&zero, p, sizeof zero);
    return static_cast<double>(zero);
  };
  switch (operand.dtype) {
  case DType::F32:
    return as(float());
  case DType::F64:
    return as(double());
  case DType::I32:
    return as(int32_t());
  case DType::I64:
    return as(int64_t());
  case DType::BF16: {
    uint32_t bits = 0;
    std::memcpy(reinterpret_cast<char *>(&bits) + 2, p, 2);
    float f;
    std::memcpy(&f, &bits, 4);
    return f;
  }
  default:
    return as(int8_t());
  }
}

void Machine::store(const OperandT &operand, int64_t index, double value) {
  char *p = address(operand) + index * bytesOf(operand.dtype);
  auto as = [&](auto typed) { std::memcpy(p, &typed, sizeof typed); };
  switch (operand.dtype) {
  case DType::F32:
    return as(static_cast<float>(value));
  case DType::F64:
    return as(value);
  case DType::I32:
    return as(static_cast<int32_t>(value));
  case DType::I64:
    return as(static_cast<int64_t>(value));
  case DType::BF16: {
    float f = value;
    uint32_t bits;
    std::memcpy(&bits, &f, 4);
    bits = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    return as(static_cast<uint16_t>(bits));
  }
  default:
    return as(static_cast<int8_t>(value));
  }
}

const OperandT &Machine::variableOperand(const std::string &name) const {
  for (const auto &variable : set_.roles[0].program.variables)
    if (variable->path == name)
      return *variable->operand;
  FAIL("no variable " << name);
  abort();
}

void Machine::set(const std::string &name, const std::vector<double> &values) {
  for (size_t i = 0; i < values.size(); ++i)
    store(variableOperand(name), i, values[i]);
}

std::vector<double> Machine::get(const std::string &name) {
  // A kept gradient has its parameter's path: the last one wins.
  const OperandT *operand = nullptr;
  std::string plain = name;
  bool gradient = plain.rfind("gradient:", 0) == 0;
  if (gradient)
    plain = plain.substr(9);
  for (const auto &variable : set_.roles[0].program.variables)
    if (variable->path == plain &&
        (variable->kind == format::VariableKind::Gradient) == gradient)
      operand = variable->operand.get();
  REQUIRE(operand);
  std::vector<double> values(*elementsOf(operand->dims));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = load(*operand, i);
  return values;
}

int64_t Machine::value(const ScalarT *scalar) const {
  std::vector<int64_t> none;
  ScalarValues values;
  values.step = step;
  values.microBatch = microBatch;
  values.seed = seed;
  values.rankScalars = &none;
  return scalar ? evaluate(*scalar, values) : 0;
}

void Machine::run(const std::string &entry, int64_t number) {
  step = number;
  ProgramT &program = set_.roles[0].program;
  for (const auto &candidate : program.entries) {
    if (candidate->name != entry)
      continue;
    for (const Visit &visit : candidate->schedule) {
      microBatch = visit.microBatch();
      for (auto &instruction : program.sections[visit.section()]->instructions)
        execute(instruction->operation);
    }
  }
}

void Machine::execute(OperationUnion &operation) {
  if (auto *l = operation.AsLaunch())
    return launch(*l);
  if (auto *c = operation.AsContract())
    return contract(*c);
  if (auto *c = operation.AsCopy())
    return copy(*c);
  if (auto *i = operation.AsInput())
    return input(*i);
  if (auto *f = operation.AsFill()) {
    for (size_t i = 0; i < *elementsOf(f->operand->dims); ++i)
      store(*f->operand, i, f->value);
    return;
  }
  if (auto *m = operation.AsMetric()) {
    double count = m->count ? load(*m->count, 0) : 1;
    metrics[m->name] = m->weight * load(*m->operand, 0) / count;
    return;
  }
  FAIL("instruction " << EnumNameOperation(operation.type)
                      << " is not for one rank");
}

void Machine::launch(const LaunchT &launch) {
  const KernelT &kernel = *set_.roles[0].program.kernels[launch.kernel];
  auto *entry = reinterpret_cast<void (*)(void *const *, const int64_t *)>(
      dlsym(library, kernel.symbol.c_str()));
  REQUIRE(entry);
  std::vector<void *> buffers;
  std::vector<int64_t> scalars;
  for (const auto &operand : launch.operands)
    buffers.push_back(address(*operand));
  for (const auto &scalar : launch.scalars)
    scalars.push_back(value(scalar.get()));
  entry(buffers.data(), scalars.data());
}

void Machine::contract(const ContractT &c) {
  std::vector<int64_t> index(c.batch.size(), 0);
  for (;;) {
    int64_t a = 0, b = 0, out = 0;
    for (size_t i = 0; i < index.size(); ++i) {
      a += index[i] * c.batch[i].strideA();
      b += index[i] * c.batch[i].strideB();
      out += index[i] * c.batch[i].strideC();
    }
    for (int64_t m = 0; m < c.m; ++m)
      for (int64_t n = 0; n < c.n; ++n) {
        double sum = 0;
        for (int64_t k = 0; k < c.k; ++k)
          sum += load(*c.a, a + (c.transA ? k * c.lda + m : m * c.lda + k)) *
                 load(*c.b, b + (c.transB ? n * c.ldb + k : k * c.ldb + n));
        int64_t place = out + m * c.ldc + n;
        store(*c.c, place,
              c.alpha * sum + (c.accumulate ? load(*c.c, place) : 0));
      }
    size_t i = index.size();
    while (i > 0 && ++index[i - 1] == c.batch[i - 1].extent())
      index[--i] = 0;
    if (i == 0)
      return;
  }
}

void Machine::copy(const CopyT &c) {
  std::vector<int64_t> index(c.dims.size(), 0);
  char *src = address(*c.src), *dst = address(*c.dst);
  for (;;) {
    int64_t from = value(c.srcOffset.get()), to = value(c.dstOffset.get());
    for (size_t i = 0; i < index.size(); ++i) {
      from += index[i] * c.srcStrides[i];
      to += index[i] * c.dstStrides[i];
    }
    std::memcpy(dst + to * c.elementBytes, src + from * c.elementBytes,
                c.elementBytes);
    size_t i = index.size();
    while (i > 0 && ++index[i - 1] == c.dims[i - 1])
      index[--i] = 0;
    if (i == 0)
      return;
  }
}

void Machine::input(const InputT &in) {
  const InputInfoT &info = *set_.roles[0].program.inputs[in.input];
  const std::vector<double> &values = inputs.at(info.name);
  int64_t row = 1;
  for (size_t i = 1; i < info.dims.size(); ++i)
    row *= info.dims[i];
  int64_t first = in.offsets.empty() ? 0 : value(in.offsets[0].get());
  for (size_t i = 0; i < *elementsOf(in.operand->dims); ++i)
    store(*in.operand, i, values.at(first * row + i));
}
