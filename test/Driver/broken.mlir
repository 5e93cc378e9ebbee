// RUN: not tenon compile %s -o %t.tenon 2>&1 | FileCheck %s
// The line of a mistake in a model is shown.
// CHECK: tenon: error: {{.*}}broken.mlir:[[# @LINE + 3]]:{{[0-9]+}}:
// CHECK-NEXT: {{^ +}}%0 = graph.reshape
func.func @main(%x: tensor<4xf32>) -> tensor<5xf32> {
  %0 = graph.reshape %x : tensor<4xf32> -> tensor<5xf32>
  return %0 : tensor<5xf32>
}
