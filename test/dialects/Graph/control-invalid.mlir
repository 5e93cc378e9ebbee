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
