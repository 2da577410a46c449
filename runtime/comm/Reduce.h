//===- Reduce.h - Elementwise reduction in a fixed order --------*- C++ -*-===//

#ifndef WHALE_RUNTIME_COMM_REDUCE_H
#define WHALE_RUNTIME_COMM_REDUCE_H

#include "runtime/format/Format.h"

#include <vector>

namespace whale::runtime {

/// result[i] = inputs[0][i] op inputs[1][i] op ... for i in [first, last), in
/// this order, so that equal inputs give equal bits; then copies the block to
/// every output. 16-bit types are combined in f32 and rounded once;
/// accumulators are only summed. An output may be any of the inputs.
void reduceRange(format::DType dtype, format::Reduction reduction,
                 const std::vector<const void *> &inputs, uint64_t first,
                 uint64_t last, const std::vector<void *> &outputs,
                 uint64_t outputFirst);

} // namespace whale::runtime

#endif // WHALE_RUNTIME_COMM_REDUCE_H
