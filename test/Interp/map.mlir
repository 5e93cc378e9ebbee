// RUN: tenon-interp %s --all | FileCheck %s

// graph.map itself, conversions, comparisons, complex numbers, rounding per scalar op. Values by hand or numpy as stated.

#id = affine_map<(d0) -> (d0)>
#id2 = affine_map<(d0, d1) -> (d0, d1)>

// f16: 2048 + 1 is 2049, a tie that rounds to 2048 at each op, so (2048 + 1) + 1 is 2048 and 2048 + (1 + 1) is 2050;
// 65504 + 16 rounds up to infinity. As numpy.float16.
// CHECK-LABEL: @rounding
// CHECK-NEXT: #0: 2xf16 [2048, 3]
// CHECK-NEXT: #1: 2xf16 [2050, 3]
// CHECK-NEXT: #2: f16 inf
func.func @rounding() -> (tensor<2xf16>, tensor<2xf16>, tensor<f16>) {
  %x = graph.constant dense<[2048.0, 1.0]> : tensor<2xf16>
  %0, %1 = graph.map ins(%x : tensor<2xf16>) maps [#id] -> tensor<2xf16>, tensor<2xf16> {
  ^bb0(%a: f16):
    %one = arith.constant 1.0 : f16
    %two = arith.addf %one, %one : f16
    %s = arith.addf %a, %one : f16
    %t = arith.addf %s, %one : f16
    %u = arith.addf %a, %two : f16
    graph.yield %t, %u : f16, f16
  }
  %big = graph.constant dense<65504.0> : tensor<f16>
  %2 = graph.map ins(%big : tensor<f16>) maps [affine_map<() -> ()>] -> tensor<f16> {
  ^bb0(%a: f16):
    %c = arith.constant 16.0 : f16
    %s = arith.addf %a, %c : f16
    graph.yield %s : f16
  }
  return %0, %1, %2 : tensor<2xf16>, tensor<2xf16>, tensor<f16>
}

// [[0], [10]] + [1, 2, 3] + 100 * column
// CHECK-LABEL: @indexing
// CHECK-NEXT: #0: 2x3xi64 {{\[\[}}1, 102, 203], [11, 112, 213]]
func.func @indexing() -> tensor<2x3xi64> {
  %x = graph.constant dense<[[0], [10]]> : tensor<2x1xi64>
  %y = graph.constant dense<[1, 2, 3]> : tensor<3xi64>
  %0 = graph.map ins(%x, %y : tensor<2x1xi64>, tensor<3xi64>) maps [affine_map<(d0, d1) -> (d0, 0)>, affine_map<(d0, d1) -> (d1)>] -> tensor<2x3xi64> {
  ^bb0(%a: i64, %b: i64):
    %i = graph.index 1 : i64
    %n = graph.size_value <[50 * 2]> : i64
    %p = arith.muli %i, %n : i64
    %s = arith.addi %a, %b : i64
    %r = arith.addi %s, %p : i64
    graph.yield %r : i64
  }
  return %0 : tensor<2x3xi64>
}

// More points than the interpreter works on at once: the last index of 3 x 300, and their sum by n (n - 1) / 2.
// CHECK-LABEL: @many
// CHECK-NEXT: #0: i64 404550
func.func @many() -> tensor<i64> {
  %0 = graph.map maps [] -> tensor<3x300xi64> {
    %i = graph.index 0 : i64
    %j = graph.index 1 : i64
    %c = arith.constant 300 : i64
    %r = arith.muli %i, %c : i64
    %s = arith.addi %r, %j : i64
    graph.yield %s : i64
  }
  %1 = graph.reduce sum %0 dims [0, 1] : tensor<3x300xi64> -> tensor<i64>
  return %1 : tensor<i64>
}

// True is 1 unsigned and -1 signed. 2^63 - 1 to f32 is 2^63. 2^54 + 2^30 + 1 to f32 is 2^54 + 2^31 = 1.80144e16 (torch);
// rounded twice, through f64, it would be 2^54.
// CHECK-LABEL: @conversions
// CHECK-NEXT: #0: 2xf32 [1, 0]
// CHECK-NEXT: #1: 2xf32 [-1, 0]
// CHECK-NEXT: #2: 2xf32 [9.223372e+18, 1.80144e+16]
// CHECK-NEXT: #3: 2xi8 [-1, 1]
func.func @conversions() -> (tensor<2xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xi8>) {
  %b = graph.constant dense<[true, false]> : tensor<2xi1>
  %0, %1 = graph.map ins(%b : tensor<2xi1>) maps [#id] -> tensor<2xf32>, tensor<2xf32> {
  ^bb0(%a: i1):
    %u = arith.uitofp %a : i1 to f32
    %s = arith.sitofp %a : i1 to f32
    graph.yield %u, %s : f32, f32
  }
  %i = graph.constant dense<[9223372036854775807, 18014399583223809]> : tensor<2xi64>
  %2, %3 = graph.map ins(%i : tensor<2xi64>) maps [#id] -> tensor<2xf32>, tensor<2xi8> {
  ^bb0(%a: i64):
    %s = arith.sitofp %a : i64 to f32
    %t = arith.trunci %a : i64 to i8
    graph.yield %s, %t : f32, i8
  }
  return %0, %1, %2, %3 : tensor<2xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xi8>
}

// olt, une, maximumf (NaN wins), maxnumf (the number wins), select; on pairs (1, 2), (2, 1), (nan, 1), (-0, 0).
// CHECK-LABEL: @compare
// CHECK-NEXT: #0: 4xi1 [1, 0, 0, 0]
// CHECK-NEXT: #1: 4xi1 [1, 1, 1, 0]
// CHECK-NEXT: #2: 4xf32 [2, 2, nan, 0]
// CHECK-NEXT: #3: 4xf32 [2, 2, 1, 0]
// CHECK-NEXT: #4: 4xf32 [1, 1, 1, 0]
func.func @compare() -> (tensor<4xi1>, tensor<4xi1>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) {
  %x = graph.constant dense<[1.0, 2.0, 0x7FC00000, -0.0]> : tensor<4xf32>
  %y = graph.constant dense<[2.0, 1.0, 1.0, 0.0]> : tensor<4xf32>
  %0:5 = graph.map ins(%x, %y : tensor<4xf32>, tensor<4xf32>) maps [#id, #id] -> tensor<4xi1>, tensor<4xi1>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32> {
  ^bb0(%a: f32, %b: f32):
    %p = arith.cmpf olt, %a, %b : f32
    %q = arith.cmpf une, %a, %b : f32
    %m = arith.maximumf %a, %b : f32
    %n = arith.maxnumf %a, %b : f32
    %s = arith.select %p, %a, %b : f32
    graph.yield %p, %q, %m, %n, %s : i1, i1, f32, f32, f32
  }
  return %0#0, %0#1, %0#2, %0#3, %0#4 : tensor<4xi1>, tensor<4xi1>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>
}

// (3 + 4i) * (1 - 2i) = 11 - 2i; |3 + 4i| = 5; sqrt(3 + 4i) = 2 + i
// CHECK-LABEL: @complex
// CHECK-NEXT: #0: complex<f32> (11, -2)
// CHECK-NEXT: #1: f32 5
// CHECK-NEXT: #2: complex<f32> (2, 1)
func.func @complex() -> (tensor<complex<f32>>, tensor<f32>, tensor<complex<f32>>) {
  %x = graph.constant dense<(3.0, 4.0)> : tensor<complex<f32>>
  %0:3 = graph.map ins(%x : tensor<complex<f32>>) maps [affine_map<() -> ()>] -> tensor<complex<f32>>, tensor<f32>, tensor<complex<f32>> {
  ^bb0(%a: complex<f32>):
    %c = complex.constant [1.0 : f32, -2.0 : f32] : complex<f32>
    %m = complex.mul %a, %c : complex<f32>
    %n = complex.abs %a : complex<f32>
    %s = complex.sqrt %a : complex<f32>
    graph.yield %m, %n, %s : complex<f32>, f32, complex<f32>
  }
  return %0#0, %0#1, %0#2 : tensor<complex<f32>>, tensor<f32>, tensor<complex<f32>>
}

// Size 0: nothing is computed, not even the division by zero.
// CHECK-LABEL: @empty
// CHECK-NEXT: #0: 0xi32 []
func.func @empty() -> tensor<0xi32> {
  %0 = graph.map maps [] -> tensor<0xi32> {
    %z = arith.constant 0 : i32
    %r = arith.divsi %z, %z : i32
    graph.yield %r : i32
  }
  return %0 : tensor<0xi32>
}
