// RUN: tenon-opt %s --tenon-plan-group-calls --split-input-file | FileCheck %s
// RUN: tenon-opt %s --tenon-plan-group-calls --tenon-plan-assign-offsets --tenon-plan-verify --tenon-convert-plan-to-rt --split-input-file | FileCheck %s --check-prefix=RT

// Two of three projections stand together though work on the first lies between; the small one that depends on it stays.

// CHECK-LABEL: plan.func @siblings
// CHECK: %[[A:.*]] = plan.alloc 0
// CHECK: %[[B:.*]] = plan.alloc 2
// CHECK: plan.together {
// CHECK-NEXT: plan.call @q ins(%{{.*}}) outs(%[[A]])
// CHECK-NEXT: plan.call @k ins(%{{.*}}) outs(%[[B]])
// CHECK-NEXT: {{^ *}$}}
// CHECK: plan.call @after
// RT-LABEL: rt.func @siblings.run
// RT: rt.together [@q, @k](%{{.*}}) counts [2, 2] sites [0, 4] tiles(
// RT: rt.run @after
plan.func @siblings {
  %x = plan.input 0 bytes(64)
  %o = plan.output 0 bytes(64)
  %0 = plan.alloc 0 bytes(64)
  plan.call @q ins(%x) outs(%0) tiles(4) work(40000) scratch_bytes(0) {site = 0 : i32}
  %1 = plan.alloc 1 bytes(64)
  plan.call @after ins(%0) outs(%1) tiles(4) work(100) scratch_bytes(0)
  %2 = plan.alloc 2 bytes(64)
  plan.call @k ins(%x) outs(%2) tiles(1) work(10000) scratch_bytes(0) {site = 4 : i32}
  plan.call @add ins(%1, %2) outs(%o) tiles(1) work(10) scratch_bytes(0)
}

// -----

// Too little work; one depends on the other; one overwrites what the other reads; a constant is no value in common.

// CHECK-LABEL: plan.func @apart
// CHECK-NOT: plan.together
plan.constant @c at 0 bytes 64 : tensor<16xf32> {weight = @w}
plan.func @apart {
  %w = plan.weight @c bytes(64)
  %x = plan.input 0 bytes(64)
  %o = plan.output 0 bytes(64)
  %0 = plan.alloc 0 bytes(64)
  %1 = plan.alloc 1 bytes(64)
  plan.call @small ins(%x) outs(%0) tiles(2) work(10) scratch_bytes(0)
  plan.call @small ins(%x) outs(%1) tiles(2) work(10) scratch_bytes(0)
  plan.check 1 equals 1 site 0
  plan.call @f ins(%0) outs(%1) tiles(2) work(40000) scratch_bytes(0)
  plan.call @g ins(%0, %1) outs(%o) tiles(2) work(40000) scratch_bytes(0)
  plan.check 1 equals 1 site 0
  plan.call @f ins(%1) outs(%o) tiles(2) work(40000) scratch_bytes(0)
  plan.call @inplace ins(%1) outs(%1) tiles(2) work(40000) scratch_bytes(0) {alias = array<i64: 0, 0>}
  plan.check 1 equals 1 site 0
  plan.call @h ins(%0, %w) outs(%o) tiles(2) work(40000) scratch_bytes(0)
  plan.call @h ins(%1, %w) outs(%0) tiles(2) work(40000) scratch_bytes(0)
}

// -----

// Whether symbolic work is enough, each run decides.

// CHECK-LABEL: plan.func @symbolic
// CHECK: plan.together {
// RT-LABEL: rt.func @symbolic.run
// RT: arith.cmpi slt
// RT: scf.if
// RT: rt.run @q
// RT: rt.run @k
// RT: } else {
// RT: rt.together [@q, @k]
plan.func @symbolic attributes {symbols = [#graph.symbol<"n", 0, 99>]} {
  %x = plan.input 0 bytes(s0 * 4)
  %0 = plan.output 0 bytes(s0 * 4)
  %1 = plan.output 1 bytes(s0 * 4)
  plan.call @q ins(%x) outs(%0) tiles(s0) work(s0 * 4000) scratch_bytes(0)
  plan.call @k ins(%x) outs(%1) tiles(s0) work(s0 * 4000) scratch_bytes(0)
}
