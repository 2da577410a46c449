// RUN: whale-opt %s --whale-form-clusters | FileCheck %s

// The bias, the activation and the norm after it are one kernel with one row
// dimension; the product between is none of it. Its gradient, the gradients of
// scale and shift, and that of the bias are one kernel, too.

// CHECK-LABEL: rank.program @norm
// CHECK: whale.einsum
// CHECK-NOT: cluster
// CHECK: whale.add {{.*}}cluster = 0{{.*}}rows = 1
// CHECK: whale.gelu {{.*}}cluster = 0
// CHECK: whale.reduce sum {{.*}}cluster = 0
// CHECK-NOT: cluster = 1
// CHECK: whale.einsum
// CHECK: cluster = 1
// CHECK-NOT: cluster = 2
// CHECK: rank.assign
rank.program @norm attributes {role = 0 : i64} {
  %b = rank.variable "b" parameter <constant, 0.0, 0.0> of [8] at [#rank.scalar<0>] {phase = "prologue"} -> tensor<8xf32>
  %s = rank.variable "s" parameter <constant, 1.0, 0.0> of [8] at [#rank.scalar<0>] {phase = "prologue"} -> tensor<8xf32>
  %w = rank.variable "w" parameter <normal, 0.0, 0.1> of [8, 8] at [#rank.scalar<0>, #rank.scalar<0>] {phase = "prologue"} -> tensor<8x8xf32>
  %x = rank.input "x" first <0> batch 4 {phase = "forward"} -> tensor<4x8xf32>
  %h = whale.einsum "b i, i o -> b o" %x, %w {phase = "forward"} : tensor<4x8xf32>, tensor<8x8xf32> -> tensor<4x8xf32>
  %h1 = whale.add %h, %b {phase = "forward"} : tensor<4x8xf32>, tensor<8xf32>
  %h2 = whale.gelu %h1 {phase = "forward"} : tensor<4x8xf32>
  %y = whale.layer_norm %h2, %s, %b {phase = "forward"} : tensor<4x8xf32>, tensor<8xf32>
  %dy = whale.einsum "b i, i o -> b o" %y, %w {phase = "backward"} : tensor<4x8xf32>, tensor<8x8xf32> -> tensor<4x8xf32>
  %dh2, %ds, %db = whale.layer_norm_grad %h2, %s, %dy {phase = "backward"} : (tensor<4x8xf32>, tensor<8xf32>, tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<8xf32>, tensor<8xf32>)
  %dh1 = whale.gelu_grad %h1, %dh2 {phase = "backward"} : tensor<4x8xf32>
  %dbias = whale.reduce sum %dh1 [0] {phase = "backward"} : tensor<4x8xf32> -> tensor<8xf32>
  %dw = whale.einsum "b i, b o -> i o" %x, %dh1 {phase = "backward"} : tensor<4x8xf32>, tensor<4x8xf32> -> tensor<8x8xf32>
  rank.assign "w", %dw {phase = "update"} : tensor<8x8xf32>
  rank.assign "s", %ds {phase = "update"} : tensor<8xf32>
  rank.assign "b", %dbias {phase = "update"} : tensor<8xf32>
}
