// RUN: whale-opt %s --whale-differentiate | FileCheck %s

// A loss seeds with weight / count; inputs get no gradient; names come from the
// forward ops.
// CHECK-LABEL: whale.model @tiny
whale.model @tiny {
  whale.module @main() {
    // CHECK: %[[X:.*]] = whale.input "x"
    %x = whale.input "x" [batch, features] : tensor<4x8xf32>
    // CHECK: %[[W:.*]] = whale.variable "w"
    %w = whale.variable "w" normal(0.0, 0.1) : tensor<8x2xf32>
    %y = whale.einsum "batch features, features out -> batch out" %x, %w
      : tensor<4x8xf32>, tensor<8x2xf32> -> tensor<4x2xf32>
    %s = whale.reduce sum %y [0, 1] : tensor<4x2xf32> -> tensor<f32>
    // CHECK: %[[N:.*]] = whale.constant 4.0
    %n = whale.constant 4.0 : tensor<f32>
    whale.loss "loss" %s over %n weight 0.5 : tensor<f32>
    // CHECK: whale.backward() of []
    // CHECK-NEXT: %[[WEIGHT:.*]] = whale.constant 0.5 {name = "loss#d"}
    // CHECK-NEXT: %[[SEED:.*]] = whale.div %[[WEIGHT]], %[[N]] {name = "loss#d.1"}
    // CHECK-NEXT: %[[DY:.*]] = whale.broadcast %[[SEED]] [] {name = "reduce.0#d"}
    // CHECK-NEXT: %[[DW:.*]] = whale.einsum "batch features, batch out -> features out" %[[X]], %[[DY]] {name = "einsum.0#d"}
    // CHECK-NEXT: whale.gradient %[[W]], %[[DW]]
    // CHECK-NEXT: whale.yield
    // CHECK: whale.return
    whale.return
  }
}

// A chain has one backward instance; its module's backward part gives the
// gradients of its arguments, summed over uses; integers get none.
// CHECK-LABEL: whale.model @chain
whale.model @chain {
  // CHECK: whale.module @layer(%[[X:.*]]: tensor<4xf32>, %[[I:.*]]: tensor<4xi32>, %[[B:.*]]: tensor<4xf32>)
  whale.module @layer(%x: tensor<4xf32>, %i: tensor<4xi32>, %b: tensor<4xf32>) -> tensor<4xf32> {
    %y = whale.mul %x, %x {name = "square"} : tensor<4xf32>, tensor<4xf32>
    %z = whale.add %y, %b : tensor<4xf32>, tensor<4xf32>
    // CHECK: whale.backward(%[[DZ:.*]]: tensor<4xf32>) of [0, 2]
    // CHECK-NEXT: %[[A:.*]] = whale.mul %[[DZ]], %[[X]] {name = "square#d"}
    // CHECK-NEXT: %[[C:.*]] = whale.mul %[[DZ]], %[[X]] {name = "square#d.1"}
    // CHECK-NEXT: %[[D:.*]] = whale.add %[[A]], %[[C]] {name = "arg0#sum"}
    // CHECK-NEXT: whale.yield %[[D]], %[[DZ]]
    whale.return %z : tensor<4xf32>
  }
  // CHECK: whale.module @main
  whale.module @main() {
    %i = whale.input "i" [batch] range 3 : tensor<4xi32>
    %w = whale.variable "w" normal(0.0, 1.0) : tensor<4xf32>
    %c = whale.constant 1.0 : tensor<4xf32>
    %y = whale.instance @layer "layers"(%w, %i, %c) repeat 3
      : (tensor<4xf32>, tensor<4xi32>, tensor<4xf32>) -> tensor<4xf32>
    %z = whale.instance @layer "last"(%y, %i, %w)
      : (tensor<4xf32>, tensor<4xi32>, tensor<4xf32>) -> tensor<4xf32>
    %s = whale.reduce sum %z [0] : tensor<4xf32> -> tensor<f32>
    %n = whale.constant 4.0 : tensor<f32>
    whale.loss "loss" %s over %n : tensor<f32>
    // CHECK: %[[L:.*]]:2 = whale.instance_backward "last"(%{{.*}}) of [0, 2]
    // The constant needs no gradient, though its argument could give one.
    // CHECK: %[[D:.*]] = whale.instance_backward "layers"(%[[L]]#0) of [0]
    // CHECK-NEXT: %[[SUM:.*]] = whale.add %[[L]]#1, %[[D]] {name = "w#sum"}
    // CHECK-NEXT: whale.gradient %{{.*}}, %[[SUM]]
    whale.return
  }
}

// Frozen variables, statistics and values that no loss depends on get nothing;
// a module that has nothing to give gets no backward part.
// CHECK-LABEL: whale.model @frozen
whale.model @frozen {
  // CHECK: whale.module @unused
  // CHECK-NOT: whale.backward
  whale.module @unused(%x: tensor<4xf32>) -> tensor<4xf32> {
    %v = whale.variable "v" normal(0.0, 1.0) : tensor<4xf32>
    %y = whale.mul %x, %v : tensor<4xf32>, tensor<4xf32>
    whale.return %y : tensor<4xf32>
  }
  // CHECK: whale.module @main
  whale.module @main() {
    %f = whale.variable "f" normal(0.0, 1.0) frozen : tensor<4xf32>
    %m = whale.variable "m" kind statistic constant(0.0) : tensor<4xf32>
    // CHECK: %[[W:.*]] = whale.variable "w"
    %w = whale.variable "w" normal(0.0, 1.0) : tensor<4xf32>
    %u = whale.instance @unused "unused"(%w) : (tensor<4xf32>) -> tensor<4xf32>
    %a = whale.mul %f, %w : tensor<4xf32>, tensor<4xf32>
    %b = whale.mul %m, %a : tensor<4xf32>, tensor<4xf32>
    %s = whale.reduce sum %b [0] : tensor<4xf32> -> tensor<f32>
    %n = whale.constant 4.0 : tensor<f32>
    whale.loss "loss" %s over %n : tensor<f32>
    // CHECK: whale.backward
    // CHECK-NOT: instance_backward
    // CHECK: whale.gradient %[[W]],
    // CHECK-NOT: whale.gradient
    // CHECK: whale.yield
    whale.return
  }
}

// A dropout gets its name as key, and its gradient draws the same numbers.
// CHECK-LABEL: whale.model @dropout
whale.model @dropout {
  whale.module @main() {
    %w = whale.variable "w" normal(0.0, 1.0) : tensor<4xf32>
    // CHECK: whale.dropout %{{.*}} rate 0.25 key "dropout.0" :
    %y = whale.dropout %w rate 0.25 : tensor<4xf32>
    %s = whale.reduce sum %y [0] : tensor<4xf32> -> tensor<f32>
    %n = whale.constant 4.0 : tensor<f32>
    whale.loss "loss" %s over %n : tensor<f32>
    // CHECK: whale.backward
    // CHECK: whale.dropout %{{.*}} rate 0.25 key "dropout.0" {name = "dropout.0#d"}
    whale.return
  }
}

// A loss inside a module seeds there; the instance runs backward although no
// loss depends on its result, with zeros for it.
// CHECK-LABEL: whale.model @inner
whale.model @inner {
  whale.module @layer(%x: tensor<4xf32>) -> tensor<4xf32> {
    %s = whale.reduce sum %x [0] : tensor<4xf32> -> tensor<f32>
    %n = whale.constant 4.0 : tensor<f32>
    whale.loss "balance" %s over %n : tensor<f32>
    %y = whale.exp %x : tensor<4xf32>
    // CHECK: whale.backward(%[[DY:.*]]: tensor<4xf32>) of [0]
    // CHECK-NOT: %[[DY]]
    // CHECK: whale.return
    whale.return %y : tensor<4xf32>
  }
  // CHECK: whale.module @main
  whale.module @main() {
    %w = whale.variable "w" normal(0.0, 1.0) : tensor<4xf32>
    %y = whale.instance @layer "layer"(%w) : (tensor<4xf32>) -> tensor<4xf32>
    // CHECK: %[[ZERO:.*]] = whale.constant 0.0
    // CHECK: whale.instance_backward "layer"(%[[ZERO]]) of [0]
    whale.return
  }
}

// A full training step is taken as it is.
// CHECK-LABEL: whale.model @done
whale.model @done {
  whale.module @main() {
    %w = whale.variable "w" normal(0.0, 1.0) : tensor<f32>
    %n = whale.constant 4.0 : tensor<f32>
    whale.loss "loss" %w over %n : tensor<f32>
    // CHECK: whale.backward
    // CHECK-NEXT: whale.gradient
    // CHECK-NEXT: whale.yield
    // CHECK-NOT: whale.backward
    // CHECK: whale.return
    whale.backward() of [] {
      whale.gradient %w, %n : tensor<f32>
      whale.yield
    }
    whale.return
  }
}
