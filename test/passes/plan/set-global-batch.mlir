// RUN: whale-opt %s --whale-set-global-batch=batch=6 | FileCheck %s
// RUN: not whale-opt %s --whale-set-global-batch=batch=3 2>&1 | FileCheck %s --check-prefix=ODD

// Modules, their types and a count that is a constant follow.
// CHECK: whale.module @inner(%{{.*}}: tensor<6x3xf32>) -> tensor<18xf32>
// CHECK: whale.input "x" [batch, features] : tensor<6x3xf32>
// CHECK: whale.variable "w" {{.*}} : tensor<4xf32>
// CHECK: whale.constant 12.0 : tensor<f32>

// ODD: error: 'whale.batch_norm' op groups of 2 samples do not divide a batch of 3
whale.model @batch {
  whale.module @inner(%x: tensor<4x3xf32>) -> tensor<12xf32> {
    %s = whale.variable "scale" constant(1.0) : tensor<3xf32>
    %t = whale.variable "shift" constant(0.0) : tensor<3xf32>
    %n, %m, %v = whale.batch_norm %x, %s, %t over 2 : tensor<4x3xf32>, tensor<3xf32>
    %y = whale.reshape %n : tensor<4x3xf32> -> tensor<12xf32>
    whale.return %y : tensor<12xf32>
  }
  whale.module @main() {
    %x = whale.input "x" [batch, features] : tensor<4x3xf32>
    %w = whale.variable "w" normal(0.0, 1.0) : tensor<4xf32>
    %y = whale.instance @inner "inner"(%x) : (tensor<4x3xf32>) -> tensor<12xf32>
    %s = whale.reduce sum %y [0] : tensor<12xf32> -> tensor<f32>
    %n = whale.constant 8.0 : tensor<f32>
    whale.loss "l" %s over %n : tensor<f32>
    whale.return
  }
}
