// Annotations, places, comments and names that ops have anyway do not count;
// numbers do.
// RUN: whale-opt %s --whale-model-hash -o /dev/null > %t.plain
// RUN: sed -e 's:// BEGIN:whale.replica 2 {:; s:// END:}:' %s > %t.scoped.mlir
// RUN: whale-opt %t.scoped.mlir --whale-model-hash -o /dev/null > %t.scoped
// RUN: cmp %t.plain %t.scoped
// RUN: whale-opt %t.scoped.mlir --whale-strategy --whale-name-ops --whale-model-hash -o /dev/null > %t.named
// RUN: cmp %t.plain %t.named
// RUN: sed -e 's/8.0/9.0/' %s > %t.other.mlir
// RUN: whale-opt %t.other.mlir --whale-model-hash -o /dev/null > %t.other
// RUN: not cmp %t.plain %t.other
// RUN: FileCheck %s < %t.plain
// CHECK: {{^[0-9a-f]{64}$}}
whale.model @m {
  whale.module @main() {
    // BEGIN
    %n = whale.constant 8.0 : tensor<f32>
    %m = whale.neg %n : tensor<f32>
    // END
    whale.return
  }
}
