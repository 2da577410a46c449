// RUN: whale-opt %s --whale-strategy --split-input-file | FileCheck %s
// RUN: whale-opt %s --whale-strategy --whale-strategy --split-input-file | FileCheck %s

// Whale's own spelling: TaskGraphs side by side that share their devices.
// CHECK-LABEL: whale.model @side_by_side
// CHECK-SAME: strategy = "{\22primitive\22: \22cluster\22, \22colocated\22: true, \22paths\22: [\22features\22, \22fc\22], \22body\22: [
// CHECK-SAME: {\22primitive\22: \22replica\22, \22degree\22: 4, \22paths\22: [\22features\22]},
// CHECK-SAME: {\22primitive\22: \22split\22, \22degree\22: 4, \22dims\22: [\22classes\22], \22paths\22: [\22fc\22]}]}"
// CHECK-NOT: whale.cluster
whale.model @side_by_side {
  whale.module @main() {
    %x = whale.input "x" [batch, hidden] : tensor<8x16xf32>
    %w = whale.variable "weight" normal(0.0, 0.1) : tensor<16x64xf32>
    %z = whale.cluster colocated {
      %f = whale.replica 4 {
        %h = whale.relu %x {name = "features"} : tensor<8x16xf32>
        whale.yield %h : tensor<8x16xf32>
      } -> tensor<8x16xf32>
      %y = whale.split 4 [classes] {
        %h = whale.einsum "batch hidden, hidden classes -> batch classes" %f, %w {name = "fc"} : tensor<8x16xf32>, tensor<16x64xf32> -> tensor<8x64xf32>
        whale.yield %h : tensor<8x64xf32>
      } -> tensor<8x64xf32>
      whale.yield %y : tensor<8x64xf32>
    } -> tensor<8x64xf32>
    %s = whale.reduce sum %z [0, 1] : tensor<8x64xf32> -> tensor<f32>
    %n = whale.constant 8.0 : tensor<f32>
    whale.loss "loss" %s over %n : tensor<f32>
    whale.return
  }
}

// -----

// Experts of every instance, on the devices of the default replica. A split of
// the same degree that is not colocated stays another scope.
// CHECK-LABEL: whale.model @experts
// CHECK-SAME: {\22primitive\22: \22replica\22, \22degree\22: 2, \22body\22: [
// CHECK-SAME: {\22primitive\22: \22split\22, \22degree\22: 2, \22dims\22: [\22experts\22, \22ffn\22], \22colocated\22: true, \22paths\22: [\22layers.0..2/up\22, \22layers.0..2/down\22]},
// CHECK-SAME: {\22primitive\22: \22split\22, \22degree\22: 2, \22dims\22: [\22hidden\22], \22paths\22: [\22layers.0..2/last\22]}]}]}"
whale.model @experts {
  whale.module @moe(%x: tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32> {
    %w1 = whale.variable "w1" normal(0.0, 0.1) : tensor<4x16x32xf32>
    %w2 = whale.variable "w2" normal(0.0, 0.1) : tensor<4x32x16xf32>
    %u = whale.split 2 [experts] colocated {
      %h = whale.einsum "groups experts capacity hidden, experts hidden ffn -> groups experts capacity ffn" %x, %w1 {name = "up"} : tensor<2x4x8x16xf32>, tensor<4x16x32xf32> -> tensor<2x4x8x32xf32>
      whale.yield %h : tensor<2x4x8x32xf32>
    } -> tensor<2x4x8x32xf32>
    %d = whale.split 2 [experts, ffn] colocated {
      %h = whale.einsum "groups experts capacity ffn, experts ffn hidden -> groups experts capacity hidden" %u, %w2 {name = "down"} : tensor<2x4x8x32xf32>, tensor<4x32x16xf32> -> tensor<2x4x8x16xf32>
      whale.yield %h : tensor<2x4x8x16xf32>
    } -> tensor<2x4x8x16xf32>
    %y = whale.split 2 [hidden] {
      %h = whale.relu %d {name = "last"} : tensor<2x4x8x16xf32>
      whale.yield %h : tensor<2x4x8x16xf32>
    } -> tensor<2x4x8x16xf32>
    whale.return %y : tensor<2x4x8x16xf32>
  }
  whale.module @main() {
    %x = whale.input "x" [batch, e, c, h] : tensor<2x4x8x16xf32>
    whale.set_default_strategy "replica" 2
    %y = whale.instance @moe "layers"(%x) repeat 3 : (tensor<2x4x8x16xf32>) -> tensor<2x4x8x16xf32>
    whale.return
  }
}
