// RUN: tenon-opt %s --verify-roundtrip | FileCheck %s

// Ops that give values, and the attributes on functions: all survive printing and parsing.

// CHECK: graph.weight @fc.weight : tensor<10x784xf32> from <"splat", "", 0, 0, 5.000000e-01 : f64>
graph.weight @fc.weight : tensor<10x784xf32> from #graph.source<"splat", "", 0, 0, 0.5 : f64>
graph.weight @mapped : tensor<4xbf16> from #graph.source<"file", "model.pt2", 64, 8, 0.0 : f64>
graph.weight @made : tensor<4xi8> from #graph.source<"seed", "", 0, 0, 3.0 : f64>
graph.weight @folded : tensor<4xf32> from #graph.source<"owned", "", 0, 0, 0.0 : f64>

// CHECK: graph.variable @kv : tensor<1x4x256x64xf32>
graph.variable @kv : tensor<1x4x256x64xf32>
// CHECK: graph.variable @mean : tensor<10x784xf32> init @fc.weight {persistent}
graph.variable @mean : tensor<10x784xf32> init @fc.weight {persistent}

// CHECK-LABEL: @values
func.func @values() -> (tensor<10x784xf32>, tensor<4xf32>, tensor<complex<f32>>) {
  // CHECK: graph.use_weight @fc.weight : tensor<10x784xf32>
  %0 = graph.use_weight @fc.weight : tensor<10x784xf32>
  // CHECK: graph.constant dense<1.000000e+00> : tensor<4xf32>
  %1 = graph.constant dense<1.0> : tensor<4xf32>
  %2 = graph.constant dense<(1.0, -2.0)> : tensor<complex<f32>>
  return %0, %1, %2 : tensor<10x784xf32>, tensor<4xf32>, tensor<complex<f32>>
}

// CHECK-LABEL: @sizes
//  CHECK-SAME:   tensor<?x?xf32, #graph.dims<[s0, s1 * 2]>> {graph.name = "x"}
//  CHECK-SAME:   graph.symbols = [#graph.symbol<"batch", 1, 8>, #graph.symbol<"length", 0, 512>]
func.func @sizes(%x: tensor<?x?xf32, #graph.dims<[s0, s1 * 2]>> {graph.name = "x"}) -> (tensor<i64>, tensor<2xi64>)
    attributes {graph.symbols = [#graph.symbol<"batch", 1, 8>, #graph.symbol<"length", 0, 512>]} {
  // CHECK: graph.size <[s0 + 1]> : tensor<i64>
  %0 = graph.size <[s0 + 1]> : tensor<i64>
  // CHECK: graph.size <[s0, s1 floordiv 2]> : tensor<2xi64>
  %1 = graph.size <[s0, s1 floordiv 2]> : tensor<2xi64>
  return %0, %1 : tensor<i64>, tensor<2xi64>
}

// CHECK-LABEL: @state
//  CHECK-SAME:   {graph.state = @kv}
func.func @state(%kv: tensor<1x4x256x64xf32> {graph.state = @kv}) -> (tensor<1x4x256x64xf32> {graph.state = @kv}) {
  return %kv : tensor<1x4x256x64xf32>
}
