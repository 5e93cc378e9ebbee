// RUN: tenon-interp %s --all | FileCheck %s

// Edge cases of reductions, orders and products; random ones are compared with torch in check_against_torch.py.

// NaN wins over everything in max and min; an empty reduction gives the identity.
// CHECK-LABEL: @edges
// CHECK-NEXT: #0: 2xf32 [nan, 2]
// CHECK-NEXT: #1: 2xf32 [-inf, -inf]
// CHECK-NEXT: #2: 2xi8 [127, 127]
// CHECK-NEXT: #3: 2xi8 [1, 1]
// CHECK-NEXT: #4: 2xi1 [1, 1]
func.func @edges() -> (tensor<2xf32>, tensor<2xf32>, tensor<2xi8>, tensor<2xi8>, tensor<2xi1>) {
  %x = graph.constant dense<[[1.0, 0x7FC00000], [2.0, -1.0]]> : tensor<2x2xf32>
  %e = graph.constant dense<> : tensor<2x0xf32>
  %i = graph.constant dense<> : tensor<2x0xi8>
  %b = graph.constant dense<> : tensor<2x0xi1>
  %0 = graph.reduce max %x dims [1] : tensor<2x2xf32> -> tensor<2xf32>
  %1 = graph.reduce max %e dims [1] : tensor<2x0xf32> -> tensor<2xf32>
  %2 = graph.reduce min %i dims [1] : tensor<2x0xi8> -> tensor<2xi8>
  %3 = graph.reduce prod %i dims [1] : tensor<2x0xi8> -> tensor<2xi8>
  %4 = graph.reduce all %b dims [1] : tensor<2x0xi1> -> tensor<2xi1>
  return %0, %1, %2, %3, %4 : tensor<2xf32>, tensor<2xf32>, tensor<2xi8>, tensor<2xi8>, tensor<2xi1>
}

// i8 wraps: 100 + 100 = -56; f16 sums inside one op are exact: 2048 + 1 + 1 = 2050.
// CHECK-LABEL: @accumulate
// CHECK-NEXT: #0: i8 -56
// CHECK-NEXT: #1: f16 2050
func.func @accumulate() -> (tensor<i8>, tensor<f16>) {
  %x = graph.constant dense<[100, 100]> : tensor<2xi8>
  %y = graph.constant dense<[2048.0, 1.0, 1.0]> : tensor<3xf16>
  %0 = graph.reduce sum %x dims [0] : tensor<2xi8> -> tensor<i8>
  %1 = graph.reduce sum %y dims [0] : tensor<3xf16> -> tensor<f16>
  return %0, %1 : tensor<i8>, tensor<f16>
}

// torch.sort(stable=True): NaN largest, equals in order, -0 equal to 0. The first maximum, or the first NaN.
// CHECK-LABEL: @order
// CHECK-NEXT: #0: 5xf32 [-0, 0, 1, 1, nan]
// CHECK-NEXT: #1: 5xi64 [2, 4, 0, 3, 1]
// CHECK-NEXT: #2: 5xf32 [nan, 1, 1, -0, 0]
// CHECK-NEXT: #3: 5xi64 [1, 0, 3, 2, 4]
// CHECK-NEXT: #4: i64 1
// CHECK-NEXT: #5: i64 0
func.func @order() -> (tensor<5xf32>, tensor<5xi64>, tensor<5xf32>, tensor<5xi64>, tensor<i64>, tensor<i64>) {
  %x = graph.constant dense<[1.0, 0x7FC00000, -0.0, 1.0, 0.0]> : tensor<5xf32>
  %y = graph.constant dense<[3, 1, 3]> : tensor<3xi32>
  %0, %1 = graph.sort %x dim 0 : tensor<5xf32> -> tensor<5xi64>
  %2, %3 = graph.sort %x dim 0 descending : tensor<5xf32> -> tensor<5xi64>
  %4 = graph.arg_reduce min %x dim 0 : tensor<5xf32> -> tensor<i64>
  %5 = graph.arg_reduce max %y dim 0 : tensor<3xi32> -> tensor<i64>
  return %0, %1, %2, %3, %4, %5 : tensor<5xf32>, tensor<5xi64>, tensor<5xf32>, tensor<5xi64>, tensor<i64>, tensor<i64>
}

// i8 products into i32; a sum over nothing; a row with all keys masked; cummax keeps NaN.
// CHECK-LABEL: @products
// CHECK-NEXT: #0: i32 32258
// CHECK-NEXT: #1: 2x2xf32 {{\[\[}}0, 0], [0, 0]]
// CHECK-NEXT: #2: 1x1x1x2xf32 {{\[\[\[\[}}0, 0]]]]
// CHECK-NEXT: #3: 1x1x1x2xf32 {{\[\[\[\[}}nan, nan]]]]
// CHECK-NEXT: #4: 4xf32 [1, 1, nan, nan]
func.func @products() -> (tensor<i32>, tensor<2x2xf32>, tensor<1x1x1x2xf32>, tensor<1x1x1x2xf32>, tensor<4xf32>) {
  %x = graph.constant dense<127> : tensor<2xi8>
  %0 = graph.contract %x, %x maps [affine_map<(k) -> (k)>, affine_map<(k) -> (k)>, affine_map<(k) -> ()>] : tensor<2xi8>, tensor<2xi8> -> tensor<i32>
  %e = graph.constant dense<> : tensor<2x0xf32>
  %1 = graph.contract %e, %e maps [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>] : tensor<2x0xf32>, tensor<2x0xf32> -> tensor<2x2xf32>
  %q = graph.constant dense<1.0> : tensor<1x1x1x2xf32>
  %no = graph.constant dense<false> : tensor<1x1xi1>
  %2 = graph.attention %q, %q, %q mask %no scale 1.0 {mask_map = affine_map<(b, h, s, t) -> (s, t)>, zero_masked_rows} : tensor<1x1x1x2xf32>, tensor<1x1x1x2xf32>, tensor<1x1x1x2xf32> mask tensor<1x1xi1> -> tensor<1x1x1x2xf32>
  %3 = graph.attention %q, %q, %q mask %no scale 1.0 {mask_map = affine_map<(b, h, s, t) -> (s, t)>} : tensor<1x1x1x2xf32>, tensor<1x1x1x2xf32>, tensor<1x1x1x2xf32> mask tensor<1x1xi1> -> tensor<1x1x1x2xf32>
  %c = graph.constant dense<[1.0, 0.5, 0x7FC00000, 2.0]> : tensor<4xf32>
  %4 = graph.cumulate max %c dim 0 : tensor<4xf32>
  return %0, %1, %2, %3, %4 : tensor<i32>, tensor<2x2xf32>, tensor<1x1x1x2xf32>, tensor<1x1x1x2xf32>, tensor<4xf32>
}

// h' = h + x; by hand: from the front 1, 3, 6; from the back 3, 5, 6, stacked where they were taken.
// CHECK-LABEL: @scan
// CHECK-NEXT: #0: i32 16
// CHECK-NEXT: #1: 3xi32 [11, 13, 16]
// CHECK-NEXT: #2: 3xi32 [6, 5, 3]
func.func @scan() -> (tensor<i32>, tensor<3xi32>, tensor<3xi32>) {
  %x = graph.constant dense<[1, 2, 3]> : tensor<3xi32>
  %z = graph.constant dense<0> : tensor<i32>
  %ten = graph.constant dense<10> : tensor<i32>
  %0, %1 = graph.scan carry(%ten : tensor<i32>) xs(%x : tensor<3xi32>) captures() -> (tensor<i32>, tensor<3xi32>) {
  ^bb0(%h: tensor<i32>, %t: tensor<i32>):
    %n = graph.map ins(%h, %t : tensor<i32>, tensor<i32>) maps [affine_map<() -> ()>, affine_map<() -> ()>] -> tensor<i32> {
    ^bb0(%a: i32, %b: i32):
      %s = arith.addi %a, %b : i32
      graph.yield %s : i32
    }
    graph.yield %n, %n : tensor<i32>, tensor<i32>
  }
  %2, %3 = graph.scan reverse carry(%z : tensor<i32>) xs(%x : tensor<3xi32>) captures(%ten : tensor<i32>) -> (tensor<i32>, tensor<3xi32>) {
  ^bb0(%h: tensor<i32>, %t: tensor<i32>, %unused: tensor<i32>):
    %n = graph.map ins(%h, %t : tensor<i32>, tensor<i32>) maps [affine_map<() -> ()>, affine_map<() -> ()>] -> tensor<i32> {
    ^bb0(%a: i32, %b: i32):
      %s = arith.addi %a, %b : i32
      graph.yield %s : i32
    }
    graph.yield %n, %n : tensor<i32>, tensor<i32>
  }
  return %0, %1, %3 : tensor<i32>, tensor<3xi32>, tensor<3xi32>
}
