// RUN: tenon-opt %s --split-input-file --verify-diagnostics

// graph.map C1: the number of maps
func.func @f(%a: tensor<2xf32>) -> tensor<2xf32> {
  // expected-error @+1 {{'graph.map' op has 0 indexing maps but 1 tensors}}
  %0 = graph.map ins(%a : tensor<2xf32>) maps [] -> tensor<2xf32> {
  ^bb0(%x: f32):
    graph.yield %x : f32
  }
  return %0 : tensor<2xf32>
}

// -----

// graph.map C1: from the result's rank to the input's
func.func @f(%a: tensor<2xf32>) -> tensor<2x2xf32> {
  // expected-error @+1 {{'graph.map' op indexing map 0 must go from 2 dimensions to 1}}
  %0 = graph.map ins(%a : tensor<2xf32>) maps [affine_map<(d0) -> (d0)>] -> tensor<2x2xf32> {
  ^bb0(%x: f32):
    graph.yield %x : f32
  }
  return %0 : tensor<2x2xf32>
}

// -----

// graph.map C1: a dimension or 0, nothing else
func.func @f(%a: tensor<2xf32>) -> tensor<2xf32> {
  // expected-error @+1 {{'graph.map' op indexing map 0 must use dimensions, or 0 for a size of 1}}
  %0 = graph.map ins(%a : tensor<2xf32>) maps [affine_map<(d0) -> (d0 + 1)>] -> tensor<2xf32> {
  ^bb0(%x: f32):
    graph.yield %x : f32
  }
  return %0 : tensor<2xf32>
}

// -----

// graph.map C2: sizes agree
func.func @f(%a: tensor<3xf32>) -> tensor<2xf32> {
  // expected-error @+1 {{'graph.map' op indexing map 0 reads size 3 along dimension 0 of size 2}}
  %0 = graph.map ins(%a : tensor<3xf32>) maps [affine_map<(d0) -> (d0)>] -> tensor<2xf32> {
  ^bb0(%x: f32):
    graph.yield %x : f32
  }
  return %0 : tensor<2xf32>
}

// -----

// graph.map C2: 0 needs a size of 1
func.func @f(%a: tensor<3xf32>) -> tensor<2xf32> {
  // expected-error @+1 {{'graph.map' op indexing map 0 must use dimensions, or 0 for a size of 1}}
  %0 = graph.map ins(%a : tensor<3xf32>) maps [affine_map<(d0) -> (0)>] -> tensor<2xf32> {
  ^bb0(%x: f32):
    graph.yield %x : f32
  }
  return %0 : tensor<2xf32>
}

// -----

// graph.map C3: block arguments
func.func @f(%a: tensor<2xf32>) -> tensor<2xf64> {
  // expected-error @+1 {{'graph.map' op body takes 'f64' for an input of 'f32'}}
  %0 = graph.map ins(%a : tensor<2xf32>) maps [affine_map<(d0) -> (d0)>] -> tensor<2xf64> {
  ^bb0(%x: f64):
    graph.yield %x : f64
  }
  return %0 : tensor<2xf64>
}

// -----

// graph.map C3: yielded values
func.func @f(%a: tensor<2xf32>) -> tensor<2xf64> {
  // expected-error @+1 {{'graph.map' op body yields 'f32' for a result of 'f64'}}
  %0 = graph.map ins(%a : tensor<2xf32>) maps [affine_map<(d0) -> (d0)>] -> tensor<2xf64> {
  ^bb0(%x: f32):
    graph.yield %x : f32
  }
  return %0 : tensor<2xf64>
}

// -----

// graph.map C3: one shape
func.func @f(%a: tensor<2xf32>) -> (tensor<2xf32>, tensor<3xf32>) {
  // expected-error @+1 {{'graph.map' op result size 3 of dimension 0 must be 2}}
  %0, %1 = graph.map ins(%a : tensor<2xf32>) maps [affine_map<(d0) -> (d0)>] -> tensor<2xf32>, tensor<3xf32> {
  ^bb0(%x: f32):
    graph.yield %x, %x : f32, f32
  }
  return %0, %1 : tensor<2xf32>, tensor<3xf32>
}

// -----

// graph.map C4
func.func @f(%a: tensor<2xf32>) -> tensor<2xf32> {
  // expected-error @+1 {{'graph.map' op body holds 'graph.constant' but only scalar ops of arith, math and complex may be there}}
  %0 = graph.map ins(%a : tensor<2xf32>) maps [affine_map<(d0) -> (d0)>] -> tensor<2xf32> {
  ^bb0(%x: f32):
    %r = graph.constant dense<1.0> : tensor<2xf32>
    graph.yield %x : f32
  }
  return %0 : tensor<2xf32>
}

// -----

func.func @f() -> tensor<2xi64> {
  %0 = graph.map maps [] -> tensor<2xi64> {
    // expected-error @+1 {{'graph.index' op dimension 1 is out of range for rank 1}}
    %i = graph.index 1 : i64
    graph.yield %i : i64
  }
  return %0 : tensor<2xi64>
}

// -----

// graph.size_value C1
func.func @f() -> tensor<2xi64> {
  %0 = graph.map maps [] -> tensor<2xi64> {
    // expected-error @+1 {{'graph.size_value' op must have one expression}}
    %i = graph.size_value <[1, 2]> : i64
    graph.yield %i : i64
  }
  return %0 : tensor<2xi64>
}

// -----

// The region is closed: a scalar of outside comes in as an input.
func.func @f() -> tensor<2xf32> {
  %c = arith.constant 1.0 : f32
  // expected-note @+1 {{required by region isolation constraints}}
  %0 = graph.map maps [] -> tensor<2xf32> {
    // expected-error @+1 {{'graph.yield' op using value defined outside the region}}
    graph.yield %c : f32
  }
  return %0 : tensor<2xf32>
}
