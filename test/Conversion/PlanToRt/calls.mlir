// RUN: tenon-opt %s --tenon-convert-plan-to-rt --split-input-file | FileCheck %s
// RUN: tenon-opt %s --tenon-convert-plan-to-rt --tenon-convert-rt-to-llvm --split-input-file | FileCheck %s --check-prefix=LLVM

// Small work runs here, large work on the threads; what is known now is decided now.

// CHECK-LABEL: rt.func @f.run role "run"
// CHECK: rt.state_phase 1
// CHECK-NOT: scf.if
// CHECK: rt.run @small(
// CHECK: rt.parallel @large(
// CHECK: %[[WORK:.*]] = arith.cmpi slt, %{{.*}}, %c32768
// CHECK: scf.if
// CHECK: rt.run @either(
// CHECK: } else {
// CHECK: rt.parallel @either(
// CHECK: rt.state_phase 2
// CHECK: rt.copy
// CHECK-LABEL: rt.func @f.arena_bytes
// CHECK: rt.image [@f.run, @f.arena_bytes, @f.scratch_bytes]

// LLVM-LABEL: llvm.func internal @f.run(%arg0: !llvm.ptr) -> i32
// LLVM: llvm.call @tn_kernel_small(
// LLVM-LABEL: llvm.func internal @f.arena_bytes(%arg0: !llvm.ptr) -> i64
// LLVM: llvm.intr.smul.with.overflow
// LLVM: llvm.mlir.global external constant @tn_image()
// LLVM: llvm.func hidden @tn_kernel_small(!llvm.ptr, !llvm.ptr, i64, i64, !llvm.ptr) -> i32
plan.variable @v bytes 16 : tensor<4xf32>
plan.func @f attributes {symbols = [#graph.symbol<"n", 0, 9>]} {
  %0 = plan.input 0 bytes(s0 * 32)
  %1 = plan.state @v bytes(16)
  %2 = plan.alloc 0 bytes(s0 * 32) {below = array<i64>}
  %3 = plan.alloc 1 bytes(s0 * 32) {below = array<i64: 0>}
  plan.call @small ins(%0) outs(%2) tiles(4) work(100) scratch_bytes(0)
  plan.call @large ins(%2) outs(%3) tiles(4) work(1000000) scratch_bytes(64)
  plan.call @either ins(%3) outs(%2) tiles(4) work(s0 * 1000) scratch_bytes(0)
  plan.copy %2 to %1 bytes(16)
}

// -----

// The grids of siblings stand one behind the other.

// LLVM-LABEL: llvm.func internal @g.run
// LLVM: %[[F:.*]] = llvm.mlir.addressof @together..q.2..k.5
// LLVM: llvm.call %{{.*}}(%{{.*}}, %[[F]], %{{.*}}) : !llvm.ptr, (!llvm.ptr, !llvm.ptr, !llvm.ptr, i64, i64) -> i32
// LLVM-LABEL: llvm.func internal @together..q.2..k.5(
// LLVM: llvm.intr.smax
// LLVM: llvm.intr.smin
// LLVM: llvm.call @tn_kernel_q(
// LLVM: llvm.call @tn_kernel_k(
plan.func @g {
  %0 = plan.input 0 bytes(64)
  %1 = plan.output 0 bytes(64)
  %2 = plan.output 1 bytes(64)
  plan.together {
    plan.call @q ins(%0) outs(%1) tiles(4) scratch_bytes(0)
    plan.call @k ins(%0) outs(%2) tiles(1) scratch_bytes(64)
  }
}
