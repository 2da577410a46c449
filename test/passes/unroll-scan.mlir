// RUN: whale-opt %s --whale-unroll-scan | FileCheck %s
// RUN: whale-opt %s --whale-unroll-scan --whale-differentiate | FileCheck %s --check-prefix=BACK

// CHECK-LABEL: whale.model @forward
whale.model @forward {
  whale.module @cell(%h: tensor<2x3xf32>, %x: tensor<2x3xf32>) -> (tensor<2x3xf32>, tensor<2x3xf32>) {
    %w = whale.variable "w" normal(0.0, 1.0) : tensor<3xf32>
    %a = whale.mul %h, %w : tensor<2x3xf32>, tensor<3xf32>
    %y = whale.add %a, %x : tensor<2x3xf32>, tensor<2x3xf32>
    whale.return %y, %a : tensor<2x3xf32>, tensor<2x3xf32>
  }
  // CHECK: whale.module @main
  whale.module @main() {
    // CHECK: %[[XS:.*]] = whale.input "xs"
    %xs = whale.input "xs" [batch, sequence, features] : tensor<2x2x3xf32>
    // CHECK: %[[H0:.*]] = whale.constant
    %h0 = whale.constant 0.0 : tensor<2x3xf32>
    // CHECK: %[[S0:.*]] = whale.slice %[[XS]] dim 1 from 0 {name = "rnn.t0.slice0"}
    // CHECK: %[[X0:.*]] = whale.reshape %[[S0]] {{.*}} -> tensor<2x3xf32>
    // CHECK: %[[R0:.*]]:2 = whale.instance @cell "rnn.t0"(%[[H0]], %[[X0]]) shared {scan = "rnn", shared_as = "rnn"}
    // CHECK: %[[S1:.*]] = whale.slice %[[XS]] dim 1 from 1
    // CHECK: %[[X1:.*]] = whale.reshape %[[S1]]
    // CHECK: %[[R1:.*]]:2 = whale.instance @cell "rnn.t1"(%[[R0]]#0, %[[X1]]) shared
    // CHECK: %[[Y0:.*]] = whale.reshape %[[R0]]#1 {{.*}} -> tensor<2x1x3xf32>
    // CHECK: %[[Y1:.*]] = whale.reshape %[[R1]]#1
    // CHECK: %[[YS:.*]] = whale.concat %[[Y0]], %[[Y1]] dim 1
    // CHECK-NOT: whale.scan
    %h, %ys = whale.scan @cell "rnn" carry(%h0) over(%xs) dim 1
      : (tensor<2x3xf32>), (tensor<2x2x3xf32>) -> tensor<2x3xf32>, tensor<2x2x3xf32>
    // CHECK: whale.reduce {{.*}}sum %[[YS]]
    %s = whale.reduce sum %ys [0, 1, 2] : tensor<2x2x3xf32> -> tensor<f32>
    // CHECK: whale.reduce {{.*}}sum %[[R1]]#0
    %t = whale.reduce sum %h [0, 1] : tensor<2x3xf32> -> tensor<f32>
    %u = whale.add %s, %t : tensor<f32>, tensor<f32>
    %n = whale.constant 2.0 : tensor<f32>
    whale.loss "l" %u over %n : tensor<f32>
    whale.return
  }
}

// Later steps come first in the backward part; the state's gradient passes on.
// BACK-LABEL: whale.module @main
// BACK: %[[D1:.*]] = whale.instance_backward "rnn.t1"
// BACK: whale.instance_backward "rnn.t0"(%[[D1]],

// The last slice is the first step of a reversed scan.
// CHECK-LABEL: whale.model @reversed
whale.model @reversed {
  whale.module @cell(%h: tensor<3xf32>, %x: tensor<3xf32>) -> tensor<3xf32> {
    %y = whale.add %h, %x : tensor<3xf32>, tensor<3xf32>
    whale.return %y : tensor<3xf32>
  }
  whale.module @main() {
    %xs = whale.input "xs" [batch, features] : tensor<2x3xf32>
    %w = whale.variable "h" normal(0.0, 1.0) : tensor<3xf32>
    // CHECK: whale.slice {{.*}} dim 0 from 1
    // CHECK: %[[H:.*]] = whale.instance @cell "rnn.t1"
    // CHECK: whale.slice {{.*}} dim 0 from 0
    // CHECK: whale.instance @cell "rnn.t0"(%[[H]],
    %h = whale.scan @cell "rnn" carry(%w) over(%xs) dim 0 reverse
      : (tensor<3xf32>), (tensor<2x3xf32>) -> tensor<3xf32>
    %s = whale.reduce sum %h [0] : tensor<3xf32> -> tensor<f32>
    %n = whale.constant 2.0 : tensor<f32>
    whale.loss "l" %s over %n : tensor<f32>
    whale.return
  }
}
