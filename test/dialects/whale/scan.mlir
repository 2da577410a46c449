// Scans: text, sequences, the cell's types.
// RUN: whale-opt --split-input-file --verify-diagnostics %s \
// RUN:   | whale-opt --split-input-file | FileCheck %s

// CHECK-LABEL: whale.model @good
whale.model @good {
  whale.module @cell(%h: tensor<4x8xf32>, %x: tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>) {
    whale.return %h, %x : tensor<4x8xf32>, tensor<4x8xf32>
  }
  whale.module @ops(%h: tensor<4x8xf32>, %xs: tensor<4x5x8xf32>) {
    // CHECK: whale.scan @cell "rnn" carry(%{{.*}}) over(%{{.*}}) dim 1 : (tensor<4x8xf32>), (tensor<4x5x8xf32>) -> tensor<4x8xf32>, tensor<4x5x8xf32>
    %0, %1 = whale.scan @cell "rnn" carry(%h) over(%xs) dim 1 : (tensor<4x8xf32>), (tensor<4x5x8xf32>) -> tensor<4x8xf32>, tensor<4x5x8xf32>
    // CHECK: whale.scan @cell "back" carry(%{{.*}}) over(%{{.*}}) dim 1 reverse : (tensor<4x8xf32>), (tensor<4x5x8xf32>) -> tensor<4x8xf32>, tensor<4x5x8xf32>
    %2, %3 = whale.scan @cell "back" carry(%h) over(%xs) dim 1 reverse : (tensor<4x8xf32>), (tensor<4x5x8xf32>) -> tensor<4x8xf32>, tensor<4x5x8xf32>
    whale.return
  }
}

// -----

// The cell exists.
whale.model @m {
  whale.module @cell(%h: tensor<4x8xf32>, %x: tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>) {
    whale.return %h, %x : tensor<4x8xf32>, tensor<4x8xf32>
  }
  whale.module @rule(%h: tensor<4x8xf32>, %xs: tensor<4x5x8xf32>) {
    // expected-error @+1 {{'whale.scan' op refers to unknown module '@nothing'}}
    %0, %1 = whale.scan @nothing "rnn" carry(%h) over(%xs) dim 1 : (tensor<4x8xf32>), (tensor<4x5x8xf32>) -> tensor<4x8xf32>, tensor<4x5x8xf32>
    whale.return
  }
}

// -----

// Every state is a result.
whale.model @m {
  whale.module @cell(%h: tensor<4x8xf32>, %x: tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>) {
    whale.return %h, %x : tensor<4x8xf32>, tensor<4x8xf32>
  }
  whale.module @rule(%h: tensor<4x8xf32>, %xs: tensor<4x5x8xf32>) {
    // expected-error @+1 {{'whale.scan' op has 0 results, fewer than its 1 states}}
    "whale.scan"(%h, %xs) {callee = @cell, name = "rnn", dim = 1 : i64, operandSegmentSizes = array<i32: 1, 1>} : (tensor<4x8xf32>, tensor<4x5x8xf32>) -> ()
    whale.return
  }
}

// -----

// There is a sequence.
whale.model @m {
  whale.module @cell(%h: tensor<4x8xf32>, %x: tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>) {
    whale.return %h, %x : tensor<4x8xf32>, tensor<4x8xf32>
  }
  whale.module @rule(%h: tensor<4x8xf32>, %xs: tensor<4x5x8xf32>) {
    // expected-error @+1 {{'whale.scan' op has no sequence to go over}}
    %0 = whale.scan @cell "rnn" carry(%h) over() dim 1 : (tensor<4x8xf32>), () -> tensor<4x8xf32>
    whale.return
  }
}

// -----

// A sequence has the dimension.
whale.model @m {
  whale.module @cell(%h: tensor<4x8xf32>, %x: tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>) {
    whale.return %h, %x : tensor<4x8xf32>, tensor<4x8xf32>
  }
  whale.module @rule(%h: tensor<4x8xf32>, %xs: tensor<4x5x8xf32>) {
    // expected-error @+1 {{'whale.scan' op dimension 3 is not one of the 3 of 4x5x8}}
    %0, %1 = whale.scan @cell "rnn" carry(%h) over(%xs) dim 3 : (tensor<4x8xf32>), (tensor<4x5x8xf32>) -> tensor<4x8xf32>, tensor<4x5x8xf32>
    whale.return
  }
}

// -----

// Sequences have as many steps.
whale.model @m {
  whale.module @cell(%h: tensor<4x8xf32>, %x: tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>) {
    whale.return %h, %x : tensor<4x8xf32>, tensor<4x8xf32>
  }
  whale.module @rule(%h: tensor<4x8xf32>, %xs: tensor<4x5x8xf32>, %ys: tensor<4x6x8xf32>) {
    // expected-error @+1 {{'whale.scan' op sequences have 5 and 6 steps along dimension 1}}
    %0, %1 = whale.scan @cell "rnn" carry(%h) over(%xs, %ys) dim 1 : (tensor<4x8xf32>), (tensor<4x5x8xf32>, tensor<4x6x8xf32>) -> tensor<4x8xf32>, tensor<4x5x8xf32>
    whale.return
  }
}

// -----

// Outputs have the dimension.
whale.model @m {
  whale.module @cell(%h: tensor<4x8xf32>, %x: tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>) {
    whale.return %h, %x : tensor<4x8xf32>, tensor<4x8xf32>
  }
  whale.module @rule(%h: tensor<4x8xf32>, %xs: tensor<4x5x8xf32>) {
    // expected-error @+1 {{'whale.scan' op dimension 1 is not one of the 1 of 4}}
    %0, %1 = whale.scan @cell "rnn" carry(%h) over(%xs) dim 1 : (tensor<4x8xf32>), (tensor<4x5x8xf32>) -> tensor<4x8xf32>, tensor<4xf32>
    whale.return
  }
}

// -----

// Outputs are no scalars.
whale.model @m {
  whale.module @cell(%h: tensor<4x8xf32>, %x: tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>) {
    whale.return %h, %x : tensor<4x8xf32>, tensor<4x8xf32>
  }
  whale.module @rule(%h: tensor<4x8xf32>, %xs: tensor<4x5x8xf32>) {
    // expected-error @+1 {{'whale.scan' op dimension 1 is not one of the 0 of a scalar}}
    %0, %1 = whale.scan @cell "rnn" carry(%h) over(%xs) dim 1 : (tensor<4x8xf32>), (tensor<4x5x8xf32>) -> tensor<4x8xf32>, tensor<f32>
    whale.return
  }
}

// -----

// Outputs have as many steps as the sequences.
whale.model @m {
  whale.module @cell(%h: tensor<4x8xf32>, %x: tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>) {
    whale.return %h, %x : tensor<4x8xf32>, tensor<4x8xf32>
  }
  whale.module @rule(%h: tensor<4x8xf32>, %xs: tensor<4x5x8xf32>) {
    // expected-error @+1 {{'whale.scan' op output 1 has 7 steps, expected 5}}
    %0, %1 = whale.scan @cell "rnn" carry(%h) over(%xs) dim 1 : (tensor<4x8xf32>), (tensor<4x5x8xf32>) -> tensor<4x8xf32>, tensor<4x7x8xf32>
    whale.return
  }
}

// -----

// The cell takes states and slices.
whale.model @m {
  whale.module @cell(%h: tensor<4x8xf32>, %x: tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>) {
    whale.return %h, %x : tensor<4x8xf32>, tensor<4x8xf32>
  }
  whale.module @rule(%h: tensor<4x8xf32>, %xs: tensor<4x5x8xf32>) {
    // expected-error @+1 {{'whale.scan' op has 1 operands, but module '@cell' has 2}}
    %0, %1 = whale.scan @cell "rnn" carry() over(%xs) dim 1 : (), (tensor<4x5x8xf32>) -> tensor<4x5x8xf32>, tensor<4x5x8xf32>
    whale.return
  }
}

// -----

// The cell takes their types.
whale.model @m {
  whale.module @cell(%h: tensor<4x8xf32>, %x: tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>) {
    whale.return %h, %x : tensor<4x8xf32>, tensor<4x8xf32>
  }
  whale.module @rule(%h: tensor<4x9xf32>, %xs: tensor<4x5x8xf32>) {
    // expected-error @+1 {{'whale.scan' op operand 0 is 'tensor<4x9xf32>', but module '@cell' has 'tensor<4x8xf32>'}}
    %0, %1 = whale.scan @cell "rnn" carry(%h) over(%xs) dim 1 : (tensor<4x9xf32>), (tensor<4x5x8xf32>) -> tensor<4x9xf32>, tensor<4x5x8xf32>
    whale.return
  }
}

// -----

// The cell gives states and outputs.
whale.model @m {
  whale.module @cell(%h: tensor<4x8xf32>, %x: tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>) {
    whale.return %h, %x : tensor<4x8xf32>, tensor<4x8xf32>
  }
  whale.module @rule(%h: tensor<4x8xf32>, %xs: tensor<4x5x8xf32>) {
    // expected-error @+1 {{'whale.scan' op has 1 results, but module '@cell' has 2}}
    %0 = whale.scan @cell "rnn" carry(%h) over(%xs) dim 1 : (tensor<4x8xf32>), (tensor<4x5x8xf32>) -> tensor<4x8xf32>
    whale.return
  }
}

// -----

// A name is one path segment.
whale.model @m {
  whale.module @cell(%h: tensor<4x8xf32>, %x: tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>) {
    whale.return %h, %x : tensor<4x8xf32>, tensor<4x8xf32>
  }
  whale.module @rule(%h: tensor<4x8xf32>, %xs: tensor<4x5x8xf32>) {
    // expected-error @+1 {{'whale.scan' op name 'a/b' must be one path segment, without '/'}}
    %0, %1 = whale.scan @cell "a/b" carry(%h) over(%xs) dim 1 : (tensor<4x8xf32>), (tensor<4x5x8xf32>) -> tensor<4x8xf32>, tensor<4x5x8xf32>
    whale.return
  }
}

// -----

// Outputs have the types of the cell's.
whale.model @m {
  whale.module @cell(%h: tensor<4x8xf32>, %x: tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>) {
    whale.return %h, %x : tensor<4x8xf32>, tensor<4x8xf32>
  }
  whale.module @rule(%h: tensor<4x8xf32>, %xs: tensor<4x5x8xf32>) {
    // expected-error @+1 {{'whale.scan' op result 1 is 'tensor<4x9xf32>', but module '@cell' has 'tensor<4x8xf32>'}}
    %0, %1 = whale.scan @cell "rnn" carry(%h) over(%xs) dim 1 : (tensor<4x8xf32>), (tensor<4x5x8xf32>) -> tensor<4x8xf32>, tensor<4x5x9xf32>
    whale.return
  }
}

// -----

// A scan without state is a map.
// CHECK-LABEL: whale.model @map
whale.model @map {
  whale.module @cell(%x: tensor<4xf32>) -> tensor<4xf32> {
    whale.return %x : tensor<4xf32>
  }
  whale.module @ops(%xs: tensor<5x4xf32>) {
    // CHECK: whale.scan @cell "map" carry() over(%{{.*}}) dim 0 : (), (tensor<5x4xf32>) -> tensor<5x4xf32>
    %0 = whale.scan @cell "map" carry() over(%xs) dim 0 : (), (tensor<5x4xf32>) -> tensor<5x4xf32>
    whale.return
  }
}
