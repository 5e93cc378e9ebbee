// RUN: tenon-opt %s --canonicalize | FileCheck %s

// CHECK-LABEL: @identities
//  CHECK-SAME:   (%[[X:.*]]: tensor<2x3xf32>)
func.func @identities(%x: tensor<2x3xf32>) -> (tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>) {
  %0 = graph.permute %x order [0, 1] : tensor<2x3xf32>
  %1 = graph.reshape %x : tensor<2x3xf32> -> tensor<2x3xf32>
  %2 = graph.broadcast %x dims [0, 1] : tensor<2x3xf32> -> tensor<2x3xf32>
  %3 = graph.slice %x offsets #graph.dims<[0, 0]> strides [1, 1] : tensor<2x3xf32> -> tensor<2x3xf32>
  %4 = graph.pad %x low #graph.dims<[0, 0]> high #graph.dims<[0, 0]> value 0.0 : f32 : tensor<2x3xf32> -> tensor<2x3xf32>
  %5 = graph.concat %x dim 0 : tensor<2x3xf32> -> tensor<2x3xf32>
  // CHECK: return %[[X]], %[[X]], %[[X]], %[[X]], %[[X]], %[[X]]
  return %0, %1, %2, %3, %4, %5 : tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>
}

// permute(permute) and reshape(reshape) become one.
// CHECK-LABEL: @compose
//  CHECK-SAME:   (%[[X:.*]]: tensor<2x3x4xf32>)
func.func @compose(%x: tensor<2x3x4xf32>) -> (tensor<4x3x2xf32>, tensor<24xf32>) {
  // CHECK-DAG: %[[P:.*]] = graph.permute %[[X]] order [2, 1, 0]
  %0 = graph.permute %x order [1, 2, 0] : tensor<2x3x4xf32>
  %1 = graph.permute %0 order [1, 0, 2] : tensor<3x4x2xf32>
  // CHECK-DAG: %[[R:.*]] = graph.reshape %[[X]] : tensor<2x3x4xf32> -> tensor<24xf32>
  %2 = graph.reshape %x : tensor<2x3x4xf32> -> tensor<6x4xf32>
  %3 = graph.reshape %2 : tensor<6x4xf32> -> tensor<24xf32>
  // CHECK: return %[[P]], %[[R]]
  return %1, %3 : tensor<4x3x2xf32>, tensor<24xf32>
}

// Constants pass through where nothing large is made.
// CHECK-LABEL: @constants
func.func @constants() -> (tensor<3x2xf32>, tensor<3x2xf32>, tensor<5x2xf32>, tensor<1xf32>) {
  %s = graph.constant dense<1.5> : tensor<2x3xf32>
  %d = graph.constant dense<[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]> : tensor<2x3xf32>
  %v = graph.constant dense<1.5> : tensor<2xf32>
  // CHECK-DAG: graph.constant dense<1.500000e+00> : tensor<3x2xf32>
  %0 = graph.permute %s order [1, 0] : tensor<2x3xf32>
  // CHECK-DAG: graph.constant dense<{{\[\[}}1.000000e+00, 2.000000e+00], [3.000000e+00, 4.000000e+00], [5.000000e+00, 6.000000e+00]]> : tensor<3x2xf32>
  %1 = graph.reshape %d : tensor<2x3xf32> -> tensor<3x2xf32>
  // CHECK-DAG: graph.constant dense<1.500000e+00> : tensor<5x2xf32>
  %2 = graph.broadcast %v dims [1] : tensor<2xf32> -> tensor<5x2xf32>
  // CHECK-DAG: graph.constant dense<1.500000e+00> : tensor<1xf32>
  %3 = graph.slice %v offsets #graph.dims<[1]> strides [1] : tensor<2xf32> -> tensor<1xf32>
  return %0, %1, %2, %3 : tensor<3x2xf32>, tensor<3x2xf32>, tensor<5x2xf32>, tensor<1xf32>
}

// Not folded: a slice that keeps the type but not the place does not exist; a pad whose paddings only cancel does.
// CHECK-LABEL: @kept
func.func @kept(%x: tensor<?xf32, #graph.dims<[s0]>>) -> tensor<?xf32, #graph.dims<[s0]>> {
  // CHECK: graph.pad
  %0 = graph.pad %x low #graph.dims<[s1]> high #graph.dims<[-s1]> value 0.0 : f32 : tensor<?xf32, #graph.dims<[s0]>> -> tensor<?xf32, #graph.dims<[s0]>>
  return %0 : tensor<?xf32, #graph.dims<[s0]>>
}
