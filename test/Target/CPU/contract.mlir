// RUN: tenon-opt %s --tenon-cpu-emit-kernels --split-input-file | FileCheck %s

// A product with few rows: all of them in one tile, so that the weights are read once; the columns in many tiles, so
// that threads find work. 128 rows are 18 tiles of 6 and 4 of 5. Sums fit one pass over k: no scratch.
// CHECK: kernel.func @short_sums{{.*}}scratch = #graph.dims<[0]>, tiles = #graph.dims<[24]>
module attributes {target.cpu = #target.cpu<name = "x86-64-v3", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v3", features = "", vectorBits = 256, vectorRegisters = 16, hasFMA = true, hasF16C = true, l1Bytes = 32768, l2Bytes = 524288>} {
kernel.func @short_sums(%x: tensor<128x384xf32>, %w: tensor<384x384xf32> {kernel.layout = #kernel.layout<order = [0, 1], n = 1, groups = 1, width = 16>}) -> tensor<128x384xf32> {
  %0 = graph.contract %x, %w maps [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>] : tensor<128x384xf32>, tensor<384x384xf32> -> tensor<128x384xf32>
  kernel.return %0 : tensor<128x384xf32>
}
}
// CHECK-LABEL: func.func @tn_kernel_short_sums
// The next panel is fetched while one is used: the weights do not stay in half of L2.
// CHECK: llvm.intr.prefetch
// CHECK: :10 = scf.for
// CHECK: return

// -----

// Long sums come in passes of 512 steps of k; between them they wait in scratch: 128 columns by 22 tiles of 6 rows.
// CHECK: kernel.func @long_sums{{.*}}scratch = #graph.dims<[67584]>, tiles = #graph.dims<[6]>
module attributes {target.cpu = #target.cpu<name = "x86-64-v3", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v3", features = "", vectorBits = 256, vectorRegisters = 16, hasFMA = true, hasF16C = true, l1Bytes = 32768, l2Bytes = 524288>} {
kernel.func @long_sums(%x: tensor<128x3072xf32>, %w: tensor<768x3072xf32> {kernel.layout = #kernel.layout<order = [0, 1], n = 1, groups = 1, width = 16>}) -> tensor<128x768xf32> {
  %0 = graph.contract %x, %w maps [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>] : tensor<128x3072xf32>, tensor<768x3072xf32> -> tensor<128x768xf32>
  kernel.return %0 : tensor<128x768xf32>
}
}
// CHECK-LABEL: func.func @tn_kernel_long_sums
// CHECK: %[[DEPTH:.*]] = arith.constant 512 : i64
// CHECK: %[[SUMS:.*]]:12 = scf.for
// CHECK: llvm.intr.prefetch
// CHECK: scf.if
// CHECK: llvm.store %[[SUMS]]#0
// CHECK: else
// CHECK: llvm.store %[[SUMS]]#0

// -----

// One row: the tiles are as narrow as a group of vectors allows, so that a small projection has several.
// CHECK: kernel.func @vector{{.*}}scratch = #graph.dims<[0]>, tiles = #graph.dims<[4]>
module attributes {target.cpu = #target.cpu<name = "x86-64-v3", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v3", features = "", vectorBits = 256, vectorRegisters = 16, hasFMA = true, hasF16C = true, l1Bytes = 32768, l2Bytes = 524288>} {
kernel.func @vector(%x: tensor<1x1024xf32>, %w: tensor<256x1024xf32> {kernel.layout = #kernel.layout<order = [0, 1], n = 1, groups = 1, width = 16>}) -> tensor<1x256xf32> {
  %0 = graph.contract %x, %w maps [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>] : tensor<1x1024xf32>, tensor<256x1024xf32> -> tensor<1x256xf32>
  kernel.return %0 : tensor<1x256xf32>
}
}

// -----

// Rows that are not known: the last register tile is cut by a limit.
// CHECK: kernel.func @symbolic{{.*}}scratch = #graph.dims<[0]>, tiles = #graph.dims<[{{.*}}s0{{.*}}]>
module attributes {target.cpu = #target.cpu<name = "x86-64-v3", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v3", features = "", vectorBits = 256, vectorRegisters = 16, hasFMA = true, hasF16C = true, l1Bytes = 32768, l2Bytes = 524288>} {
kernel.func @symbolic(%x: tensor<?x384xf32, #graph.dims<[s0, 384]>>, %w: tensor<384x384xf32> {kernel.layout = #kernel.layout<order = [0, 1], n = 1, groups = 1, width = 16>}) -> tensor<?x384xf32, #graph.dims<[s0, 384]>> {
  %0 = graph.contract %x, %w maps [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>] : tensor<?x384xf32, #graph.dims<[s0, 384]>>, tensor<384x384xf32> -> tensor<?x384xf32, #graph.dims<[s0, 384]>>
  kernel.return %0 : tensor<?x384xf32, #graph.dims<[s0, 384]>>
}
}
// CHECK-LABEL: func.func @tn_kernel_symbolic
// CHECK: scf.if
// CHECK: llvm.store
