// RUN: tenon-opt %s --tenon-device-emit-kernels --tenon-gpu-lower-kernels | FileCheck %s
// CHECK-DAG:   [[M0:#map[0-9]*]] = affine_map<()[s0, s1, s2] -> (96, 2048)>
// CHECK-DAG:   [[M1:#map[0-9]*]] = affine_map<()[s0, s1, s2] -> (1, 96)>
// CHECK-DAG:   [[M2:#map[0-9]*]] = affine_map<()[s0, s1, s2, s3] -> (64, s3, 4)>
// CHECK-DAG:   [[M3:#map[0-9]*]] = affine_map<()[s0, s1, s2, s3] -> (1, 64, s3 * 64)>
// CHECK-DAG:   [[M4:#map[0-9]*]] = affine_map<()[s0, s1, s2, s3] -> (2048, 64, 4)>
// CHECK-DAG:   [[M5:#map[0-9]*]] = affine_map<()[s0, s1, s2, s3] -> (1, 2048, 131072)>
module attributes {target.gpu = #target.gpu<name = "cuda:sm_90a", api = cuda, arch = "sm_90a", subgroup = 32, sharedBytes = 232448, matrix = mma, hasBF16 = true, hasWarpgroups = true>} {
// One warp copies tiles by descriptions that lie behind the slots, which are 64-byte aligned then; two groups of four multiply.
kernel.func @plain(%a: tensor<2048x96xf16>, %b: tensor<2048x96xf16>) -> tensor<2048x2048xf16> {
  %0 = graph.contract %a, %b maps [affine_map<(d0, d1, d2) -> (d0, d2)>, affine_map<(d0, d1, d2) -> (d1, d2)>, affine_map<(d0, d1, d2) -> (d0, d1)>] : tensor<2048x96xf16>, tensor<2048x96xf16> -> tensor<2048x2048xf16>
  kernel.return %0 : tensor<2048x2048xf16>
}
// CHECK:       llvm.func @tn_kernel_plain
// CHECK-SAME:  llvm.align = 64 : i64, llvm.byval = !llvm.array<40 x i64>, nvvm.grid_constant
// CHECK-SAME:  device.maps = [{element_bytes = 2 : i64, offset = 0 : i64, sizes = [[M0]], slot = 0 : i64, strides = [[M1]], tile = array<i64: 64, 128>}, {
// CHECK-SAME:  slot = 1 : i64
// CHECK-SAME:  tile = array<i64: 64, 256>
// CHECK-SAME:  device.shared = 196672
// CHECK-SAME:  nvvm.reqntid = array<i32: 288, 1, 1>
// CHECK:       mbarrier.init.shared::cta.b64 [$0], 1;
// CHECK:       mbarrier.init.shared::cta.b64 [$0], 2;
// CHECK:       fence.proxy.async.shared::cta;
// CHECK:       nvvm.barrier0
// CHECK:       mbarrier.try_wait.parity.shared::cta.b64
// CHECK:       wgmma.fence.sync.aligned;
// CHECK-COUNT-4: wgmma.mma_async.sync.aligned.m64n256k16.f32.f16.f16 {{.*}}, p, 1, 1, 0, 0;
// CHECK:       wgmma.commit_group.sync.aligned;
// CHECK:       wgmma.wait_group.sync.aligned 1;
// CHECK:       mbarrier.arrive.shared::cta.b64
// CHECK:       wgmma.wait_group.sync.aligned 0;
// CHECK:       mbarrier.arrive.expect_tx.shared::cta.b64 _, [$0], 49152;
// CHECK-COUNT-2: cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes

// A symbol is what lies in its slot. Columns that are neighbours are copied in groups of 64, and said to be such.
kernel.func @across(%a: tensor<4x?x64xbf16, #graph.dims<[4, s0, 64]>>, %b: tensor<4x64x2048xbf16>) -> tensor<4x?x2048xbf16, #graph.dims<[4, s0, 2048]>> {
  %0 = graph.contract %a, %b maps [affine_map<(d0, d1, d2, d3) -> (d0, d1, d3)>, affine_map<(d0, d1, d2, d3) -> (d0, d3, d2)>, affine_map<(d0, d1, d2, d3) -> (d0, d1, d2)>] : tensor<4x?x64xbf16, #graph.dims<[4, s0, 64]>>, tensor<4x64x2048xbf16> -> tensor<4x?x2048xbf16, #graph.dims<[4, s0, 2048]>>
  kernel.return %0 : tensor<4x?x2048xbf16, #graph.dims<[4, s0, 2048]>>
}
// CHECK:       llvm.func @tn_kernel_across
// CHECK-SAME:  sizes = [[M2]], slot = 0 : i64, strides = [[M3]], tile = array<i64: 64, 128, 1>
// CHECK-SAME:  sizes = [[M4]], slot = 1 : i64, strides = [[M5]], tile = array<i64: 64, 64, 1>
// CHECK:       wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 {{.*}}, p, 1, 1, 0, 1;
// CHECK-COUNT-5: cp.async.bulk.tensor.3d

// FP8: twice as deep, and never along lines.
kernel.func @eighths(%a: tensor<2048x256xf8E4M3FN>, %b: tensor<2048x256xf8E4M3FN>) -> tensor<2048x2048xf32> {
  %0 = graph.contract %a, %b maps [affine_map<(d0, d1, d2) -> (d0, d2)>, affine_map<(d0, d1, d2) -> (d1, d2)>, affine_map<(d0, d1, d2) -> (d0, d1)>] : tensor<2048x256xf8E4M3FN>, tensor<2048x256xf8E4M3FN> -> tensor<2048x2048xf32>
  kernel.return %0 : tensor<2048x2048xf32>
}
// CHECK:       llvm.func @tn_kernel_eighths
// CHECK-SAME:  tile = array<i64: 128, 128>
// CHECK-COUNT-4: wgmma.mma_async.sync.aligned.m64n256k32.f32.e4m3.e4m3 {{.*}}, p, 1, 1;

// What is computed on the way, rows that begin at other places than multiples of 16 bytes, and few tiles: by warps.
kernel.func @computed(%a: tensor<2048x64xf16>, %b: tensor<2048x64xf16>) -> tensor<2048x2048xf16> {
  %n = graph.map ins(%a : tensor<2048x64xf16>) maps [affine_map<(d0, d1) -> (d0, d1)>] -> tensor<2048x64xf16> {
  ^bb0(%x: f16):
    %s = arith.negf %x : f16
    graph.yield %s : f16
  }
  %0 = graph.contract %n, %b maps [affine_map<(d0, d1, d2) -> (d0, d2)>, affine_map<(d0, d1, d2) -> (d1, d2)>, affine_map<(d0, d1, d2) -> (d0, d1)>] : tensor<2048x64xf16>, tensor<2048x64xf16> -> tensor<2048x2048xf16>
  kernel.return %0 : tensor<2048x2048xf16>
}
kernel.func @askew(%a: tensor<2048x100xf16>, %b: tensor<2048x100xf16>) -> tensor<2048x2048xf16> {
  %0 = graph.contract %a, %b maps [affine_map<(d0, d1, d2) -> (d0, d2)>, affine_map<(d0, d1, d2) -> (d1, d2)>, affine_map<(d0, d1, d2) -> (d0, d1)>] : tensor<2048x100xf16>, tensor<2048x100xf16> -> tensor<2048x2048xf16>
  kernel.return %0 : tensor<2048x2048xf16>
}
kernel.func @small(%a: tensor<128x64xf16>, %b: tensor<128x64xf16>) -> tensor<128x128xf16> {
  %0 = graph.contract %a, %b maps [affine_map<(d0, d1, d2) -> (d0, d2)>, affine_map<(d0, d1, d2) -> (d1, d2)>, affine_map<(d0, d1, d2) -> (d0, d1)>] : tensor<128x64xf16>, tensor<128x64xf16> -> tensor<128x128xf16>
  kernel.return %0 : tensor<128x128xf16>
}
// CHECK:       llvm.func @tn_kernel_computed
// CHECK-NOT:   wgmma
}
