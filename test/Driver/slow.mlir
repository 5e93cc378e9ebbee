// RUN: tenon check %s 2>&1 | FileCheck %s
// RUN: tenon check %s --json | FileCheck %s --check-prefix=JSON

// A loop of many steps is a remark at its place; its work counts for every step.

// CHECK: entry 'main': 1 kernels, 0.0024 million operations
// CHECK: tenon: remark: {{.*}}slow.mlir:[[# @LINE + 6]]:{{.*}}300 steps run one after another
// JSON: "slow": [
// JSON: "place": "{{.*}}slow.mlir:[[# @LINE + 4]]"
// JSON: "reason": "300 steps run one after another"
func.func @main(%h0: tensor<4xf32> {graph.name = "h"}, %xs: tensor<300x4xf32> {graph.name = "x"})
    -> (tensor<4xf32> {graph.name = "y"}) {
  %h = graph.scan carry(%h0 : tensor<4xf32>) xs(%xs : tensor<300x4xf32>) captures() -> (tensor<4xf32>) {
  ^bb0(%c: tensor<4xf32>, %x: tensor<4xf32>):
    %n = graph.map ins(%c, %x : tensor<4xf32>, tensor<4xf32>) maps [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>] -> tensor<4xf32> {
    ^bb0(%a: f32, %b: f32):
      %s = arith.addf %a, %b : f32
      graph.yield %s : f32
    }
    graph.yield %n : tensor<4xf32>
  }
  return %h : tensor<4xf32>
}
