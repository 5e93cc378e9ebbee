// RUN: tenon-interp %s --all --verify-diagnostics --split-input-file
// RUN: not tenon-interp %s --entry=nothing 2>&1 | FileCheck %s --check-prefix=ENTRY

// What goes wrong only with values at hand is a diagnostic at the op.

// ENTRY: tenon-interp: error: there is no function 'nothing'

func.func @gather() -> tensor<2xf32> {
  %t = graph.constant dense<[1.0, 2.0]> : tensor<2xf32>
  %i = graph.constant dense<[0, 2]> : tensor<2xi64>
  // expected-error @+1 {{'graph.gather' op index 2 is out of range for dimension 0 of size 2, at point [1]}}
  %0 = graph.gather %t at (%i) maps [affine_map<(d0) -> (d0)>] coords [-1] : tensor<2xf32> at (tensor<2xi64>) -> tensor<2xf32>
  return %0 : tensor<2xf32>
}

func.func @scatter() -> tensor<2xf32> {
  %t = graph.constant dense<[1.0, 2.0]> : tensor<2xf32>
  %i = graph.constant dense<[-1, 0]> : tensor<2xi64>
  // expected-error @+1 {{'graph.scatter' op index -1 is out of range for dimension 0 of size 2, at point [0]}}
  %0 = graph.scatter set %t into %t at (%i) maps [affine_map<(d0) -> (d0)>] coords [-1] : tensor<2xf32> into tensor<2xf32> at (tensor<2xi64>)
  return %0 : tensor<2xf32>
}

// -----

func.func @divide() -> tensor<2xi32> {
  %t = graph.constant dense<[1, 0]> : tensor<2xi32>
  %0 = graph.map ins(%t : tensor<2xi32>) maps [affine_map<(d0) -> (d0)>] -> tensor<2xi32> {
  ^bb0(%a: i32):
    %c = arith.constant 1 : i32
    // expected-error @+1 {{'arith.divsi' op divides by zero}}
    %r = arith.divsi %c, %a : i32
    graph.yield %r : i32
  }
  return %0 : tensor<2xi32>
}

// -----

func.func @empty() -> tensor<0xi64> {
  %t = graph.constant dense<> : tensor<2x0xf32>
  // expected-error @+1 {{'graph.arg_reduce' op has no position to give: dimension 1 is empty}}
  %0 = graph.arg_reduce max %t dim 1 : tensor<2x0xf32> -> tensor<2xi64>
  %1 = graph.constant dense<> : tensor<0xi64>
  return %1 : tensor<0xi64>
}

// -----

func.func @huge() -> tensor<i64> {
  %t = graph.constant dense<1> : tensor<i64>
  // expected-error @+1 {{'graph.broadcast' op makes a tensor of shape [1000000, 1000000] but at most 268435456 elements are allowed}}
  %0 = graph.broadcast %t dims [] : tensor<i64> -> tensor<1000000x1000000xi64>
  return %t : tensor<i64>
}

// -----

graph.weight @w : tensor<4xf32> from #graph.source<"file", "no such file", 0, 16, 0.0 : f64>
func.func @weight() -> tensor<4xf32> {
  // expected-error @+1 {{'graph.use_weight' op has no value: weight 'w': cannot be read}}
  %0 = graph.use_weight @w : tensor<4xf32>
  return %0 : tensor<4xf32>
}
