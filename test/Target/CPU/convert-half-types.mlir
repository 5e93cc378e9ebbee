// RUN: tenon-opt %s --tenon-cpu-convert-half-types | FileCheck %s --check-prefixes=CHECK,INT
// RUN: tenon-opt %s --tenon-cpu-convert-half-types=has-f16c=true | FileCheck %s --check-prefixes=CHECK,F16C

// bf16 is the upper half of f32.

// CHECK-LABEL: @extend
func.func @extend(%x: vector<8xbf16>) -> vector<8xf32> {
  // CHECK: %[[BITS:.*]] = arith.bitcast {{.*}} : vector<8xbf16> to vector<8xi16>
  // CHECK: %[[WIDE:.*]] = arith.extui %[[BITS]]
  // CHECK: %[[WORD:.*]] = arith.shli %[[WIDE]]
  // CHECK: arith.bitcast %[[WORD]] : vector<8xi32> to vector<8xf32>
  %0 = arith.extf %x : vector<8xbf16> to vector<8xf32>
  return %0 : vector<8xf32>
}

// Rounding keeps NaN apart.

// CHECK-LABEL: @round
func.func @round(%x: f64) -> bf16 {
  // CHECK: arith.truncf %{{.*}} : f64 to f32
  // CHECK: arith.cmpf uno
  // CHECK: arith.select
  // CHECK-NOT: arith.truncf
  // CHECK: arith.bitcast {{.*}} : i16 to bf16
  %0 = arith.truncf %x : f64 to bf16
  return %0 : bf16
}

// Instructions are used where the target has them.

// CHECK-LABEL: @f16
func.func @f16(%x: vector<8xf16>) -> vector<8xf32> {
  // F16C: arith.extf
  // INT-NOT: arith.extf
  // CHECK: return
  %0 = arith.extf %x : vector<8xf16> to vector<8xf32>
  return %0 : vector<8xf32>
}

// Arithmetic, comparison and reduction compute in f32; choosing and signs do not.

// CHECK-LABEL: @arithmetic
func.func @arithmetic(%x: vector<8xbf16>, %y: vector<8xbf16>) -> (vector<8xbf16>, bf16) {
  // CHECK: arith.addf {{.*}} fastmath<contract> : vector<8xf32>
  // CHECK: arith.cmpf olt, {{.*}} : vector<8xf32>
  // CHECK: arith.select {{.*}} vector<8xbf16>
  // CHECK: arith.xori {{.*}} : vector<8xi16>
  // CHECK: vector.reduction <add>, {{.*}} : vector<8xf32> into f32
  %0 = arith.addf %x, %y fastmath<contract> : vector<8xbf16>
  %1 = arith.cmpf olt, %0, %y : vector<8xbf16>
  %2 = arith.select %1, %0, %y : vector<8xi1>, vector<8xbf16>
  %3 = arith.negf %2 : vector<8xbf16>
  %4 = vector.reduction <add>, %3 : vector<8xbf16> into bf16
  return %3, %4 : vector<8xbf16>, bf16
}

// f32 is left alone.

// CHECK-LABEL: @single
func.func @single(%x: vector<8xf32>) -> vector<8xf32> {
  // CHECK-NEXT: arith.addf
  // CHECK-NEXT: return
  %0 = arith.addf %x, %x : vector<8xf32>
  return %0 : vector<8xf32>
}
