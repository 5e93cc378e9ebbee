// RUN: tenon-opt %s --tenon-device-split-depths --split-input-file | FileCheck %s

// Two tiles of a product that is 2048 deep: eight products of 256 each, in f32, and a kernel for the sum and what follows. The weight
// stays as it is stored.
#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (n, k)>
#c = affine_map<(m, n, k) -> (m, n)>
#id = affine_map<(d0, d1) -> (d0, d1)>
kernel.func @deep(%a: tensor<40x2048xf16>, %b: tensor<32x2048xf16> {kernel.layout = #kernel.layout<order = [0, 1], n = 1, groups = 1, width = 0>}, %r: tensor<40x32xf16>) -> tensor<40x32xf16> {
  %0 = graph.contract %a, %b maps [#a, #b, #c] : tensor<40x2048xf16>, tensor<32x2048xf16> -> tensor<40x32xf16>
  %1 = graph.map ins(%0, %r : tensor<40x32xf16>, tensor<40x32xf16>) maps [#id, #id] -> tensor<40x32xf16> {
  ^bb0(%x: f16, %y: f16):
    %s = arith.addf %x, %y : f16
    graph.yield %s : f16
  }
  kernel.return %1 : tensor<40x32xf16>
}
func.func @main(%a: tensor<40x2048xf16>, %b: tensor<32x2048xf16>, %r: tensor<40x32xf16>) -> tensor<40x32xf16> {
  %0 = kernel.call @deep(%a, %b, %r) : (tensor<40x2048xf16>, tensor<32x2048xf16>, tensor<40x32xf16>) -> tensor<40x32xf16>
  return %0 : tensor<40x32xf16>
}
// CHECK:       #[[$PARTS:.*]] = affine_map<(d0, d1, d2, d3) -> (d3, d0, d1)>
// CHECK-LABEL: kernel.func @deep_parts(
// CHECK-SAME:    tensor<40x2048xf16>, %{{.*}}: tensor<32x2048xf16> {kernel.layout = {{.*}}}) -> tensor<8x40x32xf32>
// CHECK-DAG:     graph.reshape {{.*}} -> tensor<40x8x256xf16>
// CHECK-DAG:     graph.reshape {{.*}} -> tensor<32x8x256xf16>
// CHECK:         graph.contract {{.*}} #[[$PARTS]]] : {{.*}} -> tensor<8x40x32xf32>
// CHECK-LABEL: kernel.func @deep_sum(
// CHECK-SAME:    %{{.*}}: tensor<40x32xf16>, %[[PARTIAL:.*]]: tensor<8x40x32xf32>) -> tensor<40x32xf16>
// CHECK:         graph.reduce sum %[[PARTIAL]] dims [0]
// CHECK:         arith.truncf
// CHECK:         arith.addf
// CHECK-LABEL: func.func @main(
// CHECK:         %[[P:.*]] = kernel.call @deep_parts(
// CHECK:         kernel.call @deep_sum(%{{.*}}, %[[P]])

// -----

// Parts of a convolution's channels are groups of another.
kernel.func @conv(%x: tensor<1x7x7x256xf32>, %w: tensor<48x256x3x3xf32>) -> tensor<1x7x7x48xf32> {
  %0 = graph.conv %x, %w strides [1, 1] low [1, 1] high [1, 1] dilations [1, 1] input_dilation [1, 1] groups 1 : tensor<1x7x7x256xf32>, tensor<48x256x3x3xf32> -> tensor<1x7x7x48xf32>
  kernel.return %0 : tensor<1x7x7x48xf32>
}
func.func @main(%x: tensor<1x7x7x256xf32>, %w: tensor<48x256x3x3xf32>) -> tensor<1x7x7x48xf32> {
  %0 = kernel.call @conv(%x, %w) : (tensor<1x7x7x256xf32>, tensor<48x256x3x3xf32>) -> tensor<1x7x7x48xf32>
  return %0 : tensor<1x7x7x48xf32>
}
// CHECK-LABEL: kernel.func @conv_parts(
// CHECK:         graph.permute %{{.*}} order [1, 0, 2, 3, 4]
// CHECK:         graph.reshape {{.*}} -> tensor<384x32x3x3xf32>
// CHECK:         graph.conv {{.*}} groups 8 : {{.*}} -> tensor<1x7x7x384xf32>
// CHECK:         graph.reshape {{.*}} -> tensor<1x7x7x8x48xf32>
// CHECK-LABEL: kernel.func @conv_sum(
// CHECK:         graph.reduce sum %{{.*}} dims [3]

// -----

// Many tiles, or what is behind in another order: as it was.
#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (n, k)>
#c = affine_map<(m, n, k) -> (m, n)>
kernel.func @many(%a: tensor<400x2048xf32>, %b: tensor<400x2048xf32>) -> tensor<400x400xf32> {
  %0 = graph.contract %a, %b maps [#a, #b, #c] : tensor<400x2048xf32>, tensor<400x2048xf32> -> tensor<400x400xf32>
  kernel.return %0 : tensor<400x400xf32>
}
kernel.func @turned(%a: tensor<40x2048xf32>, %b: tensor<30x2048xf32>) -> tensor<30x40xf32> {
  %0 = graph.contract %a, %b maps [#a, #b, #c] : tensor<40x2048xf32>, tensor<30x2048xf32> -> tensor<40x30xf32>
  %1 = graph.permute %0 order [1, 0] : tensor<40x30xf32>
  kernel.return %1 : tensor<30x40xf32>
}
// CHECK:       kernel.func @many(
// CHECK:       kernel.func @turned(
// CHECK-NOT:   kernel.func
