//===- Simulation.cpp - execution on abstract values ----------------------===//

#include "compiler/verifier/SimulationState.h"

#include "runtime/format/Check.h"

#include <algorithm>

namespace whale::verifier {

using namespace format;

Diag &reportAt(Diagnostics &diags, const ProgramSet &set,
               const std::string &entry, const Spot &spot,
               std::string message) {
  const ProgramT &program = *set.of(spot.rank).program;
  Error error;
  locate(program, spot.section, spot.instruction, error);
  Place place;
  int32_t source =
      program.sections[spot.section]->instructions[spot.instruction]->source;
  if (source >= 0 && !program.sources[source]->file.empty())
    place = Place(program.sources[source]->file, program.sources[source]->line,
                  program.sources[source]->column);
  message += " (rank " + std::to_string(spot.rank) + ", role '" + program.role +
             "', entry '" + entry + "', section '" + error.section +
             "', instruction " + std::to_string(spot.instruction);
  if (!error.path.empty())
    message += ", op '" + error.path + "'";
  return diags.error(place, message + ")", ExitCode::Finding);
}

/// By value of Operation.
const Simulation::Rule Simulation::rules[] = {
    nullptr,
    &Simulation::runComputation, // Launch
    &Simulation::runComputation, // Contract
    &Simulation::runComputation, // Call
    &Simulation::runCollective,
    &Simulation::runSend,
    &Simulation::runReceive,
    &Simulation::runCopy,
    &Simulation::runComputation, // Fill
    &Simulation::runInput,
    &Simulation::runMetric};

Simulation::Simulation(const ProgramSet &set, SampleSets &sets,
                       const std::string &entry, Diagnostics &diags)
    : Set(set), Sets(sets), Entry(entry), Diags(diags),
      Gatherings(set.manifest->communicators.size()) {
  for (size_t i = 0; i < Gatherings.size(); ++i) {
    Gatherings[i].values.resize(set.manifest->communicators[i].size());
    Gatherings[i].present.resize(Gatherings[i].values.size());
  }
  for (uint32_t rank = 0; rank < set.manifest->ranks.size(); ++rank) {
    Ranks.push_back(std::make_unique<Rank>(rank, set, sets, entry));
    start(*Ranks.back());
  }
}

Simulation::~Simulation() = default;

Simulation::Rank::Rank(uint32_t rank, const ProgramSet &set, SampleSets &sets,
                       const std::string &entry)
    : rank(rank), role(set.of(rank)), info(set.manifest->ranks[rank]),
      arena(sets) {
  values.rankScalars = &info.scalars;
  for (const auto &candidate : role.program->entries)
    if (candidate->name == entry)
      schedule = &candidate->schedule;
  for (uint32_t group : info.groups) {
    const auto &members = set.manifest->communicators[group];
    places.push_back(static_cast<size_t>(
        std::find(members.begin(), members.end(), rank) - members.begin()));
  }
  isRepeated.resize(role.program->sections.size());
  if (!schedule)
    return;
  std::vector<int64_t> first(isRepeated.size(), -1);
  for (const Visit &visit : *schedule) {
    int64_t &seen = first[visit.section()];
    isRepeated[visit.section()] = isRepeated[visit.section()] ||
                                  (seen >= 0 && seen != visit.microBatch());
    seen = visit.microBatch();
  }
}

/// Variables are there before every entry but the one that makes them;
/// gradients never are.
void Simulation::start(Rank &rank) {
  Ready.push_back(rank.rank);
  const ProgramT &program = *rank.role.program;
  if (!rank.schedule || Entry == entryInit)
    return;
  for (size_t i = 0; i < program.variables.size(); ++i) {
    const VariableT &variable = *program.variables[i];
    if (variable.kind == VariableKind::Gradient)
      continue;
    Value value;
    value.hash = rank.role.variableHashes[i];
    for (const auto &offset : variable.offsets)
      value.hash = combine(value.hash, evaluate(*offset, rank.values));
    for (int64_t dim : variable.operand->dims)
      value.hash = combine(value.hash, static_cast<uint64_t>(dim));
    rank.arena.write(
        rangeOf(rank, *variable.operand, *bytesOf(*variable.operand)), value,
        Writer());
  }
}

bool Simulation::run() {
  while (!Ready.empty()) {
    Rank &rank = *Ranks[Ready.front()];
    Ready.pop_front();
    rank.isWaiting = false;
    while (!rank.isDone()) {
      Outcome outcome = step(rank);
      if (outcome == Outcome::Failed)
        return false;
      if (outcome == Outcome::Waits) {
        rank.isWaiting = true;
        break;
      }
    }
  }
  bool allDone = std::all_of(Ranks.begin(), Ranks.end(),
                             [](const auto &rank) { return rank->isDone(); });
  if (!allDone) {
    reportWaiting();
    return false;
  }
  return !reportLeftOver();
}

void Simulation::wake(uint32_t rank) {
  if (!Ranks[rank]->isWaiting)
    return;
  Ranks[rank]->isWaiting = false;
  Ready.push_back(rank);
}

Spot Simulation::spotOf(const Rank &rank) const {
  return {rank.rank, rank.section(), rank.instruction};
}

void Simulation::advance(Rank &rank) {
  ++rank.instruction;
  rank.skipEmpty();
}

Simulation::Outcome Simulation::step(Rank &rank) {
  const uint32_t section = rank.section();
  rank.values.microBatch = (*rank.schedule)[rank.visit].microBatch();
  rank.writer = {section, rank.instruction,
                 (*rank.schedule)[rank.visit].microBatch(),
                 rank.isRepeated[section]};
  const OperationUnion &operation = rank.role.program->sections[section]
                                        ->instructions[rank.instruction]
                                        ->operation;
  Outcome outcome = (this->*rules[static_cast<size_t>(operation.type)])(
      rank, operation, rank.role.effects[section][rank.instruction]);
  if (outcome == Outcome::Went)
    advance(rank);
  return outcome;
}

Simulation::Outcome Simulation::fail(const Rank &rank, std::string message) {
  reportAt(Diags, Set, Entry, spotOf(rank), std::move(message));
  return Outcome::Failed;
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

ByteRange Simulation::rangeOf(const Rank &rank, const OperandT &operand,
                              uint64_t bytes) const {
  uint64_t slot = static_cast<uint64_t>(rank.values.microBatch) % operand.slots;
  uint64_t begin = operand.offset + slot * operand.stride;
  return {begin, begin + bytes};
}

/// Says whose bytes they are.
void Simulation::explain(Diag &diag, const Rank &rank,
                         const ReadResult &bad) const {
  if (bad.writer.section == Writer::none)
    return;
  const ProgramT &program = *rank.role.program;
  Error error;
  locate(program, bad.writer.section, bad.writer.instruction, error);
  diag.hint("the bytes are of instruction " +
            std::to_string(bad.writer.instruction) + " of section '" +
            error.section + "'" +
            (error.path.empty() ? "" : ", op '" + error.path + "'") +
            ", micro-batch " + std::to_string(bad.writer.microBatch));
}

std::optional<Value> Simulation::read(Rank &rank, const Reading &reading,
                                      bool anyMicroBatch) {
  static constexpr const char *messages[] = {
      "", "which nothing has written before",
      "of which a part has been overwritten", "which holds another micro-batch",
      "which is part of one buffer and part of another"};
  ByteRange range = rangeOf(rank, *reading.operand, reading.bytes);
  ReadResult result = rank.arena.read(range, rank.writer, anyMicroBatch);
  if (result.problem == ReadProblem::None)
    return result.value;
  Diag &diag = reportAt(Diags, Set, Entry, spotOf(rank),
                        "reads bytes " + std::to_string(range.begin) + " to " +
                            std::to_string(range.end) + " in micro-batch " +
                            std::to_string(rank.values.microBatch) + ", " +
                            messages[static_cast<size_t>(result.problem)]);
  if (result.where != range.begin)
    diag.hint("the first such byte is " + std::to_string(result.where));
  explain(diag, rank, result);
  return std::nullopt;
}

std::optional<std::vector<Value>> Simulation::readEach(Rank &rank,
                                                       const Effects &effects) {
  std::vector<Value> values;
  values.reserve(effects.reads.size());
  for (const Reading &reading : effects.reads) {
    std::optional<Value> value = read(rank, reading);
    if (!value)
      return std::nullopt;
    values.push_back(*value);
  }
  return values;
}

/// What is computed of some values and all scalars.
Value Simulation::join(const Rank &rank, const Effects &effects,
                       const std::vector<Value> &values) {
  Value all;
  all.hash = effects.hash;
  for (const Value &value : values) {
    all.hash = combine(all.hash, value.hash);
    all.samples = Sets.unite(all.samples, value.samples);
  }
  for (const ScalarT *scalar : effects.scalars)
    all.hash = combine(all.hash, evaluate(*scalar, rank.values));
  return all;
}

/// All reads and scalars as one value.
std::optional<Value> Simulation::readAll(Rank &rank, const Effects &effects) {
  auto values = readEach(rank, effects);
  if (!values)
    return std::nullopt;
  return join(rank, effects, *values);
}

void Simulation::write(Rank &rank, const Writing &writing, Value value) {
  uint64_t bytes = *bytesOf(*writing.operand);
  ByteRange range = rangeOf(rank, *writing.operand, bytes);
  if (writing.boxBytes == bytes) {
    rank.arena.write(range, value, rank.writer);
    return;
  }
  Piece piece;
  piece.key = writing.boxKey;
  piece.bytes = writing.boxBytes;
  piece.span = {range.begin, range.begin + writing.spanBytes};
  piece.value = value;
  piece.writer = rank.writer;
  rank.arena.writePiece(range, piece);
}

//===----------------------------------------------------------------------===//
// Instructions of one rank
//===----------------------------------------------------------------------===//

Simulation::Outcome Simulation::runComputation(Rank &rank,
                                               const OperationUnion &,
                                               const Effects &effects) {
  auto values = readEach(rank, effects);
  if (!values)
    return Outcome::Failed;
  const Value all = join(rank, effects, *values);
  for (size_t i = 0; i < effects.writes.size(); ++i) {
    const Writing &writing = effects.writes[i];
    Value part = all;
    if (writing.from) {
      std::vector<Value> some;
      for (size_t reading : *writing.from)
        some.push_back((*values)[reading]);
      part = join(rank, effects, some);
    }
    part.hash = combine(part.hash, i);
    if (writing.isSum) {
      std::optional<Value> old =
          read(rank, {writing.operand, writing.spanBytes}, true);
      if (!old)
        return Outcome::Failed;
      part.hash = combine(part.hash, old->hash);
      part.samples = Sets.unite(part.samples, old->samples);
    }
    write(rank, writing, part);
  }
  return Outcome::Went;
}

Simulation::Outcome Simulation::runCopy(Rank &rank,
                                        const OperationUnion &operation,
                                        const Effects &effects) {
  const CopyT &c = *operation.AsCopy();
  auto offsetOf = [&](const std::unique_ptr<ScalarT> &scalar) -> uint64_t {
    return scalar ? evaluate(*scalar, rank.values) : 0;
  };
  uint64_t elements = 1, srcLast = 0, dstLast = 0;
  for (size_t i = 0; i < c.dims.size(); ++i) {
    elements *= c.dims[i];
    if (c.dims[i] == 0)
      return Outcome::Went;
    srcLast += static_cast<uint64_t>((c.dims[i] - 1) * c.srcStrides[i]);
    dstLast += static_cast<uint64_t>((c.dims[i] - 1) * c.dstStrides[i]);
  }
  const uint64_t size = c.elementBytes;
  const uint64_t from = offsetOf(c.srcOffset), to = offsetOf(c.dstOffset);
  OperandT source = *c.src;
  source.offset += from * size;
  std::optional<Value> value = read(rank, {&source, (srcLast + 1) * size});
  if (!value)
    return Outcome::Failed;
  Piece piece;
  ByteRange whole = rangeOf(rank, *c.dst, *bytesOf(*c.dst));
  piece.key = combine(effects.hash, to);
  piece.bytes = elements * size;
  piece.span = {whole.begin + to * size,
                whole.begin + (to + dstLast + 1) * size};
  piece.value = *value;
  piece.value.hash = combine(combine(effects.hash, from), value->hash);
  piece.writer = rank.writer;
  rank.arena.writePiece(whole, piece);
  return Outcome::Went;
}

Simulation::Outcome Simulation::runInput(Rank &rank,
                                         const OperationUnion &operation,
                                         const Effects &effects) {
  const InputT &input = *operation.AsInput();
  const ProgramT &program = *rank.role.program;
  InputUse use;
  use.info = program.inputs[input.input].get();
  use.spot = spotOf(rank);
  use.box.dims = input.operand->dims;
  use.box.offsets.assign(use.box.dims.size(), 0);
  for (size_t i = 0; i < input.offsets.size(); ++i)
    use.box.offsets[i] = evaluate(*input.offsets[i], rank.values);
  int32_t source = program.sections[use.spot.section]
                       ->instructions[use.spot.instruction]
                       ->source;
  use.key = Sets.keyOf(use.info->name,
                       source < 0 ? "" : program.sources[source]->path);
  Value value = *readAll(rank, effects);
  if (!use.box.dims.empty())
    value.samples = Sets.single(
        {use.key, use.box.offsets[0], use.box.offsets[0] + use.box.dims[0]});
  write(rank, effects.writes[0], value);
  Inputs.push_back(std::move(use));
  return Outcome::Went;
}

Simulation::Outcome Simulation::runMetric(Rank &rank,
                                          const OperationUnion &operation,
                                          const Effects &effects) {
  const MetricT &metric = *operation.AsMetric();
  if (metric.onlyIfZero && evaluate(*metric.onlyIfZero, rank.values) != 0)
    return Outcome::Went;
  std::optional<Value> value = readAll(rank, effects);
  if (!value)
    return Outcome::Failed;
  Metrics.push_back({&metric, *value, spotOf(rank)});
  return Outcome::Went;
}

VariableState Simulation::variable(uint32_t index, size_t variable) {
  Rank &rank = *Ranks[index];
  const OperandT &operand = *rank.role.program->variables[variable]->operand;
  VariableState state;
  rank.values.microBatch = 0;
  ByteRange range = rangeOf(rank, operand, *bytesOf(operand));
  if (range.size() == 0 || !rank.schedule)
    return state;
  state.content = rank.arena.read(range, Writer(), true);
  state.isWritten = state.content.writer.section != Writer::none;
  return state;
}

} // namespace whale::verifier
