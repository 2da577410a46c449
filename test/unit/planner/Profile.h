//===- Profile.h - measured layers as a planning problem --------*- C++ -*-===//
//
// Published profiles (profiles/*.csv: time, parameters and cut size of each
// layer) as a workload whose ops take just that long: a device does one FLOP a
// nanosecond, reads memory for nothing, and a layer has as many FLOPs as
// nanoseconds. So the planner's own search answers for other planners' inputs.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_TEST_PLANNER_PROFILE_H
#define WHALE_TEST_PLANNER_PROFILE_H

#include "compiler/workload/Workload.h"

#include <string>
#include <vector>

namespace whale::test {

struct ProfiledLayer {
  std::string name;
  /// How many equal ones come after each other.
  int64_t count = 1;
  /// Nanoseconds of one sample.
  int64_t forward = 0, backward = 0;
  int64_t parameterBytes = 0;
  /// Of one sample, to whatever comes after the layer.
  int64_t sentBytes = 0;

  int64_t time() const { return forward + backward; }
};

struct Profile {
  std::string name;
  std::vector<ProfiledLayer> layers;

  /// One entry for each layer.
  std::vector<ProfiledLayer> unrolled() const;
  int64_t samplesTime() const;
  int64_t parameterBytes() const;
};

/// profiles/NAME.csv.
Profile readProfile(const std::string &name);

/// A step of `batch` samples; half of the backward time is the weights'
/// gradient. No optimizer.
workload::Workload workloadOf(const Profile &profile, int64_t batch);

/// An embedding, so many equal layers and a head, of these classes, without
/// their state.
workload::Workload layeredModel(std::string name, int64_t batch, int64_t layers,
                                std::vector<workload::ModuleClass> classes);

} // namespace whale::test

#endif // WHALE_TEST_PLANNER_PROFILE_H
