//===- Compare.cpp - Two dumps, tensor by tensor --------------------------===//

#include "Job.h"

#include "runtime/core/Checkpoint.h"
#include "runtime/core/Convert.h"
#include "runtime/format/Json.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace whale::runtime {

using namespace format;

namespace {

/// Largest absolute difference, and the largest magnitude on the left.
struct Difference {
  double absolute = 0;
  double magnitude = 0;
  double relative() const {
    return magnitude > 0 ? absolute / magnitude : absolute;
  }
};

Difference differenceOf(DType dtype, const std::vector<std::byte> &left,
                        const std::vector<std::byte> &right) {
  Difference out;
  for (uint64_t i = 0; i < left.size() / bytesOf(dtype); ++i) {
    double a = loadNumber(dtype, left.data(), i);
    double b = loadNumber(dtype, right.data(), i);
    double gap = a == b ? 0 : std::abs(a - b);
    // A NaN on one side is an infinite difference.
    out.absolute = std::max(out.absolute, gap != gap ? INFINITY : gap);
    out.magnitude = std::max(out.magnitude, std::abs(a));
  }
  return out;
}

/// Index of the first element of other bits, as "[1, 2]" in the tensor, and
/// the two numbers; null where all are equal.
Json firstOtherBits(const SavedBox &box, const std::vector<std::byte> &left,
                    const std::vector<std::byte> &right) {
  auto found = std::mismatch(left.begin(), left.end(), right.begin()).first;
  if (found == left.end())
    return nullptr;
  uint64_t at = uint64_t(found - left.begin()) / bytesOf(box.dtype);
  const double a = loadNumber(box.dtype, left.data(), at);
  const double b = loadNumber(box.dtype, right.data(), at);
  std::vector<uint64_t> index(box.box.globalDims.size());
  for (size_t d = index.size(); d-- > 0;) {
    index[d] = at % uint64_t(box.box.globalDims[d]);
    at /= uint64_t(box.box.globalDims[d]);
  }
  return Json{{"index", index}, {"left", a}, {"right", b}};
}

std::map<std::string, const SavedBox *> tensorsOf(const CheckpointIndex &index) {
  std::map<std::string, const SavedBox *> out;
  for (const SavedBox &box : index.boxes)
    out.emplace(box.path, &box);
  return out;
}

} // namespace

Status compareDumps(const std::string &left, const std::string &right,
                    const CompareOptions &options, bool &within) {
  Result<CheckpointIndex> a = readIndex(left), b = readIndex(right);
  if (a.failed())
    return a.status();
  if (b.failed())
    return b.status();
  auto tensors = tensorsOf(*a), others = tensorsOf(*b);
  within = true;
  for (const auto &[path, box] : tensors) {
    if (!others.count(path))
      return badInput("'" + right + "' has no '" + path + "'");
    Result<std::vector<std::byte>> dataA = assemble(*a, path),
                                   dataB = assemble(*b, path);
    if (dataA.failed())
      return dataA.status();
    if (dataB.failed())
      return dataB.status();
    if (dataA->size() != dataB->size() || others[path]->dtype != box->dtype)
      return badInput("'" + path + "' differs in type or shape");
    Difference gap = differenceOf(box->dtype, *dataA, *dataB);
    const Json other = firstOtherBits(*box, *dataA, *dataB);
    bool good =
        options.bits ? other.is_null() : gap.relative() <= options.tolerance;
    within &= good;
    Json record{{"path", path},
                {"max_difference", gap.absolute},
                {"max_magnitude", gap.magnitude},
                {"relative", gap.relative()},
                {"first_other_bits", other},
                {"within", good}};
    if (options.json)
      std::printf("%s\n", printJson(record).c_str());
    else
      std::printf("%s %-48s difference %.3g of %.3g (%.3g)\n",
                  good ? "ok  " : "DIFF", path.c_str(), gap.absolute,
                  gap.magnitude, gap.relative());
  }
  for (const auto &[path, box] : others)
    if (!tensors.count(path))
      return badInput("'" + left + "' has no '" + path + "'");
  return Status();
}

} // namespace whale::runtime
