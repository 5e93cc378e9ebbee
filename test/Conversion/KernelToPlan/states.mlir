// RUN: tenon-opt %s --tenon-convert-kernel-to-plan --split-input-file --verify-diagnostics | FileCheck %s

// A chain of updates that may run in place stays in the variable's memory: nothing is copied.

// CHECK: plan.variable @kv bytes 64 : tensor<4x4xf32>
// CHECK-LABEL: plan.func @in_place
// CHECK-NOT: copied
// CHECK: %[[KV:.*]] = plan.state @kv
// CHECK: plan.call @update ins(%[[KV]], %{{.*}}) outs(%[[KV]])
// CHECK: plan.call @update ins(%[[KV]], %{{.*}}) outs(%[[KV]])
// CHECK: plan.call @read ins(%[[KV]])
// CHECK-NOT: plan.copy
// CHECK-NOT: plan.alloc
graph.variable @kv : tensor<4x4xf32>
kernel.func private @update(tensor<4x4xf32> {kernel.may_alias = 0 : i64}, tensor<4xf32>) -> tensor<4x4xf32>
kernel.func private @read(tensor<4x4xf32>) -> tensor<4xf32>
func.func @in_place(%kv: tensor<4x4xf32> {graph.state = @kv}, %x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4x4xf32> {graph.state = @kv}) {
  %0 = kernel.call @update(%kv, %x) : (tensor<4x4xf32>, tensor<4xf32>) -> tensor<4x4xf32>
  %1 = kernel.call @update(%0, %x) : (tensor<4x4xf32>, tensor<4xf32>) -> tensor<4x4xf32>
  %2 = kernel.call @read(%1) : (tensor<4x4xf32>) -> tensor<4xf32>
  return %2, %1 : tensor<4xf32>, tensor<4x4xf32>
}

// -----

// A new value that does not need the old one is written straight over it.

// CHECK-LABEL: plan.func @overwrite
// CHECK: %[[V:.*]] = plan.state @v
// CHECK: plan.call @make ins(%{{.*}}) outs(%[[V]])
// CHECK-NOT: plan.copy
graph.variable @v : tensor<4xf32>
kernel.func private @make(tensor<4xf32>) -> tensor<4xf32>
func.func @overwrite(%v: tensor<4xf32> {graph.state = @v}, %x: tensor<4xf32>) -> (tensor<4xf32> {graph.state = @v}) {
  %0 = kernel.call @make(%x) : (tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}

// -----

// CHECK-LABEL: plan.func @read_later
// CHECK-SAME: copied = ["kv: the old value is read later, by 'kernel.call' of @read"]
// CHECK: plan.copy %{{.*}} to %{{.*}} bytes(64)
graph.variable @kv : tensor<4x4xf32>
kernel.func private @update(tensor<4x4xf32> {kernel.may_alias = 0 : i64}, tensor<4xf32>) -> tensor<4x4xf32>
kernel.func private @read(tensor<4x4xf32>) -> tensor<4xf32>
// expected-remark @+1 {{variable @kv is copied: the old value is read later, by 'kernel.call' of @read}}
func.func @read_later(%kv: tensor<4x4xf32> {graph.state = @kv}, %x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4x4xf32> {graph.state = @kv}) {
  %0 = kernel.call @update(%kv, %x) : (tensor<4x4xf32>, tensor<4xf32>) -> tensor<4x4xf32>
  %1 = kernel.call @read(%kv) : (tensor<4x4xf32>) -> tensor<4xf32>
  return %1, %0 : tensor<4xf32>, tensor<4x4xf32>
}

// -----

// CHECK-LABEL: plan.func @not_allowed
graph.variable @kv : tensor<4xf32>
kernel.func private @update(tensor<4xf32>) -> tensor<4xf32>
// expected-remark @+1 {{variable @kv is copied: kernel @update may not write its result over this operand}}
func.func @not_allowed(%kv: tensor<4xf32> {graph.state = @kv}) -> (tensor<4xf32> {graph.state = @kv}) {
  %0 = kernel.call @update(%kv) : (tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}

// -----

// Two variables that change places go through a buffer.

// CHECK-LABEL: plan.func @swap
// CHECK-COUNT-4: plan.copy
graph.variable @a : tensor<4xf32>
graph.variable @b : tensor<4xf32>
// expected-remark @+2 {{variable @a is copied: the new value is an argument or a constant}}
// expected-remark @+1 {{variable @b is copied: the new value is an argument or a constant}}
func.func @swap(%a: tensor<4xf32> {graph.state = @a}, %b: tensor<4xf32> {graph.state = @b}) -> (tensor<4xf32> {graph.state = @a}, tensor<4xf32> {graph.state = @b}) {
  return %b, %a : tensor<4xf32>, tensor<4xf32>
}
