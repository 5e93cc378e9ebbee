// RUN: tenon-opt %s --tenon-convert-kernel-to-plan --tenon-plan-assign-offsets --tenon-plan-verify --split-input-file | FileCheck %s

// A carried value that is also stacked is read from the stack: no copy in the loop, one of the last value after it.

// CHECK-LABEL: plan.func @stacked
// CHECK-DAG: %[[YS:.*]] = plan.output 1
// CHECK-DAG: %[[H0:.*]] = plan.input 0
// CHECK-DAG: %[[XS:.*]] = plan.input 1
//     CHECK: plan.loop(8) {
//     CHECK: %[[LAST:.*]] = plan.view %[[YS]] at(d0 * 16 - 16) bytes(16)
//     CHECK: %[[H:.*]] = plan.choose(d0) ? %[[H0]] : %[[LAST]]
//     CHECK: %[[X:.*]] = plan.view %[[XS]] at(d0 * 16) bytes(16)
//     CHECK: %[[Y:.*]] = plan.view %[[YS]] at(d0 * 16) bytes(16)
//     CHECK: plan.call @step ins(%[[H]], %[[X]]) outs(%[[Y]])
// CHECK-NOT: plan.copy
//     CHECK: }
//     CHECK: plan.copy
kernel.func private @step(tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
func.func @stacked(%h0: tensor<4xf32>, %xs: tensor<8x4xf32>) -> (tensor<4xf32>, tensor<8x4xf32>) {
  %h, %ys = graph.scan carry(%h0 : tensor<4xf32>) xs(%xs : tensor<8x4xf32>) captures() -> (tensor<4xf32>, tensor<8x4xf32>) {
  ^bb0(%c: tensor<4xf32>, %x: tensor<4xf32>):
    %n = kernel.call @step(%c, %x) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
    graph.yield %n, %n : tensor<4xf32>, tensor<4xf32>
  }
  return %h, %ys : tensor<4xf32>, tensor<8x4xf32>
}

// -----

// A carried value whose kernel may not run in place alternates between the result and one more buffer; the last step
// writes the result. No copies at all.

// CHECK-LABEL: plan.func @alternating
// CHECK-DAG: %[[OUT:.*]] = plan.output 0
//     CHECK: %[[TEMP:.*]] = plan.alloc 0 bytes(16)
//     CHECK: plan.loop(8) {
// CHECK-DAG: %[[OLD:.*]] = plan.choose((-d0 + 7) mod 2) ? %[[TEMP]] : %[[OUT]]
// CHECK-DAG: %[[NEW:.*]] = plan.choose((-d0 + 7) mod 2) ? %[[OUT]] : %[[TEMP]]
//     CHECK: %[[H:.*]] = plan.choose(d0) ? %{{.*}} : %[[OLD]]
//     CHECK: plan.call @step ins(%[[H]], %{{.*}}) outs(%[[NEW]])
// CHECK-NOT: plan.copy
kernel.func private @step(tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
func.func @alternating(%h0: tensor<4xf32>, %xs: tensor<8x4xf32>) -> tensor<4xf32> {
  %h = graph.scan carry(%h0 : tensor<4xf32>) xs(%xs : tensor<8x4xf32>) captures() -> (tensor<4xf32>) {
  ^bb0(%c: tensor<4xf32>, %x: tensor<4xf32>):
    %n = kernel.call @step(%c, %x) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
    graph.yield %n : tensor<4xf32>
  }
  return %h : tensor<4xf32>
}

// -----

// A variable that a loop updates in place, possibly zero times, is never copied.

// CHECK-LABEL: plan.func @state
// CHECK-NOT: copied
//     CHECK: %[[V:.*]] = plan.state @v
//     CHECK: plan.loop(s0) {
//     CHECK: plan.call @step ins(%[[V]], %{{.*}}) outs(%[[V]])
// CHECK-NOT: plan.copy
graph.variable @v : tensor<4xf32>
kernel.func private @step(tensor<4xf32> {kernel.may_alias = 0 : i64}, tensor<4xf32>) -> tensor<4xf32>
func.func @state(%v: tensor<4xf32> {graph.state = @v}, %xs: tensor<?x4xf32, #graph.dims<[s0, 4]>>) -> (tensor<4xf32> {graph.state = @v}) attributes {graph.symbols = [#graph.symbol<"n", 0, 9>]} {
  %h = graph.scan carry(%v : tensor<4xf32>) xs(%xs : tensor<?x4xf32, #graph.dims<[s0, 4]>>) captures() -> (tensor<4xf32>) {
  ^bb0(%c: tensor<4xf32>, %x: tensor<4xf32>):
    %n = kernel.call @step(%c, %x) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
    graph.yield %n : tensor<4xf32>
  }
  return %h : tensor<4xf32>
}
