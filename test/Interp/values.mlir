// RUN: tenon-interp %s --all | FileCheck %s
// RUN: tenon-interp %s --entry=sized --input=splat:1 --input=seed:7 --symbol=s0=2 --symbol=s1=3 --print | FileCheck %s --check-prefix=SIZED
// RUN: tenon-interp %s --entry=step --input=init --input=splat:2 --print | FileCheck %s --check-prefix=STATE

// Where values come from: constants, weights, sizes, state.

graph.weight @half : tensor<2xbf16> from #graph.source<"splat", "", 0, 0, 0.3 : f64>
graph.weight @yes : tensor<2xi1> from #graph.source<"splat", "", 0, 0, 3.0 : f64>
graph.weight @made : tensor<3xf32> from #graph.source<"seed", "", 0, 0, 0.5 : f64>
graph.weight @ints : tensor<4xi8> from #graph.source<"seed", "", 0, 0, 2.0 : f64>

// 0.3 in bf16 is 0.30078125.
// `made`: SplitMix64 from key XXH3-64("made"), written out in Python with package xxhash; see WeightData.h.
// CHECK-LABEL: @weights
// CHECK-NEXT: #0: 2xbf16 [0.30078125, 0.30078125]
// CHECK-NEXT: #1: 2xi1 [1, 1]
// CHECK-NEXT: #2: 3xf32 [0.4443137, -0.40705952, -0.13088377]
// CHECK-NEXT: #3: 4xi8 [1, 2, -1, 2]
func.func @weights() -> (tensor<2xbf16>, tensor<2xi1>, tensor<3xf32>, tensor<4xi8>) {
  %0 = graph.use_weight @half : tensor<2xbf16>
  %1 = graph.use_weight @yes : tensor<2xi1>
  %2 = graph.use_weight @made : tensor<3xf32>
  %3 = graph.use_weight @ints : tensor<4xi8>
  return %0, %1, %2, %3 : tensor<2xbf16>, tensor<2xi1>, tensor<3xf32>, tensor<4xi8>
}

// CHECK-LABEL: @constants
// CHECK-NEXT: #0: complex<f32> (1, -2)
// CHECK-NEXT: #1: 2xi8 [-128, 127]
// CHECK-NEXT: #2: 0x4xf64 []
// CHECK-NEXT: #3: 2xi1 [1, 0]
// CHECK-NEXT: #4: 1xi64 [9223372036854775807]
func.func @constants() -> (tensor<complex<f32>>, tensor<2xi8>, tensor<0x4xf64>, tensor<2xi1>, tensor<1xi64>) {
  %0 = graph.constant dense<(1.0, -2.0)> : tensor<complex<f32>>
  %1 = graph.constant dense<[-128, 127]> : tensor<2xi8>
  %2 = graph.constant dense<> : tensor<0x4xf64>
  %3 = graph.constant dense<[true, false]> : tensor<2xi1>
  %4 = graph.constant dense<9223372036854775807> : tensor<1xi64>
  return %0, %1, %2, %3, %4 : tensor<complex<f32>>, tensor<2xi8>, tensor<0x4xf64>, tensor<2xi1>, tensor<1xi64>
}

// s0 = 2 and s1 = 3: 2 * 3 + 1, 3 floordiv 2, (-2) mod 3 = 1.
// SIZED: #0: i64 7
// SIZED: #1: 2xi64 [1, 1]
func.func @sized(%x: tensor<?x4xf32, #graph.dims<[s0, 4]>>, %y: tensor<?xf32, #graph.dims<[s0 * s1]>>) -> (tensor<i64>, tensor<2xi64>)
    attributes {graph.symbols = [#graph.symbol<"a", 1, 8>, #graph.symbol<"b", 0, 512>]} {
  %0 = graph.size <[s0 * s1 + 1]> : tensor<i64>
  %1 = graph.size <[s1 floordiv 2, (-s0) mod s1]> : tensor<2xi64>
  return %0, %1 : tensor<i64>, tensor<2xi64>
}

graph.variable @total : tensor<2xbf16> init @half

// STATE: #0: 2xbf16 [2.296875, 2.296875]
func.func @step(%t: tensor<2xbf16> {graph.state = @total}, %x: tensor<2xbf16>) -> (tensor<2xbf16> {graph.state = @total}) {
  %0 = graph.map ins(%t, %x : tensor<2xbf16>, tensor<2xbf16>) maps [affine_map<(d0) -> (d0)>, affine_map<(d0) -> (d0)>] -> tensor<2xbf16> {
  ^bb0(%a: bf16, %b: bf16):
    %s = arith.addf %a, %b : bf16
    graph.yield %s : bf16
  }
  return %0 : tensor<2xbf16>
}
