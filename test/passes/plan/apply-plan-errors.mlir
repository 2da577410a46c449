// RUN: whale-opt %s --whale-apply-plan --split-input-file --verify-diagnostics

whale.model @not_differentiated {
  // expected-error @+1 {{has no backward part}}
  whale.module @main() {
    whale.return
  }
}

// -----

whale.model @scope {
  whale.module @main() {
    // expected-error @+1 {{is a scope: --whale-strategy comes before a plan is applied}}
    whale.replica 2 {
    }
    whale.return
  }
}

// -----

whale.model @count {
  whale.module @main() {
    // expected-note @+1 {{this value changes between steps}}
    %w = whale.variable "w" constant(1.0) : tensor<f32>
    // expected-error @+1 {{count depends on more than inputs and constants}}
    whale.loss "l" %w over %w : tensor<f32>
    whale.backward() of [] {
      whale.yield
    }
    whale.return
  }
}

// -----

whale.model @tied {
  whale.module @main() {
    // expected-error @+1 {{is tied to 'nobody', which is no variable of the model}}
    %w = whale.variable "w" constant(1.0) tied "nobody" : tensor<f32>
    whale.backward() of [] {
      whale.yield
    }
    whale.return
  }
}
