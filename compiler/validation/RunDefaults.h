//===- RunDefaults.h - what a row leaves open -------------------*- C++ -*-===//

#ifndef WHALE_VALIDATION_RUNDEFAULTS_H
#define WHALE_VALIDATION_RUNDEFAULTS_H

#include "compiler/validation/MeasuredRun.h"

namespace whale::validation {

/// The run with what its table does not say, or says in the notes only: the
/// precision that the GPU is used with, the GPUs that the degrees need, the
/// mean length of samples whose padding is removed.
MeasuredRun withDefaults(MeasuredRun run);

} // namespace whale::validation

#endif // WHALE_VALIDATION_RUNDEFAULTS_H
