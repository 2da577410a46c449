// RUN: whale-opt %s --whale-strategy --split-input-file --verify-diagnostics

whale.model @stage_in_stage {
  whale.module @main() {
    // expected-note @+1 {{the outer scope is here}}
    whale.stage {
      // expected-error @+1 {{a 'stage' cannot hold a 'stage': stages of a pipeline lie side by side}}
      whale.stage {
      }
    }
    whale.return
  }
}

// -----

whale.model @cluster_inside {
  whale.module @main() {
    // expected-note @+1 {{the outer scope is here}}
    whale.replica 2 {
      // expected-error @+1 {{'cluster' is the outermost scope and cannot stand inside another}}
      whale.cluster {
      }
    }
    whale.return
  }
}

// -----

// The two scopes stand in different modules.
whale.model @across_modules {
  whale.module @inner() {
    // expected-error @+1 {{a 'pipeline' cannot hold a 'pipeline' directly: put the inner one in a 'stage'}}
    whale.pipeline 2 {
    }
    whale.return
  }
  whale.module @main() {
    // expected-note @+1 {{the outer scope is here}}
    whale.pipeline 4 {
      whale.instance @inner "inner"() : () -> ()
    }
    whale.return
  }
}
