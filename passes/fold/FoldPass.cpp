//===- FoldPass.cpp - --whale-fold ----------------------------------------===//

#include "passes/fold/Fold.h"
#include "passes/fold/Passes.h"

namespace whale {
#define GEN_PASS_DEF_FOLD
#define GEN_PASS_REGISTRATION
#include "passes/fold/Passes.h.inc"
} // namespace whale

using namespace mlir;
using namespace whale;

namespace {
struct Fold : whale::impl::FoldBase<Fold> {
  using FoldBase::FoldBase;

  void runOnOperation() final {
    ModelOp model = getOperation();
    fold::PathMap paths = fold::foldModel(model);
    if (!names || paths.empty())
      return;
    SmallVector<NamedAttribute> entries;
    Builder builder(model);
    for (const auto &[path, flat] : paths)
      entries.push_back(
          builder.getNamedAttr(path, builder.getStringAttr(flat)));
    model->setAttr("flat_names", builder.getDictionaryAttr(entries));
  }
};
} // namespace

void whale::registerWhaleFoldPasses() { registerFoldPass(); }
