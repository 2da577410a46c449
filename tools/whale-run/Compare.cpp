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

std::map<std::string, const SavedBox *> tensorsOf(const CheckpointIndex &index) {
  std::map<std::string, const SavedBox *> out;
  for (const SavedBox &box : index.boxes)
    out.emplace(box.path, &box);
  return out;
}

} // namespace

Status compareDumps(const std::string &left, const std::string &right,
                    double tolerance, bool json, bool &within) {
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
    bool good = gap.relative() <= tolerance;
    within &= good;
    Json record{{"path", path},
                {"max_difference", gap.absolute},
                {"max_magnitude", gap.magnitude},
                {"relative", gap.relative()},
                {"within", good}};
    if (json)
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
