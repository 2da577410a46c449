//===- PrintPrograms.cpp - lowered programs as text -----------------------===//

#include "passes/lower/LowerProgram.h"

#include "llvm/Support/raw_ostream.h"

using namespace llvm;
using namespace whale;
using namespace whale::lower;

static raw_ostream &operator<<(raw_ostream &out, const format::ScalarT &s) {
  static constexpr const char *names[] = {"step", "mb", "rank", "seed"};
  out << s.constant;
  for (const format::Term &term : s.terms) {
    out << " + " << term.coefficient() << "*"
        << names[static_cast<unsigned>(term.kind())];
    if (term.kind() == format::TermKind::RankScalar)
      out << "[" << term.index() << "]";
  }
  return out;
}

/// f32[2,3]@128, with slots where there are several.
static raw_ostream &operator<<(raw_ostream &out, const format::OperandT &o) {
  std::string_view type = format::nameOf(o.dtype);
  out << StringRef(type.data(), type.size()) << "[";
  interleave(o.dims, out, ",");
  out << "]@" << o.offset;
  if (o.slots > 1)
    out << "*" << o.slots << "+" << o.stride;
  return out;
}

template <typename T>
static void list(raw_ostream &out, const char *name,
                 const std::vector<T> &values) {
  if (values.empty())
    return;
  out << " " << name << "(";
  interleave(values, out, ",");
  out << ")";
}

static void
printScalars(raw_ostream &out,
             const std::vector<std::unique_ptr<format::ScalarT>> &scalars) {
  for (const auto &scalar : scalars)
    out << " {" << *scalar << "}";
}

/// Name and attributes; operands follow.
static void printHead(raw_ostream &out, const format::ProgramT &program,
                      const format::OperationUnion &operation) {
  out << format::EnumNameOperation(operation.type);
  if (const auto *launch = operation.AsLaunch()) {
    out << " " << program.kernels[launch->kernel]->symbol;
    printScalars(out, launch->scalars);
  } else if (const auto *call = operation.AsCall()) {
    out << " " << call->function;
    list(out, "ints", call->ints);
    list(out, "floats", call->floats);
    printScalars(out, call->scalars);
  } else if (const auto *c = operation.AsContract()) {
    out << (c->accumulate ? " +=" : "") << " m" << c->m << " n" << c->n << " k"
        << c->k << " ld(" << c->lda << "," << c->ldb << "," << c->ldc << ")"
        << (c->transA ? " transA" : "") << (c->transB ? " transB" : "");
    for (const format::BatchDim &dim : c->batch)
      out << " batch " << dim.extent() << "(" << dim.strideA() << ","
          << dim.strideB() << "," << dim.strideC() << ")";
  } else if (const auto *c = operation.AsCollective()) {
    out << " " << format::EnumNameCollectiveKind(c->kind) << " "
        << format::EnumNameReduction(c->reduction) << " group " << c->group;
    list(out, "counts", c->counts);
    list(out, "receive", c->receiveCounts);
  } else if (const auto *send = operation.AsSend()) {
    out << " peer " << send->peer << " tag " << send->tag;
  } else if (const auto *receive = operation.AsReceive()) {
    out << " peer " << receive->peer << " tag " << receive->tag;
  } else if (const auto *copy = operation.AsCopy()) {
    list(out, "dims", copy->dims);
    list(out, "from", copy->srcStrides);
    list(out, "to", copy->dstStrides);
    for (const auto *offset : {copy->srcOffset.get(), copy->dstOffset.get()})
      out << " {" << (offset ? *offset : format::constantScalar(0)) << "}";
  } else if (const auto *fill = operation.AsFill()) {
    out << " " << fill->value;
  } else if (const auto *input = operation.AsInput()) {
    out << " " << program.inputs[input->input]->name;
    printScalars(out, input->offsets);
  } else if (const auto *metric = operation.AsMetric()) {
    out << " " << metric->name;
  }
}

/// Variables, inputs and entries.
static void printTables(raw_ostream &out, const format::ProgramT &program) {
  for (const auto &variable : program.variables)
    out << "  variable " << variable->path << " "
        << format::EnumNameVariableKind(variable->kind) << " "
        << *variable->operand << "\n";
  for (const auto &entry : program.entries) {
    out << "  entry " << entry->name << ":";
    for (const format::Visit &visit : entry->schedule)
      out << " " << program.sections[visit.section()]->name << "("
          << visit.microBatch() << ")";
    out << "\n";
  }
}

static void printSections(raw_ostream &out, const format::ProgramT &program) {
  for (const auto &section : program.sections) {
    out << "  section " << section->name << "\n";
    for (auto &instruction : section->instructions) {
      out << "    ";
      printHead(out, program, instruction->operation);
      forEachOperand(instruction->operation,
                     [&](format::OperandT &operand) { out << " " << operand; });
      if (instruction->source >= 0)
        out << "  // " << program.sources[instruction->source]->path;
      out << "\n";
    }
  }
}

static void printHeader(raw_ostream &out, const format::ProgramT &program) {
  out << "program " << program.role << " arena " << program.arenaBytes << "\n";
}

static void printRole(raw_ostream &out, const LoweredRole &role) {
  const MemoryReport &m = role.memory;
  printHeader(out, role.program);
  out << "  memory variables " << m.variables << " optimizer " << m.optimizer
      << " gradients " << m.gradients << " residuals " << m.residuals
      << " transient " << m.transient << " peak " << m.peakBytes << " area "
      << m.areaBytes << "\n";
  printTables(out, role.program);
  printSections(out, role.program);
}

std::string lower::printProgram(const format::ProgramT &program) {
  std::string text;
  raw_string_ostream out(text);
  printHeader(out, program);
  printTables(out, program);
  printSections(out, program);
  return text;
}

std::string lower::printProgramSet(const LoweredProgramSet &set) {
  std::string text;
  raw_string_ostream out(text);
  out << "kernels " << set.kernels << "\n";
  for (const LoweredRole &role : set.roles)
    printRole(out, role);
  return text;
}
