// RUN: tenon-interp %s --input=seed:1 --input=seed:2 --symbol=s0=2 --symbol=s1=3 --print-limit=0 --print | FileCheck %s
// RUN: tenon-interp %s --input='dense<1.0> : tensor<2x5xf32>' --input='dense<1.0> : tensor<10xf32>' --print-limit=0 --print | FileCheck %s --check-prefix=FIVE
// RUN: not tenon-interp %s --input='dense<1.0> : tensor<2x3xf32>' --input='dense<1.0> : tensor<7xf32>' 2>&1 | FileCheck %s --check-prefix=DERIVED
// RUN: not tenon-interp %s --input='dense<1.0> : tensor<9x3xf32>' --input='dense<1.0> : tensor<27xf32>' 2>&1 | FileCheck %s --check-prefix=RANGE
// RUN: not tenon-interp %s --input='dense<1.0> : tensor<2x3xf64>' --input='dense<1.0> : tensor<6xf32>' 2>&1 | FileCheck %s --check-prefix=TYPE
// RUN: not tenon-interp %s --input=seed:1 2>&1 | FileCheck %s --check-prefix=COUNT
// RUN: tenon-interp %s --entry=solve --input='dense<1.0> : tensor<7xf32>' --print | FileCheck %s --check-prefix=SOLVE
// RUN: not tenon-interp %s --entry=solve --input='dense<1.0> : tensor<8xf32>' 2>&1 | FileCheck %s --check-prefix=ODD
// RUN: not tenon-interp %s --entry=claim --input='dense<1.0> : tensor<2xf32>' --input='dense<1.0> : tensor<3xf32>' 2>&1 | FileCheck %s --check-prefix=CLAIM
// RUN: tenon-interp %s --entry=claim --input='dense<1.0> : tensor<2xf32>' --input='dense<2.0> : tensor<2xf32>' --print | FileCheck %s --check-prefix=SAME
// RUN: tenon-interp %s --entry=cancel --input='dense<[16777216.0, 1.0]> : tensor<2xf32>' --perturb=4 | FileCheck %s --check-prefix=MOVES

// Sizes of inputs bind symbols; everything derived is checked.

// CHECK: #0: 6xf32
// FIVE: #0: 10xf32
// DERIVED: size 7 of dimension 0 of argument 1 of 'main' must be s0 * s1, here 6
// RANGE: size 9 of symbol s0 ('batch') is not in its range [1, 8]
// TYPE: 'main' takes 'tensor<?x?xf32, #graph.dims<[s0, s1]>>' as argument 0 but is given a tensor of shape [2, 3] of 'f64'
// COUNT: 'main' takes 2 inputs but --input is given 1 times
func.func @main(%x: tensor<?x?xf32, #graph.dims<[s0, s1]>>, %y: tensor<?xf32, #graph.dims<[s0 * s1]>>) -> tensor<?xf32, #graph.dims<[s0 * s1]>>
    attributes {graph.symbols = [#graph.symbol<"batch", 1, 8>, #graph.symbol<"length", 0, 512>]} {
  %0 = graph.reshape %x : tensor<?x?xf32, #graph.dims<[s0, s1]>> -> tensor<?xf32, #graph.dims<[s0 * s1]>>
  return %0 : tensor<?xf32, #graph.dims<[s0 * s1]>>
}

// 2 s0 + 1 = 7
// SOLVE: #0: i64 3
// ODD: size 8 of dimension 0 of argument 0 of 'solve' must be s0 * 2 + 1
func.func @solve(%x: tensor<?xf32, #graph.dims<[s0 * 2 + 1]>>) -> tensor<i64> {
  %0 = graph.size <[s0]> : tensor<i64>
  return %0 : tensor<i64>
}

// CLAIM: 'graph.assert_dim' op dimension 0 has size 2 but is claimed to be s1, here 3
// SAME: #0: 2xf32 [1, 1]
func.func @claim(%x: tensor<?xf32, #graph.dims<[s0]>>, %y: tensor<?xf32, #graph.dims<[s1]>>) -> tensor<?xf32, #graph.dims<[s1]>> {
  %0 = graph.assert_dim %x : tensor<?xf32, #graph.dims<[s0]>> -> tensor<?xf32, #graph.dims<[s1]>>
  return %0 : tensor<?xf32, #graph.dims<[s1]>>
}

// x - 16777215: one ulp of x is 2 (up) or 1 (down), of the result it is all.
// MOVES: #0 moves: elementwise {{[12]}}.000e+00
func.func @cancel(%x: tensor<2xf32>) -> tensor<1xf32> {
  %0 = graph.slice %x offsets #graph.dims<[0]> strides [1] : tensor<2xf32> -> tensor<1xf32>
  %1 = graph.map ins(%0 : tensor<1xf32>) maps [affine_map<(d0) -> (d0)>] -> tensor<1xf32> {
  ^bb0(%a: f32):
    %c = arith.constant 16777215.0 : f32
    %r = arith.subf %a, %c : f32
    graph.yield %r : f32
  }
  return %1 : tensor<1xf32>
}
