// Variables, inputs, losses: text, names, shapes.
// RUN: whale-opt --split-input-file --verify-diagnostics %s \
// RUN:   | whale-opt --split-input-file | FileCheck %s

// CHECK-LABEL: whale.model @good
whale.model @good {
  whale.module @main() {
    // CHECK: whale.input "x" [batch, sequence, "1f"] : tensor<8x4x2xf32>
    %x = whale.input "x" [batch, sequence, "1f"] : tensor<8x4x2xf32>
    // CHECK: whale.input "tokens" [batch] range 100 : tensor<8xi32>
    %t = whale.input "tokens" [batch] range 100 : tensor<8xi32>
    // CHECK: whale.variable "w" normal(0.0, 0.02) : tensor<4xf32>
    %w = whale.variable "w" normal(0.0, 0.02) : tensor<4xf32>
    // CHECK: whale.variable "u" uniform(-0.1, 0.1) : tensor<4xf32>
    %u = whale.variable "u" uniform(-0.1, 0.1) : tensor<4xf32>
    // CHECK: whale.variable "t" truncated_normal(0.0, 1.0e-6) : tensor<4xf32>
    %tn = whale.variable "t" truncated_normal(0.0, 1.0e-6) : tensor<4xf32>
    // CHECK: whale.variable "k" kind statistic constant(1.0) tied "a/b" group "norms" frozen {note = 1 : i64} : tensor<4xf32>
    %k = whale.variable "k" kind statistic constant(1.0) tied "a/b" group "norms" frozen {note = 1} : tensor<4xf32>
    // CHECK: whale.variable "m" kind slot constant(0.0) : tensor<4xf32>
    %m = whale.variable "m" kind slot constant(0.0) : tensor<4xf32>
    // CHECK: whale.variable "ma" kind master constant(0.0) : tensor<4xf32>
    %ma = whale.variable "ma" kind master constant(0.0) : tensor<4xf32>
    // CHECK: whale.variable "c" kind counter constant(0.0) : tensor<i64>
    %c = whale.variable "c" kind counter constant(0.0) : tensor<i64>
    // A variable may be read twice, before and after its assign.
    // CHECK: whale.variable "w" normal(0.0, 0.02) : tensor<4xf32>
    %w2 = whale.variable "w" normal(0.0, 0.02) : tensor<4xf32>
    // CHECK: whale.assign "k", %{{.*}} : tensor<4xf32>
    whale.assign "k", %w2 : tensor<4xf32>
    %s = whale.constant 8.0 : tensor<f32>
    // CHECK: whale.loss "one" %{{.*}} over %{{.*}} : tensor<f32>
    whale.loss "one" %s over %s : tensor<f32>
    // CHECK: whale.loss "two" %{{.*}} over %{{.*}} weight 0.01 : tensor<f32>
    whale.loss "two" %s over %s weight 0.01 : tensor<f32>
    whale.return
  }
}

// -----

// A module that is instantiated may have losses: a balance loss is where it is
// computed.
// CHECK-LABEL: whale.model @inner_loss
whale.model @inner_loss {
  whale.module @leaf() {
    %s = whale.constant 8.0 : tensor<f32>
    // CHECK: whale.loss "balance"
    whale.loss "balance" %s over %s : tensor<f32>
    whale.return
  }
  whale.module @main() {
    whale.instance @leaf "a"() : () -> ()
    whale.return
  }
}

// -----

// A flat step reads one name at several paths, and assigns paths.
// CHECK-LABEL: whale.model @flat
whale.model @flat {
  whale.module @step() {
    // CHECK: whale.variable "w" constant(0.0) {variable_path = "a/w"} : tensor<4xf32>
    %a = whale.variable "w" constant(0.0) {variable_path = "a/w"} : tensor<4xf32>
    // CHECK: whale.variable "w" constant(0.0) {variable_path = "b/w"} : tensor<8xf32>
    %b = whale.variable "w" constant(0.0) {variable_path = "b/w"} : tensor<8xf32>
    // CHECK: whale.assign "b/w"
    whale.assign "b/w", %b : tensor<8xf32>
    %s = whale.constant 8.0 : tensor<f32>
    whale.loss "l" %s over %s {path = "a/l"} : tensor<f32>
    whale.loss "l" %s over %s {path = "b/l"} : tensor<f32>
    whale.return
  }
}

// -----

// The text of an attribute.
// CHECK: #whale.init<normal, 0.0, 0.02>
module attributes {whale.init = #whale.init<normal, 0.0, 2.0e-2>} {}

// -----

// A start is one of four kinds.
whale.model @m {
  whale.module @main() {
    // expected-error @+1 {{unknown initial value 'zeros', expected constant, normal, uniform or truncated_normal}}
    %w = whale.variable "w" zeros(0.0) : tensor<4xf32>
    whale.return
  }
}

// -----

// A constant has one value.
whale.model @m {
  whale.module @main() {
    // expected-error @+1 {{'constant' has 2 values, expected 1}}
    %w = whale.variable "w" constant(0.0, 1.0) : tensor<4xf32>
    whale.return
  }
}

// -----

// A distribution has two.
whale.model @m {
  whale.module @main() {
    // expected-error @+1 {{'normal' has 1 values, expected 2}}
    %w = whale.variable "w" normal(0.0) : tensor<4xf32>
    whale.return
  }
}

// -----

// A variable's name is one path segment.
whale.model @m {
  whale.module @main() {
    // expected-error @+1 {{'whale.variable' op name 'a/w' must be one path segment, without '/'}}
    %w = whale.variable "a/w" constant(0.0) : tensor<4xf32>
    whale.return
  }
}

// -----

// A variable has one type.
whale.model @m {
  whale.module @main() {
    // expected-note @+1 {{the first is here}}
    %a = whale.variable "w" constant(0.0) : tensor<4xf32>
    // expected-error @+1 {{'whale.variable' op name 'w' is 'tensor<5xf32>', but the module has it as 'tensor<4xf32>'}}
    %b = whale.variable "w" constant(0.0) : tensor<5xf32>
    whale.return
  }
}

// -----

// An assign names a variable of its module.
whale.model @m {
  whale.module @main() {
    %0 = whale.constant 0.0 : tensor<4xf32>
    // expected-error @+1 {{'whale.assign' op names no variable of module '@main': 'mean'}}
    whale.assign "mean", %0 : tensor<4xf32>
    whale.return
  }
}

// -----

// An assign has the variable's type.
whale.model @m {
  whale.module @main() {
    // expected-note @+1 {{the variable is here}}
    %m = whale.variable "mean" kind statistic constant(0.0) : tensor<8xf32>
    %0 = whale.constant 0.0 : tensor<4xf32>
    // expected-error @+1 {{'whale.assign' op value is 'tensor<4xf32>', but variable 'mean' is 'tensor<8xf32>'}}
    whale.assign "mean", %0 : tensor<4xf32>
    whale.return
  }
}

// -----

// A variable is assigned once.
whale.model @m {
  whale.module @main() {
    %m = whale.variable "mean" kind statistic constant(0.0) : tensor<4xf32>
    // expected-note @+1 {{the first is here}}
    whale.assign "mean", %m : tensor<4xf32>
    // expected-error @+1 {{'whale.assign' op variable 'mean' is assigned twice}}
    whale.assign "mean", %m : tensor<4xf32>
    whale.return
  }
}

// -----

// An input names its dimensions.
whale.model @m {
  whale.module @main() {
    // expected-error @+1 {{'whale.input' op names 1 dimensions, but 'tensor<8x4xf32>' has 2}}
    %x = whale.input "x" [batch] : tensor<8x4xf32>
    whale.return
  }
}

// -----

// ... each by a name of its own.
whale.model @m {
  whale.module @main() {
    // expected-error @+1 {{'whale.input' op names dimension 'a' twice}}
    %x = whale.input "x" [batch, a, a] : tensor<8x4x4xf32>
    whale.return
  }
}

// -----

// Dimension 0 is the batch.
whale.model @m {
  whale.module @main() {
    // expected-error @+1 {{'whale.input' op dimension 0 is 'sequence', expected 'batch' at dimension 0 and only there}}
    %x = whale.input "x" [sequence, batch] : tensor<8x4xf32>
    whale.return
  }
}

// -----

// ... and no other.
whale.model @m {
  whale.module @main() {
    // expected-error @+1 {{'whale.input' op names dimension 'batch' twice}}
    %x = whale.input "x" [batch, batch] : tensor<8x4xf32>
    whale.return
  }
}

// -----

// A range has a value.
whale.model @m {
  whale.module @main() {
    // expected-error @+1 {{'whale.input' op range is 0, expected 1 or more}}
    %x = whale.input "x" [batch] range 0 : tensor<8xi32>
    whale.return
  }
}

// -----

// Inputs are those of the step, not of a layer.
whale.model @m {
  whale.module @leaf() {
    // expected-error @+1 {{'whale.input' op is in module '@leaf', which is instantiated; inputs belong to '@main' and are passed as operands}}
    %x = whale.input "x" [batch] : tensor<8xf32>
    whale.return
  }
  whale.module @main() {
    // expected-note @+1 {{the instance is here}}
    whale.instance @leaf "a"() : () -> ()
    whale.return
  }
}

// -----

// @main is the root: it has no arguments.
whale.model @m {
  // expected-error @+1 {{'whale.module' op '@main' has 1 arguments, expected none: it reads inputs}}
  whale.module @main(%x: tensor<8xf32>) {
    whale.return
  }
}

// -----

// A loss is a scalar.
whale.model @m {
  whale.module @main() {
    %0 = whale.constant 0.0 : tensor<4xf32>
    // expected-error @+1 {{'whale.loss' op sum is 'tensor<4xf32>', expected a scalar}}
    whale.loss "l" %0 over %0 : tensor<4xf32>
    whale.return
  }
}

// -----

// Sum and count of a loss have one type.
whale.model @m {
  whale.module @main() {
    %0 = whale.constant 0.0 : tensor<f32>
    %1 = whale.constant 0.0 : tensor<f64>
    // expected-error @+1 {{'whale.loss' op requires all operands to have the same type}}
    "whale.loss"(%0, %1) {name = "l"} : (tensor<f32>, tensor<f64>) -> ()
    whale.return
  }
}
