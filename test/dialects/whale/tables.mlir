// Gather and scatter: text, shapes.
// RUN: whale-opt --split-input-file --verify-diagnostics %s \
// RUN:   | whale-opt --split-input-file | FileCheck %s

whale.model @good {
  whale.module @ops(%t: tensor<100x32xf32>, %i: tensor<4x6xi32>) {
    // CHECK: = whale.embedding %{{.*}}, %{{.*}} : tensor<100x32xf32>, tensor<4x6xi32> -> tensor<4x6x32xf32>
    %0 = whale.embedding %t, %i : tensor<100x32xf32>, tensor<4x6xi32> -> tensor<4x6x32xf32>
    // CHECK: = whale.scatter_add %{{.*}}, %{{.*}} : tensor<4x6xi32>, tensor<4x6x32xf32> -> tensor<100x32xf32>
    %1 = whale.scatter_add %i, %0 : tensor<4x6xi32>, tensor<4x6x32xf32> -> tensor<100x32xf32>
    whale.return
  }
}

// -----

// A table has rows.
whale.model @m {
  whale.module @rule(%t: tensor<f32>, %i: tensor<4xi32>) {
    // expected-error @+1 {{'whale.embedding' op table is a scalar, expected rows}}
    %0 = whale.embedding %t, %i : tensor<f32>, tensor<4xi32> -> tensor<4xf32>
    whale.return
  }
}

// -----

// One row per index.
whale.model @m {
  whale.module @rule(%t: tensor<100x32xf32>, %i: tensor<4xi32>) {
    // expected-error @+1 {{'whale.embedding' op result is 4x100, expected 4x32}}
    %0 = whale.embedding %t, %i : tensor<100x32xf32>, tensor<4xi32> -> tensor<4x100xf32>
    whale.return
  }
}

// -----

// Indices are integers.
whale.model @m {
  whale.module @rule(%t: tensor<100x32xf32>, %i: tensor<4xf32>) {
    // expected-error @+1 {{'whale.embedding' op operand #1 must be statically shaped tensor of 1-bit signless integer or}}
    %0 = whale.embedding %t, %i : tensor<100x32xf32>, tensor<4xf32> -> tensor<4x32xf32>
    whale.return
  }
}

// -----

// What is added to has rows.
whale.model @m {
  whale.module @rule(%i: tensor<4xi32>, %u: tensor<4xf32>) {
    // expected-error @+1 {{'whale.scatter_add' op result is a scalar, expected rows}}
    %0 = whale.scatter_add %i, %u : tensor<4xi32>, tensor<4xf32> -> tensor<f32>
    whale.return
  }
}

// -----

// One update per index.
whale.model @m {
  whale.module @rule(%i: tensor<4xi32>, %u: tensor<5x32xf32>) {
    // expected-error @+1 {{'whale.scatter_add' op updates is 5x32, expected 4x32}}
    %0 = whale.scatter_add %i, %u : tensor<4xi32>, tensor<5x32xf32> -> tensor<100x32xf32>
    whale.return
  }
}

// -----

// Rows keep the element type.
whale.model @m {
  whale.module @rule(%t: tensor<100x32xf32>, %i: tensor<4xi32>) {
    // expected-error @+1 {{'whale.embedding' op result has elements of 'f16', expected 'f32'}}
    %0 = whale.embedding %t, %i : tensor<100x32xf32>, tensor<4xi32> -> tensor<4x32xf16>
    whale.return
  }
}

// -----

// Updates keep the element type.
whale.model @m {
  whale.module @rule(%i: tensor<4xi32>, %u: tensor<4x32xf32>) {
    // expected-error @+1 {{'whale.scatter_add' op result has elements of 'f16', expected 'f32'}}
    %0 = whale.scatter_add %i, %u : tensor<4xi32>, tensor<4x32xf32> -> tensor<100x32xf16>
    whale.return
  }
}
