// RUN: whale-opt %S/Inputs/mlp.mlir --whale-differentiate --whale-apply-plan | FileCheck %s
// RUN: whale-opt %S/Inputs/mlp.mlir --whale-differentiate --whale-apply-plan=plan=%S/Inputs/stages.json | FileCheck %s --check-prefix=PLAN
// RUN: whale-opt %S/Inputs/mlp.mlir --whale-differentiate --whale-apply-plan=plan=%S/Inputs/shards.json | FileCheck %s --check-prefix=SHARD

// One device: instances written out, gradients wired, AdamW in plain ops.
// CHECK: whale.module @step() attributes {global_batch = 8 : i64, meshes = [{axes = [], devices = [0]}], micro_batches = 1 : i64, schedule = "1f1b"}
// CHECK: %[[W:.*]] = whale.variable "fc.weight" {{.*}} {graph = 0 : i64, path = "layers.0/fc.weight", phase = "prologue", variable_path = "layers.0/fc.weight"}
// CHECK: whale.variable "fc.weight#m" kind slot constant(0.0) {{.*}}variable_path = "layers.0/fc.weight#m"
// CHECK: %[[COUNT:.*]] = whale.reduce sum {{.*}}path = "reduce.1#count", phase = "prologue"
// CHECK: whale.einsum {{.*}}%[[W]] {{.*}}path = "layers.0/einsum.0", phase = "forward"
// CHECK: whale.dropout {{.*}} key "layers.0/dropout.0"
// CHECK: whale.loss "loss" {{.*}} over %[[COUNT]]
// CHECK: whale.div {{.*}}%[[COUNT]] {{.*}}path = "loss#d.1", phase = "backward"
// CHECK: whale.dropout {{.*}} key "layers.1/dropout.0" {{.*}}path = "layers.1/dropout.0#d", phase = "backward"
// CHECK: whale.dropout {{.*}} key "layers.0/dropout.0" {{.*}}path = "layers.0/dropout.0#d", phase = "backward"
// CHECK: %[[G:.*]] = whale.einsum {{.*}}path = "layers.0/einsum.0#d.1", phase = "backward"
// CHECK: whale.mul %[[G]], %[[G]] {{.*}}path = "layers.0/fc.weight#norm.0", phase = "update"
// CHECK: whale.step_number
// CHECK: whale.assign "layers.0/fc.weight#m"
// CHECK: whale.assign "layers.0/fc.weight", {{.*}}phase = "update"

// CHECK: whale.module @eval()
// CHECK-NOT: whale.dropout
// CHECK-NOT: phase = "backward"
// CHECK-NOT: phase = "update"
// CHECK: whale.loss

// Two replicas of two stages of two shards: stages of a replica lie one after
// another. Axis 0 is the replica's, 1 the split's.
// PLAN: devices = [0, 1, 4, 5]
// PLAN-SAME: devices = [2, 3, 6, 7]
// PLAN-SAME: micro_batches = 2
// PLAN: whale.variable "fc.weight" {{.*}}graph = 0 : i64, path = "layers.0/fc.weight", phase = "prologue", split = {{\[\[}}1, 1]]
// PLAN: whale.variable "fc.weight" {{.*}}graph = 1 : i64, path = "layers.1/fc.weight"
// PLAN: whale.variable "fc.weight#m" {{.*}}path = "layers.0/fc.weight#m", phase = "prologue", split = {{\[\[}}0, 0], [1, 1]]
// PLAN: whale.einsum "batch hidden, hidden ffn -> batch ffn" {{.*}}graph = 0 : i64, path = "layers.0/einsum.0", phase = "forward", split = {{\[\[}}0, 0], [1, 1]]
// PLAN: whale.add {{.*}}graph = 0 : i64, path = "layers.0/add.1", phase = "forward", split = {{\[\[}}0, 0]]
// The classes are cut, so cross_entropy became primitive ops.
// PLAN: whale.reduce max {{.*}}graph = 1 : i64, path = "cross_entropy.0.0", phase = "forward", split = {{\[\[}}0, 0], [1, 1]]
// Stage 0 computes its inside again, stage 1 keeps it.
// PLAN-NOT: layers.1/{{.*}}#recompute
// PLAN: whale.einsum {{.*}}graph = 0 : i64, path = "layers.0/einsum.0#recompute", phase = "backward", split = {{\[\[}}0, 0], [1, 1]]
// PLAN: whale.mul {{.*}}path = "layers.0/fc.weight#norm.0", phase = "update", split = {{\[\[}}0, 0], [1, 1]]

// Two replica axes cut the optimizer's state: along the one dimension that the
// split leaves, one after the other. A bias has none.
// SHARD: whale.variable "fc.weight#m" {{.*}}path = "layers.0/fc.weight#m", phase = "prologue", split = {{\[\[}}0, 0], [1, 0], [2, 1]]
// SHARD: whale.variable "fc.bias#m" {{.*}}path = "layers.0/fc.bias#m", phase = "prologue", split = {{\[\[}}2, 0]]
// SHARD: whale.variable "out.weight#m" {{.*}}path = "layers.0/out.weight#m", phase = "prologue", split = {{\[\[}}0, 1], [1, 1], [2, 0]]
