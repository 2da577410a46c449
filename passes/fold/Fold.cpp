//===- Fold.cpp - a flat model back into modules --------------------------===//
//
// Problem: find the repeated blocks of a flat @main and write each once.
// Objective: fewest ops written; what saves most is folded first.
// Guarantee: exact equality of the blocks, computed values unchanged; greedy in
// the choice among overlapping repetitions.
// Complexity: near linear: O(n log^2 n) for the repetitions, and matching is
// bounded by `workPerOp` comparisons for each op.
//
//===----------------------------------------------------------------------===//

#include "passes/fold/Fold.h"

#include "dialects/whale/TrainingSpec.h"
#include "passes/fold/Outline.h"

#include "mlir/IR/OperationSupport.h"

#include <deque>
#include <set>

using namespace mlir;
using namespace whale;
using namespace whale::fold;

/// Starts that are tried for one repetition.
static constexpr size_t startsPerRepeat = 8;
/// Compared ops per op of the module, before the search for blocks ends. A
/// transformer needs about 2.
static constexpr size_t workPerOp = 200;

//===----------------------------------------------------------------------===//
// Which repetitions become chains
//===----------------------------------------------------------------------===//

namespace {
struct SavesMore {
  bool operator()(const Repeat &a, const Repeat &b) const {
    return savesMore(a, b) || (!savesMore(b, a) && a.end < b.end);
  }
};

/// Picks chains that do not overlap, by what they save.
class ChainFinder {
public:
  using Accept = llvm::function_ref<bool(const Chain &)>;

  ChainFinder(const Sequence &sequence, Accept accept)
      : sequence(sequence), accept(accept), isTaken(sequence.size()),
        work(workPerOp * sequence.size()) {
    for (const Repeat &repeat : findRepeats(sequence.getTokens()))
      candidates.insert(repeat);
  }

  std::vector<Chain> run() {
    while (!candidates.empty() && work > 0) {
      Repeat repeat = *candidates.begin();
      candidates.erase(candidates.begin());
      if (!addFreeParts(repeat))
        take(repeat);
    }
    llvm::sort(chains, [](const Chain &a, const Chain &b) {
      return a.begin < b.begin;
    });
    return std::move(chains);
  }

private:
  void add(size_t begin, size_t end, size_t period) {
    if (begin + 2 * period <= end)
      candidates.insert({begin, end, period});
  }

  /// Where parts are taken: adds the free parts as candidates instead.
  bool addFreeParts(const Repeat &repeat) {
    bool overlaps = false;
    size_t begin = repeat.begin;
    for (size_t i = repeat.begin; i <= repeat.end; ++i) {
      if (i < repeat.end && !isTaken[i])
        continue;
      overlaps |= i < repeat.end;
      if (overlaps)
        add(begin, i, repeat.period);
      begin = i + 1;
    }
    spend(repeat.end - repeat.begin);
    return overlaps;
  }

  void take(const Repeat &repeat) {
    std::optional<Chain> best;
    for (size_t start : chooseStarts(sequence, repeat, startsPerRepeat)) {
      std::optional<Chain> chain =
          matchChain(sequence, start, repeat.period, repeat.end);
      spend(chain ? chain->blocks * chain->period : 2 * repeat.period);
      if (chain && (!best || chain->blocks > best->blocks))
        best = std::move(chain);
      if (best && best->blocks >= (repeat.end - start) / repeat.period)
        break;
    }
    if (!best || !accept(*best))
      return;
    std::fill(isTaken.begin() + best->begin, isTaken.begin() + best->end(),
              true);
    add(repeat.begin, best->begin, repeat.period);
    add(best->end(), repeat.end, repeat.period);
    chains.push_back(std::move(*best));
  }

  void spend(size_t amount) { work -= std::min(work, amount); }

  const Sequence &sequence;
  Accept accept;
  std::vector<bool> isTaken;
  size_t work;
  std::set<Repeat, SavesMore> candidates;
  std::vector<Chain> chains;
};

//===----------------------------------------------------------------------===//
// The model
//===----------------------------------------------------------------------===//

/// One place where a module stands: its path (empty or with a trailing '/') and
/// the flat names of its variables by their names there.
struct Site {
  std::string path;
  std::map<std::string, std::string> flat;
};

struct Work {
  ModuleDefOp module;
  std::vector<Site> sites;
};

class Folder {
public:
  explicit Folder(ModelOp model) : model(model), symbols(model) {
    if (TrainingOp training = model.getTraining())
      if (FailureOr<TrainingSpec> read = readTrainingSpec(training);
          succeeded(read))
        spec = *read;
  }

  PathMap run() {
    ModuleDefOp main = model.getMain();
    if (!main)
      return {};
    Site root;
    for (VariableOp op : main.getBody().front().getOps<VariableOp>())
      root.flat[op.getName().str()] = op.getName().str();
    queue.push_back({main, {root}});
    PathMap paths;
    // New modules are put at the end.
    for (size_t i = 0; i < queue.size(); ++i) {
      fold(i);
      for (const Site &site : queue[i].sites)
        if (!site.path.empty())
          for (const auto &[name, flat] : site.flat)
            paths[site.path + name] = flat;
    }
    return paths;
  }

private:
  void fold(size_t index);
  /// Names the chain and says whether it may be folded.
  bool accept(const Sequence &sequence, const Chain &chain, Work &work);
  const ParameterGroup *groupOf(const std::string &path) const;
  std::vector<Site> moveSites(const Sequence &sequence, const Chain &chain,
                              const ChainNames &names, Work &work);
  /// An equal module that was made in the same round, or this one.
  size_t addModule(ModuleDefOp module, size_t firstNew);

  ModelOp model;
  SymbolTable symbols;
  TrainingSpec spec;
  std::deque<Work> queue;
  std::set<std::string> taken;
  std::map<size_t, ChainNames> namesByBegin;
  unsigned blockCount = 0;
};
} // namespace

const ParameterGroup *Folder::groupOf(const std::string &path) const {
  for (const ParameterGroup &group : spec.groups)
    if (matchPath(group.match, path))
      return &group;
  return nullptr;
}

static std::string stepPath(const Site &site, const std::string &chain,
                            size_t block) {
  return site.path + chain + "." + std::to_string(block) + "/";
}

bool Folder::accept(const Sequence &sequence, const Chain &chain, Work &work) {
  std::set<std::string> takenBefore = taken;
  ChainNames names = nameChain(sequence, chain, taken);
  for (const Site &site : work.sites)
    for (size_t block = 0; block < chain.blocks && !spec.groups.empty();
         ++block)
      for (auto [number, local] :
           llvm::zip_equal(chain.own[block], names.variables)) {
        VariableOp op = sequence.variable(number).op;
        std::string path = stepPath(site, names.chain, block) + local;
        if (groupOf(site.path + op.getName().str()) == groupOf(path))
          continue;
        op.emitWarning("the blocks of variable '")
            << op.getName() << "' stay flat: as '" << path
            << "' it would be in another parameter group";
        taken = takenBefore;
        return false;
      }
  namesByBegin[chain.begin] = std::move(names);
  return true;
}

std::vector<Site> Folder::moveSites(const Sequence &sequence,
                                    const Chain &chain, const ChainNames &names,
                                    Work &work) {
  std::vector<Site> sites;
  for (Site &site : work.sites)
    for (size_t block = 0; block < chain.blocks; ++block) {
      Site &step = sites.emplace_back();
      step.path = stepPath(site, names.chain, block);
      for (auto [number, local] :
           llvm::zip_equal(chain.own[block], names.variables)) {
        VariableOp op = sequence.variable(number).op;
        auto flat = site.flat.extract(op.getName().str());
        step.flat[local] = flat.mapped();
      }
    }
  return sites;
}

size_t Folder::addModule(ModuleDefOp module, size_t firstNew) {
  for (size_t i = firstNew; i < queue.size(); ++i)
    if (queue[i].module.getFunctionType() == module.getFunctionType() &&
        OperationEquivalence::isRegionEquivalentTo(
            &queue[i].module.getBody(), &module.getBody(),
            OperationEquivalence::IgnoreLocations)) {
      module.erase();
      return i;
    }
  std::string name;
  do
    name = "block" + std::to_string(blockCount++);
  while (symbols.lookup(name));
  module.setSymName(name);
  symbols.insert(module);
  queue.push_back({module, {}});
  return queue.size() - 1;
}

void Folder::fold(size_t index) {
  // A deque keeps references valid while modules are added.
  Work &work = queue[index];
  Sequence sequence(work.module);
  taken.clear();
  namesByBegin.clear();
  work.module.walk([&](Operation *op) {
    if (auto name = op->getAttrOfType<StringAttr>("name"))
      taken.insert(name.getValue().str());
  });
  std::vector<Chain> chains = ChainFinder(sequence, [&](const Chain &chain) {
                                return accept(sequence, chain, work);
                              }).run();
  size_t firstNew = queue.size();
  for (const Chain &chain : chains) {
    const ChainNames &names = namesByBegin[chain.begin];
    std::vector<Site> sites = moveSites(sequence, chain, names, work);
    ModuleDefOp built = buildBlock(sequence, chain, names);
    Work &target = queue[addModule(built, firstNew)];
    target.sites.insert(target.sites.end(), sites.begin(), sites.end());
    replaceBlocks(sequence, chain, names, target.module);
  }
}

PathMap fold::foldModel(ModelOp model) { return Folder(model).run(); }
