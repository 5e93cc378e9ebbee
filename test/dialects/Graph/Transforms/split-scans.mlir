// RUN: tenon-opt %s --tenon-graph-split-scans | FileCheck %s

// A long line has blocks, whose totals are reductions; the rest of the line has none.

// CHECK-LABEL: @long
//  CHECK-SAME:   %[[X:.*]]: tensor<3x5000xf32>
func.func @long(%x: tensor<3x5000xf32>) -> tensor<3x5000xf32> {
  //      CHECK: %[[WHOLE:.*]] = graph.slice %[[X]] {{.*}} -> tensor<3x4096xf32>
  //      CHECK: %[[BLOCKS:.*]] = graph.reshape %[[WHOLE]] : tensor<3x4096xf32> -> tensor<3x4x1024xf32>
  //      CHECK: %[[TOTALS:.*]] = graph.reduce sum %[[BLOCKS]] dims [2]
  //      CHECK: %[[CARRIES:.*]] = graph.cumulate sum %[[TOTALS]] dim 1 : tensor<3x4xf32>
  //      CHECK: graph.cumulate sum %[[X]] dim 1 block 1024 carries %[[CARRIES]]
  %0 = graph.cumulate sum %x dim 1 : tensor<3x5000xf32>
  return %0 : tensor<3x5000xf32>
}

// A symbolic line may be long. Totals of halves are kept in f32.

// CHECK-LABEL: @symbolic
func.func @symbolic(%x: tensor<?x2xf16, #graph.dims<[s0, 2]>>) -> tensor<?x2xf16, #graph.dims<[s0, 2]>> {
  //  CHECK-NOT: graph.cumulate {{.*}}xf16
  //      CHECK: graph.reduce max {{.*}} dims [1] : tensor<?x1024x2xf32, #graph.dims<[s0 floordiv 1024, 1024, 2]>>
  //      CHECK: graph.cumulate max {{.*}} dim 0 block 1024 carries {{.*}} : tensor<?x2xf16, #graph.dims<[s0, 2]>>, tensor<?x2xf32, #graph.dims<[s0 floordiv 1024, 2]>>
  %0 = graph.cumulate max %x dim 0 : tensor<?x2xf16, #graph.dims<[s0, 2]>>
  return %0 : tensor<?x2xf16, #graph.dims<[s0, 2]>>
}

// One that is short at most has none.

// CHECK-LABEL: @short
func.func @short(%x: tensor<?xf32, #graph.dims<[s0]>>) -> tensor<?xf32, #graph.dims<[s0]>> attributes {graph.symbols = [#graph.symbol<"n", 2, 1024>]} {
  // CHECK-NOT: block
  //     CHECK: return
  %0 = graph.cumulate sum %x dim 0 : tensor<?xf32, #graph.dims<[s0]>>
  return %0 : tensor<?xf32, #graph.dims<[s0]>>
}

// The totals of very long lines are long lines again.

// CHECK-LABEL: @longer
func.func @longer(%x: tensor<2000000xi64>) -> tensor<2000000xi64> {
  //      CHECK: graph.cumulate prod {{.*}} dim 0 : tensor<1xi64>
  //      CHECK: graph.cumulate prod {{.*}} block 1024 carries {{.*}} : tensor<1953xi64>, tensor<1xi64>
  //      CHECK: graph.cumulate prod {{.*}} block 1024 carries {{.*}} : tensor<2000000xi64>, tensor<1953xi64>
  %0 = graph.cumulate prod %x dim 0 : tensor<2000000xi64>
  return %0 : tensor<2000000xi64>
}

// The totals of products of floats are mantissas and exponents, so that none of them overflows.

// CHECK-LABEL: @products
func.func @products(%x: tensor<5000xf32>) -> tensor<5000xf32> {
  //      CHECK: %[[PARTS:.*]]:2 = graph.map {{.*}} -> tensor<4x1024xf64>, tensor<4x1024xi64>
  //      CHECK: graph.reduce prod %[[PARTS]]#0 dims [1] : tensor<4x1024xf64> -> tensor<4xf64>
  //      CHECK: graph.reduce sum %[[PARTS]]#1 dims [1] : tensor<4x1024xi64> -> tensor<4xi64>
  //      CHECK: graph.cumulate prod {{.*}} dim 0 : tensor<4xf64>
  //      CHECK: graph.cumulate sum {{.*}} dim 0 : tensor<4xi64>
  //      CHECK: graph.cumulate prod {{.*}} dim 0 block 1024 carries {{.*}} : tensor<5000xf32>, tensor<4xf32>
  %0 = graph.cumulate prod %x dim 0 : tensor<5000xf32>
  return %0 : tensor<5000xf32>
}

// Short lines stay as they are, and products along lines of which it is not known how long they may be.

// CHECK-LABEL: @unchanged
func.func @unchanged(%x: tensor<3x1024xf32>, %y: tensor<?xf32, #graph.dims<[s0]>>) -> (tensor<3x1024xf32>, tensor<?xf32, #graph.dims<[s0]>>) {
  // CHECK-NEXT: graph.cumulate sum %{{.*}} dim 1 : tensor<3x1024xf32>
  %0 = graph.cumulate sum %x dim 1 : tensor<3x1024xf32>
  // CHECK-NEXT: graph.cumulate prod %{{.*}} dim 0 : tensor<?xf32, #graph.dims<[s0]>>
  %1 = graph.cumulate prod %y dim 0 : tensor<?xf32, #graph.dims<[s0]>>
  return %0, %1 : tensor<3x1024xf32>, tensor<?xf32, #graph.dims<[s0]>>
}
