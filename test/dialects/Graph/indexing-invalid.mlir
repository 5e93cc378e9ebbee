// RUN: tenon-opt %s --split-input-file --verify-diagnostics

// graph.gather C1: one coordinate for each dimension
func.func @f(%t: tensor<4x5xf32>, %i: tensor<3xi64>) {
  // expected-error @+1 {{'graph.gather' op has 1 coords but the data has rank 2}}
  %0 = graph.gather %t at (%i) maps [affine_map<(d0) -> (d0)>] coords [-1] : tensor<4x5xf32> at (tensor<3xi64>) -> tensor<3xf32>
  return
}

// -----

// graph.gather C1: no such index tensor
func.func @f(%t: tensor<4xf32>, %i: tensor<3xi64>) {
  // expected-error @+1 {{'graph.gather' op coordinate -2 names no dimension and no index tensor}}
  %0 = graph.gather %t at (%i) maps [affine_map<(d0) -> (d0)>] coords [-2] : tensor<4xf32> at (tensor<3xi64>) -> tensor<3xf32>
  return
}

// -----

// graph.gather C1: no such dimension
func.func @f(%t: tensor<4xf32>, %i: tensor<3xi64>) {
  // expected-error @+1 {{'graph.gather' op coordinate 1 names no dimension and no index tensor}}
  %0 = graph.gather %t at (%i) maps [affine_map<(d0) -> (d0)>] coords [1] : tensor<4xf32> at (tensor<3xi64>) -> tensor<3xf32>
  return
}

// -----

// graph.gather C2: the number of maps
func.func @f(%t: tensor<4xf32>, %i: tensor<3xi64>) {
  // expected-error @+1 {{'graph.gather' op has 0 indexing maps but 1 tensors}}
  %0 = graph.gather %t at (%i) maps [] coords [-1] : tensor<4xf32> at (tensor<3xi64>) -> tensor<3xf32>
  return
}

// -----

// graph.gather C2: the sizes that a map reads
func.func @f(%t: tensor<4xf32>, %i: tensor<3xi64>) {
  // expected-error @+1 {{'graph.gather' op indexing map 0 reads size 3 along dimension 0 of size 2}}
  %0 = graph.gather %t at (%i) maps [affine_map<(d0) -> (d0)>] coords [-1] : tensor<4xf32> at (tensor<3xi64>) -> tensor<2xf32>
  return
}

// -----

// graph.gather C3
func.func @f(%t: tensor<4x5xf32>, %i: tensor<3xi64>) {
  // expected-error @+1 {{'graph.gather' op reads 6 elements along dimension 1 of size 5}}
  %0 = graph.gather %t at (%i) maps [affine_map<(d0, d1) -> (d0)>] coords [-1, 1] : tensor<4x5xf32> at (tensor<3xi64>) -> tensor<3x6xf32>
  return
}

// -----

func.func @f(%t: tensor<4xf32>, %i: tensor<3xf32>) {
  // expected-error @+1 {{'graph.gather' op index tensor is of 'f32' but must be i64 or i32}}
  %0 = graph.gather %t at (%i) maps [affine_map<(d0) -> (d0)>] coords [-1] : tensor<4xf32> at (tensor<3xf32>) -> tensor<3xf32>
  return
}

// -----

// graph.scatter C1
func.func @f(%u: tensor<3xf32>, %d: tensor<4x5xf32>, %i: tensor<3xi64>) {
  // expected-error @+1 {{'graph.scatter' op has 1 coords but the data has rank 2}}
  %0 = graph.scatter set %u into %d at (%i) maps [affine_map<(d0) -> (d0)>] coords [-1] : tensor<3xf32> into tensor<4x5xf32> at (tensor<3xi64>)
  return
}

// -----

// graph.scatter C2
func.func @f(%u: tensor<3xf32>, %d: tensor<4xf32>, %i: tensor<3xi64>) {
  // expected-error @+1 {{'graph.scatter' op indexing map 0 must go from 1 dimensions to 1}}
  %0 = graph.scatter set %u into %d at (%i) maps [affine_map<(d0, d1) -> (d0)>] coords [-1] : tensor<3xf32> into tensor<4xf32> at (tensor<3xi64>)
  return
}

// -----

func.func @f(%u: tensor<3xf32>, %d: tensor<4xf32>, %i: tensor<3xi64>) {
  // expected-error @+1 {{'mean' is not a scatter kind}}
  %0 = graph.scatter mean %u into %d at (%i) maps [affine_map<(d0) -> (d0)>] coords [-1] : tensor<3xf32> into tensor<4xf32> at (tensor<3xi64>)
  return
}
