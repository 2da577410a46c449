// Elementwise ops: text, broadcasting, types.
// RUN: whale-opt --split-input-file --verify-diagnostics %s \
// RUN:   | whale-opt --split-input-file | FileCheck %s

whale.model @good {
  whale.module @ops(%x: tensor<4x8xf32>, %b: tensor<8xf32>, %i: tensor<4x8xi32>, %c: tensor<4x8xi1>) {
    // CHECK: = whale.neg %{{.*}} : tensor<4x8xf32>
    %u0 = whale.neg %x : tensor<4x8xf32>
    // CHECK: = whale.abs %{{.*}} : tensor<4x8xf32>
    %u1 = whale.abs %x : tensor<4x8xf32>
    // CHECK: = whale.sign %{{.*}} : tensor<4x8xf32>
    %u2 = whale.sign %x : tensor<4x8xf32>
    // CHECK: = whale.exp %{{.*}} : tensor<4x8xf32>
    %u3 = whale.exp %x : tensor<4x8xf32>
    // CHECK: = whale.log %{{.*}} : tensor<4x8xf32>
    %u4 = whale.log %x : tensor<4x8xf32>
    // CHECK: = whale.sqrt %{{.*}} : tensor<4x8xf32>
    %u5 = whale.sqrt %x : tensor<4x8xf32>
    // CHECK: = whale.rsqrt %{{.*}} : tensor<4x8xf32>
    %u6 = whale.rsqrt %x : tensor<4x8xf32>
    // CHECK: = whale.reciprocal %{{.*}} : tensor<4x8xf32>
    %u7 = whale.reciprocal %x : tensor<4x8xf32>
    // CHECK: = whale.tanh %{{.*}} : tensor<4x8xf32>
    %u8 = whale.tanh %x : tensor<4x8xf32>
    // CHECK: = whale.sigmoid %{{.*}} : tensor<4x8xf32>
    %u9 = whale.sigmoid %x : tensor<4x8xf32>
    // CHECK: = whale.erf %{{.*}} : tensor<4x8xf32>
    %u10 = whale.erf %x : tensor<4x8xf32>
    // CHECK: = whale.sin %{{.*}} : tensor<4x8xf32>
    %u11 = whale.sin %x : tensor<4x8xf32>
    // CHECK: = whale.cos %{{.*}} : tensor<4x8xf32>
    %u12 = whale.cos %x : tensor<4x8xf32>
    // CHECK: = whale.relu %{{.*}} : tensor<4x8xf32>
    %u13 = whale.relu %x : tensor<4x8xf32>
    // CHECK: = whale.silu %{{.*}} : tensor<4x8xf32>
    %u14 = whale.silu %x : tensor<4x8xf32>
    // CHECK: = whale.floor %{{.*}} : tensor<4x8xf32>
    %u15 = whale.floor %x : tensor<4x8xf32>
    // CHECK: = whale.stop_gradient %{{.*}} : tensor<4x8xf32>
    %u16 = whale.stop_gradient %x : tensor<4x8xf32>
    // CHECK: = whale.gelu %{{.*}} : tensor<4x8xf32>
    %g0 = whale.gelu %x : tensor<4x8xf32>
    // CHECK: = whale.gelu %{{.*}} tanh : tensor<4x8xf32>
    %g1 = whale.gelu %x tanh : tensor<4x8xf32>
    // CHECK: = whale.gelu_grad %{{.*}}, %{{.*}} : tensor<4x8xf32>
    %g2 = whale.gelu_grad %x, %x : tensor<4x8xf32>
    // CHECK: = whale.gelu_grad %{{.*}}, %{{.*}} tanh : tensor<4x8xf32>
    %g3 = whale.gelu_grad %x, %x tanh : tensor<4x8xf32>
    // CHECK: = whale.silu_grad %{{.*}}, %{{.*}} : tensor<4x8xf32>
    %g4 = whale.silu_grad %x, %x : tensor<4x8xf32>
    // CHECK: = whale.add %{{.*}}, %{{.*}} : tensor<4x8xf32>, tensor<8xf32>
    %b0 = whale.add %x, %b : tensor<4x8xf32>, tensor<8xf32>
    // CHECK: = whale.sub %{{.*}}, %{{.*}} : tensor<4x8xf32>, tensor<8xf32>
    %b1 = whale.sub %x, %b : tensor<4x8xf32>, tensor<8xf32>
    // CHECK: = whale.mul %{{.*}}, %{{.*}} : tensor<4x8xf32>, tensor<8xf32>
    %b2 = whale.mul %x, %b : tensor<4x8xf32>, tensor<8xf32>
    // CHECK: = whale.div %{{.*}}, %{{.*}} : tensor<4x8xf32>, tensor<8xf32>
    %b3 = whale.div %x, %b : tensor<4x8xf32>, tensor<8xf32>
    // CHECK: = whale.max %{{.*}}, %{{.*}} : tensor<4x8xf32>, tensor<8xf32>
    %b4 = whale.max %x, %b : tensor<4x8xf32>, tensor<8xf32>
    // CHECK: = whale.min %{{.*}}, %{{.*}} : tensor<4x8xf32>, tensor<8xf32>
    %b5 = whale.min %x, %b : tensor<4x8xf32>, tensor<8xf32>
    // CHECK: = whale.pow %{{.*}}, %{{.*}} : tensor<4x8xf32>, tensor<8xf32>
    %b6 = whale.pow %x, %b : tensor<4x8xf32>, tensor<8xf32>
    // CHECK: = whale.compare eq %{{.*}}, %{{.*}} : tensor<4x8xf32>, tensor<8xf32>
    %p0 = whale.compare eq %x, %b : tensor<4x8xf32>, tensor<8xf32>
    // CHECK: = whale.compare ne %{{.*}}, %{{.*}} : tensor<4x8xf32>, tensor<8xf32>
    %p1 = whale.compare ne %x, %b : tensor<4x8xf32>, tensor<8xf32>
    // CHECK: = whale.compare lt %{{.*}}, %{{.*}} : tensor<4x8xf32>, tensor<8xf32>
    %p2 = whale.compare lt %x, %b : tensor<4x8xf32>, tensor<8xf32>
    // CHECK: = whale.compare le %{{.*}}, %{{.*}} : tensor<4x8xf32>, tensor<8xf32>
    %p3 = whale.compare le %x, %b : tensor<4x8xf32>, tensor<8xf32>
    // CHECK: = whale.compare gt %{{.*}}, %{{.*}} : tensor<4x8xf32>, tensor<8xf32>
    %p4 = whale.compare gt %x, %b : tensor<4x8xf32>, tensor<8xf32>
    // CHECK: = whale.compare ge %{{.*}}, %{{.*}} : tensor<4x8xf32>, tensor<8xf32>
    %p5 = whale.compare ge %x, %b : tensor<4x8xf32>, tensor<8xf32>
    // CHECK: = whale.select %{{.*}}, %{{.*}}, %{{.*}} : tensor<4x8xi1>, tensor<4x8xf32>, tensor<8xf32>
    %s = whale.select %c, %x, %b : tensor<4x8xi1>, tensor<4x8xf32>, tensor<8xf32>
    // CHECK: = whale.add %{{.*}}, %{{.*}} : tensor<4x8xi32>, tensor<4x8xi32>
    %n = whale.add %i, %i : tensor<4x8xi32>, tensor<4x8xi32>
    // CHECK: = whale.cast %{{.*}} : tensor<4x8xf32> -> tensor<4x8xbf16>
    %h = whale.cast %x : tensor<4x8xf32> -> tensor<4x8xbf16>
    // CHECK: = whale.dropout %{{.*}} rate 0.1 : tensor<4x8xf32>
    %d0 = whale.dropout %x rate 0.1 : tensor<4x8xf32>
    // CHECK: = whale.dropout %{{.*}} rate 0.0 key "a/b" : tensor<4x8xf32>
    %d1 = whale.dropout %x rate 0.0 key "a/b" : tensor<4x8xf32>
    whale.return
  }
}

// -----

// Unary ops keep the type.
whale.model @m {
  whale.module @rule(%x: tensor<4x8xf32>) {
    // expected-error @+1 {{'whale.neg' op requires the same type for all operands and results}}
    %0 = "whale.neg"(%x) : (tensor<4x8xf32>) -> tensor<4x9xf32>
    whale.return
  }
}

// -----

// Unary ops take reals.
whale.model @m {
  whale.module @rule(%i: tensor<4xi32>) {
    // expected-error @+1 {{'whale.exp' op operand #0 must be statically shaped tensor of 32-bit float or 64-bit float or bfloat16 type or 16-bit float values, but got 'tensor<4xi32>'}}
    %0 = whale.exp %i : tensor<4xi32>
    whale.return
  }
}

// -----

// Shapes are static.
whale.model @m {
  whale.module @rule(%i: tensor<?xf32>) {
    // expected-error @+1 {{'whale.exp' op operand #0 must be statically shaped tensor}}
    %0 = whale.exp %i : tensor<?xf32>
    whale.return
  }
}

// -----

// Shapes must broadcast.
whale.model @m {
  whale.module @rule(%x: tensor<4x8xf32>, %b: tensor<4xf32>) {
    // expected-error @+1 {{shapes do not broadcast: extent 4 meets 8}}
    %0 = whale.add %x, %b : tensor<4x8xf32>, tensor<4xf32>
    whale.return
  }
}

// -----

// Element types must agree.
whale.model @m {
  whale.module @rule(%x: tensor<4x8xf32>, %b: tensor<8xf64>) {
    // expected-error @+1 {{element types differ: 'f32' and 'f64'}}
    %0 = whale.mul %x, %b : tensor<4x8xf32>, tensor<8xf64>
    whale.return
  }
}

// -----

// Operands of a comparison agree.
whale.model @m {
  whale.module @rule(%x: tensor<4x8xf32>, %b: tensor<8xi32>) {
    // expected-error @+1 {{element types differ: 'f32' and 'i32'}}
    %0 = whale.compare lt %x, %b : tensor<4x8xf32>, tensor<8xi32>
    whale.return
  }
}

// -----

// Choices of a select agree.
whale.model @m {
  whale.module @rule(%c: tensor<4xi1>, %x: tensor<4xf32>, %b: tensor<4xf16>) {
    // expected-error @+1 {{element types differ: 'f32' and 'f16'}}
    %0 = whale.select %c, %x, %b : tensor<4xi1>, tensor<4xf32>, tensor<4xf16>
    whale.return
  }
}

// -----

// A condition is i1.
whale.model @m {
  whale.module @rule(%x: tensor<4xf32>) {
    // expected-error @+1 {{'whale.select' op operand #0 must be statically shaped tensor of 1-bit signless integer values, but got 'tensor<4xf32>'}}
    %0 = whale.select %x, %x, %x : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>
    whale.return
  }
}

// -----

// The result is the broadcast type.
whale.model @m {
  whale.module @rule(%x: tensor<4x8xf32>) {
    // expected-error @+2 {{'whale.add' op inferred type(s) 'tensor<4x8xf32>' are incompatible with return type(s) of operation 'tensor<4x9xf32>'}}
    // expected-error @+1 {{'whale.add' op failed to infer returned types}}
    %0 = "whale.add"(%x, %x) : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x9xf32>
    whale.return
  }
}

// -----

// A cast keeps the shape.
whale.model @m {
  whale.module @rule(%x: tensor<4x8xf32>) {
    // expected-error @+1 {{'whale.cast' op result is 8x4, expected 4x8}}
    %0 = whale.cast %x : tensor<4x8xf32> -> tensor<8x4xf16>
    whale.return
  }
}

// -----

// A dropout rate is below 1.
whale.model @m {
  whale.module @rule(%x: tensor<4x8xf32>) {
    // expected-error @+1 {{'whale.dropout' op rate is 1.000000e+00, expected 0 <= rate < 1}}
    %0 = whale.dropout %x rate 1.0 : tensor<4x8xf32>
    whale.return
  }
}

// -----

// A dropout rate is not negative.
whale.model @m {
  whale.module @rule(%x: tensor<4x8xf32>) {
    // expected-error @+1 {{'whale.dropout' op rate is -5.000000e-01, expected 0 <= rate < 1}}
    %0 = whale.dropout %x rate -0.5 : tensor<4x8xf32>
    whale.return
  }
}

// -----

// A dropout rate is a number.
whale.model @m {
  whale.module @rule(%x: tensor<4x8xf32>) {
    // expected-error @+1 {{'whale.dropout' op rate is nan, expected 0 <= rate < 1}}
    %0 = whale.dropout %x rate 0x7FF8000000000000 : tensor<4x8xf32>
    whale.return
  }
}
