// RUN: whale-opt %s --split-input-file --verify-diagnostics

// Rounding keeps the shape.
whale.model @m {
  whale.module @rule(%x: tensor<4x6xf32>) {
    %0 = whale.reduce sum %x [1] {phase = "forward"} : tensor<4x6xf32> -> tensor<4x!whale.accumulator>
    // expected-error @+1 {{'whale.round_sum' op result is 6, expected 4}}
    %1 = whale.round_sum %0 {phase = "forward"} : tensor<4x!whale.accumulator> -> tensor<6xf32>
    whale.return
  }
}

// -----

// Models have no accumulators.
whale.model @m {
  whale.module @rule(%x: tensor<4x6xf32>) {
    // expected-error @+1 {{'whale.reduce' op gives accumulators, which are not for models: canonical mode makes them}}
    %0 = whale.reduce sum %x [1] : tensor<4x6xf32> -> tensor<4x!whale.accumulator>
    whale.return
  }
}

// -----

// Nothing computes with them.
whale.model @m {
  whale.module @rule(%x: tensor<4x6xf32>) {
    %0 = whale.reduce sum %x [1] {phase = "forward"} : tensor<4x6xf32> -> tensor<4x!whale.accumulator>
    // expected-error @+1 {{operand #0 must be}}
    %1 = whale.add %0, %0 {phase = "forward"} : tensor<4x!whale.accumulator>, tensor<4x!whale.accumulator>
    whale.return
  }
}
