// Mixture of experts: text, shapes, groups.
// RUN: whale-opt --split-input-file --verify-diagnostics %s \
// RUN:   | whale-opt --split-input-file | FileCheck %s

whale.model @good {
  whale.module @ops(%x: tensor<2x6x2x8xf32>, %w: tensor<4x8x16xf32>, %p: tensor<2x6x4xf32>, %r: tensor<4x6x2x8xf32>, %f: tensor<4x6x2xi32>) {
    // CHECK: = whale.top_k %{{.*}} k 2 : tensor<2x6x4xf32> -> tensor<2x6x2xf32>, tensor<2x6x2xi32>
    %v, %e = whale.top_k %p k 2 : tensor<2x6x4xf32> -> tensor<2x6x2xf32>, tensor<2x6x2xi32>
    // CHECK: = whale.expert_matmul %{{.*}}, %{{.*}}, %{{.*}} : tensor<2x6x2x8xf32>, tensor<4x8x16xf32>, tensor<2x6x2xi32> -> tensor<2x6x2x16xf32>
    %y = whale.expert_matmul %x, %w, %e : tensor<2x6x2x8xf32>, tensor<4x8x16xf32>, tensor<2x6x2xi32> -> tensor<2x6x2x16xf32>
    // CHECK: = whale.expert_matmul %{{.*}}, %{{.*}}, %{{.*}} transposed : tensor<2x6x2x16xf32>, tensor<4x8x16xf32>, tensor<2x6x2xi32> -> tensor<2x6x2x8xf32>
    %z = whale.expert_matmul %y, %w, %e transposed : tensor<2x6x2x16xf32>, tensor<4x8x16xf32>, tensor<2x6x2xi32> -> tensor<2x6x2x8xf32>
    // CHECK: = whale.expert_outer %{{.*}}, %{{.*}}, %{{.*}} : tensor<2x6x2x8xf32>, tensor<2x6x2x16xf32>, tensor<2x6x2xi32> -> tensor<4x8x16xf32>
    %g = whale.expert_outer %z, %y, %e : tensor<2x6x2x8xf32>, tensor<2x6x2x16xf32>, tensor<2x6x2xi32> -> tensor<4x8x16xf32>
    // CHECK: = whale.expert_slot %{{.*}} experts 4 capacity 8 over 2 : tensor<4x6x2xi32>
    %s = whale.expert_slot %f experts 4 capacity 8 over 2 : tensor<4x6x2xi32>
    // CHECK: = whale.dispatch %{{.*}}, %{{.*}}, %{{.*}} : tensor<4x6x2x8xf32>, tensor<4x6x2xi32> -> tensor<2x4x8x8xf32>
    %b = whale.dispatch %r, %f, %s : tensor<4x6x2x8xf32>, tensor<4x6x2xi32> -> tensor<2x4x8x8xf32>
    // CHECK: = whale.collect %{{.*}}, %{{.*}}, %{{.*}} : tensor<2x4x8x8xf32>, tensor<4x6x2xi32> -> tensor<4x6x2x8xf32>
    %c = whale.collect %b, %f, %s : tensor<2x4x8x8xf32>, tensor<4x6x2xi32> -> tensor<4x6x2x8xf32>
    whale.return
  }
}

// -----

// top_k takes no more than there are.
whale.model @m {
  whale.module @rule(%p: tensor<6x4xf32>) {
    // expected-error @+1 {{'whale.top_k' op takes 5 of 6x4}}
    %0:2 = whale.top_k %p k 5 : tensor<6x4xf32> -> tensor<6x5xf32>, tensor<6x5xi32>
    whale.return
  }
}

// -----

// top_k takes one or more.
whale.model @m {
  whale.module @rule(%p: tensor<6x4xf32>) {
    // expected-error @+1 {{'whale.top_k' op takes 0 of 6x4}}
    %0:2 = whale.top_k %p k 0 : tensor<6x4xf32> -> tensor<6x1xf32>, tensor<6x1xi32>
    whale.return
  }
}

// -----

// top_k needs a dimension.
whale.model @m {
  whale.module @rule(%p: tensor<f32>) {
    // expected-error @+1 {{'whale.top_k' op takes 1 of a scalar}}
    %0:2 = whale.top_k %p k 1 : tensor<f32> -> tensor<f32>, tensor<i32>
    whale.return
  }
}

// -----

// top_k gives k values.
whale.model @m {
  whale.module @rule(%p: tensor<6x4xf32>) {
    // expected-error @+1 {{'whale.top_k' op values is 6x3, expected 6x2}}
    %0:2 = whale.top_k %p k 2 : tensor<6x4xf32> -> tensor<6x3xf32>, tensor<6x2xi32>
    whale.return
  }
}

// -----

// top_k gives k indices.
whale.model @m {
  whale.module @rule(%p: tensor<6x4xf32>) {
    // expected-error @+1 {{'whale.top_k' op indices is 6x3, expected 6x2}}
    %0:2 = whale.top_k %p k 2 : tensor<6x4xf32> -> tensor<6x2xf32>, tensor<6x3xi32>
    whale.return
  }
}

// -----

// Weights are [experts, in, out].
whale.model @m {
  whale.module @rule(%x: tensor<2x6x2x8xf32>, %w: tensor<8x16xf32>, %e: tensor<2x6x2xi32>) {
    // expected-error @+1 {{'whale.expert_matmul' op weights is 8x16, expected 3 dimensions}}
    %0 = whale.expert_matmul %x, %w, %e : tensor<2x6x2x8xf32>, tensor<8x16xf32>, tensor<2x6x2xi32> -> tensor<2x6x2x16xf32>
    whale.return
  }
}

// -----

// Experts are [batch, sequence, choices].
whale.model @m {
  whale.module @rule(%x: tensor<2x6x2x8xf32>, %w: tensor<4x8x16xf32>, %e: tensor<2x6xi32>) {
    // expected-error @+1 {{'whale.expert_matmul' op experts is 2x6, expected 3 dimensions}}
    %0 = whale.expert_matmul %x, %w, %e : tensor<2x6x2x8xf32>, tensor<4x8x16xf32>, tensor<2x6xi32> -> tensor<2x6x2x16xf32>
    whale.return
  }
}

// -----

// Rows have the width of the weights.
whale.model @m {
  whale.module @rule(%x: tensor<2x6x2x9xf32>, %w: tensor<4x8x16xf32>, %e: tensor<2x6x2xi32>) {
    // expected-error @+1 {{'whale.expert_matmul' op rows is 2x6x2x9, expected 2x6x2x8}}
    %0 = whale.expert_matmul %x, %w, %e : tensor<2x6x2x9xf32>, tensor<4x8x16xf32>, tensor<2x6x2xi32> -> tensor<2x6x2x16xf32>
    whale.return
  }
}

// -----

// Transposed rows have the other width.
whale.model @m {
  whale.module @rule(%x: tensor<2x6x2x8xf32>, %w: tensor<4x8x16xf32>, %e: tensor<2x6x2xi32>) {
    // expected-error @+1 {{'whale.expert_matmul' op rows is 2x6x2x8, expected 2x6x2x16}}
    %0 = whale.expert_matmul %x, %w, %e transposed : tensor<2x6x2x8xf32>, tensor<4x8x16xf32>, tensor<2x6x2xi32> -> tensor<2x6x2x16xf32>
    whale.return
  }
}

// -----

// The result has the width of the weights.
whale.model @m {
  whale.module @rule(%x: tensor<2x6x2x8xf32>, %w: tensor<4x8x16xf32>, %e: tensor<2x6x2xi32>) {
    // expected-error @+1 {{'whale.expert_matmul' op result is 2x6x2x8, expected 2x6x2x16}}
    %0 = whale.expert_matmul %x, %w, %e : tensor<2x6x2x8xf32>, tensor<4x8x16xf32>, tensor<2x6x2xi32> -> tensor<2x6x2x8xf32>
    whale.return
  }
}

// -----

// The outer product is [experts, in, out].
whale.model @m {
  whale.module @rule(%x: tensor<2x6x2x8xf32>, %w: tensor<2x6x2x16xf32>, %e: tensor<2x6x2xi32>) {
    // expected-error @+1 {{'whale.expert_outer' op result is 8x16, expected 3 dimensions}}
    %0 = whale.expert_outer %x, %w, %e : tensor<2x6x2x8xf32>, tensor<2x6x2x16xf32>, tensor<2x6x2xi32> -> tensor<8x16xf32>
    whale.return
  }
}

// -----

// lhs has the width in.
whale.model @m {
  whale.module @rule(%x: tensor<2x6x2x8xf32>, %w: tensor<2x6x2x16xf32>, %e: tensor<2x6x2xi32>) {
    // expected-error @+1 {{'whale.expert_outer' op lhs is 2x6x2x8, expected 2x6x2x9}}
    %0 = whale.expert_outer %x, %w, %e : tensor<2x6x2x8xf32>, tensor<2x6x2x16xf32>, tensor<2x6x2xi32> -> tensor<4x9x16xf32>
    whale.return
  }
}

// -----

// rhs has the width out.
whale.model @m {
  whale.module @rule(%x: tensor<2x6x2x8xf32>, %w: tensor<2x6x2x16xf32>, %e: tensor<2x6x2xi32>) {
    // expected-error @+1 {{'whale.expert_outer' op rhs is 2x6x2x16, expected 2x6x2x17}}
    %0 = whale.expert_outer %x, %w, %e : tensor<2x6x2x8xf32>, tensor<2x6x2x16xf32>, tensor<2x6x2xi32> -> tensor<4x8x17xf32>
    whale.return
  }
}

// -----

// Slots are [batch, sequence, choices].
whale.model @m {
  whale.module @rule(%e: tensor<4x6xi32>) {
    // expected-error @+1 {{'whale.expert_slot' op experts is 4x6, expected 3 dimensions}}
    %0 = whale.expert_slot %e experts 4 capacity 8 over 2 : tensor<4x6xi32>
    whale.return
  }
}

// -----

// Groups divide the batch.
whale.model @m {
  whale.module @rule(%e: tensor<4x6x2xi32>) {
    // expected-error @+1 {{'whale.expert_slot' op groups of 3 samples do not divide a batch of 4}}
    %0 = whale.expert_slot %e experts 4 capacity 8 over 3 : tensor<4x6x2xi32>
    whale.return
  }
}

// -----

// Groups have samples.
whale.model @m {
  whale.module @rule(%e: tensor<4x6x2xi32>) {
    // expected-error @+1 {{'whale.expert_slot' op groups of 0 samples do not divide a batch of 4}}
    %0 = whale.expert_slot %e experts 4 capacity 8 over 0 : tensor<4x6x2xi32>
    whale.return
  }
}

// -----

// There are experts.
whale.model @m {
  whale.module @rule(%e: tensor<4x6x2xi32>) {
    // expected-error @+1 {{'whale.expert_slot' op needs 1 expert or more and a capacity of 1 or more}}
    %0 = whale.expert_slot %e experts 0 capacity 8 over 2 : tensor<4x6x2xi32>
    whale.return
  }
}

// -----

// There is capacity.
whale.model @m {
  whale.module @rule(%e: tensor<4x6x2xi32>) {
    // expected-error @+1 {{'whale.expert_slot' op needs 1 expert or more and a capacity of 1 or more}}
    %0 = whale.expert_slot %e experts 4 capacity 0 over 2 : tensor<4x6x2xi32>
    whale.return
  }
}

// -----

// Buffers are [groups, experts, capacity, features].
whale.model @m {
  whale.module @rule(%a: tensor<4x6x2x8xf32>, %e: tensor<4x6x2xi32>) {
    // expected-error @+1 {{'whale.dispatch' op buffers is 4x8x8, expected 4 dimensions}}
    %0 = whale.dispatch %a, %e, %e : tensor<4x6x2x8xf32>, tensor<4x6x2xi32> -> tensor<4x8x8xf32>
    whale.return
  }
}

// -----

// Rows have the features of the buffers.
whale.model @m {
  whale.module @rule(%a: tensor<4x6x2x8xf32>, %e: tensor<4x6x2xi32>) {
    // expected-error @+1 {{'whale.dispatch' op rows is 4x6x2x8, expected 4x6x2x9}}
    %0 = whale.dispatch %a, %e, %e : tensor<4x6x2x8xf32>, tensor<4x6x2xi32> -> tensor<2x4x8x9xf32>
    whale.return
  }
}

// -----

// Groups divide the rows.
whale.model @m {
  whale.module @rule(%a: tensor<4x6x2x8xf32>, %e: tensor<4x6x2xi32>) {
    // expected-error @+1 {{'whale.dispatch' op has 3 groups for a batch of 4}}
    %0 = whale.dispatch %a, %e, %e : tensor<4x6x2x8xf32>, tensor<4x6x2xi32> -> tensor<3x4x8x8xf32>
    whale.return
  }
}

// -----

// Collected rows have the features of the buffers.
whale.model @m {
  whale.module @rule(%a: tensor<2x4x8x8xf32>, %e: tensor<4x6x2xi32>) {
    // expected-error @+1 {{'whale.collect' op rows is 4x6x2x9, expected 4x6x2x8}}
    %0 = whale.collect %a, %e, %e : tensor<2x4x8x8xf32>, tensor<4x6x2xi32> -> tensor<4x6x2x9xf32>
    whale.return
  }
}

// -----

// Collected buffers have 4 dimensions.
whale.model @m {
  whale.module @rule(%a: tensor<4x8x8xf32>, %e: tensor<4x6x2xi32>) {
    // expected-error @+1 {{'whale.collect' op buffers is 4x8x8, expected 4 dimensions}}
    %0 = whale.collect %a, %e, %e : tensor<4x8x8xf32>, tensor<4x6x2xi32> -> tensor<4x6x2x8xf32>
    whale.return
  }
}

// -----

// top_k keeps the element type.
whale.model @m {
  whale.module @rule(%p: tensor<6x4xf32>) {
    // expected-error @+1 {{'whale.top_k' op values has elements of 'f16', expected 'f32'}}
    %0:2 = whale.top_k %p k 2 : tensor<6x4xf32> -> tensor<6x2xf16>, tensor<6x2xi32>
    whale.return
  }
}

// -----

// Weights have the element type of the rows.
whale.model @m {
  whale.module @rule(%x: tensor<2x6x2x8xf32>, %w: tensor<4x8x16xf16>, %e: tensor<2x6x2xi32>) {
    // expected-error @+1 {{'whale.expert_matmul' op weights has elements of 'f16', expected 'f32'}}
    %0 = whale.expert_matmul %x, %w, %e : tensor<2x6x2x8xf32>, tensor<4x8x16xf16>, tensor<2x6x2xi32> -> tensor<2x6x2x16xf32>
    whale.return
  }
}

// -----

// The result has the element type of the rows.
whale.model @m {
  whale.module @rule(%x: tensor<2x6x2x8xf32>, %w: tensor<4x8x16xf32>, %e: tensor<2x6x2xi32>) {
    // expected-error @+1 {{'whale.expert_matmul' op result has elements of 'f16', expected 'f32'}}
    %0 = whale.expert_matmul %x, %w, %e : tensor<2x6x2x8xf32>, tensor<4x8x16xf32>, tensor<2x6x2xi32> -> tensor<2x6x2x16xf16>
    whale.return
  }
}

// -----

// rhs has the element type of lhs.
whale.model @m {
  whale.module @rule(%x: tensor<2x6x2x8xf32>, %w: tensor<2x6x2x16xf16>, %e: tensor<2x6x2xi32>) {
    // expected-error @+1 {{'whale.expert_outer' op rhs has elements of 'f16', expected 'f32'}}
    %0 = whale.expert_outer %x, %w, %e : tensor<2x6x2x8xf32>, tensor<2x6x2x16xf16>, tensor<2x6x2xi32> -> tensor<4x8x16xf32>
    whale.return
  }
}

// -----

// The outer product has the element type of lhs.
whale.model @m {
  whale.module @rule(%x: tensor<2x6x2x8xf32>, %w: tensor<2x6x2x16xf32>, %e: tensor<2x6x2xi32>) {
    // expected-error @+1 {{'whale.expert_outer' op result has elements of 'f16', expected 'f32'}}
    %0 = whale.expert_outer %x, %w, %e : tensor<2x6x2x8xf32>, tensor<2x6x2x16xf32>, tensor<2x6x2xi32> -> tensor<4x8x16xf16>
    whale.return
  }
}

// -----

// Buffers have the element type of the rows.
whale.model @m {
  whale.module @rule(%a: tensor<4x6x2x8xf32>, %e: tensor<4x6x2xi32>) {
    // expected-error @+1 {{'whale.dispatch' op buffers has elements of 'f16', expected 'f32'}}
    %0 = whale.dispatch %a, %e, %e : tensor<4x6x2x8xf32>, tensor<4x6x2xi32> -> tensor<2x4x8x8xf16>
    whale.return
  }
}
