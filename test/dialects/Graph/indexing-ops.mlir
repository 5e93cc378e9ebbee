// RUN: tenon-opt %s --verify-roundtrip | FileCheck %s

// CHECK-LABEL: @rows
func.func @rows(%t: tensor<100x8xf32>, %i: tensor<2x?xi64, #graph.dims<[2, s0]>>) -> tensor<2x?x8xf32, #graph.dims<[2, s0, 8]>> {
  // CHECK: graph.gather %{{.*}} at(%{{.*}}) maps [#{{.*}}] coords [-1, 2]
  %0 = graph.gather %t at (%i) maps [affine_map<(d0, d1, d2) -> (d0, d1)>] coords [-1, 2]
     : tensor<100x8xf32> at (tensor<2x?xi64, #graph.dims<[2, s0]>>) -> tensor<2x?x8xf32, #graph.dims<[2, s0, 8]>>
  return %0 : tensor<2x?x8xf32, #graph.dims<[2, s0, 8]>>
}

// Two index tensors of i32, and one that repeats.
// CHECK-LABEL: @points
func.func @points(%t: tensor<4x5xf32>, %i: tensor<3xi32>, %j: tensor<1xi64>) -> tensor<3xf32> {
  // CHECK: graph.gather %{{.*}} at(%{{.*}}, %{{.*}}) maps [#{{.*}}, #{{.*}}] coords [-2, -1]
  %0 = graph.gather %t at (%i, %j) maps [affine_map<(d0) -> (d0)>, affine_map<(d0) -> (0)>] coords [-2, -1]
     : tensor<4x5xf32> at (tensor<3xi32>, tensor<1xi64>) -> tensor<3xf32>
  return %0 : tensor<3xf32>
}

// CHECK-LABEL: @write
func.func @write(%u: tensor<1x8xf32>, %d: tensor<100x8xf32>, %p: tensor<1xi64>) -> tensor<100x8xf32> {
  // CHECK: graph.scatter set %{{.*}} into %{{.*}} at(%{{.*}}) maps [#{{.*}}] coords [-1, 1]
  %0 = graph.scatter set %u into %d at (%p) maps [affine_map<(d0, d1) -> (d0)>] coords [-1, 1]
     : tensor<1x8xf32> into tensor<100x8xf32> at (tensor<1xi64>)
  // CHECK: graph.scatter max
  %1 = graph.scatter max %u into %0 at (%p) maps [affine_map<(d0, d1) -> (d0)>] coords [-1, 1]
     : tensor<1x8xf32> into tensor<100x8xf32> at (tensor<1xi64>)
  return %1 : tensor<100x8xf32>
}
