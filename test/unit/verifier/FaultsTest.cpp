//===- FaultsTest.cpp - planted faults are found
//---------------------------===//
//
// A table of faults. Each is planted into a valid set; static verification must
// find it, for the reason that the row names. What only numbers can show is
// listed below and is planted into real programs in test/e2e.
//
//===----------------------------------------------------------------------===//

#include "TestSet.h"

#include <catch2/catch.hpp>
#include <ctime>
#include <functional>

using namespace whale;
using namespace whale::verifier;
using namespace whale::verifier::test;
using namespace whale::format;

namespace {

struct Fault {
  const char *name;
  const char *expected; ///< part of the finding
  std::function<void(TestSet &)> plant;
};

ProgramT &first(TestSet &set) { return set.programs.at("first"); }
ProgramT &last(TestSet &set) { return set.programs.at("last"); }

auto &sectionOf(ProgramT &program, size_t index) {
  return program.sections[index]->instructions;
}

/// Removes the first instruction of type T of a section.
template <typename T>
void drop(ProgramT &program, size_t section, size_t number = 0) {
  auto &list = sectionOf(program, section);
  for (size_t i = 0; i < list.size(); ++i)
    if (list[i]->operation.type == OperationUnionTraits<T>::enum_value &&
        number-- == 0) {
      list.erase(list.begin() + static_cast<long>(i));
      return;
    }
  FAIL("nothing to drop");
}

/// Gives one rank a role of its own, a copy of the one it has.
ProgramT &split(TestSet &set, uint32_t rank) {
  const std::string role = set.manifest.ranks[rank].role;
  set.manifest.ranks[rank].role = role + "*";
  ProgramT copy(set.programs.at(role));
  copy.role = role + "*";
  return set.programs[role + "*"] = std::move(copy);
}

enum { Init, Prologue, Forward, Backward, Update };

const Fault faults[] = {
    {"collective dropped in one member", "waits for ever",
     [](TestSet &s) { drop<CollectiveT>(split(s, 1), Update); }},
    {"gradient all-reduce dropped in all", "is not updated by the whole batch",
     [](TestSet &s) { drop<CollectiveT>(first(s), Update); }},
    {"loss all-reduce dropped in all", "is not of the whole batch",
     [](TestSet &s) { drop<CollectiveT>(last(s), Update, 2); }},
    {"reduce-scatter replaced by a slice", "is not updated by the whole batch",
     [](TestSet &s) {
       auto *old = find<CollectiveT>(last(s), "update");
       CopyT copy;
       copy.src = std::move(old->input);
       copy.dst = std::move(old->output);
       copy.elementBytes = 8;
       copy.dims = {2, 4};
       copy.srcStrides = copy.dstStrides = {4, 1};
       sectionOf(last(s), Update)[0]->operation.Reset();
       sectionOf(last(s), Update)[0]->operation.Set(std::move(copy));
     }},
    {"all-gather dropped", "becomes another value",
     [](TestSet &s) {
       auto *gather = find<CollectiveT>(last(s), "update", 1);
       CopyT copy;
       copy.src = std::move(gather->input);
       copy.dst = std::move(gather->output);
       copy.elementBytes = 8;
       copy.dims = {2, 4};
       copy.srcStrides = copy.dstStrides = {4, 1};
       copy.dstOffset = std::make_unique<ScalarT>();
       copy.dstOffset->terms.push_back(Term(TermKind::RankScalar, 1, 4));
       sectionOf(last(s), Update)[3]->operation.Reset();
       sectionOf(last(s), Update)[3]->operation.Set(std::move(copy));
     }},
    {"collectives swapped in one member", "where the other",
     [](TestSet &s) {
       auto &list = sectionOf(split(s, 3), Update);
       std::swap(list[3], list[4]);
     }},
    {"wrong reduction", "reduces by 'Max'",
     [](TestSet &s) {
       find<CollectiveT>(split(s, 1), "update")->reduction = Reduction::Max;
     }},
    {"wrong kind", "makes 'Broadcast'",
     [](TestSet &s) {
       find<CollectiveT>(split(s, 1), "update")->kind =
           CollectiveKind::Broadcast;
     }},
    {"wrong group in the manifest", "is no member of communicator",
     [](TestSet &s) { s.manifest.ranks[1].groups[0] = 1; }},
    {"wrong group of its own", "is not updated by the whole batch",
     [](TestSet &s) {
       s.manifest.communicators = {{0}, {2, 3}, {1}};
       s.manifest.ranks[1].groups[0] = 2;
       first(s).groups[0]->size = 1;
     }},
    {"counts off by one", "counts of a collective",
     [](TestSet &s) {
       find<CollectiveT>(last(s), "update")->counts = {8, 9};
     }},
    {"counts differ between members", "has counts",
     [](TestSet &s) {
       find<CollectiveT>(split(s, 3), "update")->counts = {8, 8};
     }},
    {"wrong type of elements", "has type 'f64' where",
     [](TestSet &s) {
       auto *c = find<CollectiveT>(split(s, 1), "update");
       c->input->dtype = c->output->dtype = DType::I64;
     }},
    {"wrong neighbour", "waits for ever",
     [](TestSet &s) { s.manifest.ranks[0].peers[0] = 3; }},
    {"dropped send", "waits for ever",
     [](TestSet &s) { drop<SendT>(first(s), Forward); }},
    {"dropped receive", "is never received",
     [](TestSet &s) {
       drop<ReceiveT>(first(s), Backward);
       FillT fill;
       fill.operand = std::make_unique<OperandT>(
           *find<ContractT>(first(s), "backward")->b);
       auto instruction = std::make_unique<InstructionT>();
       instruction->operation.Set(std::move(fill));
       auto &list = sectionOf(first(s), Backward);
       list.insert(list.begin(), std::move(instruction));
     }},
    {"duplicated receive", "receives another micro-batch",
     [](TestSet &s) {
       auto &list = sectionOf(first(s), Backward);
       list.insert(list.begin(), std::make_unique<InstructionT>(*list[0]));
     }},
    {"wrong tag", "waits for ever",
     [](TestSet &s) { find<SendT>(last(s), "backward")->tag = 9; }},
    {"wrong size of a message", "receives 64 bytes",
     [](TestSet &s) {
       find<ReceiveT>(last(s), "forward")->operand->dims = {1, 4};
     }},
    {"receive before send on both sides", "a circle",
     [](TestSet &s) {
       auto &schedule = first(s).entries[1]->schedule;
       std::swap(schedule[1], schedule[3]);
     }},
    {"slice leaves its operand", "copy leaves its source",
     [](TestSet &s) {
       find<CopyT>(last(s), "update")->srcOffset->constant = 8;
     }},
    {"overlapping buffers", "of which a part has been overwritten",
     [](TestSet &s) {
       // labels land half on y, which the loss reads afterwards.
       auto *product = find<ContractT>(last(s), "forward");
       auto &list = sectionOf(last(s), Forward);
       std::swap(list[1], list[2]);
       auto *labels = find<InputT>(last(s), "forward");
       labels->operand->offset = product->c->offset + 32;
     }},
    {"temporary on a variable", "is overwritten in part",
     [](TestSet &s) {
       // Nothing reads w0 after the forward visits in this variant.
       drop<LaunchT>(first(s), Update);
       const uint64_t w = first(s).variables[0]->operand->offset;
       find<ReceiveT>(first(s), "backward")->operand->offset = w + 64;
       find<ContractT>(first(s), "backward")->b->offset = w + 64;
     }},
    {"one slot too few", "which holds another micro-batch",
     [](TestSet &s) {
       for (auto &section : first(s).sections)
         for (auto &i : section->instructions) {
           if (auto *input = i->operation.AsInput())
             input->operand->slots = 1;
           if (auto *c = i->operation.AsContract())
             c->a->slots = 1;
         }
     }},
    {"used before defined", "which nothing has written before",
     [](TestSet &s) {
       auto &list = sectionOf(last(s), Forward);
       std::swap(list[2], list[3]);
     }},
    {"accumulator not cleared", "which nothing has written before",
     [](TestSet &s) { drop<FillT>(first(s), Prologue); }},
    {"product that does not accumulate", "is not updated by the whole batch",
     [](TestSet &s) {
       find<ContractT>(first(s), "backward")->accumulate = false;
     }},
    {"input rows shifted", "are read by",
     [](TestSet &s) { s.manifest.ranks[0].scalars[0] = 1; }},
    {"input rows repeated", "twice",
     [](TestSet &s) {
       auto *input = find<InputT>(first(s), "forward");
       input->offsets[0]->terms.erase(input->offsets[0]->terms.begin() + 1);
     }},
    {"share and rows of one rank shifted", "are read by",
     [](TestSet &s) {
       for (auto &rank : s.manifest.ranks)
         if (rank.firstSample == 4)
           rank.firstSample = rank.scalars[0] = 3;
     }},
    {"wrong shard of the optimizer", "no rank holds element",
     [](TestSet &s) { s.manifest.ranks[3].scalars[1] = 0; }},
    {"variables overlap", "overlap",
     [](TestSet &s) {
       last(s).variables[1]->operand->offset =
           last(s).variables[0]->operand->offset + 64;
     }},
    {"metric by two ranks", "is reported twice",
     [](TestSet &s) { s.manifest.ranks[3].scalars[2] = 0; }},
    {"metric by no rank", "is reported by no rank",
     [](TestSet &s) { s.manifest.ranks[2].scalars[2] = 1; }},
    {"micro-batch left out", "the rank's share is",
     [](TestSet &s) {
       for (auto *p : {&first(s), &last(s)}) {
         auto &schedule = p->entries[1]->schedule;
         for (size_t i = schedule.size(); i-- > 0;)
           if ((schedule[i].section() == 2 || schedule[i].section() == 3) &&
               schedule[i].microBatch() == 1)
             schedule.erase(schedule.begin() + static_cast<long>(i));
       }
     }},
    {"micro-batch visited twice", "",
     [](TestSet &s) {
       for (auto *p : {&first(s), &last(s)}) {
         auto &schedule = p->entries[1]->schedule;
         schedule.insert(schedule.end() - 1, {Visit(2, 1), Visit(3, 1)});
       }
     }},
    {"micro-batches in another order on one stage",
     "receives another micro-batch",
     [](TestSet &s) {
       first(s).entries[1]->schedule = {Visit(1, 0), Visit(2, 1), Visit(2, 0),
                                        Visit(3, 0), Visit(3, 1), Visit(4, 0)};
     }},
    {"variable not initialised", "is not initialised",
     [](TestSet &s) { drop<FillT>(last(s), Init); }},
    {"replicas initialised differently", "becomes another value",
     [](TestSet &s) {
       auto &scalar = find<CallT>(first(s), "init")->scalars[1];
       scalar->terms.push_back(Term(TermKind::RankScalar, 0, 1));
     }},
    {"update twice on one replica", "becomes another value",
     [](TestSet &s) {
       ProgramT &program = split(s, 1);
       auto &list = sectionOf(program, Update);
       list.push_back(std::make_unique<InstructionT>(*list.back()));
       s.programs.at("first") = std::move(program);
       s.programs.at("first").role = "first";
       s.programs.erase("first*");
       s.manifest.ranks[1].role = "first";
       // Rank 0 runs it too, with its own gradient in between.
       auto &both = sectionOf(first(s), Update);
       std::swap(both[0], both[1]);
     }},
    {"operand beyond the arena", "leaves the arena",
     [](TestSet &s) { first(s).arenaBytes -= 64; }},
    {"kernel with unknown access", "does not say",
     [](TestSet &s) { first(s).kernels[0]->access.clear(); }},
};

std::string findingsOf(TestSet &set) {
  Diagnostics diags;
  bool proved = verifyPrograms(set.manifest, set.programs, diags);
  CHECK(proved == !diags.hasErrors());
  return diags.str();
}

} // namespace

TEST_CASE("valid sets are proved") {
  for (unsigned microBatches : {1, 2, 4})
    for (unsigned replicas : {1, 2}) {
      CAPTURE(microBatches, replicas);
      TestSet set = makeTestSet(microBatches, replicas);
      CHECK(findingsOf(set) == "");
    }
  TestSet wide = makeWideSet(8, 3);
  CHECK(findingsOf(wide) == "");
}

TEST_CASE("planted faults are found") {
  for (const Fault &fault : faults) {
    TestSet set = makeTestSet();
    fault.plant(set);
    std::string findings = findingsOf(set);
    INFO(fault.name);
    CHECK_THAT(findings, Catch::Contains("error: "));
    CHECK_THAT(findings, Catch::Contains(fault.expected));
  }
}

TEST_CASE("what a kernel writes is of what feeds it, and of nothing else") {
  auto findings = [](size_t buffer, std::vector<uint32_t> from) {
    TestSet set = makeFusedSet();
    set.programs.at("fused").kernels[0]->feeds[buffer]->buffers =
        std::move(from);
    return findingsOf(set);
  };
  CHECK(findings(1, {0, 1}) == "");
  // The whole variable with a half of the other, another one on each rank; the
  // half with the whole.
  CHECK_THAT(findings(1, {0, 1, 2}),
             Catch::Contains("variable 'w' becomes another value"));
  CHECK(findings(2, {0, 1, 2}) == "");
  CHECK_THAT(findings(2, {2}), Catch::Contains("'t' is updated without any"));
  CHECK_THAT(findings(1, {0, 3}),
             Catch::Contains("uses buffer 3, which it does not read"));
  // Nothing said: all that is read may be in all.
  TestSet set = makeFusedSet();
  set.programs.at("fused").kernels[0]->feeds.clear();
  CHECK_THAT(findingsOf(set),
             Catch::Contains("variable 'w' becomes another value"));
}

TEST_CASE("a finding names rank, role, instruction and model line") {
  TestSet set = makeTestSet();
  find<SendT>(last(set), "backward")->tag = 9;
  CHECK(findingsOf(set) ==
        "model.mlir:7:3: error: waits for ever, at instruction 0 of section "
        "'backward' for a message of rank 2 with tag 2 (rank 0, role 'first', "
        "entry 'step', section 'backward', instruction 0, op 'first')\n"
        "model.mlir:7:3: note: rank 2 has finished\n");
}

/// Processor time that a proof of so many ranks of ten roles takes.
static double proofTime(uint32_t ranks) {
  TestSet set = makeWideSet(ranks, 100);
  for (uint32_t rank = 0; rank < ranks; ++rank)
    set.manifest.ranks[rank].role = "wide" + std::to_string(rank % 10);
  for (unsigned i = 0; i < 10; ++i) {
    ProgramT copy(set.programs.at("wide"));
    copy.role = "wide" + std::to_string(i);
    const std::string role = copy.role;
    set.programs[role] = std::move(copy);
  }
  set.programs.erase("wide");
  const std::clock_t start = std::clock();
  CHECK(findingsOf(set) == "");
  return static_cast<double>(std::clock() - start);
}

TEST_CASE("a proof takes time by the number of ranks, and no more") {
  // Two times that, for noise: a square would be four times.
  CHECK(proofTime(1024) < 2 * 4 * proofTime(256));
}
