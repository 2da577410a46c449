// The training spec: text, keys, types, ranges.
// RUN: whale-opt --split-input-file --verify-diagnostics %s \
// RUN:   | whale-opt --split-input-file | FileCheck %s

// CHECK-LABEL: whale.model @good
whale.model @good {
  // CHECK: whale.training {accumulation = 2, clip_norm = 1.0, groups = [{match = "**.scale", weight_decay = 0.0}, {learning_rate = 1.0e-6, match = "head/*", name = "sgd"}], optimizer = {beta1 = 0.9, beta2 = 0.95, epsilon = 1.0e-8, learning_rate = 3.0e-4, momentum = 0.5, name = "adamw", weight_decay = 0.1}, precision = "bf16", schedule = {final_fraction = 0.1, kind = "cosine", total_steps = 100, warmup_steps = 10}, seed = 7} attributes {note}
  whale.training {
    optimizer = {name = "adamw", learning_rate = 3.0e-4, momentum = 0.5,
                 beta1 = 0.9, beta2 = 9.5e-1, epsilon = 1.0e-8, weight_decay = 0.1},
    groups = [{match = "**.scale", weight_decay = 0.0},
              {match = "head/*", name = "sgd", learning_rate = 0.000001}],
    clip_norm = 1.0, precision = "bf16", seed = 7, accumulation = 2,
    schedule = {kind = "cosine", warmup_steps = 10, total_steps = 100, final_fraction = 0.1}
  } attributes {note}
}

// -----

// Everything is optional; a number may be written without a point.
// CHECK-LABEL: whale.model @short
whale.model @short {
  // CHECK: whale.training {clip_norm = 1, optimizer = {name = "momentum"}, schedule = {kind = "linear", total_steps = 5}}
  whale.training {clip_norm = 1, optimizer = {name = "momentum"}, schedule = {kind = "linear", total_steps = 5}}
}

// -----

// CHECK-LABEL: whale.model @empty
whale.model @empty {
  // CHECK: whale.training {precision = "f64", schedule = {kind = "constant"}}
  whale.training {precision = "f64", schedule = {kind = "constant"}}
}

// -----

// An unknown key, with the nearest known one.
whale.model @m {
  // expected-error @below {{'whale.training' op unknown training key 'optimiser', did you mean 'optimizer'?}}
  whale.training {optimiser = {}}
}

// -----

// A key like no other.
whale.model @m {
  // expected-error @below {{'whale.training' op unknown training key 'banana_split'}}
  whale.training {banana_split = 1}
}

// -----

// An unknown key of the optimizer.
whale.model @m {
  // expected-error @below {{'whale.training' op unknown optimizer key 'learning_rat', did you mean 'learning_rate'?}}
  // expected-error @below {{'whale.training' op unknown optimizer key 'lr'}}
  whale.training {optimizer = {lr = 0.1, learning_rat = 0.1}}
}

// -----

// An unknown key of a group.
whale.model @m {
  // expected-error @below {{'whale.training' op unknown group key 'weight_decoy', did you mean 'weight_decay'?}}
  whale.training {groups = [{match = "a", weight_decoy = 0.0}]}
}

// -----

// An unknown key of the schedule.
whale.model @m {
  // expected-error @below {{'whale.training' op unknown schedule key 'knd', did you mean 'kind'?}}
  whale.training {schedule = {knd = "cosine"}}
}

// -----

// An unknown optimizer.
whale.model @m {
  // expected-error @below {{'whale.training' op key 'name' is 'adam', expected one of sgd, momentum, adamw, adafactor}}
  whale.training {optimizer = {name = "adam"}}
}

// -----

// An unknown schedule.
whale.model @m {
  // expected-error @below {{'whale.training' op key 'kind' is 'step', expected one of constant, linear, cosine}}
  whale.training {schedule = {kind = "step"}}
}

// -----

// An unknown precision.
whale.model @m {
  // expected-error @below {{'whale.training' op precision is 'fp8', expected f32, bf16 or f64}}
  whale.training {precision = "fp8"}
}

// -----

// The optimizer is a dictionary.
whale.model @m {
  // expected-error @below {{'whale.training' op key 'optimizer' is "sgd", expected a dictionary}}
  whale.training {optimizer = "sgd"}
}

// -----

// The schedule is a dictionary.
whale.model @m {
  // expected-error @below {{'whale.training' op key 'schedule' is 1 : i64, expected a dictionary}}
  whale.training {schedule = 1}
}

// -----

// Groups are a list.
whale.model @m {
  // expected-error @below {{'whale.training' op key 'groups' is {match = "a"}, expected a list}}
  whale.training {groups = {match = "a"}}
}

// -----

// A group is a dictionary.
whale.model @m {
  // expected-error @below {{'whale.training' op key 'groups' is "a", expected a dictionary}}
  whale.training {groups = ["a"]}
}

// -----

// A group says which variables.
whale.model @m {
  // expected-error @below {{'whale.training' op group has no 'match'}}
  whale.training {groups = [{weight_decay = 0.0}]}
}

// -----

// A number is no text.
whale.model @m {
  // expected-error @below {{'whale.training' op training key 'clip_norm' is "1", expected a number}}
  whale.training {clip_norm = "1"}
}

// -----

// An integer is no real.
whale.model @m {
  // expected-error @below {{'whale.training' op training key 'seed' is 1.500000e+00 : f64, expected an integer}}
  whale.training {seed = 1.5}
}

// -----

// Text is no number.
whale.model @m {
  // expected-error @below {{'whale.training' op training key 'precision' is 32 : i64, expected a string}}
  whale.training {precision = 32}
}

// -----

// A learning rate is not negative.
whale.model @m {
  // expected-error @below {{'whale.training' op optimizer key 'learning_rate' is -1.000000e+00, expected between 0.000000e+00 and 1.000000e+06}}
  whale.training {optimizer = {learning_rate = -1.0}}
}

// -----

// A momentum is at most 1.
whale.model @m {
  // expected-error @below {{'whale.training' op optimizer key 'momentum' is 1.500000e+00, expected between 0.000000e+00 and 1.000000e+00}}
  whale.training {optimizer = {momentum = 1.5}}
}

// -----

// beta1 is at most 1.
whale.model @m {
  // expected-error @below {{'whale.training' op optimizer key 'beta1' is 2.000000e+00, expected between 0.000000e+00 and 1.000000e+00}}
  whale.training {optimizer = {beta1 = 2.0}}
}

// -----

// beta2 is at most 1.
whale.model @m {
  // expected-error @below {{'whale.training' op optimizer key 'beta2' is 2.000000e+00, expected between 0.000000e+00 and 1.000000e+00}}
  whale.training {optimizer = {beta2 = 2.0}}
}

// -----

// epsilon is at most 1.
whale.model @m {
  // expected-error @below {{'whale.training' op optimizer key 'epsilon' is 2.000000e+00, expected between 0.000000e+00 and 1.000000e+00}}
  whale.training {optimizer = {epsilon = 2.0}}
}

// -----

// A weight decay is not negative.
whale.model @m {
  // expected-error @below {{'whale.training' op optimizer key 'weight_decay' is -1.000000e-01, expected between 0.000000e+00 and 1.000000e+06}}
  whale.training {optimizer = {weight_decay = -0.1}}
}

// -----

// A norm to clip to is not negative.
whale.model @m {
  // expected-error @below {{'whale.training' op training key 'clip_norm' is -1.000000e+00, expected between 0.000000e+00 and 1.000000e+12}}
  whale.training {clip_norm = -1.0}
}

// -----

// A number is one.
whale.model @m {
  // expected-error @below {{'whale.training' op optimizer key 'beta1' is nan, expected between 0.000000e+00 and 1.000000e+00}}
  whale.training {optimizer = {beta1 = 0x7FF8000000000000 : f64}}
}

// -----

// A seed is not negative.
whale.model @m {
  // expected-error @below {{'whale.training' op training key 'seed' is -1, expected 0 or more}}
  whale.training {seed = -1}
}

// -----

// A batch has a part.
whale.model @m {
  // expected-error @below {{'whale.training' op training key 'accumulation' is 0, expected 1 or more}}
  whale.training {accumulation = 0}
}

// -----

// Warm-up is not negative.
whale.model @m {
  // expected-error @below {{'whale.training' op schedule key 'warmup_steps' is -1, expected 0 or more}}
  whale.training {schedule = {warmup_steps = -1}}
}

// -----

// Steps are not negative.
whale.model @m {
  // expected-error @below {{'whale.training' op schedule key 'total_steps' is -1, expected 0 or more}}
  whale.training {schedule = {total_steps = -1}}
}

// -----

// A final fraction is at most 1.
whale.model @m {
  // expected-error @below {{'whale.training' op schedule key 'final_fraction' is 1.500000e+00, expected between 0.000000e+00 and 1.000000e+00}}
  whale.training {schedule = {final_fraction = 1.5}}
}

// -----

// A schedule ends behind its warm-up.
whale.model @m {
  // expected-error @below {{'whale.training' op schedule needs 'total_steps' above 'warmup_steps'}}
  whale.training {schedule = {kind = "cosine", warmup_steps = 10, total_steps = 10}}
}

// -----

// A spec is in a model.
// expected-error @+1 {{'whale.training' op expects parent op 'whale.model'}}
whale.training {}
