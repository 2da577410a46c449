// RUN: whale-opt --whale-fold=names=true %s | FileCheck %s

// Three layers that were written out, with a mask that all of them read.
// CHECK-LABEL: whale.model @flat attributes {flat_names =
// CHECK-SAME: "layers.0/fc.weight" = "layers.0.fc.weight"
// CHECK-SAME: "layers.2/norm.scale" = "layers.2.norm.scale"
whale.model @flat {
  // CHECK: whale.module @block0(%[[X:.*]]: tensor<4x8xf32>, %[[M:.*]]: tensor<8xf32>) -> tensor<4x8xf32> {
  // CHECK-NEXT: %[[S:.*]] = whale.variable "norm.scale" constant(1.0) : tensor<8xf32>
  // CHECK-NEXT: %[[W:.*]] = whale.variable "fc.weight" normal(0.0, 0.02) : tensor<8x8xf32>
  // CHECK-NEXT: %[[N:.*]] = whale.rms_norm %[[X]], %[[S]] {name = "norm"}
  // CHECK-NEXT: %[[H:.*]] = whale.einsum "batch hidden, hidden out -> batch out" %[[N]], %[[W]]
  // CHECK-NEXT: %[[K:.*]] = whale.mul %[[H]], %[[M]]
  // CHECK-NEXT: %[[C:.*]] = whale.constant 0.5 : tensor<f32>
  // CHECK-NEXT: %[[R:.*]] = whale.mul %[[K]], %[[C]]
  // CHECK-NEXT: %[[Y:.*]] = whale.add %[[X]], %[[R]]
  // CHECK-NEXT: whale.return %[[Y]] : tensor<4x8xf32>
  // CHECK: whale.module @main() {
  whale.module @main() {
    // CHECK-NEXT: %[[IN:.*]] = whale.input "x"
    %x = whale.input "x" [batch, hidden] : tensor<4x8xf32>
    // Variables may stand anywhere.
    %s0 = whale.variable "layers.0.norm.scale" constant(1.0) : tensor<8xf32>
    %s1 = whale.variable "layers.1.norm.scale" constant(1.0) : tensor<8xf32>
    %s2 = whale.variable "layers.2.norm.scale" constant(1.0) : tensor<8xf32>
    // CHECK-NEXT: %[[MASK:.*]] = whale.variable "mask" constant(1.0) frozen : tensor<8xf32>
    %m = whale.variable "mask" constant(1.0) frozen : tensor<8xf32>
    // CHECK-NEXT: %[[OUT:.*]] = whale.instance @block0 "layers"(%[[IN]], %[[MASK]]) repeat 3 : (tensor<4x8xf32>, tensor<8xf32>) -> tensor<4x8xf32>
    %n0 = whale.rms_norm %x, %s0 {name = "layers.0.norm"} : tensor<4x8xf32>, tensor<8xf32>
    %w0 = whale.variable "layers.0.fc.weight" normal(0.0, 0.02) : tensor<8x8xf32>
    %h0 = whale.einsum "batch hidden, hidden out -> batch out" %n0, %w0 : tensor<4x8xf32>, tensor<8x8xf32> -> tensor<4x8xf32>
    %k0 = whale.mul %h0, %m : tensor<4x8xf32>, tensor<8xf32>
    %c0 = whale.constant 0.5 : tensor<f32>
    %r0 = whale.mul %k0, %c0 : tensor<4x8xf32>, tensor<f32>
    %y0 = whale.add %x, %r0 : tensor<4x8xf32>, tensor<4x8xf32>

    %n1 = whale.rms_norm %y0, %s1 {name = "layers.1.norm"} : tensor<4x8xf32>, tensor<8xf32>
    %w1 = whale.variable "layers.1.fc.weight" normal(0.0, 0.02) : tensor<8x8xf32>
    %h1 = whale.einsum "batch hidden, hidden out -> batch out" %n1, %w1 : tensor<4x8xf32>, tensor<8x8xf32> -> tensor<4x8xf32>
    %k1 = whale.mul %h1, %m : tensor<4x8xf32>, tensor<8xf32>
    %r1 = whale.mul %k1, %c0 : tensor<4x8xf32>, tensor<f32>
    %y1 = whale.add %y0, %r1 : tensor<4x8xf32>, tensor<4x8xf32>

    %w2 = whale.variable "layers.2.fc.weight" normal(0.0, 0.02) : tensor<8x8xf32>
    %n2 = whale.rms_norm %y1, %s2 {name = "layers.2.norm"} : tensor<4x8xf32>, tensor<8xf32>
    %h2 = whale.einsum "batch hidden, hidden out -> batch out" %n2, %w2 : tensor<4x8xf32>, tensor<8x8xf32> -> tensor<4x8xf32>
    %k2 = whale.mul %h2, %m : tensor<4x8xf32>, tensor<8xf32>
    %c2 = whale.constant 0.5 : tensor<f32>
    %r2 = whale.mul %k2, %c2 : tensor<4x8xf32>, tensor<f32>
    %y2 = whale.add %y1, %r2 : tensor<4x8xf32>, tensor<4x8xf32>

    // CHECK-NEXT: %[[SUM:.*]] = whale.reduce sum %[[OUT]] [0, 1]
    %sum = whale.reduce sum %y2 [0, 1] : tensor<4x8xf32> -> tensor<f32>
    %n = whale.constant 4.0 : tensor<f32>
    whale.loss "l" %sum over %n : tensor<f32>
    whale.return
  }
}

// Running statistics: the assign goes with its variable.
// CHECK-LABEL: whale.model @statistics
whale.model @statistics {
  // CHECK: whale.module @block0
  // CHECK: %[[MEAN:.*]] = whale.variable "mean" kind statistic
  // CHECK: whale.assign "mean"
  // CHECK: whale.module @main
  whale.module @main() {
    %x = whale.input "x" [batch, hidden] : tensor<4x8xf32>
    %w0 = whale.variable "bn0.w" constant(1.0) : tensor<8xf32>
    %m0 = whale.variable "bn0.mean" kind statistic constant(0.0) : tensor<8xf32>
    %w1 = whale.variable "bn1.w" constant(1.0) : tensor<8xf32>
    %m1 = whale.variable "bn1.mean" kind statistic constant(0.0) : tensor<8xf32>
    // CHECK: whale.instance @block0 "bn"(%{{.*}}) repeat 2
    // CHECK-NOT: whale.assign
    %y0, %a0, %v0 = whale.batch_norm %x, %w0, %w0 : tensor<4x8xf32>, tensor<8xf32>
    %b0 = whale.add %a0, %m0 : tensor<8xf32>, tensor<8xf32>
    whale.assign "bn0.mean", %b0 : tensor<8xf32>
    %y1, %a1, %v1 = whale.batch_norm %y0, %w1, %w1 : tensor<4x8xf32>, tensor<8xf32>
    %b1 = whale.add %a1, %m1 : tensor<8xf32>, tensor<8xf32>
    whale.assign "bn1.mean", %b1 : tensor<8xf32>
    %sum = whale.reduce sum %y1 [0, 1] : tensor<4x8xf32> -> tensor<f32>
    %n = whale.constant 4.0 : tensor<f32>
    whale.loss "l" %sum over %n : tensor<f32>
    whale.return
  }
}

// A model that is modular stays as it is.
// CHECK-LABEL: whale.model @modular {
whale.model @modular {
  // CHECK-NEXT: whale.module @leaf
  whale.module @leaf(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
    %w = whale.variable "w" constant(1.0) : tensor<8xf32>
    %y = whale.mul %x, %w : tensor<4x8xf32>, tensor<8xf32>
    whale.return %y : tensor<4x8xf32>
  }
  // CHECK: whale.module @main
  whale.module @main() {
    %x = whale.input "x" [batch, hidden] : tensor<4x8xf32>
    // CHECK: whale.instance @leaf "a"
    // CHECK: whale.instance @leaf "b"
    // CHECK: whale.instance @leaf "c"(%{{.*}}) repeat 4
    %a = whale.instance @leaf "a"(%x) : (tensor<4x8xf32>) -> tensor<4x8xf32>
    %b = whale.instance @leaf "b"(%a) : (tensor<4x8xf32>) -> tensor<4x8xf32>
    %c = whale.instance @leaf "c"(%b) repeat 4 : (tensor<4x8xf32>) -> tensor<4x8xf32>
    whale.return
  }
}
