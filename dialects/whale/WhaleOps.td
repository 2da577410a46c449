//===- WhaleOps.td - all ops of the whale dialect -------------------------===//

#ifndef WHALE_OPS
#define WHALE_OPS

include "WhaleStructure.td"
include "WhaleElementwise.td"
include "WhaleTensor.td"

#endif // WHALE_OPS
