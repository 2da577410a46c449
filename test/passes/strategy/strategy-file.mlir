// RUN: whale-opt %s --whale-strategy=file=%S/Inputs/short.json | FileCheck %s --check-prefix=SHORT
// RUN: whale-opt %s --whale-strategy=file=%S/Inputs/stages.json | FileCheck %s --check-prefix=STAGES
// RUN: whale-opt %s --whale-strategy=file=%S/Inputs/offload.json | FileCheck %s --check-prefix=OFFLOAD
// RUN: not whale-opt %s --whale-strategy=file=%S/Inputs/offload-wrong.json 2>&1 | FileCheck %s --check-prefix=OFFLOADWRONG
// RUN: not whale-opt %s --whale-strategy=file=%S/Inputs/wrong.json 2>&1 | FileCheck %s --check-prefix=WRONG
// RUN: not whale-opt %s --whale-strategy=file=%S/Inputs/partial.json 2>&1 | FileCheck %s --check-prefix=PARTIAL

// Splits of equal degree are one axis; a file takes the place of scopes.
// SHORT: strategy = "{\22primitive\22: \22cluster\22, \22body\22: [
// SHORT-SAME: {\22primitive\22: \22replica\22, \22degree\22: 2, \22shard\22: \22optimizer\22, \22recompute\22: \22full\22, \22body\22: [
// SHORT-SAME: {\22primitive\22: \22split\22, \22degree\22: 4, \22dims\22: [\22ffn\22, \22heads\22], \22paths\22: [\22layers.*/mlp\22, \22layers.*/attention\22]}]}]}"

// STAGES: {\22primitive\22: \22pipeline\22, \22micro_batches\22: 8, \22schedule\22: \221f1b\22, \22body\22: [
// STAGES-SAME: {\22primitive\22: \22stage\22, \22paths\22: [\22a\22], \22recompute\22: \22selective\22},
// STAGES-SAME: {\22primitive\22: \22stage\22, \22paths\22: [\22b\22]}]

// OFFLOAD: \22offload_optimizer\22: \22all\22, \22offload_activations\22: 2}
// OFFLOADWRONG: error: unknown 'offload_weights'
// OFFLOADWRONG: error: 'offload_optimizer' is 'some', expected a number

// WRONG: wrong.json:2:9: error: unknown primitive 'replcia' in 'replcia(2)'
// WRONG: note: did you mean 'replica'?

// PARTIAL: partial.json:1:14: error: recompute, gathered layers or offload of a part of the model that is no stage is not compilable yet
whale.model @m {
  whale.module @main() {
    whale.replica 3 {
    }
    whale.return
  }
}
