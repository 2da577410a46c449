#include "passes/lower/Contraction.h"

#include <catch2/catch.hpp>
#include <map>
#include <random>

using namespace whale;
using namespace whale::lower;

namespace {

using Extents = std::map<std::string, int64_t>;

std::vector<int64_t> shapeOf(llvm::ArrayRef<std::string> names,
                             const Extents &extents) {
  std::vector<int64_t> shape;
  for (const std::string &name : names)
    shape.push_back(extents.at(name));
  return shape;
}

int64_t sizeOf(const std::vector<int64_t> &shape) {
  int64_t size = 1;
  for (int64_t extent : shape)
    size *= extent;
  return size;
}

/// Index of a tensor at the loop values, row-major.
int64_t indexOf(llvm::ArrayRef<std::string> names, const Extents &extents,
                const Extents &loops) {
  int64_t index = 0;
  for (const std::string &name : names)
    index = index * extents.at(name) + loops.at(name);
  return index;
}

/// By definition: loops over all names.
std::vector<double> reference(const Equation &e, const Extents &extents,
                              const std::vector<double> &a,
                              const std::vector<double> &b) {
  std::vector<double> c(sizeOf(shapeOf(e.result, extents)), 0);
  Extents loops;
  for (auto &[name, extent] : extents)
    loops[name] = 0;
  for (;;) {
    c[indexOf(e.result, extents, loops)] +=
        a[indexOf(e.lhs, extents, loops)] * b[indexOf(e.rhs, extents, loops)];
    auto it = loops.begin();
    while (it != loops.end() && ++it->second == extents.at(it->first)) {
      it->second = 0;
      ++it;
    }
    if (it == loops.end())
      return c;
  }
}

/// Reorders a row-major tensor: position i of the copy is dimension order[i].
std::vector<double> permute(const std::vector<double> &from,
                            const std::vector<int64_t> &shape,
                            const StorageOrder &order, bool inverse) {
  if (order.empty())
    return from;
  std::vector<double> to(from.size());
  std::vector<int64_t> index(shape.size(), 0);
  for (size_t flat = 0; flat < from.size(); ++flat) {
    int64_t copy = 0;
    for (unsigned dim : order)
      copy = copy * shape[dim] + index[dim];
    if (inverse)
      to[flat] = from[copy];
    else
      to[copy] = from[flat];
    for (size_t i = shape.size(); i-- > 0;) {
      if (++index[i] < shape[i])
        break;
      index[i] = 0;
    }
  }
  return to;
}

std::vector<double> product(const format::ContractT &c,
                            const std::vector<double> &a,
                            const std::vector<double> &b, size_t size) {
  std::vector<double> out(size, -1e300);
  std::vector<int64_t> index(c.batch.size(), 0);
  for (;;) {
    int64_t oa = 0, ob = 0, oc = 0;
    for (size_t i = 0; i < index.size(); ++i) {
      oa += index[i] * c.batch[i].strideA();
      ob += index[i] * c.batch[i].strideB();
      oc += index[i] * c.batch[i].strideC();
    }
    for (int64_t m = 0; m < c.m; ++m)
      for (int64_t n = 0; n < c.n; ++n) {
        double sum = 0;
        for (int64_t k = 0; k < c.k; ++k)
          sum += a.at(oa + (c.transA ? k * c.lda + m : m * c.lda + k)) *
                 b.at(ob + (c.transB ? n * c.ldb + k : k * c.ldb + n));
        out.at(oc + m * c.ldc + n) = sum;
      }
    size_t i = index.size();
    while (i > 0 && ++index[i - 1] == c.batch[i - 1].extent())
      index[--i] = 0;
    if (i == 0)
      return out;
  }
}

/// Number of copies that the analysis asks for; checks the product.
int check(const std::string &text, const Extents &extents) {
  INFO(text);
  Equation e = *parseEquation(text);
  auto lhs = shapeOf(e.lhs, extents), rhs = shapeOf(e.rhs, extents),
       result = shapeOf(e.result, extents);
  std::mt19937 random(7);
  auto fill = [&](int64_t size) {
    std::vector<double> values(size);
    for (double &value : values)
      value = double(random() % 19) - 9;
    return values;
  };
  std::vector<double> a = fill(sizeOf(lhs)), b = fill(sizeOf(rhs));
  Extents used;
  for (auto *names : {&e.lhs, &e.rhs})
    for (const std::string &name : *names)
      used[name] = extents.at(name);
  std::vector<double> expected = reference(e, used, a, b);
  Contraction found = analyseContraction(e, lhs, rhs, result);
  std::vector<double> pa = permute(a, lhs, found.lhs, false),
                      pb = permute(b, rhs, found.rhs, false);
  if (found.swapped)
    std::swap(pa, pb);
  std::vector<double> stored = product(found.contract, pa, pb, expected.size());
  REQUIRE(permute(stored, result, found.result, true) == expected);
  REQUIRE(found.contract.ldc >= found.contract.n);
  REQUIRE(found.contract.lda >=
          (found.contract.transA ? found.contract.m : found.contract.k));
  REQUIRE(found.contract.ldb >=
          (found.contract.transB ? found.contract.k : found.contract.n));
  return !found.lhs.empty() + !found.rhs.empty() + !found.result.empty();
}

const Extents kExtents = {{"batch", 2},   {"sequence", 3},   {"hidden", 4},
                          {"heads", 2},   {"group", 3},      {"head", 5},
                          {"ffn", 6},     {"vocabulary", 7}, {"keys", 4},
                          {"experts", 3}, {"slot", 2}};

} // namespace

TEST_CASE("usual contractions need no copy", "[contraction]") {
  const char *equations[] = {
      "batch sequence hidden, hidden ffn -> batch sequence ffn",
      "batch sequence hidden, hidden heads group head -> batch sequence heads "
      "group head",
      "batch sequence heads group head, hidden heads group head -> batch "
      "sequence hidden",
      "batch sequence hidden, batch sequence heads group head -> hidden heads "
      "group head",
      "batch sequence heads group head, heads group head hidden -> batch "
      "sequence hidden",
      "batch sequence heads group head, batch sequence hidden -> heads group "
      "head hidden",
      "batch sequence hidden, heads group head hidden -> batch sequence heads "
      "group head",
      "batch sequence hidden, vocabulary hidden -> batch sequence vocabulary",
      "batch sequence vocabulary, batch sequence hidden -> vocabulary hidden",
      "batch sequence vocabulary, vocabulary hidden -> batch sequence hidden",
      "experts slot hidden, experts hidden ffn -> experts slot ffn",
      "experts slot hidden, experts slot ffn -> experts hidden ffn",
      "experts slot ffn, experts hidden ffn -> experts slot hidden",
      "batch sequence heads head, batch keys heads head -> batch heads "
      "sequence keys",
      "batch heads sequence keys, batch keys heads head -> batch sequence "
      "heads head",
      "batch hidden, hidden -> batch",
      "hidden, hidden -> ",
      "batch, hidden -> batch hidden",
      "hidden, hidden ffn -> ffn",
      "batch hidden, batch hidden -> batch hidden"};
  for (const char *equation : equations)
    CHECK(check(equation, kExtents) == 0);
}

TEST_CASE("odd contractions are right, with copies", "[contraction]") {
  const char *equations[] = {
      "sequence batch hidden, batch sequence ffn -> hidden ffn",
      "batch hidden, batch ffn -> hidden ffn batch",
      "batch sequence hidden, sequence batch hidden -> batch",
      "hidden batch, ffn hidden batch -> ffn batch",
      "batch sequence hidden, hidden ffn -> ffn sequence batch",
      "heads batch hidden, hidden heads ffn -> batch ffn heads",
      "batch hidden sequence, hidden ffn -> batch ffn sequence"};
  for (const char *equation : equations)
    check(equation, kExtents);
}

TEST_CASE("dimensions of extent 1 are harmless", "[contraction]") {
  Extents extents = kExtents;
  for (const char *one : {"batch", "group", "head", "hidden", "sequence"}) {
    Extents changed = extents;
    changed[one] = 1;
    check("batch sequence hidden, hidden heads group head -> batch sequence "
          "heads group head",
          changed);
    check("batch sequence hidden, batch sequence heads group head -> hidden "
          "heads group head",
          changed);
    check("batch sequence heads head, batch keys heads head -> batch heads "
          "sequence keys",
          changed);
  }
}
