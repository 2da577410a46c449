//===- Check.cpp ----------------------------------------------------------===//

#include "runtime/format/Check.h"

#include <algorithm>
#include <set>

namespace whale::format {

namespace {

/// Indices are summed in 128 bits: factors are limited to 46 bits first, so
/// that a sum of products cannot overflow.
__extension__ typedef __int128 Wide;
constexpr int64_t maxExtent = int64_t(1) << 46;

std::string quoted(const std::string &name) { return "'" + name + "'"; }

bool inRange(int64_t value) { return value >= 0 && value <= maxExtent; }

bool allInRange(const std::vector<int64_t> &values) {
  return std::all_of(values.begin(), values.end(), inRange);
}

std::string dimsText(const std::vector<int64_t> &dims) {
  std::string out;
  for (int64_t dim : dims)
    out += (out.empty() ? "" : "x") + std::to_string(dim);
  return out.empty() ? "scalar" : out;
}

/// Checks one program; the first problem is kept.
class Checker {
public:
  Checker(const ProgramT &program, const Manifest *manifest, uint32_t rank)
      : Program(program), Owner(manifest), Rank(rank),
        Visits(visitsOf(program)) {
    if (manifest)
      Info = &manifest->ranks[rank];
  }

  Status run() {
    checkTop();
    for (const auto &variable : Program.variables)
      if (ok())
        checkVariable(*variable);
    if (ok())
      checkEntries();
    while (ok() && Section < Program.sections.size())
      if (checkSection())
        ++Section;
    if (ok())
      return Status();
    Error error;
    error.kind = ErrorKind::BadInput;
    error.message = Problem;
    if (Info)
      error.rank = Rank;
    if (InInstruction)
      locate(Program, Section, Index, error);
    return Status(std::move(error));
  }

private:
  using Rule = void (Checker::*)(const OperationUnion &);

  bool ok() const { return Problem.empty(); }

  /// Notes a problem unless `condition` holds; returns it.
  bool require(bool condition, const std::string &message) {
    if (!condition && ok())
      Problem = message;
    return condition;
  }

  void checkTop();
  void checkVariable(const VariableT &variable);
  void checkEntries();
  bool checkSection();
  void checkInstruction(const InstructionT &instruction);

  void checkLaunch(const OperationUnion &operation);
  void checkContract(const OperationUnion &operation);
  void checkCall(const OperationUnion &operation);
  void checkCollective(const OperationUnion &operation);
  void checkSend(const OperationUnion &operation);
  void checkReceive(const OperationUnion &operation);
  void checkCopy(const OperationUnion &operation);
  void checkFill(const OperationUnion &operation);
  void checkInput(const OperationUnion &operation);
  void checkMetric(const OperationUnion &operation);

  bool checkOperand(const OperandT &operand, const std::string &what);
  bool checkScalar(const ScalarT &scalar, const std::string &what);
  bool checkDisjoint(const OperandT &a, const OperandT &b,
                     const std::string &what);
  bool checkPeer(uint32_t peer);
  bool checkShares(const CollectiveT &collective, uint64_t size,
                   const std::vector<uint64_t> &counts, uint64_t part,
                   uint64_t whole, const char *partName);
  bool checkAllToAll(const CollectiveT &collective, uint64_t size,
                     uint64_t input, uint64_t output);
  void checkBox(const std::vector<std::unique_ptr<ScalarT>> &offsets,
                const std::vector<int64_t> &dims,
                const std::vector<int64_t> &global,
                const std::vector<int64_t> &microBatches,
                const std::string &what);

  /// True when the value does not depend on what is not known yet.
  bool isKnown(const ScalarT &scalar) const {
    return Info || std::none_of(scalar.terms.begin(), scalar.terms.end(),
                                [](const Term &term) {
                                  return term.kind() == TermKind::RankScalar;
                                });
  }
  bool isAddress(const ScalarT &scalar) const {
    return std::none_of(scalar.terms.begin(), scalar.terms.end(),
                        [](const Term &term) {
                          return term.kind() == TermKind::Step ||
                                 term.kind() == TermKind::Seed;
                        });
  }
  int64_t valueOf(const ScalarT *scalar, int64_t microBatch) const {
    ScalarValues values;
    values.microBatch = microBatch;
    values.rankScalars = Info ? &Info->scalars : nullptr;
    return scalar ? evaluate(*scalar, values) : 0;
  }
  /// Members of a group, or null without a rank.
  const std::vector<uint32_t> *membersOf(uint32_t group) const {
    return Info ? &Owner->communicators[Info->groups[group]] : nullptr;
  }

  static const Rule rules[];

  const ProgramT &Program;
  const Manifest *Owner;
  uint32_t Rank;
  const RankInfo *Info = nullptr;
  std::vector<std::vector<int64_t>> Visits;
  std::string Problem;
  size_t Section = 0;
  size_t Index = 0;
  bool InInstruction = false;
};

/// By value of Operation.
const Checker::Rule Checker::rules[] = {nullptr,
                                        &Checker::checkLaunch,
                                        &Checker::checkContract,
                                        &Checker::checkCall,
                                        &Checker::checkCollective,
                                        &Checker::checkSend,
                                        &Checker::checkReceive,
                                        &Checker::checkCopy,
                                        &Checker::checkFill,
                                        &Checker::checkInput,
                                        &Checker::checkMetric};
constexpr size_t ruleCount = static_cast<size_t>(Operation::MAX) + 1;

template <typename T> bool hasNull(const std::vector<std::unique_ptr<T>> &v) {
  return std::any_of(v.begin(), v.end(), [](const auto &p) { return !p; });
}

//===----------------------------------------------------------------------===//
// The program as a whole
//===----------------------------------------------------------------------===//

void Checker::checkTop() {
  require(Program.formatMajor == formatMajor, "unknown format version");
  require(Program.arenaBytes <= maxArenaBytes,
          "arena of " + std::to_string(Program.arenaBytes) +
              " bytes is beyond any device");
  require(!hasNull(Program.variables) && !hasNull(Program.groups) &&
              !hasNull(Program.kernels) && !hasNull(Program.sections) &&
              !hasNull(Program.entries) && !hasNull(Program.inputs) &&
              !hasNull(Program.sources),
          "program has an empty element");
  for (const auto &group : Program.groups)
    if (ok())
      require(group->size > 0, "group " + quoted(group->name) + " is empty");
  for (const auto &input : Program.inputs)
    if (ok())
      require(bytesOf(input->dtype) && elementsOf(input->dims) &&
                  allInRange(input->dims) && input->dims.size() <= maxRank &&
                  input->range >= 0,
              "input " + quoted(input->name) + " has a bad shape");
  if (!Info || !ok())
    return;
  require(Info->role == Program.role, "manifest gives the rank role " +
                                          quoted(Info->role) +
                                          ", the program is " +
                                          quoted(Program.role));
  require(Info->scalars.size() == Program.rankScalars.size(),
          "manifest gives " + std::to_string(Info->scalars.size()) +
              " scalars, program expects " +
              std::to_string(Program.rankScalars.size()));
  require(Info->groups.size() == Program.groups.size(),
          "manifest gives " + std::to_string(Info->groups.size()) +
              " groups, program expects " +
              std::to_string(Program.groups.size()));
  require(Info->peers.size() == Program.peers,
          "manifest gives " + std::to_string(Info->peers.size()) +
              " peers, program expects " + std::to_string(Program.peers));
  for (size_t i = 0; ok() && i < Program.groups.size(); ++i)
    require(membersOf(i)->size() == Program.groups[i]->size,
            "group " + quoted(Program.groups[i]->name) + " has " +
                std::to_string(membersOf(i)->size()) +
                " members, program expects " +
                std::to_string(Program.groups[i]->size));
}

void Checker::checkVariable(const VariableT &variable) {
  const std::string what = "variable " + quoted(variable.path);
  if (!require(variable.operand != nullptr, what + " has no operand") ||
      !checkOperand(*variable.operand, what))
    return;
  require(variable.operand->slots == 1, what + " must have one slot");
  require(variable.kind <= VariableKind::MAX, what + " has an unknown kind");
  require(!hasNull(variable.offsets), what + " has an empty offset");
  if (ok())
    checkBox(variable.offsets, variable.operand->dims, variable.globalDims,
             {0}, what);
}

/// [offsets, offsets + dims) must lie in [0, global) for each micro-batch.
void Checker::checkBox(const std::vector<std::unique_ptr<ScalarT>> &offsets,
                       const std::vector<int64_t> &dims,
                       const std::vector<int64_t> &global,
                       const std::vector<int64_t> &microBatches,
                       const std::string &what) {
  if (!require(dims.size() == global.size() && allInRange(global),
               what + " of shape " + dimsText(dims) +
                   " does not fit its global shape " + dimsText(global)) ||
      !require(offsets.size() <= dims.size(), what + " has too many offsets"))
    return;
  for (size_t i = 0; i < dims.size(); ++i) {
    const ScalarT *offset = i < offsets.size() ? offsets[i].get() : nullptr;
    if (offset && (!checkScalar(*offset, what) ||
                   !require(isAddress(*offset),
                            what + " has an offset that uses step or seed")))
      return;
    if (offset && !isKnown(*offset))
      continue;
    for (int64_t microBatch : microBatches) {
      int64_t value = valueOf(offset, microBatch);
      require(value >= 0 && value <= global[i] && dims[i] <= global[i] - value,
              what + " at offset " + std::to_string(value) +
                  " leaves its global shape " + dimsText(global));
    }
  }
}

void Checker::checkEntries() {
  std::set<std::string> names;
  for (const auto &entry : Program.entries) {
    require(names.insert(entry->name).second,
            "entry " + quoted(entry->name) + " is there twice");
    require(entry->data <= DataSplit::MAX,
            "entry " + quoted(entry->name) + " reads unknown data");
    for (const Visit &visit : entry->schedule)
      require(visit.section() < Program.sections.size(),
              "entry " + quoted(entry->name) + " visits section " +
                  std::to_string(visit.section()) + " of " +
                  std::to_string(Program.sections.size()));
  }
}

bool Checker::checkSection() {
  const SectionT &section = *Program.sections[Section];
  if (!require(!hasNull(section.instructions),
               "section " + quoted(section.name) + " has an empty element"))
    return false;
  InInstruction = true;
  for (Index = 0; Index < section.instructions.size(); ++Index) {
    checkInstruction(*section.instructions[Index]);
    if (!ok())
      return false;
  }
  InInstruction = false;
  return true;
}

void Checker::checkInstruction(const InstructionT &instruction) {
  for (uint32_t wait : instruction.waits)
    require(wait < Index, "waits for instruction " + std::to_string(wait) +
                              ", which is not before it");
  require(instruction.source >= -1 &&
              instruction.source < static_cast<int64_t>(Program.sources.size()),
          "source " + std::to_string(instruction.source) + " does not exist");
  size_t kind = static_cast<size_t>(instruction.operation.type);
  if (require(kind > 0 && kind < ruleCount && instruction.operation.value,
              "unknown operation"))
    (this->*rules[kind])(instruction.operation);
}

//===----------------------------------------------------------------------===//
// Pieces
//===----------------------------------------------------------------------===//

bool Checker::checkOperand(const OperandT &operand, const std::string &what) {
  uint64_t size = bytesOf(operand.dtype);
  std::optional<uint64_t> bytes = bytesOf(operand);
  if (!require(size > 0, what + " has an unknown type") ||
      !require(operand.dims.size() <= maxRank && bytes.has_value(),
               what + " has a bad shape") ||
      !require(operand.slots > 0, what + " has no slot") ||
      !require(operand.offset % size == 0 && operand.stride % size == 0,
               what + " is not aligned to its type"))
    return false;
  require(operand.slots == 1 || operand.stride >= *bytes,
          what + " has slots that overlap");
  auto last = checkedMultiply(operand.slots - 1, operand.stride);
  auto end = last ? checkedAdd(*last, operand.offset) : last;
  end = end ? checkedAdd(*end, *bytes) : end;
  return require(end && *end <= Program.arenaBytes,
                 what + " at offset " + std::to_string(operand.offset) +
                     " with " + std::to_string(*bytes) +
                     " bytes leaves the arena of " +
                     std::to_string(Program.arenaBytes));
}

bool Checker::checkScalar(const ScalarT &scalar, const std::string &what) {
  for (const Term &term : scalar.terms)
    if (!require(term.kind() <= TermKind::MAX &&
                     (term.kind() != TermKind::RankScalar ||
                      term.index() < Program.rankScalars.size()),
                 what + " has an unknown term"))
      return false;
  return true;
}

/// In every visit the bytes of a and b are apart.
bool Checker::checkDisjoint(const OperandT &a, const OperandT &b,
                            const std::string &what) {
  uint64_t bytesA = *bytesOf(a), bytesB = *bytesOf(b);
  for (int64_t microBatch : Visits[Section]) {
    uint64_t startA = a.offset + microBatch % a.slots * a.stride;
    uint64_t startB = b.offset + microBatch % b.slots * b.stride;
    if (!require(bytesA == 0 || bytesB == 0 || startA + bytesA <= startB ||
                     startB + bytesB <= startA,
                 what + " overlap"))
      return false;
  }
  return true;
}

bool Checker::checkPeer(uint32_t peer) {
  return require(peer < Program.peers,
                 "peer " + std::to_string(peer) + " of " +
                     std::to_string(Program.peers) + " does not exist");
}

//===----------------------------------------------------------------------===//
// Operations
//===----------------------------------------------------------------------===//

void Checker::checkLaunch(const OperationUnion &operation) {
  const LaunchT &launch = *operation.AsLaunch();
  if (!require(launch.kernel < Program.kernels.size(),
               "kernel " + std::to_string(launch.kernel) + " does not exist") ||
      !require(!hasNull(launch.operands) && !hasNull(launch.scalars),
               "launch has an empty element"))
    return;
  const KernelT &kernel = *Program.kernels[launch.kernel];
  const std::string name = quoted(kernel.symbol);
  require(kernel.operandBytes.size() == launch.operands.size(),
          "kernel " + name + " takes " +
              std::to_string(kernel.operandBytes.size()) + " operands, " +
              std::to_string(launch.operands.size()) + " are given");
  require(kernel.access.empty() ||
              kernel.access.size() == kernel.operandBytes.size(),
          "kernel " + name + " does not say of all buffers what it does");
  for (Access access : kernel.access)
    require(access <= Access::MAX, "kernel " + name + " has unknown access");
  require(kernel.feeds.empty() ||
              kernel.feeds.size() == kernel.operandBytes.size(),
          "kernel " + name + " does not say of all buffers what feeds them");
  for (const auto &feed : kernel.feeds)
    if (require(feed != nullptr, "kernel " + name + " has an empty feed"))
      for (uint32_t buffer : feed->buffers)
        require(buffer < kernel.operandBytes.size(),
                "kernel " + name + " has no buffer " + std::to_string(buffer));
  require(kernel.scalars == launch.scalars.size(),
          "kernel " + name + " takes " + std::to_string(kernel.scalars) +
              " scalars, " + std::to_string(launch.scalars.size()) +
              " are given");
  for (size_t i = 0; ok() && i < launch.operands.size(); ++i) {
    const std::string what = "operand " + std::to_string(i) + " of " + name;
    if (checkOperand(*launch.operands[i], what))
      require(*bytesOf(*launch.operands[i]) >= kernel.operandBytes[i],
              what + " has " + std::to_string(*bytesOf(*launch.operands[i])) +
                  " bytes, the kernel touches " +
                  std::to_string(kernel.operandBytes[i]));
  }
  for (const auto &scalar : launch.scalars)
    checkScalar(*scalar, "launch of " + name);
}

/// Elements that the matrix and its batch strides span must be there.
bool spans(const OperandT &operand, Wide batchSpan, int64_t rows, int64_t cols,
           int64_t leading) {
  if (rows == 0 || cols == 0)
    return true;
  Wide last = batchSpan + Wide(rows - 1) * leading + cols;
  return (rows == 1 || leading >= cols) && last <= Wide(*elementsOf(operand.dims));
}

void Checker::checkContract(const OperationUnion &operation) {
  const ContractT &c = *operation.AsContract();
  if (!require(c.a && c.b && c.c, "contraction lacks an operand") ||
      !checkOperand(*c.a, "operand a") || !checkOperand(*c.b, "operand b") ||
      !checkOperand(*c.c, "operand c"))
    return;
  require(c.a->dtype == c.b->dtype && isFloat(c.a->dtype) &&
              (c.c->dtype == c.a->dtype ||
               (c.c->dtype == DType::F32 && c.a->dtype != DType::F64)),
          "contraction of " + std::string(nameOf(c.a->dtype)) + " by " +
              std::string(nameOf(c.b->dtype)) + " into " +
              std::string(nameOf(c.c->dtype)) + " is not defined");
  if (!require(allInRange({c.m, c.n, c.k, c.lda, c.ldb, c.ldc}) &&
                   c.batch.size() <= maxRank,
               "contraction has a bad extent"))
    return;
  Wide spanA = 0, spanB = 0, spanC = 0;
  bool empty = c.m == 0 || c.n == 0;
  for (const BatchDim &dim : c.batch) {
    if (!require(allInRange({dim.extent(), dim.strideA(), dim.strideB(),
                             dim.strideC()}),
                 "contraction has a bad batch dimension"))
      return;
    empty |= dim.extent() == 0;
    spanA += Wide(dim.extent() - 1) * dim.strideA();
    spanB += Wide(dim.extent() - 1) * dim.strideB();
    spanC += Wide(dim.extent() - 1) * dim.strideC();
  }
  if (empty)
    return;
  require(c.transA ? spans(*c.a, spanA, c.k, c.m, c.lda)
                   : spans(*c.a, spanA, c.m, c.k, c.lda),
          "contraction reads beyond operand a");
  require(c.transB ? spans(*c.b, spanB, c.n, c.k, c.ldb)
                   : spans(*c.b, spanB, c.k, c.n, c.ldb),
          "contraction reads beyond operand b");
  require(spans(*c.c, spanC, c.m, c.n, c.ldc),
          "contraction writes beyond operand c");
  checkDisjoint(*c.a, *c.c, "operands a and c");
  checkDisjoint(*c.b, *c.c, "operands b and c");
}

void Checker::checkCall(const OperationUnion &operation) {
  const CallT &call = *operation.AsCall();
  if (!require(!hasNull(call.operands) && !hasNull(call.scalars),
               "call has an empty element"))
    return;
  for (size_t i = 0; ok() && i < call.operands.size(); ++i)
    checkOperand(*call.operands[i], "operand " + std::to_string(i) + " of " +
                                        quoted(call.function));
  for (const auto &scalar : call.scalars)
    checkScalar(*scalar, "call of " + quoted(call.function));
}

/// `part` belongs to one member and `whole` to all.
bool Checker::checkShares(const CollectiveT &collective, uint64_t size,
                          const std::vector<uint64_t> &counts, uint64_t part,
                          uint64_t whole, const char *partName) {
  if (counts.empty())
    return require(checkedMultiply(part, size) == whole,
                   std::to_string(size) + " shares of " + std::to_string(part) +
                       " elements do not make " + std::to_string(whole));
  if (!require(counts.size() == size, "collective has " +
                                          std::to_string(counts.size()) +
                                          " counts for " +
                                          std::to_string(size) + " members"))
    return false;
  std::optional<uint64_t> total = 0;
  for (uint64_t count : counts)
    total = total ? checkedAdd(*total, count) : total;
  require(total == whole, "the counts of a collective do not make " +
                              std::to_string(whole) + " elements");
  const std::vector<uint32_t> *members = membersOf(collective.group);
  bool found = std::find(counts.begin(), counts.end(), part) != counts.end();
  if (members) {
    size_t me = std::find(members->begin(), members->end(), Rank) -
                members->begin();
    found = counts[me] == part;
  }
  return require(found, std::string(partName) + " has " +
                            std::to_string(part) +
                            " elements, which is not this member's count");
}

bool Checker::checkAllToAll(const CollectiveT &collective, uint64_t size,
                            uint64_t input, uint64_t output) {
  const auto &send = collective.counts;
  const auto &receive =
      collective.receiveCounts.empty() ? send : collective.receiveCounts;
  if (send.empty())
    return require(receive.empty() && input == output && input % size == 0,
                   "all_to_all has no equal shares");
  auto sums = [size](const std::vector<uint64_t> &counts, uint64_t whole) {
    std::optional<uint64_t> total = 0;
    for (uint64_t count : counts)
      total = total ? checkedAdd(*total, count) : total;
    return counts.size() == size && total == whole;
  };
  return require(sums(send, input) && sums(receive, output),
                 "the counts of all_to_all do not fit its operands");
}

void Checker::checkCollective(const OperationUnion &operation) {
  const CollectiveT &c = *operation.AsCollective();
  if (!require(c.kind <= CollectiveKind::MAX && c.reduction <= Reduction::MAX,
               "unknown collective") ||
      !require(c.group < Program.groups.size(),
               "group " + std::to_string(c.group) + " does not exist") ||
      !require(c.input && c.output, "collective lacks an operand") ||
      !checkOperand(*c.input, "input") || !checkOperand(*c.output, "output") ||
      !require(c.input->dtype == c.output->dtype,
               "input and output of a collective differ in type") ||
      !require(c.input->dtype != DType::Accumulator ||
                   c.reduction == Reduction::Sum,
               "accumulators are only summed"))
    return;
  uint64_t size = Program.groups[c.group]->size;
  uint64_t input = *elementsOf(c.input->dims);
  uint64_t output = *elementsOf(c.output->dims);
  if (c.kind == CollectiveKind::AllReduce ||
      c.kind == CollectiveKind::Broadcast) {
    require(input == output, "input and output of a collective differ in size");
    require(c.root < size, "root of a broadcast is no member");
    bool same = c.input->offset == c.output->offset &&
                c.input->slots == c.output->slots &&
                c.input->stride == c.output->stride;
    if (ok() && !same)
      checkDisjoint(*c.input, *c.output, "input and output");
    return;
  }
  if (c.kind == CollectiveKind::AllGather)
    checkShares(c, size, c.counts, input, output, "input");
  else if (c.kind == CollectiveKind::ReduceScatter)
    checkShares(c, size, c.counts, output, input, "output");
  else
    checkAllToAll(c, size, input, output);
  if (ok())
    checkDisjoint(*c.input, *c.output, "input and output");
}

void Checker::checkSend(const OperationUnion &operation) {
  const SendT &send = *operation.AsSend();
  if (checkPeer(send.peer) && require(!!send.operand, "send lacks an operand"))
    checkOperand(*send.operand, "operand");
}

void Checker::checkReceive(const OperationUnion &operation) {
  const ReceiveT &receive = *operation.AsReceive();
  if (checkPeer(receive.peer) &&
      require(!!receive.operand, "receive lacks an operand"))
    checkOperand(*receive.operand, "operand");
}

void Checker::checkCopy(const OperationUnion &operation) {
  const CopyT &c = *operation.AsCopy();
  if (!require(c.src && c.dst, "copy lacks an operand") ||
      !checkOperand(*c.src, "source") || !checkOperand(*c.dst, "target") ||
      !require(c.elementBytes > 0 && c.elementBytes <= 4096,
               "copy has a bad element size") ||
      !require(c.dims.size() <= maxRank &&
                   c.dims.size() == c.srcStrides.size() &&
                   c.dims.size() == c.dstStrides.size() &&
                   allInRange(c.dims) && allInRange(c.srcStrides) &&
                   allInRange(c.dstStrides),
               "copy has a bad extent"))
    return;
  auto checkSide = [&](const OperandT &operand, const ScalarT *offset,
                       const std::vector<int64_t> &strides,
                       const std::string &what) {
    if (offset && (!checkScalar(*offset, what) ||
                   !require(isAddress(*offset),
                            what + " has an offset that uses step or seed") ||
                   !isKnown(*offset)))
      return;
    Wide last = 1;
    bool empty = false;
    for (size_t i = 0; i < c.dims.size(); ++i) {
      empty |= c.dims[i] == 0;
      last += Wide(c.dims[i] - 1) * strides[i];
    }
    for (int64_t microBatch : Visits[Section]) {
      int64_t start = valueOf(offset, microBatch);
      require(inRange(start) &&
                  (empty || (last + start) * c.elementBytes <=
                                Wide(*bytesOf(operand))),
              "copy leaves its " + what);
    }
  };
  checkSide(*c.src, c.srcOffset.get(), c.srcStrides, "source");
  checkSide(*c.dst, c.dstOffset.get(), c.dstStrides, "target");
}

void Checker::checkFill(const OperationUnion &operation) {
  const FillT &fill = *operation.AsFill();
  if (require(!!fill.operand, "fill lacks an operand") &&
      checkOperand(*fill.operand, "operand"))
    require(fill.operand->dtype != DType::Accumulator || fill.value == 0,
            "accumulators are only filled with 0");
}

void Checker::checkInput(const OperationUnion &operation) {
  const InputT &input = *operation.AsInput();
  if (!require(input.input < Program.inputs.size(),
               "input " + std::to_string(input.input) + " does not exist") ||
      !require(input.operand && !hasNull(input.offsets),
               "input lacks an operand") ||
      !checkOperand(*input.operand, "operand"))
    return;
  const InputInfoT &info = *Program.inputs[input.input];
  const std::string what = "input " + quoted(info.name);
  require(info.dtype == input.operand->dtype,
          what + " is " + std::string(nameOf(info.dtype)) +
              ", its operand is " + std::string(nameOf(input.operand->dtype)));
  if (ok())
    checkBox(input.offsets, input.operand->dims, info.dims, Visits[Section],
             what);
}

void Checker::checkMetric(const OperationUnion &operation) {
  const MetricT &metric = *operation.AsMetric();
  const std::string what = "metric " + quoted(metric.name);
  if (!require(!!metric.operand, what + " has no operand") ||
      !checkOperand(*metric.operand, what))
    return;
  auto isNumber = [](const OperandT &operand) {
    return elementsOf(operand.dims) == 1u &&
           (operand.dtype == DType::F32 || operand.dtype == DType::F64 ||
            operand.dtype == DType::I32 || operand.dtype == DType::I64);
  };
  require(isNumber(*metric.operand),
          what + " must be one f32, f64, i32 or i64");
  if (metric.count && checkOperand(*metric.count, what))
    require(isNumber(*metric.count),
            "count of " + what + " must be one f32, f64, i32 or i64");
  require(metric.combine <= Combine::MAX, what + " combines in an unknown way");
  require(std::find(Program.metrics.begin(), Program.metrics.end(),
                    metric.name) != Program.metrics.end(),
          what + " is not in the program's list");
  if (metric.onlyIfZero)
    checkScalar(*metric.onlyIfZero, what);
}

} // namespace

std::vector<std::vector<int64_t>> visitsOf(const ProgramT &program) {
  std::vector<std::set<int64_t>> visits(program.sections.size());
  for (const auto &entry : program.entries)
    if (entry)
      for (const Visit &visit : entry->schedule)
        if (visit.section() < visits.size())
          visits[visit.section()].insert(visit.microBatch());
  std::vector<std::vector<int64_t>> out;
  for (const std::set<int64_t> &set : visits)
    out.emplace_back(set.begin(), set.end());
  return out;
}

void locate(const ProgramT &program, size_t section, size_t instruction,
            Error &error) {
  const SectionT &where = *program.sections[section];
  error.section = where.name;
  error.instruction = static_cast<int64_t>(instruction);
  int32_t index = where.instructions[instruction]->source;
  if (index < 0 || static_cast<size_t>(index) >= program.sources.size())
    return;
  const SourceT &source = *program.sources[index];
  error.path = source.path;
  if (!source.file.empty())
    error.place = source.file + ":" + std::to_string(source.line) + ":" +
                  std::to_string(source.column);
}

Status checkProgram(const ProgramT &program, const std::string &name) {
  Status status = Checker(program, nullptr, 0).run();
  if (status.failed())
    status.error().message =
        "program " + quoted(name) + ": " + status.error().message;
  return status;
}

Status checkRank(const ProgramT &program, const Manifest &manifest,
                 uint32_t rank) {
  if (rank >= manifest.ranks.size())
    return badInput("rank " + std::to_string(rank) + " is not in the manifest");
  return Checker(program, &manifest, rank).run();
}

} // namespace whale::format
