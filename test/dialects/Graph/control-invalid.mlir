// RUN: tenon-opt %s --split-input-file --verify-diagnostics

// graph.scan C1
func.func @f(%h: tensor<4xf32>, %x: tensor<8x4xf32>) {
  // expected-error @+1 {{'graph.scan' op has a body that does not take the carried values, the slices and the captures}}
  %0 = graph.scan carry(%h : tensor<4xf32>) xs(%x : tensor<8x4xf32>) captures() -> (tensor<4xf32>) {
  ^bb0(%c: tensor<4xf32>, %t: tensor<8x4xf32>):
    graph.yield %c : tensor<4xf32>
  }
  return
}

// -----

// graph.scan C2: yielded types
func.func @f(%h: tensor<4xf32>, %x: tensor<8x4xf32>) {
  // expected-error @+1 {{'graph.scan' op has a body that does not yield the carried values and the stacked slices}}
  %0 = graph.scan carry(%h : tensor<4xf32>) xs(%x : tensor<8x4xf32>) captures() -> (tensor<4xf32>) {
  ^bb0(%c: tensor<4xf32>, %t: tensor<4xf32>):
    graph.yield %c, %t : tensor<4xf32>, tensor<4xf32>
  }
  return
}

// -----

// graph.scan C2: one length
func.func @f(%h: tensor<4xf32>, %x: tensor<8x4xf32>) {
  // expected-error @+1 {{'graph.scan' op has xs or stacked results that differ in length}}
  %0, %1 = graph.scan carry(%h : tensor<4xf32>) xs(%x : tensor<8x4xf32>) captures() -> (tensor<4xf32>, tensor<7x4xf32>) {
  ^bb0(%c: tensor<4xf32>, %t: tensor<4xf32>):
    graph.yield %c, %t : tensor<4xf32>, tensor<4xf32>
  }
  return
}

// -----

// graph.scan C2: any length
func.func @f(%h: tensor<4xf32>) {
  // expected-error @+1 {{'graph.scan' op has neither xs nor stacked results, so no length}}
  %0 = graph.scan carry(%h : tensor<4xf32>) xs() captures() -> (tensor<4xf32>) {
  ^bb0(%c: tensor<4xf32>):
    graph.yield %c : tensor<4xf32>
  }
  return
}

// -----

// graph.cond C1
func.func @f(%p: tensor<i1>, %x: tensor<4xf32>) {
  // expected-error @+1 {{'graph.cond' op else takes () but must take (tensor<4xf32>)}}
  graph.cond %p captures(%x : tensor<4xf32>) then {
  ^bb0(%a: tensor<4xf32>):
    graph.yield
  } else {
    graph.yield
  }
  return
}

// -----

// graph.cond C2
func.func @f(%p: tensor<i1>, %x: tensor<4xf32>) {
  // expected-error @+1 {{'graph.cond' op then yields (tensor<4xf32>) but must yield (tensor<2xf32>)}}
  %0 = graph.cond %p captures(%x : tensor<4xf32>) -> (tensor<2xf32>) then {
  ^bb0(%a: tensor<4xf32>):
    graph.yield %a : tensor<4xf32>
  } else {
  ^bb0(%a: tensor<4xf32>):
    graph.yield %a : tensor<4xf32>
  }
  return
}

// -----

// A predicate is one boolean.
func.func @f(%p: tensor<2xi1>) {
  // expected-note @-1 {{prior use here}}
  // expected-error @+1 {{use of value '%p' expects different type than prior uses: 'tensor<i1>' vs 'tensor<2xi1>'}}
  graph.cond %p captures() then {
    graph.yield
  } else {
    graph.yield
  }
  return
}

// -----

// graph.while C1
func.func @f(%i: tensor<i64>) {
  // expected-error @+1 {{'graph.while' op condition takes (tensor<i32>) but must take (tensor<i64>)}}
  %0 = graph.while carry(%i : tensor<i64>) captures() {
  ^bb0(%c: tensor<i32>):
    %p = graph.constant dense<true> : tensor<i1>
    graph.yield %p : tensor<i1>
  } do {
  ^bb0(%c: tensor<i64>):
    graph.yield %c : tensor<i64>
  }
  return
}

// -----

// graph.while C2: the condition
func.func @f(%i: tensor<i64>) {
  // expected-error @+1 {{'graph.while' op condition yields (tensor<i64>) but must yield (tensor<i1>)}}
  %0 = graph.while carry(%i : tensor<i64>) captures() {
  ^bb0(%c: tensor<i64>):
    graph.yield %c : tensor<i64>
  } do {
  ^bb0(%c: tensor<i64>):
    graph.yield %c : tensor<i64>
  }
  return
}

// -----

// graph.while C2: the body
func.func @f(%i: tensor<i64>, %p: tensor<i1>) {
  // expected-error @+1 {{'graph.while' op body yields () but must yield (tensor<i64>)}}
  %0 = graph.while carry(%i : tensor<i64>) captures(%p : tensor<i1>) {
  ^bb0(%c: tensor<i64>, %q: tensor<i1>):
    graph.yield %q : tensor<i1>
  } do {
  ^bb0(%c: tensor<i64>, %q: tensor<i1>):
    graph.yield
  }
  return
}

// -----

// graph.nonzero C1
func.func @f(%m: tensor<4xf32>) {
  // expected-error @+1 {{'graph.nonzero' op takes 'f32' and gives 'i64' but must take i1 and give i64}}
  %p, %n = graph.nonzero %m : tensor<4xf32> -> tensor<?x1xi64, #graph.dims<[s0, 1]>>
  return
}

// -----

// graph.nonzero C2
func.func @f(%m: tensor<4xi1>) {
  // expected-error @+1 {{'graph.nonzero' op positions are 'tensor<4x1xi64>' but must be one row of 1 for each of a symbol's number}}
  %p, %n = graph.nonzero %m : tensor<4xi1> -> tensor<4x1xi64>
  return
}

// -----

// graph.define_size C1
func.func @f(%n: tensor<i64>) {
  // expected-error @+1 {{'graph.define_size' op gives a value to #graph.dims<[s0 * 2]> but must to one symbol}}
  graph.define_size %n is <[s0 * 2]> : tensor<i64>
  return
}

// -----

// graph.define_size C2
func.func @f(%n: tensor<2xi64>) {
  // expected-error @+1 {{'graph.define_size' op value is 'tensor<2xi64>' but must be one i64}}
  graph.define_size %n is <[s0]> : tensor<2xi64>
  return
}

// -----

// graph.define_size C3: the symbol is one that data give
func.func @f(%n: tensor<i64>) attributes {graph.symbols = [#graph.symbol<"n", 0, 16>]} {
  // expected-error @+1 {{'graph.define_size' op gives a value to s0, which has no bound in 'graph.symbols'}}
  graph.define_size %n is <[s0]> : tensor<i64>
  return
}

// -----

// graph.define_size C3: once
func.func @f(%n: tensor<i64>) attributes {graph.symbols = [#graph.symbol<"n", 0, 16, bound <[8]>>]} {
  // expected-note @+1 {{given here}}
  graph.define_size %n is <[s0]> : tensor<i64>
  // expected-error @+1 {{'graph.define_size' op gives a value to s0, which has one}}
  graph.define_size %n is <[s0]> : tensor<i64>
  return
}

// -----

// A bound is known before.
// expected-error @+1 {{bound #graph.dims<[s1]> of symbol s0 must be one expression over the symbols before it}}
func.func @f() attributes {graph.symbols = [#graph.symbol<"n", 0, 16, bound <[s1]>>, #graph.symbol<"m", 0, 16>]} {
  return
}
