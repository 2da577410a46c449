//===- Passes.td - partitioning -------------------------------------------===//

include "mlir/Pass/PassBase.td"

def WhalePartition : Pass<"whale-partition", "::mlir::ModuleOp"> {
  let summary = "cuts the flat step into one program per role";
  let description = [{
    Takes a model with flat modules `@step` and `@eval` and the attribute
    `strategy` (the tree as JSON text); leaves `rank.program`s and the module
    attribute `rank.table`, which says of every rank its role, coordinates,
    samples, communicators, peers and scalars. Example: a product whose
    contracted dimension is split gives a partial sum, which is all-reduced
    where it is used.

    ```mlir
    %y = whale.einsum "a k, k b -> a b" %x, %w {split = [[0, 2]], ...}
    // becomes
    %y = whale.einsum "a k, k b -> a b" %x_local, %w_local
    %s = rank.all_reduce sum %y group 0
    ```
  }];
  let dependentDialects = ["::rank::RankDialect"];
}
