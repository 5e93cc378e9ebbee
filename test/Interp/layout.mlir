// RUN: tenon-interp %s --all | FileCheck %s

// Ops that move elements. Expected values: numpy on x = arange(6).reshape(2, 3), as each comment says.

// x.T; x.reshape(3, 2); x[::-1, ::-1]
// CHECK-LABEL: @move
// CHECK-NEXT: #0: 3x2xi32 {{\[\[}}0, 3], [1, 4], [2, 5]]
// CHECK-NEXT: #1: 3x2xi32 {{\[\[}}0, 1], [2, 3], [4, 5]]
// CHECK-NEXT: #2: 2x3xi32 {{\[\[}}5, 4, 3], [2, 1, 0]]
func.func @move() -> (tensor<3x2xi32>, tensor<3x2xi32>, tensor<2x3xi32>) {
  %x = graph.constant dense<[[0, 1, 2], [3, 4, 5]]> : tensor<2x3xi32>
  %0 = graph.permute %x order [1, 0] : tensor<2x3xi32>
  %1 = graph.reshape %x : tensor<2x3xi32> -> tensor<3x2xi32>
  %2 = graph.reverse %x dims [1, 0] : tensor<2x3xi32>
  return %0, %1, %2 : tensor<3x2xi32>, tensor<3x2xi32>, tensor<2x3xi32>
}

// np.broadcast_to([[7], [8]], (2, 2, 3)) with dims [0 -> 1, 1 -> 2]; a scalar; nothing
// CHECK-LABEL: @broadcast
// CHECK-NEXT: #0: 2x2x3xi32 {{\[\[\[}}7, 7, 7], [8, 8, 8]], {{\[\[}}7, 7, 7], [8, 8, 8]]]
// CHECK-NEXT: #1: 2xf32 [nan, nan]
// CHECK-NEXT: #2: 0x2xf32 []
func.func @broadcast() -> (tensor<2x2x3xi32>, tensor<2xf32>, tensor<0x2xf32>) {
  %x = graph.constant dense<[[7], [8]]> : tensor<2x1xi32>
  %n = graph.constant dense<0x7FC00000> : tensor<f32>
  %0 = graph.broadcast %x dims [1, 2] : tensor<2x1xi32> -> tensor<2x2x3xi32>
  %1 = graph.broadcast %n dims [] : tensor<f32> -> tensor<2xf32>
  %2 = graph.broadcast %n dims [] : tensor<f32> -> tensor<0x2xf32>
  return %0, %1, %2 : tensor<2x2x3xi32>, tensor<2xf32>, tensor<0x2xf32>
}

// x[1:2, 0::2]; y = x.copy(); y[:, 1::2] = [[8], [9]]; x[2:2]
// CHECK-LABEL: @slices
// CHECK-NEXT: #0: 1x2xi32 {{\[\[}}3, 5]]
// CHECK-NEXT: #1: 2x3xi32 {{\[\[}}0, 8, 2], [3, 9, 5]]
// CHECK-NEXT: #2: 0x3xi32 []
func.func @slices() -> (tensor<1x2xi32>, tensor<2x3xi32>, tensor<0x3xi32>) {
  %x = graph.constant dense<[[0, 1, 2], [3, 4, 5]]> : tensor<2x3xi32>
  %s = graph.constant dense<[[8], [9]]> : tensor<2x1xi32>
  %0 = graph.slice %x offsets #graph.dims<[1, 0]> strides [1, 2] : tensor<2x3xi32> -> tensor<1x2xi32>
  %1 = graph.insert_slice %s into %x offsets #graph.dims<[0, 1]> strides [1, 2] : tensor<2x1xi32> into tensor<2x3xi32>
  %2 = graph.slice %x offsets #graph.dims<[2, 0]> strides [1, 1] : tensor<2x3xi32> -> tensor<0x3xi32>
  return %0, %1, %2 : tensor<1x2xi32>, tensor<2x3xi32>, tensor<0x3xi32>
}

// np.pad([1, 2], (1, 2), constant_values=-inf); of an empty one; of complex numbers; np.concatenate
// CHECK-LABEL: @join
// CHECK-NEXT: #0: 5xf32 [-inf, 1, 2, -inf, -inf]
// CHECK-NEXT: #1: 2xf32 [9, 9]
// CHECK-NEXT: #2: 1x5xi32 {{\[\[}}1, 2, 3, 4, 5]]
func.func @join() -> (tensor<5xf32>, tensor<2xf32>, tensor<1x5xi32>) {
  %x = graph.constant dense<[1.0, 2.0]> : tensor<2xf32>
  %e = graph.constant dense<> : tensor<0xf32>
  %a = graph.constant dense<[[1, 2]]> : tensor<1x2xi32>
  %n = graph.constant dense<> : tensor<1x0xi32>
  %b = graph.constant dense<[[3, 4, 5]]> : tensor<1x3xi32>
  %0 = graph.pad %x low #graph.dims<[1]> high #graph.dims<[2]> value 0xFF800000 : f32 : tensor<2xf32> -> tensor<5xf32>
  %1 = graph.pad %e low #graph.dims<[1]> high #graph.dims<[1]> value 9.0 : f32 : tensor<0xf32> -> tensor<2xf32>
  %2 = graph.concat %a, %n, %b dim 1 : tensor<1x2xi32>, tensor<1x0xi32>, tensor<1x3xi32> -> tensor<1x5xi32>
  return %0, %1, %2 : tensor<5xf32>, tensor<2xf32>, tensor<1x5xi32>
}
