// RUN: tenon-opt %s --verify-roundtrip | FileCheck %s

// CHECK-LABEL: @scan
func.func @scan(%h: tensor<4xf32>, %x: tensor<?x4xf32, #graph.dims<[s0, 4]>>, %b: tensor<4xf32>) {
  // CHECK: graph.scan reverse carry(%{{.*}} : tensor<4xf32>) xs(%{{.*}} : {{.*}}) captures(%{{.*}} : tensor<4xf32>) -> (tensor<4xf32>, tensor<?x4xf32, #graph.dims<[s0, 4]>>)
  %0, %1 = graph.scan reverse carry(%h : tensor<4xf32>) xs(%x : tensor<?x4xf32, #graph.dims<[s0, 4]>>) captures(%b : tensor<4xf32>)
      -> (tensor<4xf32>, tensor<?x4xf32, #graph.dims<[s0, 4]>>) {
  ^bb0(%c: tensor<4xf32>, %t: tensor<4xf32>, %k: tensor<4xf32>):
    graph.yield %t, %k : tensor<4xf32>, tensor<4xf32>
  }
  // CHECK: graph.scan carry() xs(%{{.*}} : {{.*}}) captures() -> (tensor<?x4xf32, #graph.dims<[s0, 4]>>)
  %2 = graph.scan carry() xs(%x : tensor<?x4xf32, #graph.dims<[s0, 4]>>) captures() -> (tensor<?x4xf32, #graph.dims<[s0, 4]>>) {
  ^bb0(%t: tensor<4xf32>):
    graph.yield %t : tensor<4xf32>
  }
  return
}

// CHECK-LABEL: @cond
func.func @cond(%p: tensor<i1>, %x: tensor<?xf32, #graph.dims<[s0]>>) -> tensor<?xf32, #graph.dims<[s0]>> {
  // CHECK: graph.cond %{{.*}} captures(%{{.*}} : tensor<?xf32, #graph.dims<[s0]>>) -> (tensor<?xf32, #graph.dims<[s0]>>) then {
  // CHECK: } else {
  %0 = graph.cond %p captures(%x : tensor<?xf32, #graph.dims<[s0]>>) -> (tensor<?xf32, #graph.dims<[s0]>>) then {
  ^bb0(%a: tensor<?xf32, #graph.dims<[s0]>>):
    %r = graph.reverse %a dims [0] : tensor<?xf32, #graph.dims<[s0]>>
    graph.yield %r : tensor<?xf32, #graph.dims<[s0]>>
  } else {
  ^bb0(%a: tensor<?xf32, #graph.dims<[s0]>>):
    graph.yield %a : tensor<?xf32, #graph.dims<[s0]>>
  }
  return %0 : tensor<?xf32, #graph.dims<[s0]>>
}

// CHECK-LABEL: @while
func.func @while(%i: tensor<i64>, %n: tensor<i64>) -> tensor<i64> {
  // CHECK: graph.while carry(%{{.*}} : tensor<i64>) captures(%{{.*}} : tensor<i64>) {
  // CHECK: } do {
  %0 = graph.while carry(%i : tensor<i64>) captures(%n : tensor<i64>) {
  ^bb0(%c: tensor<i64>, %l: tensor<i64>):
    %p = graph.map ins(%c, %l : tensor<i64>, tensor<i64>) maps [affine_map<() -> ()>, affine_map<() -> ()>] -> tensor<i1> {
    ^bb0(%a: i64, %b: i64):
      %q = arith.cmpi slt, %a, %b : i64
      graph.yield %q : i1
    }
    graph.yield %p : tensor<i1>
  } do {
  ^bb0(%c: tensor<i64>, %l: tensor<i64>):
    %d = graph.map ins(%c, %c : tensor<i64>, tensor<i64>) maps [affine_map<() -> ()>, affine_map<() -> ()>] -> tensor<i64> {
    ^bb0(%a: i64, %b: i64):
      %q = arith.addi %a, %b : i64
      graph.yield %q : i64
    }
    graph.yield %d : tensor<i64>
  }
  return %0 : tensor<i64>
}

// CHECK-LABEL: @found
// CHECK-SAME: #graph.symbol<"found", 0, 64, bound <[s0 * 4]>>
func.func @found(%m: tensor<?x4xi1, #graph.dims<[s0, 4]>>) -> tensor<?x2xi64, #graph.dims<[s1, 2]>>
    attributes {graph.symbols = [#graph.symbol<"n", 0, 16>, #graph.symbol<"found", 0, 64, bound <[s0 * 4]>>]} {
  // CHECK: graph.nonzero %{{.*}} : tensor<?x4xi1, #graph.dims<[s0, 4]>> -> tensor<?x2xi64, #graph.dims<[s1, 2]>>
  %p, %n = graph.nonzero %m : tensor<?x4xi1, #graph.dims<[s0, 4]>> -> tensor<?x2xi64, #graph.dims<[s1, 2]>>
  // CHECK: graph.define_size %{{.*}} is <[s1]> : tensor<i64>
  graph.define_size %n is <[s1]> : tensor<i64>
  return %p : tensor<?x2xi64, #graph.dims<[s1, 2]>>
}
