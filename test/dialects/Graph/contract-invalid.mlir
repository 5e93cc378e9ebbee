// RUN: tenon-opt %s --split-input-file --verify-diagnostics

// graph.contract C1: three maps
func.func @f(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{'graph.contract' op needs 3 indexing maps, has 2}}
  %0 = graph.contract %x, %x maps [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (a, b)>] : tensor<2x3xf32>, tensor<2x3xf32> -> tensor<2x3xf32>
  return
}

// -----

// graph.contract C1: projected permutations
func.func @f(%x: tensor<3x3xf32>) {
  // expected-error @+1 {{'graph.contract' op indexing map 0 must be a projected permutation of 2 dimensions to 2}}
  %0 = graph.contract %x, %x maps [affine_map<(a, b) -> (a, a)>, affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (a, b)>] : tensor<3x3xf32>, tensor<3x3xf32> -> tensor<3x3xf32>
  return
}

// -----

// graph.contract C1: in at least two
func.func @f(%x: tensor<2x3xf32>, %y: tensor<2xf32>) {
  // expected-error @+1 {{'graph.contract' op iteration dimension 1 must occur in at least two operands or the result}}
  %0 = graph.contract %x, %y maps [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (a)>, affine_map<(a, b) -> (a)>] : tensor<2x3xf32>, tensor<2xf32> -> tensor<2xf32>
  return
}

// -----

// graph.contract C2
func.func @f(%x: tensor<2x3xf32>, %y: tensor<4x5xf32>) {
  // expected-error @+1 {{'graph.contract' op iteration dimension 2 has sizes 3 and 4}}
  %0 = graph.contract %x, %y maps [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (k, n)>, affine_map<(m, n, k) -> (m, n)>] : tensor<2x3xf32>, tensor<4x5xf32> -> tensor<2x5xf32>
  return
}

// -----

// graph.conv C1: one for each spatial dimension
func.func @f(%x: tensor<1x8x8x3xf32>, %w: tensor<16x3x3x3xf32>) {
  // expected-error @+1 {{'graph.conv' op needs 2 strides, lows, highs, dilations and input dilations}}
  %0 = graph.conv %x, %w strides [1] low [1, 1] high [1, 1] dilations [1, 1] input_dilation [1, 1] groups 1 : tensor<1x8x8x3xf32>, tensor<16x3x3x3xf32> -> tensor<1x8x8x16xf32>
  return
}

// -----

// graph.conv C1: positive
func.func @f(%x: tensor<1x8x3xf32>, %w: tensor<16x3x3xf32>) {
  // expected-error @+1 {{'graph.conv' op strides and dilations must be positive}}
  %0 = graph.conv %x, %w strides [0] low [1] high [1] dilations [1] input_dilation [1] groups 1 : tensor<1x8x3xf32>, tensor<16x3x3xf32> -> tensor<1x8x16xf32>
  return
}

// -----

// graph.conv C2: channels
func.func @f(%x: tensor<1x8x3xf32>, %w: tensor<16x3x3xf32>) {
  // expected-error @+1 {{'graph.conv' op channels of input and filter do not fit 2 groups}}
  %0 = graph.conv %x, %w strides [1] low [1] high [1] dilations [1] input_dilation [1] groups 2 : tensor<1x8x3xf32>, tensor<16x3x3xf32> -> tensor<1x8x16xf32>
  return
}

// -----

// graph.conv C2: sizes
func.func @f(%x: tensor<1x8x3xf32>, %w: tensor<16x3x3xf32>) {
  // expected-error @+1 {{'graph.conv' op result size 8 of dimension 1 must be 6}}
  %0 = graph.conv %x, %w strides [1] low [0] high [0] dilations [1] input_dilation [1] groups 1 : tensor<1x8x3xf32>, tensor<16x3x3xf32> -> tensor<1x8x16xf32>
  return
}

// -----

// graph.attention C1: ranks
func.func @f(%q: tensor<2x8x4xf32>) {
  // expected-error @+1 {{'graph.attention' op works on tensors of rank 4}}
  %0 = graph.attention %q, %q, %q scale 1.0 : tensor<2x8x4xf32>, tensor<2x8x4xf32>, tensor<2x8x4xf32> -> tensor<2x8x4xf32>
  return
}

// -----

// graph.attention C1: sizes
func.func @f(%q: tensor<1x2x8x4xf32>, %k: tensor<1x2x8x5xf32>) {
  // expected-error @+1 {{'graph.attention' op has query, key and value of sizes that do not fit}}
  %0 = graph.attention %q, %k, %k scale 1.0 : tensor<1x2x8x4xf32>, tensor<1x2x8x5xf32>, tensor<1x2x8x5xf32> -> tensor<1x2x8x5xf32>
  return
}

// -----

// graph.attention C1: heads
func.func @f(%q: tensor<1x3x8x4xf32>, %k: tensor<1x2x8x4xf32>) {
  // expected-error @+1 {{'graph.attention' op needs a number of query heads that is a multiple of the key heads}}
  %0 = graph.attention %q, %k, %k scale 1.0 : tensor<1x3x8x4xf32>, tensor<1x2x8x4xf32>, tensor<1x2x8x4xf32> -> tensor<1x3x8x4xf32>
  return
}

// -----

// graph.attention C1: no key heads
func.func @f(%q: tensor<1x3x8x4xf32>, %k: tensor<1x0x8x4xf32>) {
  // expected-error @+1 {{'graph.attention' op needs a number of query heads that is a multiple of the key heads}}
  %0 = graph.attention %q, %k, %k scale 1.0 : tensor<1x3x8x4xf32>, tensor<1x0x8x4xf32>, tensor<1x0x8x4xf32> -> tensor<1x3x8x4xf32>
  return
}

// -----

// graph.attention C2: the map
func.func @f(%q: tensor<1x2x8x4xf32>, %m: tensor<8x8xi1>) {
  // expected-error @+1 {{'graph.attention' op has a mask but no 'mask_map'}}
  %0 = graph.attention %q, %q, %q mask %m scale 1.0 : tensor<1x2x8x4xf32>, tensor<1x2x8x4xf32>, tensor<1x2x8x4xf32> mask tensor<8x8xi1> -> tensor<1x2x8x4xf32>
  return
}

// -----

// graph.attention C2: the element type
func.func @f(%q: tensor<1x2x8x4xf32>, %m: tensor<8x8xi8>) {
  // expected-error @+1 {{'graph.attention' op has a mask of 'i8'}}
  %0 = graph.attention %q, %q, %q mask %m scale 1.0 {mask_map = affine_map<(b, h, s, t) -> (s, t)>} : tensor<1x2x8x4xf32>, tensor<1x2x8x4xf32>, tensor<1x2x8x4xf32> mask tensor<8x8xi8> -> tensor<1x2x8x4xf32>
  return
}
