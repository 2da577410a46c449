// RUN: whale-opt %s --whale-expand | FileCheck %s

// Softmax is max-subtracted; a label's offset goes to the index it meets.

// CHECK-LABEL: rank.program @row
// CHECK: %[[MAX:.*]] = whale.reduce max %[[X:.*]] [1]
// CHECK: %[[ROWS:.*]] = whale.broadcast %[[MAX]] [0]
// CHECK: %[[D:.*]] = whale.sub %[[X]], %[[ROWS]]
// CHECK: %[[E:.*]] = whale.exp %[[D]]
// CHECK: whale.reduce sum %[[E]] [1]
// CHECK: whale.iota dim 1 {offsets = [{{.*}}#rank.scalar<0, [2, 0, 4]>]
// CHECK-NOT: whale.cross_entropy_grad
rank.program @row attributes {role = 0 : i64} {
  %x = rank.input "x" first <0> batch 4 {phase = "forward"} -> tensor<4x8xf32>
  %l = rank.input "l" first <0> batch 4 {phase = "forward"} -> tensor<4xi32>
  %g = rank.input "g" first <0> batch 4 {phase = "forward"} -> tensor<4xf32>
  %y = whale.softmax %x {phase = "forward"} : tensor<4x8xf32>
  %d = whale.cross_entropy_grad %y, %l, %g, %g {phase = "forward", offsets = [#rank.scalar<0>, #rank.scalar<0, [2, 0, 4]>]} : (tensor<4x8xf32>, tensor<4xi32>, tensor<4xf32>, tensor<4xf32>) -> tensor<4x8xf32>
  rank.assign "d", %d {phase = "update"} : tensor<4x8xf32>
}
