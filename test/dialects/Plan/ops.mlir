// RUN: tenon-opt %s --verify-roundtrip | tenon-opt | FileCheck %s

// Every op survives printing and parsing.

// CHECK: plan.constant @c at 64 bytes 16 : tensor<4xf32> {value = dense<1.000000e+00> : tensor<4xf32>}
plan.constant @c at 64 bytes 16 : tensor<4xf32> {value = dense<1.0> : tensor<4xf32>}
// CHECK: plan.variable @v bytes 16 : tensor<4xf32> init @c {persistent}
plan.variable @v bytes 16 : tensor<4xf32> init @c {persistent}
// CHECK-LABEL: plan.func @f
plan.func @f attributes {symbols = [#graph.symbol<"n", 0, 9>]} {
  %0 = plan.input 0 bytes(s0 * 32)
  %1 = plan.output 0 bytes(s0 * 32)
  %2 = plan.state @v bytes(16)
  %3 = plan.weight @c bytes(16)
  // CHECK: plan.alloc 3 bytes((s0 * s1) * 4) {below = array<i64: 0, 2>}
  %4 = plan.alloc 3 bytes(s1 * s0 * 4) {below = array<i64: 0, 2>}
  // CHECK: plan.loop(s0 ceildiv 2)
  plan.loop(s0 ceildiv 2) {
    // CHECK: plan.view %{{.*}} at(d0 * 16) bytes(16)
    %5 = plan.view %4 at(d0 * 16) bytes(16)
    // CHECK: plan.choose(d0 mod 2) ?
    %6 = plan.choose(d0 mod 2) ? %5 : %4
    plan.copy %6 to %1 bytes(16)
  }
  // CHECK: plan.call @k ins(%{{.*}}, %{{.*}}) outs(%{{.*}}) scratch(%{{.*}}) tiles(s0 ceildiv 6) work(s0 * 512) scratch_bytes(256) {alias = array<i64: 0, 0>, site = 3 : i32}
  plan.call @k ins(%0, %3) outs(%1) scratch(%4) tiles(s0 ceildiv 6) work(s0 * 512) scratch_bytes(256) {alias = array<i64: 0, 0>, site = 3 : i32}
  plan.store_sizes [#plan.expr<s0 + 1>] to %1
  // CHECK: plan.check s0 equals s1 * 2 site 3
  plan.check s0 equals s1 * 2 site 3
  // CHECK: plan.if %{{.*}} then {
  // CHECK: } else {
  plan.if %0 then {
    plan.copy %0 to %1 bytes(16)
  } else {
  }
  // CHECK: plan.while {
  // CHECK: plan.test %
  // CHECK: } do {
  // CHECK: } exit {
  plan.while {
    plan.test %0
  } do {
    plan.copy %0 to %1 bytes(16)
  } exit {
  }
  // CHECK: plan.define_size 1 from %{{.*}} min 0 max 64 bound s0 * 4 site 2
  plan.define_size 1 from %0 min 0 max 64 bound s0 * 4 site 2
}
