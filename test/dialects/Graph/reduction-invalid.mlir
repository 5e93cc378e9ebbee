// RUN: tenon-opt %s --split-input-file --verify-diagnostics

// graph.reduce C1: rising dims
func.func @f(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{'graph.reduce' op dims [1, 0] must rise}}
  %0 = graph.reduce sum %x dims [1, 0] : tensor<2x3xf32> -> tensor<f32>
  return
}

// -----

// graph.reduce C1: dims of the input
func.func @f(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{'graph.reduce' op dimension 2 is out of range for rank 2}}
  %0 = graph.reduce sum %x dims [2] : tensor<2x3xf32> -> tensor<2xf32>
  return
}

// -----

// graph.reduce C1: the result keeps the others
func.func @f(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{'graph.reduce' op result size 3 of dimension 0 must be 2}}
  %0 = graph.reduce sum %x dims [1] : tensor<2x3xf32> -> tensor<3xf32>
  return
}

// -----

// graph.reduce C2: element type
func.func @f(%x: tensor<2x3xf16>) {
  // expected-error @+1 {{'graph.reduce' op element types 'f16' and 'f32' must be the same}}
  %0 = graph.reduce sum %x dims [1] : tensor<2x3xf16> -> tensor<2xf32>
  return
}

// -----

// graph.reduce C2: any and all
func.func @f(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{'graph.reduce' op any needs i1, not 'f32'}}
  %0 = graph.reduce any %x dims [1] : tensor<2x3xf32> -> tensor<2xf32>
  return
}

// -----

func.func @f(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{'mean' is not a reduction kind}}
  %0 = graph.reduce mean %x dims [1] : tensor<2x3xf32> -> tensor<2xf32>
  return
}

// -----

// graph.arg_reduce C1: kind
func.func @f(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{'graph.arg_reduce' op kind must be max or min, not sum}}
  %0 = graph.arg_reduce sum %x dim 1 : tensor<2x3xf32> -> tensor<2xi64>
  return
}

// -----

// graph.arg_reduce C1: i64
func.func @f(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{'graph.arg_reduce' op gives i64 positions}}
  %0 = graph.arg_reduce max %x dim 1 : tensor<2x3xf32> -> tensor<2xi32>
  return
}

// -----

// graph.arg_reduce C1: the other dimensions
func.func @f(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{'graph.arg_reduce' op result has rank 2 but needs 1}}
  %0 = graph.arg_reduce max %x dim 1 : tensor<2x3xf32> -> tensor<2x1xi64>
  return
}

// -----

// graph.reduce_window C1: one for each dimension
func.func @f(%x: tensor<4x4xf32>) {
  // expected-error @+1 {{'graph.reduce_window' op needs 2 windows, strides, lows and dilations}}
  %0 = graph.reduce_window max %x window [2] strides [1, 1] low [0, 0] dilations [1, 1] : tensor<4x4xf32> -> tensor<3x3xf32>
  return
}

// -----

// graph.reduce_window C1: positive
func.func @f(%x: tensor<4xf32>) {
  // expected-error @+1 {{'graph.reduce_window' op window, strides and dilations must be positive}}
  %0 = graph.reduce_window max %x window [2] strides [0] low [0] dilations [1] : tensor<4xf32> -> tensor<3xf32>
  return
}

// -----

// graph.reduce_window C1: low not negative
func.func @f(%x: tensor<4xf32>) {
  // expected-error @+1 {{'graph.reduce_window' op low must not be negative}}
  %0 = graph.reduce_window max %x window [2] strides [1] low [-1] dilations [1] : tensor<4xf32> -> tensor<3xf32>
  return
}

// -----

// graph.reduce_window C2: element type
func.func @f(%x: tensor<4xf16>) {
  // expected-error @+1 {{'graph.reduce_window' op element types 'f16' and 'f32' must be the same}}
  %0 = graph.reduce_window max %x window [2] strides [1] low [0] dilations [1] : tensor<4xf16> -> tensor<3xf32>
  return
}

// -----

// graph.reduce_window C2: kind
func.func @f(%x: tensor<4xi1>) {
  // expected-error @+1 {{'graph.reduce_window' op kind must be sum, prod, max or min}}
  %0 = graph.reduce_window any %x window [2] strides [1] low [0] dilations [1] : tensor<4xi1> -> tensor<3xi1>
  return
}

// -----

// graph.cumulate C1
func.func @f(%x: tensor<4xf32>) {
  // expected-error @+1 {{'graph.cumulate' op dimension 1 is out of range for rank 1}}
  %0 = graph.cumulate sum %x dim 1 : tensor<4xf32>
  return
}

// -----

// graph.cumulate C1: kind
func.func @f(%x: tensor<4xi32>) {
  // expected-error @+1 {{'graph.cumulate' op logsumexp needs floats, not 'i32'}}
  %0 = graph.cumulate logsumexp %x dim 0 : tensor<4xi32>
  return
}

// -----

// graph.cumulate C2
func.func @f(%x: tensor<9xf32>, %c: tensor<3xf32>) {
  // expected-error @+1 {{'graph.cumulate' op needs a carry for each whole block of each line}}
  %0 = graph.cumulate sum %x dim 0 block 4 carries %c : tensor<9xf32>, tensor<3xf32>
  return
}

// -----

// graph.cumulate C2: type
func.func @f(%x: tensor<9xf32>, %c: tensor<2xf64>) {
  // expected-error @+1 {{'graph.cumulate' op carries of 'f64' do not fit elements of 'f32'}}
  %0 = graph.cumulate sum %x dim 0 block 4 carries %c : tensor<9xf32>, tensor<2xf64>
  return
}

// -----

// graph.sort C1: dim
func.func @f(%x: tensor<4xf32>) {
  // expected-error @+1 {{'graph.sort' op dimension -1 is out of range for rank 1}}
  %0, %1 = graph.sort %x dim -1 : tensor<4xf32> -> tensor<4xi64>
  return
}

// -----

// graph.sort C1: i64
func.func @f(%x: tensor<4xf32>) {
  // expected-error @+1 {{'graph.sort' op indices must be i64}}
  %0, %1 = graph.sort %x dim 0 : tensor<4xf32> -> tensor<4xi32>
  return
}

// -----

// graph.sort C1: the shape of the indices
func.func @f(%x: tensor<4xf32>) {
  // expected-error @+1 {{'graph.sort' op result size 5 of dimension 0 must be 4}}
  %0, %1 = graph.sort %x dim 0 : tensor<4xf32> -> tensor<5xi64>
  return
}
