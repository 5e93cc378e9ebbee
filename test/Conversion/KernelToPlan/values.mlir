// RUN: tenon-opt %s --tenon-convert-kernel-to-plan --split-input-file | FileCheck %s

// Results go into the caller's tensors, weights are stored once for each layout, a reshape costs nothing, and an
// intermediate value takes its operand's buffer where the kernel allows it.

// CHECK: plan.constant @c0 at 0 bytes 512 : tensor<4x8xf32> {layout = #kernel.layout<{{.*}}>, weight = @w}
// CHECK: plan.constant @c1 at 512 bytes 128 : tensor<4x8xf32> {weight = @same}
// CHECK-LABEL: plan.func @main
// CHECK-DAG: %[[OUT:.*]] = plan.output 0 bytes(s0 * 16)
// CHECK-DAG: %[[IN:.*]] = plan.input 0 bytes(s0 * 32)
// CHECK-DAG: %[[PACKED:.*]] = plan.weight @c0
// CHECK-DAG: %[[PLAIN:.*]] = plan.weight @c1
//     CHECK: %[[A:.*]] = plan.alloc 0 bytes(s0 * 16)
// CHECK-NEXT: %[[SCRATCH:.*]] = plan.alloc 1 bytes(64)
// CHECK-NEXT: plan.call @linear ins(%[[IN]], %[[PACKED]]) outs(%[[A]]) scratch(%[[SCRATCH]]) tiles(s0 ceildiv 6) work(s0 * 64) scratch_bytes(64)
// CHECK-NEXT: plan.call @mix ins(%[[A]], %[[PLAIN]]) outs(%[[A]]) {{.*}}alias = array<i64: 0, 0>
// CHECK-NEXT: plan.call @mix ins(%[[A]], %[[PLAIN]]) outs(%[[OUT]])
// CHECK-NEXT: plan.call @mix2 ins(%[[A]], %[[OUT]])
// CHECK-NOT: plan.copy
!x = tensor<?x8xf32, #graph.dims<[s0, 8]>>
!y = tensor<?x4xf32, #graph.dims<[s0, 4]>>
graph.weight @w : tensor<4x8xf32> from <"splat", "", 0, 0, 0.5 : f64>
graph.weight @same : tensor<4x8xf32> from <"splat", "", 0, 0, 0.5 : f64>
kernel.func private @linear(!x, tensor<4x8xf32> {kernel.layout = #kernel.layout<order = [0, 1], n = 1, groups = 1, width = 16>}) -> !y attributes {tiles = #graph.dims<[s0 ceildiv 6]>, scratch = #graph.dims<[64]>, work = #graph.dims<[s0 * 64]>}
kernel.func private @mix(!y {kernel.may_alias = 0 : i64}, tensor<4x8xf32>) -> !y
kernel.func private @mix2(!y, !y) -> !y
func.func @main(%x: !x) -> (!y, tensor<?xf32, #graph.dims<[s0 * 4]>>) attributes {graph.symbols = [#graph.symbol<"batch", 0, 64>]} {
  %w = graph.use_weight @w : tensor<4x8xf32>
  %same = graph.use_weight @same : tensor<4x8xf32>
  %0 = kernel.call @linear(%x, %w) : (!x, tensor<4x8xf32>) -> !y
  %1 = kernel.call @mix(%0, %same) : (!y, tensor<4x8xf32>) -> !y
  %2 = kernel.call @mix(%1, %w) : (!y, tensor<4x8xf32>) -> !y
  %3 = kernel.call @mix2(%1, %2) : (!y, !y) -> !y
  %4 = graph.reshape %3 : !y -> tensor<?xf32, #graph.dims<[s0 * 4]>>
  return %2, %4 : !y, tensor<?xf32, #graph.dims<[s0 * 4]>>
}

// -----

// What cannot be written in place is copied: arguments and constants before the work, repeats after it.

// CHECK-LABEL: plan.func @copies
// CHECK-DAG: %[[O0:.*]] = plan.output 0
// CHECK-DAG: %[[O1:.*]] = plan.output 1
// CHECK-DAG: %[[O2:.*]] = plan.output 2
// CHECK-DAG: %[[O3:.*]] = plan.output 3
// CHECK-DAG: %[[IN:.*]] = plan.input 0
//     CHECK: plan.copy %[[IN]] to %[[O0]] bytes(16)
//     CHECK: plan.copy %{{.*}} to %[[O3]] bytes(4)
//     CHECK: plan.call @k ins(%[[IN]]) outs(%[[O1]])
//     CHECK: plan.copy %[[O1]] to %[[O2]] bytes(16)
kernel.func private @k(tensor<4xf32>) -> tensor<4xf32>
func.func @copies(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<f32>) {
  %c = graph.constant dense<1.0> : tensor<f32>
  %0 = kernel.call @k(%x) : (tensor<4xf32>) -> tensor<4xf32>
  return %x, %0, %0, %c : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<f32>
}

// -----

// Claims about sizes become checks with a site of their own; sizes become numbers in memory.

// CHECK: plan.sites = [#plan.site<7, "dimension 0 has size {0} but must have size {1}"
// CHECK-LABEL: plan.func @sizes
// CHECK: plan.check s0 equals s1 * 2 site 0
// CHECK: plan.store_sizes [#plan.expr<s0>, #plan.expr<s1 + 1>] to
kernel.func private @k(tensor<?xf32, #graph.dims<[s1 * 2]>>) -> tensor<?xf32, #graph.dims<[s1 * 2]>>
func.func @sizes(%x: tensor<?xf32, #graph.dims<[s0]>>, %y: tensor<?xf32, #graph.dims<[s1]>>) -> (tensor<?xf32, #graph.dims<[s1 * 2]>>, tensor<2xi64>)
    attributes {graph.symbols = [#graph.symbol<"a", 0, 64>, #graph.symbol<"b", 0, 64>]} {
  %0 = graph.assert_dim %x : tensor<?xf32, #graph.dims<[s0]>> -> tensor<?xf32, #graph.dims<[s1 * 2]>>
  %1 = kernel.call @k(%0) : (tensor<?xf32, #graph.dims<[s1 * 2]>>) -> tensor<?xf32, #graph.dims<[s1 * 2]>>
  %2 = graph.size <[s0, s1 + 1]> : tensor<2xi64>
  return %1, %2 : tensor<?xf32, #graph.dims<[s1 * 2]>>, tensor<2xi64>
}
