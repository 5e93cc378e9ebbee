// RUN: tenon-opt %s --tenon-convert-kernel-to-plan --tenon-plan-assign-offsets --tenon-plan-verify --split-input-file | FileCheck %s

// A variable that one branch updates in place and the other hands on is not copied.

// CHECK-LABEL: plan.func @state
// CHECK-NOT: copied
//     CHECK: %[[V:.*]] = plan.state @v
//     CHECK: plan.if %{{.*}} then {
//     CHECK: plan.call @update ins(%[[V]], %{{.*}}) outs(%[[V]])
// CHECK-NOT: plan.copy
// CHECK-NOT: plan.alloc
graph.variable @v : tensor<4xf32>
kernel.func private @update(tensor<4xf32> {kernel.may_alias = 0 : i64}, tensor<4xf32>) -> tensor<4xf32>
func.func @state(%p: tensor<i1>, %x: tensor<4xf32>, %v: tensor<4xf32> {graph.state = @v}) -> (tensor<4xf32> {graph.state = @v}) {
  %0 = graph.cond %p captures(%x, %v : tensor<4xf32>, tensor<4xf32>) -> (tensor<4xf32>) then {
  ^bb0(%a: tensor<4xf32>, %b: tensor<4xf32>):
    %n = kernel.call @update(%b, %a) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
    graph.yield %n : tensor<4xf32>
  } else {
  ^bb0(%a: tensor<4xf32>, %b: tensor<4xf32>):
    graph.yield %b : tensor<4xf32>
  }
  return %0 : tensor<4xf32>
}

// -----

// Branches write the caller's tensor; buffers of the one may lie over those of the other.

// CHECK-LABEL: plan.func @branches
// CHECK-DAG: %[[OUT:.*]] = plan.output 0
// CHECK-DAG: %[[X:.*]] = plan.input 1
//     CHECK: plan.if
//     CHECK: %[[A:.*]] = plan.alloc 0 bytes(64) {offset = 0 : i64}
//     CHECK: plan.call @k ins(%[[X]]) outs(%[[A]])
//     CHECK: plan.call @k ins(%[[A]]) outs(%[[OUT]])
//     CHECK: } else {
//     CHECK: %[[B:.*]] = plan.alloc 1 bytes(64) {offset = 0 : i64}
//     CHECK: plan.call @k ins(%[[X]]) outs(%[[B]])
//     CHECK: plan.call @l ins(%[[B]]) outs(%[[OUT]])
kernel.func private @k(tensor<16xf32>) -> tensor<16xf32>
kernel.func private @l(tensor<16xf32>) -> tensor<16xf32>
func.func @branches(%p: tensor<i1>, %x: tensor<16xf32>) -> tensor<16xf32> {
  %0 = graph.cond %p captures(%x : tensor<16xf32>) -> (tensor<16xf32>) then {
  ^bb0(%a: tensor<16xf32>):
    %n = kernel.call @k(%a) : (tensor<16xf32>) -> tensor<16xf32>
    %m = kernel.call @k(%n) : (tensor<16xf32>) -> tensor<16xf32>
    graph.yield %m : tensor<16xf32>
  } else {
  ^bb0(%a: tensor<16xf32>):
    %n = kernel.call @k(%a) : (tensor<16xf32>) -> tensor<16xf32>
    %m = kernel.call @l(%n) : (tensor<16xf32>) -> tensor<16xf32>
    graph.yield %m : tensor<16xf32>
  }
  return %0 : tensor<16xf32>
}

// -----

// A branch that hands on an input copies it, and so does one that gives a value twice.

// CHECK-LABEL: plan.func @copies
// CHECK-DAG: %[[O0:.*]] = plan.output 0
// CHECK-DAG: %[[O1:.*]] = plan.output 1
// CHECK-DAG: %[[X:.*]] = plan.input 1
//     CHECK: plan.if
//     CHECK: plan.call @k ins(%[[X]]) outs(%[[O0]])
//     CHECK: plan.copy %[[O0]] to %[[O1]] bytes(64)
//     CHECK: } else {
//     CHECK: plan.copy %[[X]] to %[[O0]] bytes(64)
//     CHECK: plan.copy %[[X]] to %[[O1]] bytes(64)
kernel.func private @k(tensor<16xf32>) -> tensor<16xf32>
func.func @copies(%p: tensor<i1>, %x: tensor<16xf32>) -> (tensor<16xf32>, tensor<16xf32>) {
  %0:2 = graph.cond %p captures(%x : tensor<16xf32>) -> (tensor<16xf32>, tensor<16xf32>) then {
  ^bb0(%a: tensor<16xf32>):
    %n = kernel.call @k(%a) : (tensor<16xf32>) -> tensor<16xf32>
    graph.yield %n, %n : tensor<16xf32>, tensor<16xf32>
  } else {
  ^bb0(%a: tensor<16xf32>):
    graph.yield %a, %a : tensor<16xf32>, tensor<16xf32>
  }
  return %0#0, %0#1 : tensor<16xf32>, tensor<16xf32>
}

// -----

// A state that is read after the branch was taken is copied, and the remark says why.

// CHECK-LABEL: plan.func @reader
// CHECK-SAME: copied = ["v: the old value is read later, by 'kernel.call' of @read"]
graph.variable @v : tensor<4xf32>
kernel.func private @update(tensor<4xf32> {kernel.may_alias = 0 : i64}) -> tensor<4xf32>
kernel.func private @read(tensor<4xf32>) -> tensor<4xf32>
func.func @reader(%p: tensor<i1>, %v: tensor<4xf32> {graph.state = @v}) -> (tensor<4xf32>, tensor<4xf32> {graph.state = @v}) {
  %0 = graph.cond %p captures(%v : tensor<4xf32>) -> (tensor<4xf32>) then {
  ^bb0(%b: tensor<4xf32>):
    %n = kernel.call @update(%b) : (tensor<4xf32>) -> tensor<4xf32>
    graph.yield %n : tensor<4xf32>
  } else {
  ^bb0(%b: tensor<4xf32>):
    graph.yield %b : tensor<4xf32>
  }
  %1 = kernel.call @read(%v) : (tensor<4xf32>) -> tensor<4xf32>
  return %1, %0 : tensor<4xf32>, tensor<4xf32>
}

// -----

// A loop whose kernel may not run in place alternates between the result and one more buffer; an odd number of steps
// ends in the other one, no step leaves the first value.

// CHECK-LABEL: plan.func @alternating
// CHECK-DAG: %[[OUT:.*]] = plan.output 0
// CHECK-DAG: %[[X:.*]] = plan.input 0
//     CHECK: %[[TEMP:.*]] = plan.alloc 0 bytes(16)
//     CHECK: plan.while {
//     CHECK: %[[EVEN:.*]] = plan.choose(d0) ? %[[X]] : %[[OUT]]
//     CHECK: %[[NOW:.*]] = plan.choose(d0 mod 2) ? %[[EVEN]] : %[[TEMP]]
//     CHECK: plan.call @more ins(%[[NOW]]) outs(%[[P:.*]]) tiles
//     CHECK: plan.test %[[P]]
//     CHECK: } do {
//     CHECK: %[[EVEN:.*]] = plan.choose(d0) ? %[[X]] : %[[OUT]]
//     CHECK: %[[NOW:.*]] = plan.choose(d0 mod 2) ? %[[EVEN]] : %[[TEMP]]
//     CHECK: %[[NEXT:.*]] = plan.choose(d0 mod 2) ? %[[TEMP]] : %[[OUT]]
//     CHECK: plan.call @step ins(%[[NOW]]) outs(%[[NEXT]])
//     CHECK: } exit {
//     CHECK: plan.copy %[[X]] to %[[OUT]] bytes((1 floordiv (d0 + 1)) * 16)
//     CHECK: plan.copy %[[TEMP]] to %[[OUT]] bytes((d0 mod 2) * 16)
kernel.func private @more(tensor<4xf32>) -> tensor<i1>
kernel.func private @step(tensor<4xf32>) -> tensor<4xf32>
func.func @alternating(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = graph.while carry(%x : tensor<4xf32>) captures() {
  ^bb0(%c: tensor<4xf32>):
    %p = kernel.call @more(%c) : (tensor<4xf32>) -> tensor<i1>
    graph.yield %p : tensor<i1>
  } do {
  ^bb0(%c: tensor<4xf32>):
    %n = kernel.call @step(%c) : (tensor<4xf32>) -> tensor<4xf32>
    graph.yield %n : tensor<4xf32>
  }
  return %0 : tensor<4xf32>
}

// -----

// A variable that a loop updates in place, in a branch, is never copied.

// CHECK-LABEL: plan.func @nested
// CHECK-NOT: copied
//     CHECK: %[[V:.*]] = plan.state @v
//     CHECK: plan.while {
//     CHECK: plan.call @more ins(%[[V]])
//     CHECK: plan.if
//     CHECK: plan.call @update ins(%[[V]]) outs(%[[V]])
// CHECK-NOT: plan.copy
graph.variable @v : tensor<4xf32>
kernel.func private @more(tensor<4xf32>) -> tensor<i1>
kernel.func private @update(tensor<4xf32> {kernel.may_alias = 0 : i64}) -> tensor<4xf32>
func.func @nested(%p: tensor<i1>, %v: tensor<4xf32> {graph.state = @v}) -> (tensor<4xf32> {graph.state = @v}) {
  %0 = graph.while carry(%v : tensor<4xf32>) captures(%p : tensor<i1>) {
  ^bb0(%c: tensor<4xf32>, %q: tensor<i1>):
    %r = kernel.call @more(%c) : (tensor<4xf32>) -> tensor<i1>
    graph.yield %r : tensor<i1>
  } do {
  ^bb0(%c: tensor<4xf32>, %q: tensor<i1>):
    %1 = graph.cond %q captures(%c : tensor<4xf32>) -> (tensor<4xf32>) then {
    ^bb0(%b: tensor<4xf32>):
      %n = kernel.call @update(%b) : (tensor<4xf32>) -> tensor<4xf32>
      graph.yield %n : tensor<4xf32>
    } else {
    ^bb0(%b: tensor<4xf32>):
      graph.yield %b : tensor<4xf32>
    }
    graph.yield %1 : tensor<4xf32>
  }
  return %0 : tensor<4xf32>
}

// -----

// Values that a loop swaps: each step reads both before it writes them.

// CHECK-LABEL: plan.func @swap
//     CHECK: } do {
//     CHECK: plan.copy %[[B:.*]] to %[[A2:.*]] bytes(16)
//     CHECK: plan.copy %[[A:.*]] to %[[B2:.*]] bytes(16)
//     CHECK: } exit {
kernel.func private @more(tensor<4xf32>) -> tensor<i1>
func.func @swap(%x: tensor<4xf32>, %y: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %0:2 = graph.while carry(%x, %y : tensor<4xf32>, tensor<4xf32>) captures() {
  ^bb0(%a: tensor<4xf32>, %b: tensor<4xf32>):
    %p = kernel.call @more(%a) : (tensor<4xf32>) -> tensor<i1>
    graph.yield %p : tensor<i1>
  } do {
  ^bb0(%a: tensor<4xf32>, %b: tensor<4xf32>):
    graph.yield %b, %a : tensor<4xf32>, tensor<4xf32>
  }
  return %0#0, %0#1 : tensor<4xf32>, tensor<4xf32>
}

// -----

// What depends on data is placed for the most that it can be.

// CHECK-LABEL: plan.func @found
//     CHECK: plan.alloc {{[0-9]+}} bytes(s1 * 16)
//     CHECK: plan.define_size 1 from %{{.*}} min 0 max 64 bound s0 * 4 site 0
//     CHECK: plan.alloc {{[0-9]+}} bytes(s0 * 16)
kernel.func private @nonzero(tensor<?x4xi1, #graph.dims<[s0, 4]>>) -> (tensor<?x2xi64, #graph.dims<[s1, 2]>>, tensor<i64>)
kernel.func private @rest(tensor<?x2xi64, #graph.dims<[s1, 2]>>) -> tensor<?xf32, #graph.dims<[s0 * 4 - s1]>>
kernel.func private @sum(tensor<?xf32, #graph.dims<[s0 * 4 - s1]>>) -> tensor<f32>
func.func @found(%m: tensor<?x4xi1, #graph.dims<[s0, 4]>>) -> tensor<f32>
    attributes {graph.symbols = [#graph.symbol<"n", 0, 16>, #graph.symbol<"found", 0, 64, bound <[s0 * 4]>>]} {
  %p, %n = kernel.call @nonzero(%m) : (tensor<?x4xi1, #graph.dims<[s0, 4]>>) -> (tensor<?x2xi64, #graph.dims<[s1, 2]>>, tensor<i64>)
  graph.define_size %n is <[s1]> : tensor<i64>
  %0 = kernel.call @rest(%p) : (tensor<?x2xi64, #graph.dims<[s1, 2]>>) -> tensor<?xf32, #graph.dims<[s0 * 4 - s1]>>
  %1 = kernel.call @sum(%0) : (tensor<?xf32, #graph.dims<[s0 * 4 - s1]>>) -> tensor<f32>
  return %1 : tensor<f32>
}
