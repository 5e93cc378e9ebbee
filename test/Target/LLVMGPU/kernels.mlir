// RUN: split-file %s %t
// RUN: tenon-opt %t/cuda.mlir --tenon-device-emit-kernels --tenon-gpu-lower-kernels | FileCheck %t/cuda.mlir
// RUN: tenon-opt %t/attention.mlir --tenon-device-emit-kernels --tenon-gpu-lower-kernels | FileCheck %t/attention.mlir
// RUN: tenon-opt %t/rocm.mlir --tenon-device-emit-kernels --tenon-gpu-lower-kernels | FileCheck %t/rocm.mlir
// RUN: not tenon-opt %t/none.mlir --tenon-device-emit-kernels --tenon-gpu-lower-kernels 2>&1 | FileCheck %t/none.mlir

//--- cuda.mlir
module attributes {target.gpu = #target.gpu<name = "cuda:sm_80", api = cuda, arch = "sm_80", subgroup = 32, sharedBytes = 49152, matrix = mma, hasBF16 = true>} {
// Slots are passed by value; addresses that come from them are global; groups of a second dimension come behind.
kernel.func @max(%x: tensor<6x1000xf32>) -> tensor<6xf32> {
  %0 = graph.reduce max %x dims [1] : tensor<6x1000xf32> -> tensor<6xf32>
  kernel.return %0 : tensor<6xf32>
}
// CHECK:       llvm.mlir.global private @tn_kernel_max.shared0() {addr_space = 3 : i32, alignment = 16 : i64} : !llvm.array<128 x f32>
// CHECK:       llvm.func @tn_kernel_max(%{{.*}}: i64, %{{.*}}: !llvm.ptr, %{{.*}}: !llvm.ptr {llvm.align = 8 : i64, llvm.byval = !llvm.array<2 x i64>, nvvm.grid_constant})
// CHECK-SAME:  nvvm.kernel
// CHECK-SAME:  nvvm.reqntid = array<i32: 128, 1, 1>
// CHECK-DAG:   nvvm.read.ptx.sreg.ctaid.x
// CHECK-DAG:   nvvm.read.ptx.sreg.ctaid.y
// CHECK-DAG:   nvvm.read.ptx.sreg.tid.x
// CHECK:       llvm.addrspacecast %{{.*}} : !llvm.ptr to !llvm.ptr<1>
// CHECK-COUNT-5: nvvm.shfl.sync bfly
// CHECK:       nvvm.barrier0

// Half floats are multiplied by the matrix unit.
kernel.func @product(%a: tensor<64x64xf16>, %b: tensor<64x64xf16>) -> tensor<64x64xf16> {
  %0 = graph.contract %a, %b maps [affine_map<(d0, d1, d2) -> (d0, d2)>, affine_map<(d0, d1, d2) -> (d1, d2)>, affine_map<(d0, d1, d2) -> (d0, d1)>] : tensor<64x64xf16>, tensor<64x64xf16> -> tensor<64x64xf16>
  kernel.return %0 : tensor<64x64xf16>
}
// CHECK:       llvm.func @tn_kernel_product
// CHECK:       llvm.call_intrinsic "llvm.nvvm.cp.async.cg.shared.global.16"
// CHECK:       llvm.call_intrinsic "llvm.nvvm.cp.async.wait.group"
// CHECK:       nvvm.barrier0
// CHECK:       llvm.call_intrinsic "llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.b16.p3"
// CHECK:       llvm.call_intrinsic "llvm.nvvm.mma.m16n8k16.row.col.f32.f32"

// Large tiles need more than a kernel may declare; an operand that is computed comes through registers.
kernel.func @large(%a: tensor<2048x64xf16>, %b: tensor<2048x64xf16>) -> tensor<2048x2048xf16> {
  %n = graph.map ins(%a : tensor<2048x64xf16>) maps [affine_map<(d0, d1) -> (d0, d1)>] -> tensor<2048x64xf16> {
  ^bb0(%x: f16):
    %s = arith.negf %x : f16
    graph.yield %s : f16
  }
  %0 = graph.contract %n, %b maps [affine_map<(d0, d1, d2) -> (d0, d2)>, affine_map<(d0, d1, d2) -> (d1, d2)>, affine_map<(d0, d1, d2) -> (d0, d1)>] : tensor<2048x64xf16>, tensor<2048x64xf16> -> tensor<2048x2048xf16>
  kernel.return %0 : tensor<2048x2048xf16>
}
// CHECK:       llvm.func @tn_kernel_large
// CHECK-NOT:   cp.async
// CHECK:       llvm.load %{{.*}} {alignment = 16 : i64} : !llvm.ptr -> vector<8xf16>

kernel.func @plain(%a: tensor<2048x64xf16>, %b: tensor<2048x64xf16>) -> tensor<2048x2048xf16> {
  %0 = graph.contract %a, %b maps [affine_map<(d0, d1, d2) -> (d0, d2)>, affine_map<(d0, d1, d2) -> (d1, d2)>, affine_map<(d0, d1, d2) -> (d0, d1)>] : tensor<2048x64xf16>, tensor<2048x64xf16> -> tensor<2048x2048xf16>
  kernel.return %0 : tensor<2048x2048xf16>
}
// CHECK:       llvm.mlir.global external @tn_kernel_plain$shared() {addr_space = 3 : i32, alignment = 1024 : i64} : !llvm.array<0 x i8>
// CHECK:       llvm.func @tn_kernel_plain
// CHECK-SAME:  device.shared = 73984
// CHECK:       cp.async
}

//--- attention.mlir
module attributes {target.gpu = #target.gpu<name = "cuda:sm_80", api = cuda, arch = "sm_80", subgroup = 32, sharedBytes = 166912, matrix = mma, hasBF16 = true>} {
// What a lane has of the scores becomes its operand of the next product: scores are in no memory. First the blocks that all rows see
// (not a single comparison of keys), then those on the diagonal.
kernel.func @causal(%q: tensor<1x2x256x32xf16>, %k: tensor<1x2x256x32xf16>, %v: tensor<1x2x256x32xf16>) -> tensor<1x2x256x32xf16> {
  %0 = graph.attention %q, %k, %v scale 0.5 causal : tensor<1x2x256x32xf16>, tensor<1x2x256x32xf16>, tensor<1x2x256x32xf16> -> tensor<1x2x256x32xf16>
  kernel.return %0 : tensor<1x2x256x32xf16>
}
// CHECK:       llvm.func @tn_kernel_causal
// CHECK:       "llvm.nvvm.cp.async.commit.group"
// CHECK:       "llvm.nvvm.cp.async.wait.group"
// CHECK:       nvvm.barrier0
// CHECK:       "llvm.nvvm.cp.async.cg.shared.global.16"
// CHECK:       "llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.b16.p3"
// CHECK:       "llvm.nvvm.mma.m16n8k16.row.col.f32.f32"
// CHECK:       nvvm.shfl.sync bfly
// CHECK-NOT:   llvm.icmp "sgt" {{.*}} : i32
// CHECK:       "llvm.nvvm.ex2.approx.ftz.f"
// CHECK-NOT:   llvm.store
// CHECK:       "llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.trans.b16.p3"
// CHECK:       "llvm.nvvm.mma.m16n8k16.row.col.f32.f32"
// CHECK:       nvvm.barrier0
// CHECK:       llvm.icmp "sgt" {{.*}} : i32
// CHECK:       "llvm.nvvm.ex2.approx.ftz.f"
// CHECK:       llvm.store {{.*}} vector<8xf16>
}

//--- rocm.mlir
module attributes {target.gpu = #target.gpu<name = "rocm:gfx90a", api = rocm, arch = "gfx90a", subgroup = 64, sharedBytes = 65536, matrix = mfma, hasBF16 = false>} {
kernel.func @max(%x: tensor<6x1000xf32>) -> tensor<6xf32> {
  %0 = graph.reduce max %x dims [1] : tensor<6x1000xf32> -> tensor<6xf32>
  kernel.return %0 : tensor<6xf32>
}
// CHECK:       llvm.func @tn_kernel_max(%{{.*}}: i64, %{{.*}}: !llvm.ptr, %{{.*}}: !llvm.ptr<4> {llvm.align = 8 : i64, llvm.byref = !llvm.array<2 x i64>})
// CHECK-SAME:  rocdl.flat_work_group_size = "128,128"
// CHECK-SAME:  rocdl.kernel
// CHECK-DAG:   rocdl.workgroup.id.x
// CHECK-DAG:   rocdl.workitem.id.x
// CHECK-COUNT-6: rocdl.ds_bpermute
// CHECK:       rocdl.barrier

kernel.func @product(%a: tensor<64x64xbf16>, %b: tensor<64x64xbf16>) -> tensor<64x64xbf16> {
  %0 = graph.contract %a, %b maps [affine_map<(d0, d1, d2) -> (d0, d2)>, affine_map<(d0, d1, d2) -> (d1, d2)>, affine_map<(d0, d1, d2) -> (d0, d1)>] : tensor<64x64xbf16>, tensor<64x64xbf16> -> tensor<64x64xbf16>
  kernel.return %0 : tensor<64x64xbf16>
}
// CHECK:       llvm.call_intrinsic "llvm.amdgcn.mfma.f32.16x16x16bf16.1k"
}

//--- none.mlir
// CHECK: has no 'target.gpu' of NVIDIA or AMD
module {}
