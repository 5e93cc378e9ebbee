// RUN: tenon-opt %s --tenon-graph-sink-permutes --split-input-file | FileCheck %s

// Two changes of layout around a map and a concatenation cancel.

// CHECK-LABEL: @cancels
//  CHECK-SAME:   %[[X:.*]]: tensor<1x4x5x3xf32>
func.func @cancels(%x: tensor<1x4x5x3xf32>) -> tensor<1x4x5x6xf32> {
  //   CHECK-NOT: graph.permute
  //       CHECK: %[[EXP:.*]] = graph.map ins(%[[X]] : tensor<1x4x5x3xf32>)
  //       CHECK: %[[BOTH:.*]] = graph.concat %[[EXP]], %[[EXP]] dim 3
  //       CHECK: return %[[BOTH]]
  %0 = graph.permute %x order [0, 3, 1, 2] : tensor<1x4x5x3xf32>
  %1 = graph.map ins(%0 : tensor<1x3x4x5xf32>) maps [affine_map<(a, b, c, d) -> (a, b, c, d)>] -> tensor<1x3x4x5xf32> {
  ^bb0(%v: f32):
    %e = math.exp %v : f32
    graph.yield %e : f32
  }
  %2 = graph.concat %1, %1 dim 1 : tensor<1x3x4x5xf32>, tensor<1x3x4x5xf32> -> tensor<1x6x4x5xf32>
  %3 = graph.permute %2 order [0, 2, 3, 1] : tensor<1x6x4x5xf32>
  return %3 : tensor<1x4x5x6xf32>
}

// -----

// A map that also reads something of its own order stays in that order.

// CHECK-LABEL: @stays
func.func @stays(%x: tensor<4x3xf32>, %y: tensor<3x4xf32>) -> tensor<3x4xf32> {
  //   CHECK: graph.map {{.*}} -> tensor<3x4xf32>
  // CHECK-NOT: graph.permute
  %0 = graph.permute %x order [1, 0] : tensor<4x3xf32>
  %1 = graph.map ins(%0, %y : tensor<3x4xf32>, tensor<3x4xf32>) maps [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (a, b)>] -> tensor<3x4xf32> {
  ^bb0(%v: f32, %w: f32):
    %s = arith.addf %v, %w : f32
    graph.yield %s : f32
  }
  return %1 : tensor<3x4xf32>
}

// -----

// Reductions take the dimensions that the permute named.

// CHECK-LABEL: @reduces
func.func @reduces(%x: tensor<2x5x3xf32>) -> tensor<3xf32> {
  //   CHECK: graph.reduce sum %{{.*}} dims [0, 1] : tensor<2x5x3xf32>
  // CHECK-NOT: graph.permute
  %0 = graph.permute %x order [2, 0, 1] : tensor<2x5x3xf32>
  %1 = graph.reduce sum %0 dims [1, 2] : tensor<3x2x5xf32> -> tensor<3xf32>
  return %1 : tensor<3xf32>
}

// -----

// Only sizes of 1 move: a reshape.

// CHECK-LABEL: @unit
func.func @unit(%x: tensor<1x7x1xf32>) -> tensor<7x1x1xf32> {
  // CHECK: graph.reshape
  %0 = graph.permute %x order [1, 0, 2] : tensor<1x7x1xf32>
  return %0 : tensor<7x1x1xf32>
}

// -----

// A product reads its operands in the order in which they lie.

// CHECK: #[[$B:.*]] = affine_map<(d0, d1, d2) -> (d1, d2)>
// CHECK-LABEL: @contracts
func.func @contracts(%x: tensor<2x8xf32>, %w: tensor<4x8xf32>) -> tensor<2x4xf32> {
  // CHECK-NOT: graph.permute
  //     CHECK: graph.contract %{{.*}}, %{{.*}} maps [#{{.*}}, #[[$B]], #{{.*}}]
  %t = graph.permute %w order [1, 0] : tensor<4x8xf32>
  %0 = graph.contract %x, %t maps [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (k, n)>, affine_map<(m, n, k) -> (m, n)>] : tensor<2x8xf32>, tensor<8x4xf32> -> tensor<2x4xf32>
  return %0 : tensor<2x4xf32>
}
