// Primitives in the text: degrees, shares, dimensions, schedules.
// RUN: whale-opt --split-input-file --verify-diagnostics %s \
// RUN:   | whale-opt --split-input-file | FileCheck %s

// CHECK-LABEL: whale.model @good
whale.model @good {
  whale.module @top(%x: tensor<8x16xf32>) {
    // CHECK: whale.set_default_strategy "replica"{{ *$}}
    whale.set_default_strategy "replica"
    // CHECK: whale.set_default_strategy "replicate" 4
    whale.set_default_strategy "replicate" 4
    // CHECK: whale.set_default_strategy "split" 2 [hidden, "1f"] {note = 1 : i64}
    whale.set_default_strategy "split" 2 [hidden, "1f"] {note = 1}
    // CHECK: whale.cluster layout "grid" {
    %0 = whale.cluster layout "grid" {
      // CHECK: whale.pipeline 4 schedule "1f1b" {
      %1 = whale.pipeline 4 schedule "1f1b" {
        // CHECK: whale.stage recompute "none" recompute_layers 2 selective_layers 3 gathered_layers 1 offload_optimizer 4 offload_parameters 1 offload_activations 3 {
        %2 = whale.stage recompute "none" recompute_layers 2 selective_layers 3 gathered_layers 1 offload_optimizer 4 offload_parameters 1 offload_activations 3 {
          // CHECK: whale.replica 2 shares [3, 5] shard "optimizer" {
          %3 = whale.replica 2 shares [3, 5] shard "optimizer" {
            // CHECK: whale.split 2 [hidden, batch] {
            %4 = whale.split 2 [hidden, batch] {
              %5 = whale.neg %x : tensor<8x16xf32>
              // CHECK: whale.yield %{{.*}} : tensor<8x16xf32>
              whale.yield %5 : tensor<8x16xf32>
            // CHECK: } -> tensor<8x16xf32>
            } -> tensor<8x16xf32>
            whale.yield %4 : tensor<8x16xf32>
          } -> tensor<8x16xf32>
          whale.yield %3 : tensor<8x16xf32>
        } -> tensor<8x16xf32>
        whale.yield %2 : tensor<8x16xf32>
      } -> tensor<8x16xf32>
      whale.yield %1 : tensor<8x16xf32>
    } -> tensor<8x16xf32>
    // Degrees may be left to the planner.
    // CHECK: whale.replica {
    whale.replica {
      // CHECK: whale.split [hidden] {
      whale.split [hidden] {
        // CHECK: whale.stage {
        whale.stage {
        }
      }
    }
    // CHECK: whale.replica shard "gradients" attributes {note = 1 : i64} {
    whale.replica shard "gradients" attributes {note = 1} {
    }
    // Whale's other spelling.
    // CHECK: whale.replica 3 {
    whale.replicate 3 {
    }
    // CHECK: whale.pipeline 1 {
    whale.pipeline 1 {
    }
    // CHECK: whale.pipeline 2 schedule "gpipe" {
    whale.pipeline 2 schedule "gpipe" {
    }
    // CHECK: whale.replica 2 shard "parameters" {
    whale.replica 2 shard "parameters" {
    }
    // On the devices of the replica.
    // CHECK: whale.cluster colocated {
    whale.cluster colocated {
      // CHECK: whale.split [hidden] colocated {
      whale.split [hidden] colocated {
      }
    }
    // CHECK: whale.cluster {
    whale.cluster {
    }
    whale.return
  }
}

// -----

// A replica has a copy.
whale.model @m {
  whale.module @main() {
    // expected-error @+1 {{'whale.replica' op degree is 0, expected 1 or more}}
    whale.replica 0 {
    }
    whale.return
  }
}

// -----

// The host's memory has no parameters without their optimizer state.
whale.model @m {
  whale.module @main() {
    whale.pipeline 1 {
      // expected-error @+1 {{'whale.stage' op has the parameters of 2 layers in the host's memory, but the optimizer's state of 1}}
      whale.stage offload_optimizer 1 offload_parameters 2 {
      }
    }
    whale.return
  }
}

// -----

// Not of fewer layers than none.
whale.model @m {
  whale.module @main() {
    whale.pipeline 1 {
      // expected-error @+1 {{'whale.stage' op offload_activations is -1, expected 0 or more}}
      "whale.stage"() ({"whale.yield"() : () -> ()}) {offload_activations = -1 : i64} : () -> ()
    }
    whale.return
  }
}

// -----

// A degree is not negative.
whale.model @m {
  whale.module @main() {
    // expected-error @+1 {{'whale.replica' op degree is -2, expected 1 or more}}
    "whale.replica"() ({"whale.yield"() : () -> ()}) {degree = -2 : i64} : () -> ()
    whale.return
  }
}

// -----

// A share for each replica.
whale.model @m {
  whale.module @main() {
    // expected-error @+1 {{'whale.replica' op has 2 shares for degree 3}}
    whale.replica 3 shares [1, 2] {
    }
    whale.return
  }
}

// -----

// A width for each part.
whale.model @m {
  whale.module @main() {
    // expected-error @+1 {{'whale.split' op has 3 shares for degree 2}}
    whale.split 2 [heads] shares [1, 2, 3] {
    }
    whale.return
  }
}

// -----

// A replica has a share.
whale.model @m {
  whale.module @main() {
    // expected-error @+1 {{'whale.replica' op share is 0, expected 1 or more}}
    whale.replica 2 shares [0, 2] {
    }
    whale.return
  }
}

// -----

// What ZeRO shards.
whale.model @m {
  whale.module @main() {
    // expected-error @+1 {{'whale.replica' op shard is 'weights', expected optimizer, gradients or parameters}}
    whale.replica 2 shard "weights" {
    }
    whale.return
  }
}

// -----

// A split names a dimension.
whale.model @m {
  whale.module @main() {
    // expected-error @+1 {{'whale.split' op names no dimension}}
    whale.split 2 [] {
    }
    whale.return
  }
}

// -----

// A split has a part.
whale.model @m {
  whale.module @main() {
    // expected-error @+1 {{'whale.split' op degree is 0, expected 1 or more}}
    whale.split 0 [hidden] {
    }
    whale.return
  }
}

// -----

// A pipeline has a micro-batch.
whale.model @m {
  whale.module @main() {
    // expected-error @+1 {{'whale.pipeline' op has 0 micro-batches, expected 1 or more}}
    whale.pipeline 0 {
    }
    whale.return
  }
}

// -----

// A schedule is known.
whale.model @m {
  whale.module @main() {
    // expected-error @+1 {{'whale.pipeline' op schedule is 'dapple', expected gpipe or 1f1b}}
    whale.pipeline 2 schedule "dapple" {
    }
    whale.return
  }
}

// -----

// A default is replica or split.
whale.model @m {
  whale.module @main() {
    // expected-error @+1 {{'whale.set_default_strategy' op primitive is 'stage', expected replica or split}}
    whale.set_default_strategy "stage"
    whale.return
  }
}

// -----

// A default has a copy.
whale.model @m {
  whale.module @main() {
    // expected-error @+1 {{'whale.set_default_strategy' op degree is 0, expected 1 or more}}
    whale.set_default_strategy "replica" 0
    whale.return
  }
}

// -----

// A scope yields its results.
whale.model @m {
  whale.module @top(%x: tensor<4xf32>) {
    // expected-error @+1 {{'whale.stage' op yields 0 values, but has 1 results}}
    %0 = whale.stage {
      whale.yield
    } -> tensor<4xf32>
    whale.return
  }
}

// -----

// ... by their types.
whale.model @m {
  whale.module @top(%x: tensor<4xf32>) {
    // expected-error @+1 {{'whale.stage' op yields 'tensor<4xf32>' as result 0, which is 'tensor<5xf32>'}}
    %0 = whale.stage {
      whale.yield %x : tensor<4xf32>
    } -> tensor<5xf32>
    whale.return
  }
}
