//===- FaultsTest.cpp - faults in compiled programs are found
//--------------===//
//
// Each fault is planted into compiled programs. Static verification must find
// it, or the comparison with one rank must: the table says which. Faults that
// are planted into synthetic programs are in test/unit/verifier.
//
//===----------------------------------------------------------------------===//

#include "Matrix.h"
#include "Programs.h"

#include "compiler/verifier/Verifier.h"

#include <catch2/catch.hpp>
#include <functional>
#include <span>

using namespace e2e;
using namespace whale::format;
using whale::runtime::ProgramSet;

namespace {

enum class FoundBy { Static, Numbers };

struct Fault {
  const char *name;
  FoundBy by;
  /// False where there is nothing to plant it into.
  std::function<bool(ProgramSet &)> plant;
};

/// Calls `change` for every operation of type T that entry `step` runs until
/// it returns true; program by program.
template <typename T>
bool change(ProgramSet &set, const std::function<bool(T &)> &edit,
            bool everywhere = false) {
  bool any = false;
  for (auto &[role, program] : set.programs)
    for (auto &section : program.sections) {
      if (section->name.rfind("step", 0) != 0)
        continue;
      for (auto &i : section->instructions) {
        if (i->operation.type != OperationUnionTraits<T>::enum_value ||
            !edit(*static_cast<T *>(i->operation.value)))
          continue;
        any = true;
        if (!everywhere)
          return true;
      }
    }
  return any;
}

/// Removes instructions of type T that `choose` takes, in all programs.
template <typename T>
bool drop(ProgramSet &set, const std::function<bool(const T &)> &choose,
          bool everywhere = true) {
  bool any = false;
  for (auto &[role, program] : set.programs)
    for (auto &section : program.sections) {
      if (section->name.rfind("step", 0) != 0)
        continue;
      auto &list = section->instructions;
      for (size_t i = list.size(); i-- > 0;) {
        if (list[i]->operation.type != OperationUnionTraits<T>::enum_value ||
            (any && !everywhere) ||
            !choose(*static_cast<T *>(list[i]->operation.value)))
          continue;
        any = true;
        list.erase(list.begin() + static_cast<long>(i));
      }
    }
  return any;
}

bool isInPlace(const CollectiveT &c) {
  return c.input->offset == c.output->offset;
}

auto stepOf(ProgramT &program) {
  for (auto &entry : program.entries)
    if (entry->name == entryStep)
      return entry.get();
  return static_cast<EntryT *>(nullptr);
}

const Fault faults[] = {
    {"all-reduces dropped", FoundBy::Static,
     [](ProgramSet &s) {
       return drop<CollectiveT>(s, [](const CollectiveT &c) {
         return c.kind == CollectiveKind::AllReduce && isInPlace(c);
       });
     }},
    // Where the rest brings the ranks together again, only numbers show it:
    // the maximum before a softmax over a split vocabulary.
    {"one collective dropped", FoundBy::Numbers,
     [](ProgramSet &s) {
       return drop<CollectiveT>(
           s, [](const CollectiveT &c) { return isInPlace(c); }, false);
     }},
    {"sends dropped", FoundBy::Static,
     [](ProgramSet &s) {
       return drop<SendT>(
           s, [](const SendT &) { return true; }, false);
     }},
    {"tags swapped", FoundBy::Static,
     [](ProgramSet &s) {
       return change<SendT>(s, [](SendT &send) {
         send.tag += 1000;
         return true;
       });
     }},
    {"sums not cleared", FoundBy::Static,
     [](ProgramSet &s) {
       return drop<FillT>(s, [](const FillT &) { return true; });
     }},
    {"products that do not accumulate", FoundBy::Static,
     [](ProgramSet &s) {
       return change<ContractT>(
           s,
           [](ContractT &c) {
             bool had = c.accumulate;
             c.accumulate = false;
             return had;
           },
           true);
     }},
    {"slots of a residual", FoundBy::Static,
     [](ProgramSet &s) {
       return change<ContractT>(
           s,
           [](ContractT &c) {
             bool had = c.a->slots > 1 || c.b->slots > 1;
             c.a->slots = c.b->slots = 1;
             return had;
           },
           true);
     }},
    {"all ranks read the first rows", FoundBy::Static,
     [](ProgramSet &s) {
       return change<InputT>(s, [](InputT &input) {
         auto &terms = input.offsets[0]->terms;
         return std::erase_if(terms, [](const Term &term) {
                  return term.kind() == TermKind::RankScalar;
                }) > 0;
       });
     }},
    {"last micro-batch left out", FoundBy::Static,
     [](ProgramSet &s) {
       bool any = false;
       for (auto &[role, program] : s.programs) {
         auto &schedule = stepOf(program)->schedule;
         uint32_t last = 0;
         for (const Visit &visit : schedule)
           last = std::max(last, visit.microBatch());
         any |= last > 0;
         for (size_t i = schedule.size(); last > 0 && i-- > 0;)
           if (schedule[i].microBatch() == last)
             schedule.erase(schedule.begin() + static_cast<long>(i));
       }
       return any;
     }},
    {"metric by every rank", FoundBy::Static,
     [](ProgramSet &s) {
       return s.programs.size() < s.manifest.ranks.size() &&
              change<MetricT>(
                  s,
                  [](MetricT &metric) {
                    bool had = metric.onlyIfZero != nullptr;
                    metric.onlyIfZero.reset();
                    metric.combine = Combine::Sum;
                    return had;
                  },
                  true);
     }},
    {"reads of a kernel shifted", FoundBy::Static,
     [](ProgramSet &s) {
       return change<ContractT>(s, [](ContractT &c) {
         c.a->offset += 64;
         return true;
       });
     }},
    {"scale of a product", FoundBy::Numbers,
     [](ProgramSet &s) {
       return change<ContractT>(s, [](ContractT &c) {
         c.alpha = 0.5;
         return true;
       });
     }},
    {"weight of the loss", FoundBy::Numbers,
     [](ProgramSet &s) {
       return change<MetricT>(
           s,
           [](MetricT &metric) {
             metric.weight *= 2;
             return true;
           },
           true);
     }},
    {"random numbers of another op", FoundBy::Numbers,
     [](ProgramSet &s) {
       bool any = false;
       for (auto &[role, program] : s.programs)
         for (auto &section : program.sections)
           for (auto &i : section->instructions)
             if (auto *call = i->operation.AsCall())
               if (call->function == "init_normal" && !any) {
                 call->ints[0] += 1;
                 any = true;
               }
       return any;
     }},
    {"maximum instead of sum", FoundBy::Numbers,
     [](ProgramSet &s) {
       return change<CollectiveT>(
           s,
           [](CollectiveT &c) {
             bool sums = c.kind == CollectiveKind::AllReduce &&
                         c.reduction == Reduction::Sum;
             c.reduction = Reduction::Max;
             return sums;
           },
           true);
     }},
    {"transposed operand", FoundBy::Numbers,
     [](ProgramSet &s) {
       return change<ContractT>(s, [](ContractT &c) {
         if (c.m != c.k || c.lda != c.m || !c.batch.empty())
           return false;
         c.transA = !c.transA;
         return true;
       });
     }},
};

bool dropAll(ProgramSet &set, CollectiveKind kind) {
  return drop<CollectiveT>(
      set, [kind](const CollectiveT &c) { return c.kind == kind; });
}

/// Calls `edit` for every variable whose path ends in `name`; role by role.
bool changeVariables(ProgramSet &set, const std::string &name,
                     const std::function<bool(VariableT &)> &edit) {
  bool any = false;
  for (auto &[role, program] : set.programs)
    for (auto &variable : program.variables)
      if (variable->path.ends_with(name))
        any |= edit(*variable);
  return any;
}

/// Offset `last` - x instead of x.
void mirror(ScalarT &offset, int64_t last) {
  std::vector<Term> terms;
  for (const Term &term : offset.terms)
    terms.emplace_back(term.kind(), term.index(), -term.coefficient());
  offset.terms = terms;
  offset.constant = last - offset.constant;
}

/// Every rank holds the part of variable `name` of the rank that mirrors it,
/// from its initialisation on. Equal parts, so the variable is still whole.
bool mirrorOwners(ProgramSet &set, const std::string &name) {
  bool any = false;
  for (auto &[role, program] : set.programs)
    for (auto &variable : program.variables) {
      if (!variable->path.ends_with(name) ||
          variable->offsets[0]->terms.empty())
        continue;
      int64_t last = variable->globalDims[0] - variable->operand->dims[0];
      mirror(*variable->offsets[0], last);
      for (auto &section : program.sections)
        for (auto &i : section->instructions)
          if (auto *call = i->operation.AsCall();
              call && call->function.rfind("init_", 0) == 0 &&
              call->operands[0]->offset == variable->operand->offset)
            mirror(*call->scalars[1], last);
      any = true;
    }
  return any;
}

/// Sums every product of the size of a part of variable `name` over the group
/// of the first collective of `kind`, as if the part were a copy.
bool sumProducts(ProgramSet &set, const std::string &name,
                 CollectiveKind kind) {
  bool any = false;
  for (auto &[role, program] : set.programs) {
    uint64_t elements = 0;
    for (const auto &variable : program.variables)
      if (variable->path.ends_with(name))
        elements = *elementsOf(variable->operand->dims);
    std::optional<uint32_t> group;
    for (auto &section : program.sections)
      for (auto &i : section->instructions)
        if (auto *c = i->operation.AsCollective(); c && c->kind == kind)
          group = group.value_or(c->group);
    for (auto &section : program.sections) {
      auto &list = section->instructions;
      for (size_t i = 0; group && i < list.size(); ++i) {
        auto *product = list[i]->operation.AsContract();
        if (!product || section->name.rfind("step", 0) != 0 ||
            *elementsOf(product->c->dims) != elements)
          continue;
        CollectiveT sum;
        sum.kind = CollectiveKind::AllReduce;
        sum.group = *group;
        sum.input = std::make_unique<OperandT>(*product->c);
        sum.output = std::make_unique<OperandT>(*product->c);
        auto added = std::make_unique<InstructionT>();
        added->operation.Set(std::move(sum));
        list.insert(list.begin() + static_cast<long>(++i), std::move(added));
        any = true;
      }
    }
  }
  return any;
}

/// What a split on the devices of replicas adds.
const Fault colocationFaults[] = {
    {"all-to-alls dropped", FoundBy::Static,
     [](ProgramSet &s) { return dropAll(s, CollectiveKind::AllToAll); }},
    {"reduce-scatters dropped", FoundBy::Static,
     [](ProgramSet &s) { return dropAll(s, CollectiveKind::ReduceScatter); }},
    {"all-gathers dropped", FoundBy::Static,
     [](ProgramSet &s) { return dropAll(s, CollectiveKind::AllGather); }},
    {"all ranks own the first experts", FoundBy::Static,
     [](ProgramSet &s) {
       return changeVariables(s, "/up.weight", [](VariableT &variable) {
         size_t terms = variable.offsets[0]->terms.size();
         variable.offsets[0]->terms.clear();
         return terms > 0;
       });
     }},
    {"experts on each other's rank", FoundBy::Numbers,
     [](ProgramSet &s) { return mirrorOwners(s, "/up.weight"); }},
    {"experts' gradients summed over their owners", FoundBy::Numbers,
     [](ProgramSet &s) {
       return sumProducts(s, "experts/up.weight", CollectiveKind::AllToAll);
     }},
    {"classifier's gradient summed over its owners", FoundBy::Numbers,
     [](ProgramSet &s) {
       return sumProducts(s, "classifier.weight",
                          CollectiveKind::ReduceScatter);
     }},
    {"rows of experts on all ranks as on the first", FoundBy::Numbers,
     [](ProgramSet &s) {
       return change<CallT>(
           s,
           [](CallT &call) {
             if (call.function != "expert_matmul")
               return false;
             call.scalars.clear();
             return true;
           },
           true);
     }},
    {"parts of an all-to-all exchanged", FoundBy::Static,
     [](ProgramSet &s) {
       return change<CollectiveT>(
           s,
           [](CollectiveT &c) {
             if (c.receiveCounts.empty() ||
                 c.receiveCounts.front() == c.receiveCounts.back())
               return false;
             std::swap(c.receiveCounts.front(), c.receiveCounts.back());
             return true;
           },
           true);
     }},
};

/// What finds the fault; empty = nothing does.
std::string findingOf(const ProgramSet &set, const ModelCase &model,
                      FoundBy &by) {
  whale::Diagnostics diags;
  by = FoundBy::Static;
  if (!whale::verifier::verifyPrograms(set.manifest, set.programs, diags))
    return diags.str();
  by = FoundBy::Numbers;
  RunResult result = run(set, 1);
  return result.error.empty() ? compare(result, oneRank(model), tolerance, true)
                              : result.error;
}

void plantAll(std::span<const Fault> faults, const ModelCase &model,
              const Node &plan, std::map<std::string, int> &planted) {
  std::string error;
  auto compiled = build(model, plan, error);
  INFO(error);
  REQUIRE(compiled);
  for (const Fault &fault : faults) {
    ProgramSet set;
    set.directory = compiled->set.directory;
    set.manifest = compiled->set.manifest;
    for (const auto &[role, program] : compiled->set.programs)
      set.programs.emplace(role, ProgramT(program));
    if (!fault.plant(set))
      continue;
    ++planted[fault.name];
    FoundBy by;
    std::string finding = findingOf(set, model, by);
    INFO(fault.name << " in " << whale::planner::printStrategy(plan));
    CAPTURE(finding);
    CHECK(finding != "");
    if (fault.by == FoundBy::Static)
      CHECK(by == FoundBy::Static);
  }
}

void checkPlanted(std::span<const Fault> faults,
                  std::map<std::string, int> &planted) {
  for (const Fault &fault : faults) {
    INFO(fault.name);
    CHECK(planted[fault.name] > 0);
  }
}

} // namespace

TEST_CASE("faults in compiled programs are found", "[faults]") {
  const ModelCase gpt{"gpt-tiny", {}};
  const std::vector<std::string> dims = {"heads", "ffn", "vocabulary"};
  std::map<std::string, int> planted;
  plantAll(faults, gpt, replica(2, {split(2, dims)}), planted);
  plantAll(faults, gpt, shares({3, 5}), planted);
  plantAll(faults, gpt, zero(2), planted);
  plantAll(faults, gpt,
           pipeline(4, {stage({"embeddings", "layers.0"}),
                        stage({"layers.1", "head"})}),
           planted);
  checkPlanted(faults, planted);
}

TEST_CASE("faults of splits on replicas' devices are found", "[faults]") {
  const Node experts = colocated({"experts"}, {"layers.*/experts"});
  std::map<std::string, int> planted;
  plantAll(colocationFaults, {"m6-tiny", {}}, replica(2, {experts}), planted);
  plantAll(colocationFaults, {"m6-tiny", {}}, shares({2, 6}, {experts}),
           planted);
  plantAll(colocationFaults, {"mixtral-tiny", {}}, replica(2, {experts}),
           planted);
  plantAll(colocationFaults, {"resnet-tiny", {}},
           replica(2, {colocated({"classes"}, {"head"})}), planted);
  checkPlanted(colocationFaults, planted);
}
