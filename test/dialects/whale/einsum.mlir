// Contraction and reduction: text, equations, dimensions.
// RUN: whale-opt --split-input-file --verify-diagnostics %s \
// RUN:   | whale-opt --split-input-file | FileCheck %s

whale.model @good {
  whale.module @ops(%x: tensor<8x16x32xf32>, %w: tensor<32x4x8xf32>) {
    // CHECK: = whale.einsum "batch sequence hidden, hidden heads head -> batch sequence heads head" %{{.*}}, %{{.*}} : tensor<8x16x32xf32>, tensor<32x4x8xf32> -> tensor<8x16x4x8xf32>
    %0 = whale.einsum "batch sequence hidden, hidden heads head -> batch sequence heads head" %x, %w : tensor<8x16x32xf32>, tensor<32x4x8xf32> -> tensor<8x16x4x8xf32>
    // CHECK: = whale.reduce sum %{{.*}} [1, 2, 3] : tensor<8x16x4x8xf32> -> tensor<8xf32>
    %1 = whale.reduce sum %0 [1, 2, 3] : tensor<8x16x4x8xf32> -> tensor<8xf32>
    // CHECK: = whale.reduce max %{{.*}} [0] : tensor<8x16x4x8xf32> -> tensor<16x4x8xf32>
    %2 = whale.reduce max %0 [0] : tensor<8x16x4x8xf32> -> tensor<16x4x8xf32>
    // CHECK: = whale.reduce min %{{.*}} [0] : tensor<8xf32> -> tensor<f32>
    %3 = whale.reduce min %1 [0] : tensor<8xf32> -> tensor<f32>
    // CHECK: = whale.reduce sum %{{.*}} [] : tensor<8xf32> -> tensor<8xf32>
    %4 = whale.reduce sum %1 [] : tensor<8xf32> -> tensor<8xf32>
    // CHECK: = whale.einsum "a, a -> " %{{.*}}, %{{.*}} : tensor<8xf32>, tensor<8xf32> -> tensor<f32>
    %5 = whale.einsum "a, a -> " %1, %1 : tensor<8xf32>, tensor<8xf32> -> tensor<f32>
    whale.return
  }
}

// -----

// An equation has an arrow.
whale.model @m {
  whale.module @rule(%a: tensor<2x3xf32>, %b: tensor<3x4xf32>) {
    // expected-error @+1 {{'whale.einsum' op equation 'a b, b c' is malformed, expected "a b, b c -> a c"}}
    %0 = whale.einsum "a b, b c" %a, %b : tensor<2x3xf32>, tensor<3x4xf32> -> tensor<2x4xf32>
    whale.return
  }
}

// -----

// An equation has one arrow.
whale.model @m {
  whale.module @rule(%a: tensor<2x3xf32>, %b: tensor<3x4xf32>) {
    // expected-error @+1 {{'whale.einsum' op equation 'a b, b c -> a -> c' is malformed, expected "a b, b c -> a c"}}
    %0 = whale.einsum "a b, b c -> a -> c" %a, %b : tensor<2x3xf32>, tensor<3x4xf32> -> tensor<2x4xf32>
    whale.return
  }
}

// -----

// An equation has two terms.
whale.model @m {
  whale.module @rule(%a: tensor<2x3xf32>, %b: tensor<3x4xf32>) {
    // expected-error @+1 {{'whale.einsum' op equation 'a b -> a' is malformed, expected "a b, b c -> a c"}}
    %0 = whale.einsum "a b -> a" %a, %b : tensor<2x3xf32>, tensor<3x4xf32> -> tensor<2x4xf32>
    whale.return
  }
}

// -----

// An equation has not three terms.
whale.model @m {
  whale.module @rule(%a: tensor<2x3xf32>, %b: tensor<3x4xf32>) {
    // expected-error @+1 {{'whale.einsum' op equation 'a b, b c, c -> a' is malformed, expected "a b, b c -> a c"}}
    %0 = whale.einsum "a b, b c, c -> a" %a, %b : tensor<2x3xf32>, tensor<3x4xf32> -> tensor<2x4xf32>
    whale.return
  }
}

// -----

// A name stands once in a term.
whale.model @m {
  whale.module @rule(%a: tensor<2x3xf32>, %b: tensor<3x4xf32>) {
    // expected-error @+1 {{'whale.einsum' op equation 'a a, a c -> c' is malformed, expected "a b, b c -> a c"}}
    %0 = whale.einsum "a a, a c -> c" %a, %b : tensor<2x3xf32>, tensor<3x4xf32> -> tensor<2x4xf32>
    whale.return
  }
}

// -----

// A name is letters, digits and _.
whale.model @m {
  whale.module @rule(%a: tensor<2x3xf32>, %b: tensor<3x4xf32>) {
    // expected-error @+1 {{'whale.einsum' op equation 'a b, b $ -> a' is malformed, expected "a b, b c -> a c"}}
    %0 = whale.einsum "a b, b $ -> a" %a, %b : tensor<2x3xf32>, tensor<3x4xf32> -> tensor<2x4xf32>
    whale.return
  }
}

// -----

// The rank of lhs is that of its term.
whale.model @m {
  whale.module @rule(%a: tensor<2x3xf32>, %b: tensor<3x4xf32>) {
    // expected-error @+1 {{'whale.einsum' op lhs is 2x3, expected 1 dimensions}}
    %0 = whale.einsum "a, b c -> a c" %a, %b : tensor<2x3xf32>, tensor<3x4xf32> -> tensor<2x4xf32>
    whale.return
  }
}

// -----

// The rank of rhs is that of its term.
whale.model @m {
  whale.module @rule(%a: tensor<2x3xf32>, %b: tensor<3x4xf32>) {
    // expected-error @+1 {{'whale.einsum' op rhs is 3x4, expected 1 dimensions}}
    %0 = whale.einsum "a b, b -> a" %a, %b : tensor<2x3xf32>, tensor<3x4xf32> -> tensor<2x4xf32>
    whale.return
  }
}

// -----

// A name has one extent.
whale.model @m {
  whale.module @rule(%a: tensor<2x3xf32>, %b: tensor<5x4xf32>) {
    // expected-error @+1 {{'whale.einsum' op dimension 'b' has extent 5 in rhs and 3 before}}
    %0 = whale.einsum "a b, b c -> a c" %a, %b : tensor<2x3xf32>, tensor<5x4xf32> -> tensor<2x4xf32>
    whale.return
  }
}

// -----

// A name of the result is in an operand.
whale.model @m {
  whale.module @rule(%a: tensor<2x3xf32>, %b: tensor<3x4xf32>) {
    // expected-error @+1 {{'whale.einsum' op result dimension 'd' is in no operand}}
    %0 = whale.einsum "a b, b c -> a d" %a, %b : tensor<2x3xf32>, tensor<3x4xf32> -> tensor<2x4xf32>
    whale.return
  }
}

// -----

// A name of lhs alone is not summed.
whale.model @m {
  whale.module @rule(%a: tensor<2x3xf32>, %b: tensor<3x4xf32>) {
    // expected-error @+1 {{'whale.einsum' op dimension 'a' is only in lhs}}
    %0 = whale.einsum "a b, c d -> c d" %a, %b : tensor<2x3xf32>, tensor<3x4xf32> -> tensor<3x4xf32>
    whale.return
  }
}

// -----

// A name of rhs alone is not summed.
whale.model @m {
  whale.module @rule(%a: tensor<2x3xf32>, %b: tensor<3x4xf32>) {
    // expected-error @+1 {{'whale.einsum' op dimension 'c' is only in rhs}}
    %0 = whale.einsum "a b, c d -> a b" %a, %b : tensor<2x3xf32>, tensor<3x4xf32> -> tensor<2x3xf32>
    whale.return
  }
}

// -----

// The result has the extents of its names.
whale.model @m {
  whale.module @rule(%a: tensor<2x3xf32>, %b: tensor<3x4xf32>) {
    // expected-error @+1 {{'whale.einsum' op result is 4x2, expected 2x4}}
    %0 = whale.einsum "a b, b c -> a c" %a, %b : tensor<2x3xf32>, tensor<3x4xf32> -> tensor<4x2xf32>
    whale.return
  }
}

// -----

// A reduced dimension exists.
whale.model @m {
  whale.module @rule(%a: tensor<2x3xf32>) {
    // expected-error @+1 {{'whale.reduce' op dimension 2 is not one of the 2 of 2x3}}
    %0 = whale.reduce sum %a [2] : tensor<2x3xf32> -> tensor<2x3xf32>
    whale.return
  }
}

// -----

// A reduced dimension is not negative.
whale.model @m {
  whale.module @rule(%a: tensor<2x3xf32>) {
    // expected-error @+1 {{'whale.reduce' op dimension -1 is not one of the 2 of 2x3}}
    %0 = whale.reduce sum %a [-1] : tensor<2x3xf32> -> tensor<2xf32>
    whale.return
  }
}

// -----

// Reduced dimensions ascend.
whale.model @m {
  whale.module @rule(%a: tensor<2x3xf32>) {
    // expected-error @+1 {{'whale.reduce' op dimensions must ascend, found 0 after 1}}
    %0 = whale.reduce sum %a [1, 0] : tensor<2x3xf32> -> tensor<f32>
    whale.return
  }
}

// -----

// A reduced dimension stands once.
whale.model @m {
  whale.module @rule(%a: tensor<2x3xf32>) {
    // expected-error @+1 {{'whale.reduce' op dimensions must ascend, found 1 after 1}}
    %0 = whale.reduce sum %a [1, 1] : tensor<2x3xf32> -> tensor<2xf32>
    whale.return
  }
}

// -----

// The result loses the reduced dimensions.
whale.model @m {
  whale.module @rule(%a: tensor<2x3xf32>) {
    // expected-error @+1 {{'whale.reduce' op result is 2, expected 3}}
    %0 = whale.reduce sum %a [0] : tensor<2x3xf32> -> tensor<2xf32>
    whale.return
  }
}

// -----

// A result of all dimensions is a scalar.
whale.model @m {
  whale.module @rule(%a: tensor<2x3xf32>) {
    // expected-error @+1 {{'whale.reduce' op result is 1, expected a scalar}}
    %0 = whale.reduce sum %a [0, 1] : tensor<2x3xf32> -> tensor<1xf32>
    whale.return
  }
}

// -----

// Factors have one element type.
whale.model @m {
  whale.module @rule(%a: tensor<2x3xf32>, %b: tensor<3x4xf64>) {
    // expected-error @+1 {{'whale.einsum' op rhs has elements of 'f64', expected 'f32'}}
    %0 = whale.einsum "a b, b c -> a c" %a, %b : tensor<2x3xf32>, tensor<3x4xf64> -> tensor<2x4xf32>
    whale.return
  }
}

// -----

// A contraction keeps the element type.
whale.model @m {
  whale.module @rule(%a: tensor<2x3xf32>, %b: tensor<3x4xf32>) {
    // expected-error @+1 {{'whale.einsum' op result has elements of 'bf16', expected 'f32'}}
    %0 = whale.einsum "a b, b c -> a c" %a, %b : tensor<2x3xf32>, tensor<3x4xf32> -> tensor<2x4xbf16>
    whale.return
  }
}

// -----

// A reduction keeps the element type.
whale.model @m {
  whale.module @rule(%a: tensor<2x3xf32>) {
    // expected-error @+1 {{'whale.reduce' op result has elements of 'f16', expected 'f32'}}
    %0 = whale.reduce sum %a [0] : tensor<2x3xf32> -> tensor<3xf16>
    whale.return
  }
}
