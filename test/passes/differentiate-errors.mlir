// RUN: whale-opt %s --split-input-file --verify-diagnostics --whale-differentiate

// First order: log_sum_exp of attention is a residual.
whale.model @attention {
  whale.module @main() {
    %q = whale.variable "q" normal(0.0, 1.0) : tensor<1x2x1x1x4xf32>
    %k = whale.variable "k" normal(0.0, 1.0) : tensor<1x2x1x4xf32>
    // expected-error@+2 {{'whale.attention' has no gradient here, but loss 'lse' depends on it}}
    // expected-note@+1 {{'whale.stop_gradient' on its operands cuts the path}}
    %a, %l = whale.attention %q, %k, %k scale 0.5 : (tensor<1x2x1x1x4xf32>, tensor<1x2x1x4xf32>, tensor<1x2x1x4xf32>) -> (tensor<1x2x1x1x4xf32>, tensor<1x1x1x2xf32>)
    %s = whale.reduce sum %l [0, 1, 2, 3] : tensor<1x1x1x2xf32> -> tensor<f32>
    %n = whale.constant 2.0 : tensor<f32>
    // expected-note@+1 {{the loss is here}}
    whale.loss "lse" %s over %n : tensor<f32>
    whale.return
  }
}

// -----

// First order: a gradient op in the forward part, inside a module; the loss is
// in the caller.
whale.model @second {
  whale.module @penalty(%x: tensor<3x5xf32>, %s: tensor<5xf32>, %g: tensor<3x5xf32>) -> tensor<3x5xf32> {
    // expected-error@+2 {{'whale.rms_norm_grad' has no gradient here, but loss 'penalty' depends on it}}
    // expected-note@+1 {{'whale.stop_gradient' on its operands cuts the path}}
    %d, %e = whale.rms_norm_grad %x, %s, %g : (tensor<3x5xf32>, tensor<5xf32>, tensor<3x5xf32>) -> (tensor<3x5xf32>, tensor<5xf32>)
    whale.return %d : tensor<3x5xf32>
  }
  whale.module @main() {
    %x = whale.variable "x" normal(0.0, 1.0) : tensor<3x5xf32>
    %w = whale.variable "w" normal(0.0, 1.0) : tensor<5xf32>
    %d = whale.instance @penalty "p"(%x, %w, %x) : (tensor<3x5xf32>, tensor<5xf32>, tensor<3x5xf32>) -> tensor<3x5xf32>
    %s = whale.reduce sum %d [0, 1] : tensor<3x5xf32> -> tensor<f32>
    %n = whale.constant 2.0 : tensor<f32>
    // expected-note@+1 {{the loss is here}}
    whale.loss "penalty" %s over %n : tensor<f32>
    whale.return
  }
}

// -----

// The same behind a stop_gradient is no error.
whale.model @cut {
  whale.module @main() {
    %x = whale.variable "x" normal(0.0, 1.0) : tensor<3x5xf32>
    %w = whale.variable "w" normal(0.0, 1.0) : tensor<5xf32>
    %d, %e = whale.rms_norm_grad %x, %w, %x : (tensor<3x5xf32>, tensor<5xf32>, tensor<3x5xf32>) -> (tensor<3x5xf32>, tensor<5xf32>)
    %c = whale.stop_gradient %d : tensor<3x5xf32>
    %y = whale.mul %c, %x : tensor<3x5xf32>, tensor<3x5xf32>
    %s = whale.reduce sum %y [0, 1] : tensor<3x5xf32> -> tensor<f32>
    %n = whale.constant 2.0 : tensor<f32>
    whale.loss "l" %s over %n : tensor<f32>
    whale.return
  }
}

// -----

// expected-error@+1 {{model '@lossless' has no 'whale.loss'}}
whale.model @lossless {
  whale.module @main() {
    whale.return
  }
}

// -----

whale.model @scan {
  whale.module @cell(%h: tensor<3xf32>, %x: tensor<3xf32>) -> tensor<3xf32> {
    whale.return %h : tensor<3xf32>
  }
  whale.module @main() {
    %xs = whale.input "xs" [batch, features] : tensor<2x3xf32>
    %w = whale.variable "h" normal(0.0, 1.0) : tensor<3xf32>
    // expected-error@+2 {{'whale.scan' must be unrolled before modules are differentiated}}
    // expected-note@+1 {{'--whale-unroll-scan' does this}}
    %h = whale.scan @cell "rnn" carry(%w) over(%xs) dim 0 : (tensor<3xf32>), (tensor<2x3xf32>) -> tensor<3xf32>
    whale.return
  }
}

// -----

whale.model @scope {
  whale.module @main() {
    %w = whale.variable "h" normal(0.0, 1.0) : tensor<f32>
    %n = whale.constant 2.0 : tensor<f32>
    whale.loss "l" %w over %n : tensor<f32>
    // expected-error@+1 {{'whale.replica' scopes must be taken out before modules are differentiated}}
    whale.replica {
    }
    whale.return
  }
}
