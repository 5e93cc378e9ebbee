// RUN: tenon-opt %s --canonicalize --split-input-file | FileCheck %s

// A predicate that is known chooses.

// CHECK-LABEL: @known
// CHECK-SAME: (%[[X:.*]]: tensor<4xf32>)
// CHECK-NEXT: %[[R:.*]] = graph.reverse %[[X]]
// CHECK-NEXT: return %[[R]]
func.func @known(%x: tensor<4xf32>) -> tensor<4xf32> {
  %p = graph.constant dense<false> : tensor<i1>
  %0 = graph.cond %p captures(%x : tensor<4xf32>) -> (tensor<4xf32>) then {
  ^bb0(%a: tensor<4xf32>):
    graph.yield %a : tensor<4xf32>
  } else {
  ^bb0(%a: tensor<4xf32>):
    %r = graph.reverse %a dims [0] : tensor<4xf32>
    graph.yield %r : tensor<4xf32>
  }
  return %0 : tensor<4xf32>
}

// -----

// Results that nobody reads go, and so does what only they needed; a capture that both regions pass on is no result.

// CHECK-LABEL: @results
// CHECK-SAME: (%[[P:.*]]: tensor<i1>, %[[X:.*]]: tensor<4xf32>, %[[Y:.*]]: tensor<4xf32>)
// CHECK: %[[R:.*]] = graph.cond %[[P]] captures(%[[X]] : tensor<4xf32>) -> (tensor<4xf32>) then {
// CHECK: return %[[R]], %[[Y]]
func.func @results(%p: tensor<i1>, %x: tensor<4xf32>, %y: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %0:3 = graph.cond %p captures(%x, %y : tensor<4xf32>, tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) then {
  ^bb0(%a: tensor<4xf32>, %b: tensor<4xf32>):
    graph.yield %a, %b, %b : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>
  } else {
  ^bb0(%a: tensor<4xf32>, %b: tensor<4xf32>):
    %r = graph.reverse %a dims [0] : tensor<4xf32>
    graph.yield %r, %r, %b : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>
  }
  return %0#0, %0#2 : tensor<4xf32>, tensor<4xf32>
}

// -----

// Captures: twice the same is once, constants are made inside, what is not read goes.

// CHECK-LABEL: @captures
// CHECK-SAME: (%[[P:.*]]: tensor<i1>, %[[X:.*]]: tensor<4xf32>,
// CHECK: graph.cond %[[P]] captures(%[[X]] : tensor<4xf32>)
// CHECK: graph.constant
func.func @captures(%p: tensor<i1>, %x: tensor<4xf32>, %y: tensor<4xf32>) -> tensor<8xf32> {
  %c = graph.constant dense<[1.0, 2.0, 3.0, 4.0]> : tensor<4xf32>
  %0 = graph.cond %p captures(%x, %y, %x, %c : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) -> (tensor<8xf32>) then {
  ^bb0(%a: tensor<4xf32>, %b: tensor<4xf32>, %d: tensor<4xf32>, %e: tensor<4xf32>):
    %r = graph.concat %a, %d dim 0 : tensor<4xf32>, tensor<4xf32> -> tensor<8xf32>
    graph.yield %r : tensor<8xf32>
  } else {
  ^bb0(%a: tensor<4xf32>, %b: tensor<4xf32>, %d: tensor<4xf32>, %e: tensor<4xf32>):
    %r = graph.concat %a, %e dim 0 : tensor<4xf32>, tensor<4xf32> -> tensor<8xf32>
    graph.yield %r : tensor<8xf32>
  }
  return %0 : tensor<8xf32>
}

// -----

// A value that a loop only hands on is a capture; its result is what it was.

// CHECK-LABEL: @unchanged
// CHECK-SAME: (%[[I:.*]]: tensor<4xi1>, %[[X:.*]]: tensor<4xi1>)
// CHECK: %[[R:.*]] = graph.while carry(%[[I]] : tensor<4xi1>) captures(%[[X]] : tensor<4xi1>)
// CHECK: return %[[R]], %[[X]]
func.func @unchanged(%i: tensor<4xi1>, %x: tensor<4xi1>) -> (tensor<4xi1>, tensor<4xi1>) {
  %0:2 = graph.while carry(%x, %i : tensor<4xi1>, tensor<4xi1>) captures() {
  ^bb0(%a: tensor<4xi1>, %b: tensor<4xi1>):
    %p = graph.reduce any %b dims [0] : tensor<4xi1> -> tensor<i1>
    graph.yield %p : tensor<i1>
  } do {
  ^bb0(%a: tensor<4xi1>, %b: tensor<4xi1>):
    %r = graph.reverse %a dims [0] : tensor<4xi1>
    graph.yield %a, %r : tensor<4xi1>, tensor<4xi1>
  }
  return %0#1, %0#0 : tensor<4xi1>, tensor<4xi1>
}
