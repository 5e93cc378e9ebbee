// RUN: tenon-opt %s --tenon-convert-plan-to-rt --split-input-file | FileCheck %s
// RUN: tenon-opt %s --tenon-convert-plan-to-rt --tenon-convert-rt-to-llvm --split-input-file | FileCheck %s --check-prefix=LLVM

// The host reads the byte and goes one way; a state that only one way changes counts as changed from here on.

// CHECK-LABEL: rt.func @branch.run role "run"
// CHECK: rt.state_phase 2
// CHECK: %[[P:.*]] = rt.test
// CHECK: scf.if %[[P]] {
// CHECK: rt.run @a(
// CHECK: } else {
// CHECK: rt.copy
// LLVM-LABEL: llvm.func internal @branch.run
// LLVM: llvm.load %{{.*}} : !llvm.ptr -> i8
// LLVM: llvm.cond_br
plan.variable @v bytes 16 : tensor<4xf32>
plan.func @branch {
  %0 = plan.input 0 bytes(1)
  %1 = plan.state @v bytes(16)
  %2 = plan.input 1 bytes(16)
  plan.if %0 then {
    plan.call @a ins(%2) outs(%1) tiles(1) scratch_bytes(0)
  } else {
    plan.copy %2 to %1 bytes(16)
  }
}

// -----

// All three regions know the number of steps.

// CHECK-LABEL: rt.func @loop.run role "run"
// CHECK: %[[N:.*]] = scf.while (%[[I:.*]] = %{{.*}}) : (i64) -> i64 {
// CHECK: rt.run @more(
// CHECK: %[[P:.*]] = rt.test
// CHECK: scf.condition(%[[P]]) %[[I]]
// CHECK: } do {
// CHECK: rt.run @step(
// CHECK: arith.addi
// CHECK: scf.yield
// CHECK: }
// CHECK: arith.remsi %[[N]]
// CHECK: rt.copy
// LLVM-LABEL: llvm.func internal @loop.run
// LLVM-NOT: scf
plan.func @loop {
  %0 = plan.input 0 bytes(16)
  %1 = plan.output 0 bytes(16)
  %2 = plan.alloc 0 bytes(16) {offset = 0 : i64}
  %3 = plan.alloc 1 bytes(1) {offset = 64 : i64}
  plan.while {
    plan.call @more ins(%0) outs(%3) tiles(1) scratch_bytes(0)
    plan.test %3
  } do {
    %4 = plan.choose(d0 mod 2) ? %2 : %1
    plan.call @step ins(%0) outs(%4) tiles(1) scratch_bytes(0)
  } exit {
    plan.copy %2 to %1 bytes((d0 mod 2) * 16)
  }
}

// -----

// Places follow from the bound, which the symbols hold; steps after the definition use what was found.

// CHECK-LABEL: rt.func @found.run role "run"
// CHECK: %[[N:.*]] = rt.load
// CHECK: scf.if
// CHECK: rt.fail 2
// CHECK: rt.found 1 is %[[N]]
// CHECK: %[[S:.*]] = rt.symbol 1 found : i64
// CHECK: rt.copy
// CHECK-LABEL: rt.func @found.arena_bytes
// CHECK: rt.symbol 1 : i64
plan.func @found attributes {symbols = [#graph.symbol<"n", 0, 9>, #graph.symbol<"f", 0, 36, bound <[s0 * 4]>>]} {
  %0 = plan.input 0 bytes(8)
  %1 = plan.output 0 bytes(s1 * 8)
  %2 = plan.alloc 0 bytes(s1 * 8) {below = array<i64>}
  plan.define_size 1 from %0 min 0 max 36 bound s0 * 4 site 2
  plan.copy %2 to %1 bytes(s1 * 8)
}
