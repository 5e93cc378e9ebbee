// RUN: tenon-interp %s --entry=cond --input='dense<true> : tensor<i1>' --input='dense<[1.0, 2.0]> : tensor<2xf32>' --print | FileCheck %s --check-prefix=YES
// RUN: tenon-interp %s --entry=cond --input='dense<false> : tensor<i1>' --input='dense<[1.0, 2.0]> : tensor<2xf32>' --print | FileCheck %s --check-prefix=NO
// RUN: tenon-interp %s --entry=while --input='dense<1> : tensor<i64>' --input='dense<100> : tensor<i64>' --print | FileCheck %s --check-prefix=SOME
// RUN: tenon-interp %s --entry=while --input='dense<7> : tensor<i64>' --input='dense<7> : tensor<i64>' --print | FileCheck %s --check-prefix=NONE
// RUN: not tenon-interp %s --entry=while --input='dense<0> : tensor<i64>' --input='dense<7> : tensor<i64>' 2>&1 | FileCheck %s --check-prefix=FOREVER
// RUN: tenon-interp %s --entry=found --input='dense<[[true, false], [true, true]]> : tensor<2x2xi1>' --print | FileCheck %s --check-prefix=FOUND
// RUN: tenon-interp %s --entry=found --input='dense<false> : tensor<2x2xi1>' --print | FileCheck %s --check-prefix=EMPTY
// RUN: not tenon-interp %s --entry=take --input='dense<5> : tensor<i64>' --input='dense<1.0> : tensor<4xf32>' 2>&1 | FileCheck %s --check-prefix=BOUND
// RUN: tenon-interp %s --entry=take --input='dense<3> : tensor<i64>' --input='dense<1.0> : tensor<4xf32>' --print | FileCheck %s --check-prefix=TAKE

// YES: #0: 2xf32 [2, 1]
// NO: #0: 2xf32 [1, 2]
func.func @cond(%p: tensor<i1>, %x: tensor<2xf32>) -> tensor<2xf32> {
  %0 = graph.cond %p captures(%x : tensor<2xf32>) -> (tensor<2xf32>) then {
  ^bb0(%a: tensor<2xf32>):
    %r = graph.reverse %a dims [0] : tensor<2xf32>
    graph.yield %r : tensor<2xf32>
  } else {
  ^bb0(%a: tensor<2xf32>):
    graph.yield %a : tensor<2xf32>
  }
  return %0 : tensor<2xf32>
}

// Doubles until the limit.
// SOME: #0: i64 128
// NONE: #0: i64 7
// FOREVER: 'graph.while' op runs more than 1048576 steps
func.func @while(%i: tensor<i64>, %n: tensor<i64>) -> tensor<i64> {
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

// FOUND: #0: 3x2xi64 {{\[}}[0, 0], [1, 0], [1, 1]]
// FOUND: #1: i64 3
// EMPTY: #0: 0x2xi64
// EMPTY: #1: i64 0
func.func @found(%m: tensor<2x2xi1>) -> (tensor<?x2xi64, #graph.dims<[s0, 2]>>, tensor<i64>)
    attributes {graph.symbols = [#graph.symbol<"found", 0, 4, bound <[4]>>]} {
  %p, %n = graph.nonzero %m : tensor<2x2xi1> -> tensor<?x2xi64, #graph.dims<[s0, 2]>>
  graph.define_size %n is <[s0]> : tensor<i64>
  %s = graph.size <[s0]> : tensor<i64>
  return %p, %s : tensor<?x2xi64, #graph.dims<[s0, 2]>>, tensor<i64>
}

// BOUND: 'graph.define_size' op gives 5 to s0 ('n') but it must be in [0, 4]
// TAKE: #0: 3xf32 [1, 1, 1]
func.func @take(%n: tensor<i64>, %x: tensor<4xf32>) -> tensor<?xf32, #graph.dims<[s0]>>
    attributes {graph.symbols = [#graph.symbol<"n", 0, 100, bound <[4]>>]} {
  graph.define_size %n is <[s0]> : tensor<i64>
  %0 = graph.slice %x offsets <[0]> strides [1] : tensor<4xf32> -> tensor<?xf32, #graph.dims<[s0]>>
  return %0 : tensor<?xf32, #graph.dims<[s0]>>
}
