// RUN: tenon-opt %s --canonicalize | FileCheck %s

#id = affine_map<(d0, d1) -> (d0, d1)>

// A permute and a broadcast before a map go into its indexing maps.
// CHECK-DAG: #[[$SWAP:.*]] = affine_map<(d0, d1) -> (d1, d0)>
// CHECK-DAG: #[[$ZERO:.*]] = affine_map<(d0, d1) -> (0)>
// CHECK-LABEL: @absorb
//  CHECK-SAME:   (%[[X:.*]]: tensor<3x2xf32>, %[[Y:.*]]: tensor<1xf32>)
func.func @absorb(%x: tensor<3x2xf32>, %y: tensor<1xf32>) -> tensor<2x3xf32> {
  %0 = graph.permute %x order [1, 0] : tensor<3x2xf32>
  %1 = graph.broadcast %y dims [1] : tensor<1xf32> -> tensor<2x3xf32>
  // CHECK-NOT: graph.permute
  // CHECK-NOT: graph.broadcast
  // CHECK: graph.map ins(%[[X]], %[[Y]] : tensor<3x2xf32>, tensor<1xf32>) maps [#[[$SWAP]], #[[$ZERO]]]
  %2 = graph.map ins(%0, %1 : tensor<2x3xf32>, tensor<2x3xf32>) maps [#id, #id] -> tensor<2x3xf32> {
  ^bb0(%a: f32, %b: f32):
    %s = arith.addf %a, %b : f32
    graph.yield %s : f32
  }
  return %2 : tensor<2x3xf32>
}

// A splat becomes a scalar, an input read twice is read once, one never read goes.
// CHECK-LABEL: @inputs
//  CHECK-SAME:   (%[[X:.*]]: tensor<2x3xf32>, %{{.*}}: tensor<2x3xf32>)
func.func @inputs(%x: tensor<2x3xf32>, %unused: tensor<2x3xf32>) -> tensor<2x3xf32> {
  %c = graph.constant dense<2.0> : tensor<2x3xf32>
  // CHECK: graph.map ins(%[[X]] : tensor<2x3xf32>)
  // CHECK-NEXT: ^bb0(%[[A:.*]]: f32):
  // CHECK: %[[TWO:.*]] = arith.constant 2.000000e+00 : f32
  // CHECK: %[[S:.*]] = arith.addf %[[A]], %[[A]]
  // CHECK: arith.mulf %[[S]], %[[TWO]]
  %0 = graph.map ins(%x, %c, %x, %unused : tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>) maps [#id, #id, #id, #id] -> tensor<2x3xf32> {
  ^bb0(%a: f32, %k: f32, %b: f32, %u: f32):
    %s = arith.addf %a, %b : f32
    %m = arith.mulf %s, %k : f32
    graph.yield %m : f32
  }
  return %0 : tensor<2x3xf32>
}

// CHECK-LABEL: @identity
//  CHECK-SAME:   (%[[X:.*]]: tensor<2x3xf32>)
func.func @identity(%x: tensor<2x3xf32>) -> tensor<2x3xf32> {
  %0 = graph.map ins(%x : tensor<2x3xf32>) maps [#id] -> tensor<2x3xf32> {
  ^bb0(%a: f32):
    graph.yield %a : f32
  }
  // CHECK: return %[[X]]
  return %0 : tensor<2x3xf32>
}

// A map that transposes is not the identity.
// CHECK-LABEL: @transpose
func.func @transpose(%x: tensor<3x3xf32>) -> tensor<3x3xf32> {
  // CHECK: graph.map
  %0 = graph.map ins(%x : tensor<3x3xf32>) maps [affine_map<(d0, d1) -> (d1, d0)>] -> tensor<3x3xf32> {
  ^bb0(%a: f32):
    graph.yield %a : f32
  }
  return %0 : tensor<3x3xf32>
}
