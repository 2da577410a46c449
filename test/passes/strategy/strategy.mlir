// RUN: whale-opt %s --whale-strategy --split-input-file | FileCheck %s
// RUN: whale-opt %s --whale-strategy --whale-strategy --split-input-file | FileCheck %s

// A pipeline of two stages in two replicas; the scope inside module @mlp counts
// once for each chain.
// CHECK-LABEL: whale.model @pipeline
// CHECK-SAME: strategy = "{\22primitive\22: \22cluster\22, \22body\22: [
// CHECK-SAME: {\22primitive\22: \22replica\22, \22degree\22: 2, \22shard\22: \22optimizer\22, \22body\22: [
// CHECK-SAME: {\22primitive\22: \22pipeline\22, \22micro_batches\22: 4, \22schedule\22: \221f1b\22, \22body\22: [
// CHECK-SAME: {\22primitive\22: \22stage\22, \22paths\22: [\22front.0..2\22], \22body\22: [
// CHECK-SAME: {\22primitive\22: \22split\22, \22degree\22: 2, \22dims\22: [\22ffn\22, \22heads\22], \22paths\22: [\22front.0..2/einsum.0\22, \22front.0..2/last\22]}]},
// CHECK-SAME: {\22primitive\22: \22stage\22, \22paths\22: [\22back\22, \22reduce.0\22, \22constant.0\22, \22loss\22], \22recompute\22: \22full\22, \22body\22: [
// CHECK-SAME: {\22primitive\22: \22split\22, \22degree\22: 2, \22dims\22: [\22ffn\22, \22heads\22], \22paths\22: [\22back/einsum.0\22, \22back/last\22]}]}]}]}]}"
// CHECK-NOT: whale.split
// CHECK-NOT: whale.stage
// CHECK-NOT: whale.yield
whale.model @pipeline {
  whale.module @mlp(%x: tensor<8x16xf32>) -> tensor<8x16xf32> {
    %w = whale.variable "weight" normal(0.0, 0.1) : tensor<16x16xf32>
    %y = whale.split 2 [ffn] {
      %h = whale.einsum "batch hidden, hidden ffn -> batch ffn" %x, %w : tensor<8x16xf32>, tensor<16x16xf32> -> tensor<8x16xf32>
      whale.yield %h : tensor<8x16xf32>
    } -> tensor<8x16xf32>
    %z = whale.split 2 [heads] {
      %h = whale.relu %y {name = "last"} : tensor<8x16xf32>
      whale.yield %h : tensor<8x16xf32>
    } -> tensor<8x16xf32>
    whale.return %z : tensor<8x16xf32>
  }
  whale.module @main() {
    %x = whale.input "x" [batch, hidden] : tensor<8x16xf32>
    whale.replica 2 shard "optimizer" {
      whale.pipeline 4 schedule "1f1b" {
        %z = whale.stage {
          %a = whale.instance @mlp "front"(%x) repeat 3 : (tensor<8x16xf32>) -> tensor<8x16xf32>
          whale.yield %a : tensor<8x16xf32>
        } -> tensor<8x16xf32>
        whale.stage recompute "full" {
          %b = whale.instance @mlp "back"(%z) : (tensor<8x16xf32>) -> tensor<8x16xf32>
          %s = whale.reduce sum %b [0, 1] : tensor<8x16xf32> -> tensor<f32>
          %n = whale.constant 8.0 : tensor<f32>
          whale.loss "loss" %s over %n : tensor<f32>
        }
      }
    }
    whale.return
  }
}

// -----

// Default strategies cut TaskGraphs; both spellings of replica mean the same.
// CHECK-LABEL: whale.model @defaults
// CHECK-SAME: {\22primitive\22: \22replica\22, \22degree\22: 2, \22paths\22: [\22first\22]}
// CHECK-SAME: {\22primitive\22: \22replica\22, \22degree\22: 2, \22paths\22: [\22second\22]}
// CHECK-NOT: set_default_strategy
whale.model @defaults {
  whale.module @main() {
    %x = whale.input "x" [batch] : tensor<4xf32>
    whale.set_default_strategy "replicate" 2
    %a = whale.relu %x {name = "first"} : tensor<4xf32>
    whale.set_default_strategy "replica" 2
    %b = whale.relu %a {name = "second"} : tensor<4xf32>
    whale.return
  }
}

// -----

// No scopes, no tree.
// CHECK-LABEL: whale.model @plain {
whale.model @plain {
  whale.module @main() {
    whale.return
  }
}
