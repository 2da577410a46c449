//===- TrainingSpec.cpp - reading the training spec -----------------------===//

#include "dialects/whale/TrainingSpec.h"

#include "llvm/ADT/StringSwitch.h"

using namespace mlir;
using namespace whale;

bool whale::matchPath(StringRef pattern, StringRef path) {
  if (pattern.empty())
    return path.empty();
  if (pattern.consume_front("**")) {
    for (size_t i = 0; i <= path.size(); ++i)
      if (matchPath(pattern, path.drop_front(i)))
        return true;
    return false;
  }
  if (pattern.consume_front("*")) {
    for (size_t i = 0; i <= path.size(); ++i) {
      if (matchPath(pattern, path.drop_front(i)))
        return true;
      if (i < path.size() && path[i] == '/')
        return false;
    }
    return false;
  }
  return !path.empty() && pattern.front() == path.front() &&
         matchPath(pattern.drop_front(), path.drop_front());
}

const Optimizer &TrainingSpec::optimizerOf(StringRef path) const {
  for (const ParameterGroup &group : groups)
    if (matchPath(group.match, path))
      return group.optimizer;
  return optimizer;
}

namespace {
/// Reads typed keys of a dictionary and refuses those nobody asked for.
class DictReader {
public:
  DictReader(Operation *op, DictionaryAttr dict, StringRef what)
      : op(op), dict(dict), what(what) {}

  void number(StringRef key, double &value, double low, double high) {
    Attribute attr = take(key);
    if (!attr)
      return;
    if (auto real = dyn_cast<FloatAttr>(attr))
      value = real.getValueAsDouble();
    else if (auto integer = dyn_cast<IntegerAttr>(attr))
      value = integer.getInt();
    else
      return complain(key, "a number", attr);
    if (!(value >= low && value <= high))
      fail() << what << " key '" << key << "' is " << value
             << ", expected between " << low << " and " << high;
  }

  void integer(StringRef key, int64_t &value, int64_t low) {
    Attribute attr = take(key);
    if (!attr)
      return;
    auto integer = dyn_cast<IntegerAttr>(attr);
    if (!integer)
      return complain(key, "an integer", attr);
    value = integer.getInt();
    if (value < low)
      fail() << what << " key '" << key << "' is " << value << ", expected "
             << low << " or more";
  }

  void text(StringRef key, std::string &value) {
    Attribute attr = take(key);
    if (!attr)
      return;
    auto string = dyn_cast<StringAttr>(attr);
    if (!string)
      return complain(key, "a string", attr);
    value = string.str();
  }

  Attribute take(StringRef key) {
    known.push_back(key);
    return dict.get(key);
  }

  InFlightDiagnostic fail() {
    failed = true;
    return op->emitOpError();
  }

  /// Reports unknown keys with the nearest known one; the verdict.
  LogicalResult finish() {
    for (NamedAttribute entry : dict) {
      StringRef key = entry.getName();
      if (llvm::is_contained(known, key))
        continue;
      auto diagnostic = fail();
      diagnostic << "unknown " << what << " key '" << key << "'";
      StringRef best;
      unsigned distance = 4;
      for (StringRef candidate : known)
        if (unsigned d = key.edit_distance(candidate); d < distance)
          best = candidate, distance = d;
      if (!best.empty())
        diagnostic << ", did you mean '" << best << "'?";
    }
    return success(!failed);
  }

private:
  void complain(StringRef key, StringRef expected, Attribute found) {
    fail() << what << " key '" << key << "' is " << found << ", expected "
           << expected;
  }

  Operation *op;
  DictionaryAttr dict;
  StringRef what;
  SmallVector<StringRef> known;
  bool failed = false;
};
} // namespace

/// Looks `text` up in a table of names; reports the choices otherwise.
template <typename Enum>
static void choose(DictReader &reader, StringRef key, StringRef text,
                   ArrayRef<std::pair<StringRef, Enum>> table, Enum &value) {
  for (auto [name, candidate] : table)
    if (name == text) {
      value = candidate;
      return;
    }
  auto diagnostic = reader.fail();
  diagnostic << "key '" << key << "' is '" << text << "', expected one of ";
  llvm::interleaveComma(table, diagnostic,
                        [&](const auto &entry) { diagnostic << entry.first; });
}

static void readOptimizerKeys(DictReader &reader, Optimizer &optimizer) {
  std::string name;
  reader.text("name", name);
  if (!name.empty())
    choose<OptimizerKind>(reader, "name", name,
                          {{"sgd", OptimizerKind::Sgd},
                           {"momentum", OptimizerKind::Momentum},
                           {"adamw", OptimizerKind::AdamW},
                           {"adafactor", OptimizerKind::Adafactor}},
                          optimizer.kind);
  reader.number("learning_rate", optimizer.learningRate, 0, 1e6);
  reader.number("momentum", optimizer.momentum, 0, 1);
  reader.number("beta1", optimizer.beta1, 0, 1);
  reader.number("beta2", optimizer.beta2, 0, 1);
  reader.number("epsilon", optimizer.epsilon, 0, 1);
  reader.number("weight_decay", optimizer.weightDecay, 0, 1e6);
}

/// Gives a dictionary attribute or complains.
static DictionaryAttr asDict(DictReader &reader, StringRef key, Attribute attr) {
  auto dict = dyn_cast<DictionaryAttr>(attr);
  if (!dict)
    reader.fail() << "key '" << key << "' is " << attr
                  << ", expected a dictionary";
  return dict;
}

static LogicalResult readGroups(DictReader &reader, TrainingOp op,
                                TrainingSpec &spec) {
  Attribute attr = reader.take("groups");
  if (!attr)
    return success();
  auto list = dyn_cast<ArrayAttr>(attr);
  if (!list) {
    reader.fail() << "key 'groups' is " << attr << ", expected a list";
    return success();
  }
  for (Attribute element : list) {
    DictionaryAttr dict = asDict(reader, "groups", element);
    if (!dict)
      return success();
    DictReader groupReader(op, dict, "group");
    ParameterGroup group{"", spec.optimizer};
    groupReader.text("match", group.match);
    if (group.match.empty())
      groupReader.fail() << "group has no 'match'";
    readOptimizerKeys(groupReader, group.optimizer);
    if (failed(groupReader.finish()))
      return failure();
    spec.groups.push_back(group);
  }
  return success();
}

static LogicalResult readSchedule(DictReader &reader, TrainingOp op,
                                  LearningRateSchedule &schedule) {
  Attribute attr = reader.take("schedule");
  if (!attr)
    return success();
  DictionaryAttr dict = asDict(reader, "schedule", attr);
  if (!dict)
    return success();
  DictReader keys(op, dict, "schedule");
  std::string kind = "constant";
  keys.text("kind", kind);
  choose<ScheduleKind>(keys, "kind", kind,
                       {{"constant", ScheduleKind::Constant},
                        {"linear", ScheduleKind::Linear},
                        {"cosine", ScheduleKind::Cosine}},
                       schedule.kind);
  keys.integer("warmup_steps", schedule.warmupSteps, 0);
  keys.integer("total_steps", schedule.totalSteps, 0);
  keys.number("final_fraction", schedule.finalFraction, 0, 1);
  if (schedule.kind != ScheduleKind::Constant &&
      schedule.totalSteps <= schedule.warmupSteps)
    keys.fail() << "schedule needs 'total_steps' above 'warmup_steps'";
  return keys.finish();
}

FailureOr<TrainingSpec> whale::readTrainingSpec(TrainingOp op) {
  TrainingSpec spec;
  DictReader reader(op, op.getSpec(), "training");
  if (Attribute attr = reader.take("optimizer"))
    if (DictionaryAttr dict = asDict(reader, "optimizer", attr)) {
      DictReader keys(op, dict, "optimizer");
      readOptimizerKeys(keys, spec.optimizer);
      if (failed(keys.finish()))
        return failure();
    }
  if (failed(readGroups(reader, op, spec)) ||
      failed(readSchedule(reader, op, spec.schedule)))
    return failure();
  reader.number("clip_norm", spec.clipNorm, 0, 1e12);
  reader.text("precision", spec.precision);
  if (spec.precision != "f32" && spec.precision != "bf16" &&
      spec.precision != "f64")
    reader.fail() << "precision is '" << spec.precision
                  << "', expected f32, bf16 or f64";
  reader.integer("seed", spec.seed, 0);
  reader.integer("accumulation", spec.accumulation, 1);
  if (failed(reader.finish()))
    return failure();
  return spec;
}

LogicalResult TrainingOp::verify() {
  return success(succeeded(readTrainingSpec(*this)));
}
