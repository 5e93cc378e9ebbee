// RUN: tenon-opt %s --split-input-file --verify-diagnostics

// graph.permute C1: a dimension twice
func.func @f(%x: tensor<2x3x4xf32>) {
  // expected-error @+1 {{'graph.permute' order [0, 0, 1] names dimension 0 twice}}
  %0 = graph.permute %x order [0, 0, 1] : tensor<2x3x4xf32>
  return
}

// -----

// graph.permute C1: too few entries
func.func @f(%x: tensor<2x3x4xf32>) {
  // expected-error @+1 {{'graph.permute' order [0, 1] has 2 entries but the input has rank 3}}
  %0 = graph.permute %x order [0, 1] : tensor<2x3x4xf32>
  return
}

// -----

// graph.permute C1: no such dimension
func.func @f(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{'graph.permute' order [0, 2] names dimension 2 but the input has rank 2}}
  %0 = graph.permute %x order [0, 2] : tensor<2x3xf32>
  return
}

// -----

// graph.reshape C1: elements
func.func @f(%x: tensor<?x6xf32, #graph.dims<[s0, 6]>>) -> tensor<?x4xf32, #graph.dims<[s0, 4]>> {
  // expected-error @+1 {{'graph.reshape' op input has s0 * 6 elements but the result s0 * 4}}
  %0 = graph.reshape %x : tensor<?x6xf32, #graph.dims<[s0, 6]>> -> tensor<?x4xf32, #graph.dims<[s0, 4]>>
  return %0 : tensor<?x4xf32, #graph.dims<[s0, 4]>>
}

// -----

// graph.reshape C1: element type
func.func @f(%x: tensor<4xf32>) {
  // expected-error @+1 {{'graph.reshape' op element types 'f32' and 'i32' must be the same}}
  %0 = graph.reshape %x : tensor<4xf32> -> tensor<4xi32>
  return
}

// -----

// graph.broadcast C1: rising
func.func @f(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{'graph.broadcast' op dims [1, 0] must rise}}
  %0 = graph.broadcast %x dims [1, 0] : tensor<2x3xf32> -> tensor<3x2xf32>
  return
}

// -----

// graph.broadcast C1: one for each input dimension
func.func @f(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{'graph.broadcast' op names 1 dims but the input has rank 2}}
  %0 = graph.broadcast %x dims [1] : tensor<2x3xf32> -> tensor<2x3xf32>
  return
}

// -----

// graph.broadcast C2
func.func @f(%x: tensor<2xf32>) {
  // expected-error @+1 {{'graph.broadcast' op size 2 cannot repeat to 4}}
  %0 = graph.broadcast %x dims [0] : tensor<2xf32> -> tensor<4xf32>
  return
}

// -----

// graph.slice C1: one stride for each dimension
func.func @f(%x: tensor<4x8xf32>) {
  // expected-error @+1 {{'graph.slice' op needs one offset, stride and size for each of 2 dimensions}}
  %0 = graph.slice %x offsets #graph.dims<[0, 1]> strides [1] : tensor<4x8xf32> -> tensor<4x3xf32>
  return
}

// -----

// graph.slice C1: positive strides
func.func @f(%x: tensor<4xf32>) {
  // expected-error @+1 {{'graph.slice' op stride 0 of dimension 0 must be positive}}
  %0 = graph.slice %x offsets #graph.dims<[0]> strides [0] : tensor<4xf32> -> tensor<2xf32>
  return
}

// -----

// graph.slice C2: the end
func.func @f(%x: tensor<4xf32>) {
  // expected-error @+1 {{'graph.slice' op dimension 0 reaches element 4 of 4}}
  %0 = graph.slice %x offsets #graph.dims<[2]> strides [2] : tensor<4xf32> -> tensor<2xf32>
  return
}

// -----

// graph.slice C2: the beginning
func.func @f(%x: tensor<4xf32>) {
  // expected-error @+1 {{'graph.slice' op offset -1 of dimension 0 is negative}}
  %0 = graph.slice %x offsets #graph.dims<[-1]> strides [1] : tensor<4xf32> -> tensor<2xf32>
  return
}

// -----

// graph.insert_slice C1
func.func @f(%x: tensor<3xf32>, %y: tensor<4xf32>) {
  // expected-error @+1 {{'graph.insert_slice' op dimension 0 reaches element 4 of 4}}
  %0 = graph.insert_slice %x into %y offsets #graph.dims<[2]> strides [1] : tensor<3xf32> into tensor<4xf32>
  return
}

// -----

// graph.pad C1: one for each dimension
func.func @f(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{'graph.pad' op needs 2 low and high paddings}}
  %0 = graph.pad %x low #graph.dims<[1]> high #graph.dims<[1]> value 0.0 : f32 : tensor<2x3xf32> -> tensor<4x3xf32>
  return
}

// -----

// graph.pad C1: not negative
func.func @f(%x: tensor<4xf32>) {
  // expected-error @+1 {{'graph.pad' op has a negative padding; use 'graph.slice'}}
  %0 = graph.pad %x low #graph.dims<[-1]> high #graph.dims<[0]> value 0.0 : f32 : tensor<4xf32> -> tensor<3xf32>
  return
}

// -----

// graph.pad C1: the sum
func.func @f(%x: tensor<4xf32>) {
  // expected-error @+1 {{'graph.pad' op result size 7 of dimension 0 must be 6}}
  %0 = graph.pad %x low #graph.dims<[1]> high #graph.dims<[1]> value 0.0 : f32 : tensor<4xf32> -> tensor<7xf32>
  return
}

// -----

// graph.pad C2
func.func @f(%x: tensor<4xf32>) {
  // expected-error @+1 {{'graph.pad' op value is 'i32' but the elements are 'f32'}}
  %0 = graph.pad %x low #graph.dims<[1]> high #graph.dims<[1]> value 0 : i32 : tensor<4xf32> -> tensor<6xf32>
  return
}

// -----

// graph.concat C1: the other dimensions
func.func @f(%x: tensor<2x3xf32>, %y: tensor<2x4xf32>) {
  // expected-error @+1 {{'graph.concat' op input size 4 of dimension 1 must be 3}}
  %0 = graph.concat %x, %y dim 0 : tensor<2x3xf32>, tensor<2x4xf32> -> tensor<4x3xf32>
  return
}

// -----

// graph.concat C1: the sum
func.func @f(%x: tensor<2x3xf32>, %y: tensor<2x3xf32>) {
  // expected-error @+1 {{'graph.concat' op result size 5 of dimension 0 must be 4}}
  %0 = graph.concat %x, %y dim 0 : tensor<2x3xf32>, tensor<2x3xf32> -> tensor<5x3xf32>
  return
}

// -----

// graph.reverse C1
func.func @f(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{'graph.reverse' op dims [1, 1] names dimension 1 twice}}
  %0 = graph.reverse %x dims [1, 1] : tensor<2x3xf32>
  return
}

// -----

// graph.assert_dim C1: rank
func.func @f(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{'graph.assert_dim' op must keep the rank}}
  %0 = graph.assert_dim %x : tensor<2x3xf32> -> tensor<6xf32>
  return
}

// -----

// graph.assert_dim C1: element type
func.func @f(%x: tensor<2xf32>) {
  // expected-error @+1 {{'graph.assert_dim' op element types 'f32' and 'f64' must be the same}}
  %0 = graph.assert_dim %x : tensor<2xf32> -> tensor<2xf64>
  return
}
