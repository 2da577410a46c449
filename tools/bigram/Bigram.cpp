//===- Bigram.cpp - what a byte bigram model achieves ---------------------===//
//
//   whale-bigram FILE
//
// Prints the cross-entropy, in nats per byte, that a byte bigram model has on
// the last tenth of FILE when counted on the rest: the bar that a trained
// language model must clear. The split is that of whale-run (core/Data.h).
//
// p(b | a) = (count(a, b) + alpha) / (count(a) + 256 alpha), alpha being the
// value of a fixed grid that does best ON THE HELD-OUT TEXT. That favours the
// bigram model, so a comparison with the result errs on the strict side. The
// first byte of the held-out text is context only.
//
//===----------------------------------------------------------------------===//

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace {

constexpr int alphabetSize = 256;

/// Counts of neighbouring bytes: pairs[a][b], and totals[a] over all b.
struct Counts {
  std::array<std::array<uint64_t, alphabetSize>, alphabetSize> pairs{};
  std::array<uint64_t, alphabetSize> totals{};
};

std::optional<std::string> readFile(const char *path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream)
    return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(stream), {});
}

std::unique_ptr<Counts> countPairs(std::string_view text) {
  auto counts = std::make_unique<Counts>();
  for (size_t i = 1; i < text.size(); ++i) {
    auto first = static_cast<unsigned char>(text[i - 1]);
    auto second = static_cast<unsigned char>(text[i]);
    ++counts->pairs[first][second];
    ++counts->totals[first];
  }
  return counts;
}

/// Nats per byte of the pairs in `asked` under the model that `model` and
/// `alpha` make. Needs at least one pair.
double crossEntropy(const Counts &model, const Counts &asked, double alpha) {
  double nats = 0;
  uint64_t bytes = 0;
  for (int a = 0; a < alphabetSize; ++a) {
    double total = double(model.totals[a]) + alphabetSize * alpha;
    for (int b = 0; b < alphabetSize; ++b) {
      double probability = (double(model.pairs[a][b]) + alpha) / total;
      nats -= double(asked.pairs[a][b]) * std::log(probability);
    }
    bytes += asked.totals[a];
  }
  return nats / double(bytes);
}

double bestCrossEntropy(const Counts &model, const Counts &asked) {
  double best = HUGE_VAL;
  for (double alpha = 1e-4; alpha < 10; alpha *= 2)
    best = std::min(best, crossEntropy(model, asked, alpha));
  return best;
}

int fail(const char *message, const char *name) {
  std::fprintf(stderr, "error: %s '%s'\n", message, name);
  return 1;
}

} // namespace

int main(int argc, char **argv) {
  if (argc != 2) {
    std::fputs("usage: whale-bigram FILE\n", stderr);
    return 1;
  }
  auto file = readFile(argv[1]);
  if (!file)
    return fail("cannot read", argv[1]);
  std::string_view text = *file;
  size_t trained = text.size() - text.size() / 10;
  auto heldOut = countPairs(text.substr(trained));
  if (text.size() - trained < 2)
    return fail("there is no pair of bytes to predict in", argv[1]);
  double nats =
      bestCrossEntropy(*countPairs(text.substr(0, trained)), *heldOut);
  std::printf("%.6f\n", nats);
  return 0;
}
