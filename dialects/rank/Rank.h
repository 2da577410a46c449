//===- Rank.h - the rank dialect --------------------------------*- C++ -*-===//

#ifndef WHALE_DIALECT_RANK_H
#define WHALE_DIALECT_RANK_H

#include "dialects/whale/Whale.h"

#include "dialects/rank/RankDialect.h.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/rank/RankAttrs.h.inc"
#define GET_OP_CLASSES
#include "dialects/rank/RankOps.h.inc"

#endif // WHALE_DIALECT_RANK_H
