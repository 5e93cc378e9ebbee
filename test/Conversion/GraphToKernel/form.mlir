// RUN: tenon-opt %s --tenon-convert-graph-to-kernel --split-input-file | FileCheck %s

// A product takes the maps behind it along, and its weight the layout of panels; a map with two readers ends it.

// CHECK-LABEL: kernel.func @contract
//  CHECK-SAME:   {kernel.layout = #kernel.layout<order = [0, 1], n = 1, groups = 1, width = 16>}
//       CHECK:   graph.contract
//       CHECK:   graph.map
//       CHECK:   kernel.return %{{.*}} : tensor<2x4xf32>
// CHECK-LABEL: func.func @epilogue
//       CHECK:   kernel.call @contract
//   CHECK-NOT:   graph.map
graph.weight @w : tensor<4x8xf32> from #graph.source<"splat", "", 0, 0, 0.5 : f64>
func.func @epilogue(%x: tensor<2x8xf32>) -> tensor<2x4xf32> {
  %w = graph.use_weight @w : tensor<4x8xf32>
  %0 = graph.contract %x, %w maps [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>] : tensor<2x8xf32>, tensor<4x8xf32> -> tensor<2x4xf32>
  %1 = graph.map ins(%0 : tensor<2x4xf32>) maps [affine_map<(a, b) -> (a, b)>] -> tensor<2x4xf32> {
  ^bb0(%v: f32):
    %t = math.tanh %v : f32
    graph.yield %t : f32
  }
  return %1 : tensor<2x4xf32>
}

// -----

// A map before the rows of a product of few columns runs in the product's kernel; before many columns in its own.

// CHECK-LABEL: kernel.func @contract
//       CHECK:   graph.map
//       CHECK:   graph.contract
// CHECK-LABEL: func.func @prologue
//       CHECK:   kernel.call @contract
//   CHECK-NOT:   kernel.call
func.func @prologue(%x: tensor<9x8xf32>, %w: tensor<8x128xf32>) -> tensor<9x128xf32> {
  %0 = graph.map ins(%x : tensor<9x8xf32>) maps [affine_map<(a, b) -> (a, b)>] -> tensor<9x8xf32> {
  ^bb0(%v: f32):
    %t = math.tanh %v : f32
    graph.yield %t : f32
  }
  %1 = graph.contract %0, %w maps [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (k, n)>, affine_map<(m, n, k) -> (m, n)>] : tensor<9x8xf32>, tensor<8x128xf32> -> tensor<9x128xf32>
  return %1 : tensor<9x128xf32>
}

// -----

// CHECK-LABEL: func.func @no_prologue
//       CHECK:   kernel.call @map
//       CHECK:   kernel.call @contract
func.func @no_prologue(%x: tensor<9x8xf32>, %w: tensor<8x129xf32>) -> tensor<9x129xf32> {
  %0 = graph.map ins(%x : tensor<9x8xf32>) maps [affine_map<(a, b) -> (a, b)>] -> tensor<9x8xf32> {
  ^bb0(%v: f32):
    %t = math.tanh %v : f32
    graph.yield %t : f32
  }
  %1 = graph.contract %0, %w maps [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (k, n)>, affine_map<(m, n, k) -> (m, n)>] : tensor<9x8xf32>, tensor<8x129xf32> -> tensor<9x129xf32>
  return %1 : tensor<9x129xf32>
}

// -----

// A softmax is one kernel: two reductions and the maps between and behind them.

// CHECK-COUNT-1: kernel.func
// CHECK-LABEL: func.func @softmax
// CHECK-COUNT-1: kernel.call @rows
func.func @softmax(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %m = graph.reduce max %x dims [1] : tensor<4x8xf32> -> tensor<4xf32>
  %e = graph.map ins(%x, %m : tensor<4x8xf32>, tensor<4xf32>) maps [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (a)>] -> tensor<4x8xf32> {
  ^bb0(%v: f32, %w: f32):
    %d = arith.subf %v, %w : f32
    %r = math.exp %d : f32
    graph.yield %r : f32
  }
  %s = graph.reduce sum %e dims [1] : tensor<4x8xf32> -> tensor<4xf32>
  %q = graph.map ins(%e, %s : tensor<4x8xf32>, tensor<4xf32>) maps [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (a)>] -> tensor<4x8xf32> {
  ^bb0(%v: f32, %w: f32):
    %r = arith.divf %v, %w : f32
    graph.yield %r : f32
  }
  return %q : tensor<4x8xf32>
}

// -----

// Equal work is one kernel, called twice.

// CHECK-COUNT-1: kernel.func
// CHECK-LABEL: func.func @shared
// CHECK-COUNT-2: kernel.call @map
func.func @shared(%x: tensor<8xf32>, %y: tensor<8xf32>) -> (tensor<8xf32>, tensor<8xf32>) {
  %0 = graph.map ins(%x : tensor<8xf32>) maps [affine_map<(a) -> (a)>] -> tensor<8xf32> {
  ^bb0(%v: f32):
    %r = math.exp %v : f32
    graph.yield %r : f32
  }
  %1 = graph.map ins(%y : tensor<8xf32>) maps [affine_map<(a) -> (a)>] -> tensor<8xf32> {
  ^bb0(%v: f32):
    %r = math.exp %v : f32
    graph.yield %r : f32
  }
  return %0, %1 : tensor<8xf32>, tensor<8xf32>
}

// -----

// A reduction that a map of another row reads is not merged with it: the map reads the neighbour's sum.

// CHECK-LABEL: func.func @otherRow
// CHECK: kernel.call @rows
// CHECK: kernel.call @map
func.func @otherRow(%x: tensor<4x4xf32>) -> tensor<4x4xf32> {
  %s = graph.reduce sum %x dims [1] : tensor<4x4xf32> -> tensor<4xf32>
  %q = graph.map ins(%x, %s : tensor<4x4xf32>, tensor<4xf32>) maps [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (b)>] -> tensor<4x4xf32> {
  ^bb0(%v: f32, %w: f32):
    %r = arith.divf %v, %w : f32
    graph.yield %r : f32
  }
  return %q : tensor<4x4xf32>
}

// -----

// A loop names its weights itself, so that its kernels get them in panels.

// CHECK: kernel.func @contract{{.*}}kernel.layout
// CHECK-LABEL: func.func @recurrent
// CHECK: graph.scan
// CHECK-SAME: captures()
graph.weight @r : tensor<4x4xf32> from #graph.source<"splat", "", 0, 0, 0.5 : f64>
func.func @recurrent(%h0: tensor<1x4xf32>, %xs: tensor<8x1x4xf32>) -> tensor<1x4xf32> {
  %w = graph.use_weight @r : tensor<4x4xf32>
  %h = graph.scan carry(%h0 : tensor<1x4xf32>) xs(%xs : tensor<8x1x4xf32>) captures(%w : tensor<4x4xf32>) -> (tensor<1x4xf32>) {
  ^bb0(%c: tensor<1x4xf32>, %x: tensor<1x4xf32>, %m: tensor<4x4xf32>):
    %0 = graph.contract %c, %m maps [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>] : tensor<1x4xf32>, tensor<4x4xf32> -> tensor<1x4xf32>
    %1 = graph.map ins(%0, %x : tensor<1x4xf32>, tensor<1x4xf32>) maps [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (a, b)>] -> tensor<1x4xf32> {
    ^bb1(%v: f32, %u: f32):
      %s = arith.addf %v, %u : f32
      graph.yield %s : f32
    }
    graph.yield %1 : tensor<1x4xf32>
  }
  return %h : tensor<1x4xf32>
}

// -----

// A constant that a product reads, through a permutation or not, is stored by a kernel of its own first.

// CHECK-LABEL: kernel.func @contract
//   CHECK-NOT:   graph.constant
//       CHECK:   graph.contract
// CHECK-LABEL: func.func @constant_operand
//       CHECK:   %[[C:.*]] = kernel.call @map
//       CHECK:   kernel.call @contract{{.*}} %[[C]]
func.func @constant_operand(%x: tensor<2x2xf32>) -> tensor<2x2xf32> {
  %c = graph.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32>
  %t = graph.permute %c order [1, 0] : tensor<2x2xf32>
  %0 = graph.contract %x, %t maps [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (k, n)>, affine_map<(m, n, k) -> (m, n)>] : tensor<2x2xf32>, tensor<2x2xf32> -> tensor<2x2xf32>
  return %0 : tensor<2x2xf32>
}

// -----

// A map is computed where gathers read it, but not at many places for one element: two gathers fuse with it, three read a buffer.

// CHECK-LABEL: kernel.func @map
//       CHECK:   math.exp
//       CHECK:   graph.gather
// CHECK-LABEL: func.func @few_places
//       CHECK:   kernel.call @map
//   CHECK-NOT:   kernel.call
#id = affine_map<(a) -> (a)>
func.func @few_places(%x: tensor<64xf32>, %i: tensor<64xi64>, %j: tensor<64xi64>) -> tensor<64xf32> {
  %0 = graph.map ins(%x : tensor<64xf32>) maps [#id] -> tensor<64xf32> {
  ^bb0(%v: f32):
    %t = math.exp %v : f32
    graph.yield %t : f32
  }
  %a = graph.gather %0 at (%i) maps [#id] coords [-1] : tensor<64xf32> at (tensor<64xi64>) -> tensor<64xf32>
  %b = graph.gather %0 at (%j) maps [#id] coords [-1] : tensor<64xf32> at (tensor<64xi64>) -> tensor<64xf32>
  %1 = graph.map ins(%a, %b : tensor<64xf32>, tensor<64xf32>) maps [#id, #id] -> tensor<64xf32> {
  ^bb0(%v: f32, %w: f32):
    %s = arith.addf %v, %w : f32
    graph.yield %s : f32
  }
  return %1 : tensor<64xf32>
}

// -----

// CHECK-LABEL: kernel.func @map_0
//   CHECK-NOT:   math.exp
// CHECK-COUNT-3: graph.gather
// CHECK-LABEL: kernel.func @map(
//   CHECK-NOT:   graph.gather
//       CHECK:   math.exp
// CHECK-LABEL: func.func @many_places
//       CHECK:   kernel.call @map(
//       CHECK:   kernel.call @map_0(
#id = affine_map<(a) -> (a)>
func.func @many_places(%x: tensor<64xf32>, %i: tensor<64xi64>, %j: tensor<64xi64>, %k: tensor<64xi64>) -> tensor<64xf32> {
  %0 = graph.map ins(%x : tensor<64xf32>) maps [#id] -> tensor<64xf32> {
  ^bb0(%v: f32):
    %t = math.exp %v : f32
    graph.yield %t : f32
  }
  %a = graph.gather %0 at (%i) maps [#id] coords [-1] : tensor<64xf32> at (tensor<64xi64>) -> tensor<64xf32>
  %b = graph.gather %0 at (%j) maps [#id] coords [-1] : tensor<64xf32> at (tensor<64xi64>) -> tensor<64xf32>
  %c = graph.gather %0 at (%k) maps [#id] coords [-1] : tensor<64xf32> at (tensor<64xi64>) -> tensor<64xf32>
  %1 = graph.map ins(%a, %b, %c : tensor<64xf32>, tensor<64xf32>, tensor<64xf32>) maps [#id, #id, #id] -> tensor<64xf32> {
  ^bb0(%v: f32, %w: f32, %u: f32):
    %s = arith.addf %v, %w : f32
    %r = arith.addf %s, %u : f32
    graph.yield %r : f32
  }
  return %1 : tensor<64xf32>
}
