// RUN: tenon-opt %s --tenon-plan-verify --split-input-file --verify-diagnostics

plan.func @overlap {
  // expected-note @+1 {{the other buffer}}
  %0 = plan.alloc 0 bytes(100) {offset = 0 : i64}
  // expected-error @+1 {{buffer 1 overlaps buffer 0, which lives at the same time}}
  %1 = plan.alloc 1 bytes(8) {offset = 64 : i64}
  plan.call @k ins(%0) outs(%1) tiles(1) scratch_bytes(0)
}

// -----

plan.func @no_order attributes {symbols = [#graph.symbol<"n", 0, 9>]} {
  // expected-note @+1 {{the other buffer}}
  %0 = plan.alloc 0 bytes(s0) {below = array<i64>}
  // expected-error @+1 {{buffer 1 and buffer 0 live at the same time but neither lies below the other}}
  %1 = plan.alloc 1 bytes(s0) {below = array<i64>}
  plan.call @k ins(%0) outs(%1) tiles(1) scratch_bytes(0)
}

// -----

// Through a third buffer is enough.
plan.func @transitive attributes {symbols = [#graph.symbol<"n", 0, 9>]} {
  %0 = plan.alloc 0 bytes(s0) {below = array<i64>}
  %1 = plan.alloc 1 bytes(s0) {below = array<i64: 0>}
  %2 = plan.alloc 2 bytes(s0) {below = array<i64: 1>}
  plan.call @k ins(%0, %1) outs(%2) tiles(1) scratch_bytes(0)
}

// -----

// A buffer made outside of a loop lives across all of it.
plan.func @loop {
  // expected-note @+1 {{the other buffer}}
  %0 = plan.alloc 0 bytes(4) {offset = 0 : i64}
  %o = plan.output 0 bytes(4)
  plan.loop(4) {
    plan.copy %0 to %o bytes(4)
    // expected-error @+1 {{buffer 1 overlaps buffer 0, which lives at the same time}}
    %1 = plan.alloc 1 bytes(4) {offset = 0 : i64}
    plan.copy %1 to %o bytes(4)
  }
}

// -----

plan.func @alias {
  %0 = plan.alloc 0 bytes(8) {offset = 0 : i64}
  plan.call @k ins(%0) outs(%0) tiles(1) scratch_bytes(0) {alias = array<i64: 0, 0>}
  // expected-error @+1 {{call of @k writes output 0 over input 0}}
  plan.call @k ins(%0) outs(%0) tiles(1) scratch_bytes(0)
}

// -----

plan.func @read_only {
  %0 = plan.input 0 bytes(8)
  %1 = plan.alloc 0 bytes(8) {offset = 0 : i64}
  // expected-error @+1 {{writes an input}}
  plan.copy %1 to %0 bytes(8)
}

// -----

// Slices of one buffer: the one before is another, the same one is not.
plan.func @slices {
  %0 = plan.alloc 0 bytes(64) {offset = 0 : i64}
  plan.loop(4) {
    %a = plan.view %0 at(d0 * 16) bytes(16)
    %b = plan.view %0 at(d0 * 16 - 16) bytes(16)
    %c = plan.view %0 at(d0 * 16 + 8) bytes(16)
    plan.copy %b to %a bytes(16)
    // expected-error @+1 {{copies between buffers that overlap}}
    plan.copy %c to %a bytes(16)
  }
}

// -----

// A buffer made outside of a branch lives across both.
plan.func @branch {
  // expected-note @+1 {{the other buffer}}
  %0 = plan.alloc 0 bytes(4) {offset = 0 : i64}
  %p = plan.input 0 bytes(1)
  %o = plan.output 0 bytes(4)
  plan.if %p then {
    plan.copy %0 to %o bytes(4)
  } else {
    // expected-error @+1 {{buffer 1 overlaps buffer 0, which lives at the same time}}
    %1 = plan.alloc 1 bytes(4) {offset = 0 : i64}
    plan.copy %1 to %o bytes(4)
  }
}

// -----

// Buffers of the two branches may share their bytes.
plan.func @apart {
  %p = plan.input 0 bytes(1)
  %o = plan.output 0 bytes(4)
  plan.if %p then {
    %0 = plan.alloc 0 bytes(4) {offset = 0 : i64}
    plan.copy %0 to %o bytes(4)
  } else {
    %1 = plan.alloc 1 bytes(4) {offset = 0 : i64}
    plan.copy %1 to %o bytes(4)
  }
}

// -----

// What the condition reads, the body may not use otherwise.
plan.func @while {
  // expected-note @+1 {{the other buffer}}
  %0 = plan.alloc 0 bytes(4) {offset = 0 : i64}
  %o = plan.output 0 bytes(4)
  plan.while {
    plan.test %0
  } do {
    // expected-error @+1 {{buffer 1 overlaps buffer 0, which lives at the same time}}
    %1 = plan.alloc 1 bytes(4) {offset = 0 : i64}
    plan.copy %1 to %o bytes(4)
  } exit {
  }
}

// -----

plan.func @no_test {
  // expected-error @+1 {{'plan.while' op condition must end in its one 'plan.test'}}
  plan.while {
  } do {
  } exit {
  }
}

// -----

// Calls that run together may not touch what one of them writes.
plan.func @together {
  %x = plan.input 0 bytes(4)
  %o = plan.output 0 bytes(4)
  %0 = plan.alloc 0 bytes(4) {offset = 0 : i64}
  plan.together {
    // expected-error @+1 {{call of @k writes what @l, which runs at the same time, touches}}
    plan.call @k ins(%x) outs(%0) tiles(1) scratch_bytes(0)
    plan.call @l ins(%0) outs(%o) tiles(1) scratch_bytes(0)
  }
}

// -----

plan.func @alone {
  // expected-error @+1 {{'plan.together' op needs two calls or more, and nothing else}}
  plan.together {
    plan.call @k ins() outs() tiles(1) scratch_bytes(0)
  }
}
