// RUN: tenon-opt %s --tenon-cpu-expand-math=has-fma=true | FileCheck %s --check-prefixes=CHECK,FMA
// RUN: tenon-opt %s --tenon-cpu-expand-math | FileCheck %s --check-prefixes=CHECK,MULADD

// The reciprocal of a root is divided exactly.

// CHECK-LABEL: @rsqrt
// CHECK-SAME:  %[[X:.*]]: vector<8xf32>
func.func @rsqrt(%x: vector<8xf32>) -> vector<8xf32> {
  // CHECK-DAG: %[[ONE:.*]] = arith.constant dense<1.000000e+00>
  // CHECK-DAG: %[[ROOT:.*]] = math.sqrt %[[X]]
  // CHECK: arith.divf %[[ONE]], %[[ROOT]]
  %0 = math.rsqrt %x : vector<8xf32>
  return %0 : vector<8xf32>
}

// fma appears only where the target has it; exp needs no clamp that loses NaN.

// CHECK-LABEL: @exp
func.func @exp(%x: vector<8xf32>) -> vector<8xf32> {
  // CHECK-NOT: math.exp
  // CHECK-NOT: arith.maxnumf
  // FMA: math.fma
  // MULADD-NOT: math.fma
  // CHECK: return
  %0 = math.exp %x : vector<8xf32>
  return %0 : vector<8xf32>
}

// The gelu functions take no branch and at most one division.

// CHECK-LABEL: @gelu_functions
func.func @gelu_functions(%x: vector<8xf32>) -> (vector<8xf32>, vector<8xf32>) {
  // CHECK-NOT: {{math.erf|math.tanh|scf.if}}
  // CHECK: arith.divf
  // CHECK-NOT: arith.divf
  // CHECK: return
  %0 = math.erf %x : vector<8xf32>
  %1 = math.tanh %x : vector<8xf32>
  return %0, %1 : vector<8xf32>, vector<8xf32>
}

// Scalars, vectors of several dimensions and of none.

// CHECK-LABEL: @shapes
func.func @shapes(%a: f64, %b: vector<2x4xf32>, %c: vector<f32>) -> (f64, vector<2x4xf32>, vector<f32>) {
  // CHECK-NOT: {{math.log|math.sin|math.cos}}
  // CHECK: vector.shape_cast {{.*}} : vector<2x4xi1> to vector<8xi1>
  // CHECK: scf.if
  // CHECK: return
  %0 = math.log %a : f64
  %1 = math.sin %b : vector<2x4xf32>
  %2 = math.cos %c : vector<f32>
  return %0, %1, %2 : f64, vector<2x4xf32>, vector<f32>
}

// bf16 is computed in f32 and rounded once.

// CHECK-LABEL: @half
func.func @half(%x: vector<8xbf16>) -> vector<8xbf16> {
  // CHECK: arith.extf {{.*}} : vector<8xbf16> to vector<8xf32>
  // CHECK-NOT: bf16
  // CHECK: arith.truncf {{.*}} : vector<8xf32> to vector<8xbf16>
  %0 = math.tanh %x : vector<8xbf16>
  return %0 : vector<8xbf16>
}

// Small constant exponents are products.

// CHECK-LABEL: @square
// CHECK-SAME:  %[[X:.*]]: vector<8xf32>, %[[I:.*]]: i32
func.func @square(%x: vector<8xf32>, %i: i32) -> (vector<8xf32>, i32) {
  %two = arith.constant dense<2.0> : vector<8xf32>
  %three = arith.constant 3 : i32
  // CHECK: %[[SQUARE:.*]] = arith.mulf %[[X]], %[[X]]
  // CHECK: %[[ISQUARE:.*]] = arith.muli %[[I]], %[[I]]
  // CHECK: %[[CUBE:.*]] = arith.muli %[[I]], %[[ISQUARE]]
  // CHECK: return %[[SQUARE]], %[[CUBE]]
  %0 = math.powf %x, %two : vector<8xf32>
  %1 = math.ipowi %i, %three : i32
  return %0, %1 : vector<8xf32>, i32
}

// Exponents that are not known: loops over their bits, and powers through f64.

// CHECK-LABEL: @powers
func.func @powers(%x: vector<4xf32>, %n: vector<4xi32>) -> (vector<4xf32>, vector<4xi32>) {
  // CHECK-NOT: {{math.fpowi|math.ipowi}}
  // CHECK: arith.truncf {{.*}} : vector<4xf64> to vector<4xf32>
  // CHECK: scf.while
  // CHECK: return
  %0 = math.fpowi %x, %n : vector<4xf32>, vector<4xi32>
  %1 = math.ipowi %n, %n : vector<4xi32>
  return %0, %1 : vector<4xf32>, vector<4xi32>
}

// Classification and clamp; what LLVM has instructions for stays.

// CHECK-LABEL: @small
func.func @small(%x: vector<8xf32>) -> (vector<8xi1>, vector<8xi1>, vector<8xf32>, vector<8xf32>) {
  %lo = arith.constant dense<0.0> : vector<8xf32>
  %hi = arith.constant dense<6.0> : vector<8xf32>
  // CHECK: arith.bitcast
  // CHECK: arith.cmpi ult
  // CHECK: arith.cmpi eq
  // CHECK: arith.cmpf olt
  // CHECK: arith.select
  // CHECK: arith.cmpf ogt
  // CHECK: arith.select
  // CHECK: math.floor
  %0 = math.isnan %x : vector<8xf32>
  %1 = math.isinf %x : vector<8xf32>
  %2 = math.clampf %x to [%lo, %hi] : vector<8xf32>
  %3 = math.floor %x : vector<8xf32>
  return %0, %1, %2, %3 : vector<8xi1>, vector<8xi1>, vector<8xf32>, vector<8xf32>
}

// Tensors and scalable vectors are for others.

// CHECK-LABEL: @untouched
func.func @untouched(%x: tensor<8xf32>, %y: vector<[4]xf32>) -> (tensor<8xf32>, vector<[4]xf32>) {
  // CHECK: math.exp
  // CHECK: math.sin
  %0 = math.exp %x : tensor<8xf32>
  %1 = math.sin %y : vector<[4]xf32>
  return %0, %1 : tensor<8xf32>, vector<[4]xf32>
}
