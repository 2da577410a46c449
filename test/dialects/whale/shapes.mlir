// Constants and changes of shape: text, extents.
// RUN: whale-opt --split-input-file --verify-diagnostics %s \
// RUN:   | whale-opt --split-input-file | FileCheck %s

whale.model @good {
  whale.module @ops(%x: tensor<4x6xf32>, %v: tensor<6xf32>) {
    // CHECK: = whale.constant 2 : tensor<6xf32>
    %c0 = whale.constant 2 : tensor<6xf32>
    // CHECK: = whale.constant 0.1 : tensor<f32>
    %c1 = whale.constant 0.1 : tensor<f32>
    // CHECK: = whale.constant -3 : tensor<2xi32>
    %c2 = whale.constant -3 : tensor<2xi32>
    // CHECK: = whale.constant 1.0e-6 : tensor<f64>
    %c3 = whale.constant 1.0e-6 : tensor<f64>
    // CHECK: = whale.constant -1.0e20 : tensor<f32>
    %c4 = whale.constant -1.0e20 : tensor<f32>
    // CHECK: = whale.constant inf : tensor<f32>
    %c5 = whale.constant inf : tensor<f32>
    // CHECK: = whale.constant -inf : tensor<f32>
    %c6 = whale.constant -inf : tensor<f32>
    // CHECK: = whale.constant nan : tensor<f32>
    %c7 = whale.constant nan : tensor<f32>
    // CHECK: = whale.constant -0.0 : tensor<f32>
    %c8 = whale.constant -0.0 : tensor<f32>
    // CHECK: = whale.constant 0.30000000000000004 : tensor<f64>
    %c9 = whale.constant 0.30000000000000004 : tensor<f64>
    // CHECK: = whale.constant 5.0e-324 : tensor<f64>
    %c10 = whale.constant 5.0e-324 : tensor<f64>
    // CHECK: = whale.constant 1.7976931348623157e308 : tensor<f64>
    %c11 = whale.constant 1.7976931348623157e308 : tensor<f64>
    // CHECK: = whale.iota dim 1 : tensor<4x6xi32>
    %i = whale.iota dim 1 : tensor<4x6xi32>
    // CHECK: = whale.step_number : tensor<i64>
    %n = whale.step_number : tensor<i64>
    // CHECK: = whale.broadcast %{{.*}} [1] : tensor<6xf32> -> tensor<4x6xf32>
    %b = whale.broadcast %v [1] : tensor<6xf32> -> tensor<4x6xf32>
    // CHECK: = whale.broadcast %{{.*}} [] : tensor<f32> -> tensor<4xf32>
    %b1 = whale.broadcast %c1 [] : tensor<f32> -> tensor<4xf32>
    // CHECK: = whale.reshape %{{.*}} : tensor<4x6xf32> -> tensor<2x2x6xf32>
    %r = whale.reshape %x : tensor<4x6xf32> -> tensor<2x2x6xf32>
    // CHECK: = whale.transpose %{{.*}} [0, 2, 1] : tensor<2x2x6xf32> -> tensor<2x6x2xf32>
    %t = whale.transpose %r [0, 2, 1] : tensor<2x2x6xf32> -> tensor<2x6x2xf32>
    // CHECK: = whale.slice %{{.*}} dim 1 from 2 : tensor<4x6xf32> -> tensor<4x3xf32>
    %s = whale.slice %x dim 1 from 2 : tensor<4x6xf32> -> tensor<4x3xf32>
    // CHECK: = whale.pad %{{.*}} dim 1 low 1 : tensor<4x3xf32> -> tensor<4x6xf32>
    %p = whale.pad %s dim 1 low 1 : tensor<4x3xf32> -> tensor<4x6xf32>
    // CHECK: = whale.concat %{{.*}}, %{{.*}} dim 1 : tensor<4x6xf32>, tensor<4x3xf32> -> tensor<4x9xf32>
    %k = whale.concat %x, %s dim 1 : tensor<4x6xf32>, tensor<4x3xf32> -> tensor<4x9xf32>
    whale.return
  }
}

// -----

// An integer has no fraction.
whale.model @m {
  whale.module @rule() {
    // expected-error @+1 {{'whale.constant' op has a real value for elements of 'i32'}}
    %0 = whale.constant 0.5 : tensor<i32>
    whale.return
  }
}

// -----

// An iota runs along a dimension of its own.
whale.model @m {
  whale.module @rule() {
    // expected-error @+1 {{'whale.iota' op dimension 2 is not one of the 2 of 4x6}}
    %0 = whale.iota dim 2 : tensor<4x6xi32>
    whale.return
  }
}

// -----

// A scalar has no dimension.
whale.model @m {
  whale.module @rule() {
    // expected-error @+1 {{'whale.iota' op dimension 0 is not one of the 0 of a scalar}}
    %0 = whale.iota dim 0 : tensor<i32>
    whale.return
  }
}

// -----

// A broadcast names every dimension of its operand.
whale.model @m {
  whale.module @rule(%x: tensor<4x6xf32>) {
    // expected-error @+1 {{'whale.broadcast' op operand is 4x6, expected 1 dimensions}}
    %0 = whale.broadcast %x [1] : tensor<4x6xf32> -> tensor<2x4x6xf32>
    whale.return
  }
}

// -----

// A broadcast names dimensions of its result.
whale.model @m {
  whale.module @rule(%x: tensor<4x6xf32>) {
    // expected-error @+1 {{'whale.broadcast' op dimension 3 is not one of the 3 of 2x4x6}}
    %0 = whale.broadcast %x [1, 3] : tensor<4x6xf32> -> tensor<2x4x6xf32>
    whale.return
  }
}

// -----

// Broadcast dimensions ascend.
whale.model @m {
  whale.module @rule(%x: tensor<4x4xf32>) {
    // expected-error @+1 {{'whale.broadcast' op dimensions must ascend, found 1 after 2}}
    %0 = whale.broadcast %x [2, 1] : tensor<4x4xf32> -> tensor<2x4x4xf32>
    whale.return
  }
}

// -----

// Broadcast keeps extents.
whale.model @m {
  whale.module @rule(%x: tensor<4x6xf32>) {
    // expected-error @+1 {{'whale.broadcast' op operand is 4x6, expected 4x7}}
    %0 = whale.broadcast %x [0, 1] : tensor<4x6xf32> -> tensor<4x7xf32>
    whale.return
  }
}

// -----

// A reshape keeps the number of elements.
whale.model @m {
  whale.module @rule(%x: tensor<4x6xf32>) {
    // expected-error @+1 {{'whale.reshape' op result has 25 elements, but operand has 24}}
    %0 = whale.reshape %x : tensor<4x6xf32> -> tensor<5x5xf32>
    whale.return
  }
}

// -----

// A transpose names every dimension.
whale.model @m {
  whale.module @rule(%x: tensor<4x6xf32>) {
    // expected-error @+1 {{'whale.transpose' op operand is 4x6, expected 1 dimensions}}
    %0 = whale.transpose %x [0] : tensor<4x6xf32> -> tensor<4xf32>
    whale.return
  }
}

// -----

// A transpose names a dimension once.
whale.model @m {
  whale.module @rule(%x: tensor<4x6xf32>) {
    // expected-error @+1 {{'whale.transpose' op permutation does not name every dimension once}}
    %0 = whale.transpose %x [0, 0] : tensor<4x6xf32> -> tensor<4x4xf32>
    whale.return
  }
}

// -----

// A transpose permutes the extents.
whale.model @m {
  whale.module @rule(%x: tensor<4x6xf32>) {
    // expected-error @+1 {{'whale.transpose' op result is 4x6, expected 6x4}}
    %0 = whale.transpose %x [1, 0] : tensor<4x6xf32> -> tensor<4x6xf32>
    whale.return
  }
}

// -----

// A slice is of a dimension of its operand.
whale.model @m {
  whale.module @rule(%x: tensor<4x6xf32>) {
    // expected-error @+1 {{'whale.slice' op dimension 2 is not one of the 2 of 4x6}}
    %0 = whale.slice %x dim 2 from 0 : tensor<4x6xf32> -> tensor<4x6xf32>
    whale.return
  }
}

// -----

// A slice keeps the other extents.
whale.model @m {
  whale.module @rule(%x: tensor<4x6xf32>) {
    // expected-error @+1 {{'whale.slice' op result is 3x2, expected 4x2}}
    %0 = whale.slice %x dim 1 from 0 : tensor<4x6xf32> -> tensor<3x2xf32>
    whale.return
  }
}

// -----

// A slice keeps the rank.
whale.model @m {
  whale.module @rule(%x: tensor<4x6xf32>) {
    // expected-error @+1 {{'whale.slice' op result is 4, expected 4x6}}
    %0 = whale.slice %x dim 1 from 0 : tensor<4x6xf32> -> tensor<4xf32>
    whale.return
  }
}

// -----

// A slice ends inside.
whale.model @m {
  whale.module @rule(%x: tensor<4x6xf32>) {
    // expected-error @+1 {{'whale.slice' op takes 3 from 4 of extent 6}}
    %0 = whale.slice %x dim 1 from 4 : tensor<4x6xf32> -> tensor<4x3xf32>
    whale.return
  }
}

// -----

// A slice begins inside.
whale.model @m {
  whale.module @rule(%x: tensor<4x6xf32>) {
    // expected-error @+1 {{'whale.slice' op takes 3 from -1 of extent 6}}
    %0 = whale.slice %x dim 1 from -1 : tensor<4x6xf32> -> tensor<4x3xf32>
    whale.return
  }
}

// -----

// A slice does not wrap around.
whale.model @m {
  whale.module @rule(%x: tensor<4x6xf32>) {
    // expected-error @+1 {{'whale.slice' op takes 3 from 9223372036854775807 of extent 6}}
    %0 = whale.slice %x dim 1 from 9223372036854775807 : tensor<4x6xf32> -> tensor<4x3xf32>
    whale.return
  }
}

// -----

// A pad keeps the other extents.
whale.model @m {
  whale.module @rule(%x: tensor<4x6xf32>) {
    // expected-error @+1 {{'whale.pad' op result is 5x8, expected 4x8}}
    %0 = whale.pad %x dim 1 low 1 : tensor<4x6xf32> -> tensor<5x8xf32>
    whale.return
  }
}

// -----

// A pad does not cut at the end.
whale.model @m {
  whale.module @rule(%x: tensor<4x6xf32>) {
    // expected-error @+1 {{'whale.pad' op pads by 0, of which 1 at the begin, expected 0 or more on both sides}}
    %0 = whale.pad %x dim 1 low 1 : tensor<4x6xf32> -> tensor<4x6xf32>
    whale.return
  }
}

// -----

// A pad does not cut at the begin.
whale.model @m {
  whale.module @rule(%x: tensor<4x6xf32>) {
    // expected-error @+1 {{'whale.pad' op pads by 0, of which -1 at the begin, expected 0 or more on both sides}}
    %0 = whale.pad %x dim 1 low -1 : tensor<4x6xf32> -> tensor<4x6xf32>
    whale.return
  }
}

// -----

// A concat has operands.
whale.model @m {
  whale.module @rule() {
    // expected-error @+1 {{'whale.concat' op has no operands}}
    %0 = "whale.concat"() {dim = 0 : i64} : () -> tensor<4xf32>
    whale.return
  }
}

// -----

// A concat keeps the other extents.
whale.model @m {
  whale.module @rule(%x: tensor<4x6xf32>, %y: tensor<3x6xf32>) {
    // expected-error @+1 {{'whale.concat' op result is 4x12, expected 3x12}}
    %0 = whale.concat %x, %y dim 1 : tensor<4x6xf32>, tensor<3x6xf32> -> tensor<4x12xf32>
    whale.return
  }
}

// -----

// A concat adds extents.
whale.model @m {
  whale.module @rule(%x: tensor<4x6xf32>) {
    // expected-error @+1 {{'whale.concat' op result is 4x13, expected 4x12}}
    %0 = whale.concat %x, %x dim 1 : tensor<4x6xf32>, tensor<4x6xf32> -> tensor<4x13xf32>
    whale.return
  }
}

// -----

// A concat is along a dimension of its operands.
whale.model @m {
  whale.module @rule(%x: tensor<4x6xf32>) {
    // expected-error @+1 {{'whale.concat' op dimension 7 is not one of the 2 of 4x6}}
    %0 = whale.concat %x dim 7 : tensor<4x6xf32> -> tensor<4x6xf32>
    whale.return
  }
}

// -----

// broadcast keeps the element type.
whale.model @m {
  whale.module @rule(%x: tensor<4x6xf32>) {
    // expected-error @+1 {{'whale.broadcast' op result has elements of 'f16', expected 'f32'}}
    %0 = whale.broadcast %x [0, 1] : tensor<4x6xf32> -> tensor<4x6xf16>
    whale.return
  }
}

// -----

// reshape keeps the element type.
whale.model @m {
  whale.module @rule(%x: tensor<4x6xf32>) {
    // expected-error @+1 {{'whale.reshape' op result has elements of 'f16', expected 'f32'}}
    %0 = whale.reshape %x : tensor<4x6xf32> -> tensor<6x4xf16>
    whale.return
  }
}

// -----

// transpose keeps the element type.
whale.model @m {
  whale.module @rule(%x: tensor<4x6xf32>) {
    // expected-error @+1 {{'whale.transpose' op result has elements of 'f16', expected 'f32'}}
    %0 = whale.transpose %x [0, 1] : tensor<4x6xf32> -> tensor<4x6xf16>
    whale.return
  }
}

// -----

// slice keeps the element type.
whale.model @m {
  whale.module @rule(%x: tensor<4x6xf32>) {
    // expected-error @+1 {{'whale.slice' op result has elements of 'f16', expected 'f32'}}
    %0 = whale.slice %x dim 1 from 0 : tensor<4x6xf32> -> tensor<4x2xf16>
    whale.return
  }
}

// -----

// pad keeps the element type.
whale.model @m {
  whale.module @rule(%x: tensor<4x6xf32>) {
    // expected-error @+1 {{'whale.pad' op result has elements of 'f16', expected 'f32'}}
    %0 = whale.pad %x dim 1 low 0 : tensor<4x6xf32> -> tensor<4x7xf16>
    whale.return
  }
}

// -----

// A concat has one element type.
whale.model @m {
  whale.module @rule(%x: tensor<4x6xf32>, %y: tensor<4x6xf16>) {
    // expected-error @+1 {{'whale.concat' op operand has elements of 'f16', expected 'f32'}}
    %0 = whale.concat %x, %y dim 1 : tensor<4x6xf32>, tensor<4x6xf16> -> tensor<4x12xf32>
    whale.return
  }
}
