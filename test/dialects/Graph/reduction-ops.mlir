// RUN: tenon-opt %s --verify-roundtrip | FileCheck %s

!x = tensor<?x3xf32, #graph.dims<[s0, 3]>>

// CHECK-LABEL: @lines
func.func @lines(%x: !x, %b: tensor<2x3xi1>, %c: tensor<?x3xf32, #graph.dims<[s0 floordiv 4, 3]>>) {
  // CHECK: graph.reduce sum %{{.*}} dims [0] : tensor<?x3xf32, #graph.dims<[s0, 3]>> -> tensor<3xf32>
  %0 = graph.reduce sum %x dims [0] : !x -> tensor<3xf32>
  // CHECK: graph.reduce any %{{.*}} dims [0, 1] : tensor<2x3xi1> -> tensor<i1>
  %1 = graph.reduce any %b dims [0, 1] : tensor<2x3xi1> -> tensor<i1>
  // CHECK: graph.arg_reduce max %{{.*}} dim 1 : {{.*}} -> tensor<?xi64, #graph.dims<[s0]>>
  %2 = graph.arg_reduce max %x dim 1 : !x -> tensor<?xi64, #graph.dims<[s0]>>
  // CHECK: graph.cumulate prod %{{.*}} dim 0 : tensor<?x3xf32, #graph.dims<[s0, 3]>>
  %3 = graph.cumulate prod %x dim 0 : !x
  // CHECK: graph.cumulate logsumexp %{{.*}} dim 0 block 4 carries %{{.*}} : tensor<?x3xf32, #graph.dims<[s0, 3]>>, tensor<?x3xf32, #graph.dims<[s0 floordiv 4, 3]>>
  %8 = graph.cumulate logsumexp %x dim 0 block 4 carries %c : !x, tensor<?x3xf32, #graph.dims<[s0 floordiv 4, 3]>>
  // CHECK: graph.sort %{{.*}} dim 1 descending : {{.*}} -> tensor<?x3xi64, #graph.dims<[s0, 3]>>
  %4, %5 = graph.sort %x dim 1 descending : !x -> tensor<?x3xi64, #graph.dims<[s0, 3]>>
  // CHECK: graph.sort %{{.*}} dim 0 : {{.*}} -> tensor<?x3xi64, #graph.dims<[s0, 3]>>
  %6, %7 = graph.sort %x dim 0 : !x -> tensor<?x3xi64, #graph.dims<[s0, 3]>>
  return
}

// CHECK-LABEL: @pool
func.func @pool(%x: tensor<1x8x8x4xf32>) -> tensor<1x4x4x4xf32> {
  // CHECK: graph.reduce_window max %{{.*}} window [1, 3, 3, 1] strides [1, 2, 2, 1] low [0, 1, 1, 0] dilations [1, 1, 1, 1]
  %0 = graph.reduce_window max %x window [1, 3, 3, 1] strides [1, 2, 2, 1] low [0, 1, 1, 0] dilations [1, 1, 1, 1]
     : tensor<1x8x8x4xf32> -> tensor<1x4x4x4xf32>
  return %0 : tensor<1x4x4x4xf32>
}
