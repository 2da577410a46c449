// Attention and rotary positions: text, shapes, masks.
// RUN: whale-opt --split-input-file --verify-diagnostics %s \
// RUN:   | whale-opt --split-input-file | FileCheck %s

whale.model @good {
  whale.module @ops(%q: tensor<2x16x4x2x8xf32>, %k: tensor<2x16x4x8xf32>, %b: tensor<4x2x16x16xf32>) {
    // CHECK: = whale.rotary %{{.*}} theta 10000.0 : tensor<2x16x4x2x8xf32>
    %r = whale.rotary %q theta 1.0e4 : tensor<2x16x4x2x8xf32>
    // CHECK: = whale.rotary %{{.*}} theta 5.0e5 inverse : tensor<2x16x4x2x8xf32>
    %r1 = whale.rotary %r theta 5.0e5 inverse : tensor<2x16x4x2x8xf32>
    // CHECK: theta 10000.0 scaling linear(4.0) : tensor<2x16x4x2x8xf32>
    %s0 = whale.rotary %q theta 1.0e4 scaling linear(4.0) : tensor<2x16x4x2x8xf32>
    // CHECK: theta 5.0e5 scaling llama3(8.0, 1.0, 4.0, 8192.0) inverse : tensor<2x16x4x2x8xf32>
    %s1 = whale.rotary %q theta 500000.0 scaling llama3(8.0, 1.0, 4.0, 8192.0) inverse : tensor<2x16x4x2x8xf32>
    // CHECK: theta 10000.0 scaling yarn(40.0, 1.0, 32.0, 4096.0, 1.25) : tensor<2x16x4x2x8xf32>
    %s2 = whale.rotary %q theta 1.0e4 scaling yarn(40.0, 1.0, 32.0, 4096.0, 1.25) : tensor<2x16x4x2x8xf32>
    // CHECK: = whale.attention %{{.*}}, %{{.*}}, %{{.*}} scale 0.35 : (tensor<2x16x4x2x8xf32>, tensor<2x16x4x8xf32>, tensor<2x16x4x8xf32>) -> (tensor<2x16x4x2x8xf32>, tensor<2x4x2x16xf32>)
    %o, %lse = whale.attention %r, %k, %k scale 0.35 : (tensor<2x16x4x2x8xf32>, tensor<2x16x4x8xf32>, tensor<2x16x4x8xf32>) -> (tensor<2x16x4x2x8xf32>, tensor<2x4x2x16xf32>)
    // CHECK: = whale.attention %{{.*}}, %{{.*}}, %{{.*}} bias %{{.*}} scale 0.3535533905932738 causal window 8 : (tensor<2x16x4x2x8xf32>, tensor<2x16x4x8xf32>, tensor<2x16x4x8xf32>, tensor<4x2x16x16xf32>) -> (tensor<2x16x4x2x8xf32>, tensor<2x4x2x16xf32>)
    %o1, %lse1 = whale.attention %r, %k, %k bias %b scale 0.3535533905932738 causal window 8 : (tensor<2x16x4x2x8xf32>, tensor<2x16x4x8xf32>, tensor<2x16x4x8xf32>, tensor<4x2x16x16xf32>) -> (tensor<2x16x4x2x8xf32>, tensor<2x4x2x16xf32>)
    // CHECK: = whale.attention_grad %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} bias %{{.*}} scale 0.35 causal window 8 : (tensor<2x16x4x2x8xf32>, tensor<2x16x4x8xf32>, tensor<2x16x4x8xf32>, tensor<2x16x4x2x8xf32>, tensor<2x4x2x16xf32>, tensor<2x16x4x2x8xf32>, tensor<4x2x16x16xf32>) -> (tensor<2x16x4x2x8xf32>, tensor<2x16x4x8xf32>, tensor<2x16x4x8xf32>, tensor<4x2x16x16xf32>)
    %g:4 = whale.attention_grad %r, %k, %k, %o, %lse, %o bias %b scale 0.35 causal window 8 : (tensor<2x16x4x2x8xf32>, tensor<2x16x4x8xf32>, tensor<2x16x4x8xf32>, tensor<2x16x4x2x8xf32>, tensor<2x4x2x16xf32>, tensor<2x16x4x2x8xf32>, tensor<4x2x16x16xf32>) -> (tensor<2x16x4x2x8xf32>, tensor<2x16x4x8xf32>, tensor<2x16x4x8xf32>, tensor<4x2x16x16xf32>)
    // CHECK: = whale.attention_grad %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} scale 0.35 : (tensor<2x16x4x2x8xf32>, tensor<2x16x4x8xf32>, tensor<2x16x4x8xf32>, tensor<2x16x4x2x8xf32>, tensor<2x4x2x16xf32>, tensor<2x16x4x2x8xf32>) -> (tensor<2x16x4x2x8xf32>, tensor<2x16x4x8xf32>, tensor<2x16x4x8xf32>)
    %h:3 = whale.attention_grad %r, %k, %k, %o, %lse, %o scale 0.35 : (tensor<2x16x4x2x8xf32>, tensor<2x16x4x8xf32>, tensor<2x16x4x8xf32>, tensor<2x16x4x2x8xf32>, tensor<2x4x2x16xf32>, tensor<2x16x4x2x8xf32>) -> (tensor<2x16x4x2x8xf32>, tensor<2x16x4x8xf32>, tensor<2x16x4x8xf32>)
    whale.return
  }
}

// -----

// A query has 5 dimensions.
whale.model @m {
  whale.module @rule(%q: tensor<2x16x8x8xf32>, %k: tensor<2x16x4x8xf32>, %v: tensor<2x16x4x8xf32>) {
    // expected-error @+1 {{'whale.attention' op query is 2x16x8x8, expected 5 dimensions}}
    %0:2 = whale.attention %q, %k, %v scale 0.5 : (tensor<2x16x8x8xf32>, tensor<2x16x4x8xf32>, tensor<2x16x4x8xf32>) -> (tensor<2x16x8x8xf32>, tensor<2x4x2x16xf32>)
    whale.return
  }
}

// -----

// A key has 4 dimensions.
whale.model @m {
  whale.module @rule(%q: tensor<2x16x4x2x8xf32>, %k: tensor<2x16x4x2x8xf32>, %v: tensor<2x16x4x8xf32>) {
    // expected-error @+1 {{'whale.attention' op key is 2x16x4x2x8, expected 4 dimensions}}
    %0:2 = whale.attention %q, %k, %v scale 0.5 : (tensor<2x16x4x2x8xf32>, tensor<2x16x4x2x8xf32>, tensor<2x16x4x8xf32>) -> (tensor<2x16x4x2x8xf32>, tensor<2x4x2x16xf32>)
    whale.return
  }
}

// -----

// A key has the heads of the query.
whale.model @m {
  whale.module @rule(%q: tensor<2x16x4x2x8xf32>, %k: tensor<2x16x8x8xf32>, %v: tensor<2x16x4x8xf32>) {
    // expected-error @+1 {{'whale.attention' op key is 2x16x8x8, expected 2x16x4x8}}
    %0:2 = whale.attention %q, %k, %v scale 0.5 : (tensor<2x16x4x2x8xf32>, tensor<2x16x8x8xf32>, tensor<2x16x4x8xf32>) -> (tensor<2x16x4x2x8xf32>, tensor<2x4x2x16xf32>)
    whale.return
  }
}

// -----

// A value has 4 dimensions.
whale.model @m {
  whale.module @rule(%q: tensor<2x16x4x2x8xf32>, %k: tensor<2x16x4x8xf32>, %v: tensor<2x16x4x2x8xf32>) {
    // expected-error @+1 {{'whale.attention' op value is 2x16x4x2x8, expected 4 dimensions}}
    %0:2 = whale.attention %q, %k, %v scale 0.5 : (tensor<2x16x4x2x8xf32>, tensor<2x16x4x8xf32>, tensor<2x16x4x2x8xf32>) -> (tensor<2x16x4x2x8xf32>, tensor<2x4x2x16xf32>)
    whale.return
  }
}

// -----

// A value is as the key, but for the last extent.
whale.model @m {
  whale.module @rule(%q: tensor<2x16x4x2x8xf32>, %k: tensor<2x16x4x8xf32>, %v: tensor<2x16x2x9xf32>) {
    // expected-error @+1 {{'whale.attention' op value is 2x16x2x9, expected 2x16x4x9}}
    %0:2 = whale.attention %q, %k, %v scale 0.5 : (tensor<2x16x4x2x8xf32>, tensor<2x16x4x8xf32>, tensor<2x16x2x9xf32>) -> (tensor<2x16x4x2x8xf32>, tensor<2x4x2x16xf32>)
    whale.return
  }
}

// -----

// A result is as wide as the value.
whale.model @m {
  whale.module @rule(%q: tensor<2x16x4x2x8xf32>, %k: tensor<2x16x4x8xf32>, %v: tensor<2x16x4x9xf32>) {
    // expected-error @+1 {{'whale.attention' op result is 2x16x4x2x8, expected 2x16x4x2x9}}
    %0:2 = whale.attention %q, %k, %v scale 0.5 : (tensor<2x16x4x2x8xf32>, tensor<2x16x4x8xf32>, tensor<2x16x4x9xf32>) -> (tensor<2x16x4x2x8xf32>, tensor<2x4x2x16xf32>)
    whale.return
  }
}

// -----

// The result is as the query.
whale.model @m {
  whale.module @rule(%q: tensor<2x16x4x2x8xf32>, %k: tensor<2x16x4x8xf32>, %v: tensor<2x16x4x8xf32>) {
    // expected-error @+1 {{'whale.attention' op result is 2x4x16x2x8, expected 2x16x4x2x8}}
    %0:2 = whale.attention %q, %k, %v scale 0.5 : (tensor<2x16x4x2x8xf32>, tensor<2x16x4x8xf32>, tensor<2x16x4x8xf32>) -> (tensor<2x4x16x2x8xf32>, tensor<2x4x2x16xf32>)
    whale.return
  }
}

// -----

// log_sum_exp is [batch, heads, group, sequence].
whale.model @m {
  whale.module @rule(%q: tensor<2x16x4x2x8xf32>, %k: tensor<2x16x4x8xf32>, %v: tensor<2x16x4x8xf32>) {
    // expected-error @+1 {{'whale.attention' op log_sum_exp is 2x16x4x2, expected 2x4x2x16}}
    %0:2 = whale.attention %q, %k, %v scale 0.5 : (tensor<2x16x4x2x8xf32>, tensor<2x16x4x8xf32>, tensor<2x16x4x8xf32>) -> (tensor<2x16x4x2x8xf32>, tensor<2x16x4x2xf32>)
    whale.return
  }
}

// -----

// A bias is [heads, group, sequence, keys].
whale.model @m {
  whale.module @rule(%q: tensor<2x16x4x2x8xf32>, %k: tensor<2x16x4x8xf32>, %v: tensor<2x16x4x8xf32>, %b: tensor<16x16xf32>) {
    // expected-error @+1 {{'whale.attention' op bias is 16x16, expected 4x2x16x16}}
    %0:2 = whale.attention %q, %k, %v bias %b scale 0.5 : (tensor<2x16x4x2x8xf32>, tensor<2x16x4x8xf32>, tensor<2x16x4x8xf32>, tensor<16x16xf32>) -> (tensor<2x16x4x2x8xf32>, tensor<2x4x2x16xf32>)
    whale.return
  }
}

// -----

// Causal needs as many keys as queries.
whale.model @m {
  whale.module @rule(%q: tensor<2x16x4x2x8xf32>, %k: tensor<2x12x4x8xf32>, %v: tensor<2x12x4x8xf32>) {
    // expected-error @+1 {{'whale.attention' op is causal with 16 queries and 12 keys, expected as many}}
    %0:2 = whale.attention %q, %k, %v scale 0.5 causal : (tensor<2x16x4x2x8xf32>, tensor<2x12x4x8xf32>, tensor<2x12x4x8xf32>) -> (tensor<2x16x4x2x8xf32>, tensor<2x4x2x16xf32>)
    whale.return
  }
}

// -----

// A window is causal.
whale.model @m {
  whale.module @rule(%q: tensor<2x16x4x2x8xf32>, %k: tensor<2x16x4x8xf32>, %v: tensor<2x16x4x8xf32>) {
    // expected-error @+1 {{'whale.attention' op window must be 1 or more and needs 'causal'}}
    %0:2 = whale.attention %q, %k, %v scale 0.5 window 4 : (tensor<2x16x4x2x8xf32>, tensor<2x16x4x8xf32>, tensor<2x16x4x8xf32>) -> (tensor<2x16x4x2x8xf32>, tensor<2x4x2x16xf32>)
    whale.return
  }
}

// -----

// A window has a position.
whale.model @m {
  whale.module @rule(%q: tensor<2x16x4x2x8xf32>, %k: tensor<2x16x4x8xf32>, %v: tensor<2x16x4x8xf32>) {
    // expected-error @+1 {{'whale.attention' op window must be 1 or more and needs 'causal'}}
    %0:2 = whale.attention %q, %k, %v scale 0.5 causal window 0 : (tensor<2x16x4x2x8xf32>, tensor<2x16x4x8xf32>, tensor<2x16x4x8xf32>) -> (tensor<2x16x4x2x8xf32>, tensor<2x4x2x16xf32>)
    whale.return
  }
}

// -----

// Rotary needs a sequence.
whale.model @m {
  whale.module @rule(%x: tensor<16x8xf32>) {
    // expected-error @+1 {{'whale.rotary' op operand is 16x8, expected [batch, sequence, ..., head]}}
    %0 = whale.rotary %x theta 1.0e4 : tensor<16x8xf32>
    whale.return
  }
}

// -----

// Rotary turns pairs.
whale.model @m {
  whale.module @rule(%x: tensor<2x16x7xf32>) {
    // expected-error @+1 {{'whale.rotary' op head size 7 is odd}}
    %0 = whale.rotary %x theta 1.0e4 : tensor<2x16x7xf32>
    whale.return
  }
}

// -----

// The element type of the query is that of the key.
whale.model @m {
  whale.module @rule(%q: tensor<2x16x4x2x8xf32>, %k: tensor<2x16x4x8xf16>, %v: tensor<2x16x4x8xf32>) {
    // expected-error @+1 {{'whale.attention' op key has elements of 'f16', expected 'f32'}}
    %0:2 = whale.attention %q, %k, %v scale 0.5 : (tensor<2x16x4x2x8xf32>, tensor<2x16x4x8xf16>, tensor<2x16x4x8xf32>) -> (tensor<2x16x4x2x8xf32>, tensor<2x4x2x16xf32>)
    whale.return
  }
}

// -----

// The element type of the query is that of the value.
whale.model @m {
  whale.module @rule(%q: tensor<2x16x4x2x8xf32>, %k: tensor<2x16x4x8xf32>, %v: tensor<2x16x4x8xf16>) {
    // expected-error @+1 {{'whale.attention' op value has elements of 'f16', expected 'f32'}}
    %0:2 = whale.attention %q, %k, %v scale 0.5 : (tensor<2x16x4x2x8xf32>, tensor<2x16x4x8xf32>, tensor<2x16x4x8xf16>) -> (tensor<2x16x4x2x8xf32>, tensor<2x4x2x16xf32>)
    whale.return
  }
}

// -----

// The element type of the query is that of the result.
whale.model @m {
  whale.module @rule(%q: tensor<2x16x4x2x8xf32>, %k: tensor<2x16x4x8xf32>, %v: tensor<2x16x4x8xf32>) {
    // expected-error @+1 {{'whale.attention' op result has elements of 'f16', expected 'f32'}}
    %0:2 = whale.attention %q, %k, %v scale 0.5 : (tensor<2x16x4x2x8xf32>, tensor<2x16x4x8xf32>, tensor<2x16x4x8xf32>) -> (tensor<2x16x4x2x8xf16>, tensor<2x4x2x16xf32>)
    whale.return
  }
}

// -----

// Rotary: an unknown scaling.
whale.model @bad {
  whale.module @m(%x: tensor<2x16x8xf32>) -> tensor<2x16x8xf32> {
    // expected-error @+1 {{unknown scaling 'ntk', expected linear, llama3 or yarn}}
    %0 = whale.rotary %x theta 1.0e4 scaling ntk(2.0) : tensor<2x16x8xf32>
    whale.return %0 : tensor<2x16x8xf32>
  }
}

// -----

// Rotary: the values of a scaling.
whale.model @bad {
  whale.module @m(%x: tensor<2x16x8xf32>) -> tensor<2x16x8xf32> {
    // expected-error @+1 {{'llama3' has 1 values, expected 4}}
    %0 = whale.rotary %x theta 1.0e4 scaling llama3(2.0) : tensor<2x16x8xf32>
    whale.return %0 : tensor<2x16x8xf32>
  }
}

// -----

// Rotary: factors are positive.
whale.model @bad {
  whale.module @m(%x: tensor<2x16x8xf32>) -> tensor<2x16x8xf32> {
    // expected-error @+1 {{'whale.rotary' op scaling has a value that is not positive}}
    %0 = whale.rotary %x theta 1.0e4 scaling linear(0.0) : tensor<2x16x8xf32>
    whale.return %0 : tensor<2x16x8xf32>
  }
}

// -----

// Rotary: a blend has two ends.
whale.model @bad {
  whale.module @m(%x: tensor<2x16x8xf32>) -> tensor<2x16x8xf32> {
    // expected-error @+1 {{'whale.rotary' op scaling ends at 1.0 turns, expected more than 4.0}}
    %0 = whale.rotary %x theta 1.0e4 scaling llama3(8.0, 4.0, 1.0, 8192.0) : tensor<2x16x8xf32>
    whale.return %0 : tensor<2x16x8xf32>
  }
}

// -----

// Rotary: a base that turns.
whale.model @bad {
  whale.module @m(%x: tensor<2x16x8xf32>) -> tensor<2x16x8xf32> {
    // expected-error @+1 {{'whale.rotary' op has a scaling, but theta is 1: all pairs turn alike}}
    %0 = whale.rotary %x theta 1.0 scaling linear(2.0) : tensor<2x16x8xf32>
    whale.return %0 : tensor<2x16x8xf32>
  }
}

// -----

// Rotary: a base.
whale.model @bad {
  whale.module @m(%x: tensor<2x16x8xf32>) -> tensor<2x16x8xf32> {
    // expected-error @+1 {{'whale.rotary' op theta must be positive}}
    %0 = whale.rotary %x theta 0.0 : tensor<2x16x8xf32>
    whale.return %0 : tensor<2x16x8xf32>
  }
}
