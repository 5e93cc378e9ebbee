// RUN: tenon-opt %s --verify-roundtrip | FileCheck %s

!dyn = tensor<?x8xf32, #graph.dims<[s0, 8]>>

// CHECK-LABEL: @move
func.func @move(%x: tensor<2x6xf32>) -> (tensor<6x2xf32>, tensor<3x4xf32>, tensor<2x6xf32>) {
  // CHECK: graph.permute %{{.*}} order [1, 0] : tensor<2x6xf32>
  %0 = graph.permute %x order [1, 0] : tensor<2x6xf32>
  // CHECK: graph.reshape %{{.*}} : tensor<2x6xf32> -> tensor<3x4xf32>
  %1 = graph.reshape %x : tensor<2x6xf32> -> tensor<3x4xf32>
  // CHECK: graph.reverse %{{.*}} dims [1, 0] : tensor<2x6xf32>
  %2 = graph.reverse %x dims [1, 0] : tensor<2x6xf32>
  return %0, %1, %2 : tensor<6x2xf32>, tensor<3x4xf32>, tensor<2x6xf32>
}

// CHECK-LABEL: @repeat
func.func @repeat(%x: tensor<3x1xf32>) -> tensor<2x3x?xf32, #graph.dims<[2, 3, s0]>> {
  // CHECK: graph.broadcast %{{.*}} dims [1, 2] : tensor<3x1xf32> -> tensor<2x3x?xf32, #graph.dims<[2, 3, s0]>>
  %0 = graph.broadcast %x dims [1, 2] : tensor<3x1xf32> -> tensor<2x3x?xf32, #graph.dims<[2, 3, s0]>>
  return %0 : tensor<2x3x?xf32, #graph.dims<[2, 3, s0]>>
}

// CHECK-LABEL: @parts
func.func @parts(%x: !dyn, %y: tensor<4x3xf32>, %z: tensor<4x8xf32>) -> (tensor<4x3xf32>, tensor<4x8xf32>) {
  // CHECK: graph.slice %{{.*}} offsets <[s0 - 4, 1]> strides [1, 2] : tensor<?x8xf32, #graph.dims<[s0, 8]>> -> tensor<4x3xf32>
  %0 = graph.slice %x offsets #graph.dims<[s0 - 4, 1]> strides [1, 2] : !dyn -> tensor<4x3xf32>
  // CHECK: graph.insert_slice %{{.*}} into %{{.*}} offsets <[0, 1]> strides [1, 2] : tensor<4x3xf32> into tensor<4x8xf32>
  %1 = graph.insert_slice %y into %z offsets #graph.dims<[0, 1]> strides [1, 2] : tensor<4x3xf32> into tensor<4x8xf32>
  return %0, %1 : tensor<4x3xf32>, tensor<4x8xf32>
}

// CHECK-LABEL: @join
func.func @join(%x: !dyn, %y: tensor<2x8xf32>) -> (tensor<?x8xf32, #graph.dims<[s0 + 2, 8]>>, !dyn) {
  // CHECK: graph.concat %{{.*}}, %{{.*}} dim 0 : {{.*}} -> tensor<?x8xf32, #graph.dims<[s0 + 2, 8]>>
  %0 = graph.concat %x, %y dim 0 : !dyn, tensor<2x8xf32> -> tensor<?x8xf32, #graph.dims<[s0 + 2, 8]>>
  // CHECK: graph.pad %{{.*}} low <[1, 0]> high <[1, 0]> value 0.000000e+00 : f32 : {{.*}} -> tensor<?x8xf32, #graph.dims<[s0 + 2, 8]>>
  %1 = graph.pad %x low #graph.dims<[1, 0]> high #graph.dims<[1, 0]> value 0.0 : f32 : !dyn -> tensor<?x8xf32, #graph.dims<[s0 + 2, 8]>>
  // CHECK: graph.assert_dim %{{.*}} : tensor<?x8xf32, #graph.dims<[s0 + 2, 8]>> -> tensor<?x8xf32, #graph.dims<[s0, 8]>>
  %2 = graph.assert_dim %1 : tensor<?x8xf32, #graph.dims<[s0 + 2, 8]>> -> !dyn
  return %0, %2 : tensor<?x8xf32, #graph.dims<[s0 + 2, 8]>>, !dyn
}
