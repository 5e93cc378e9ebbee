// RUN: split-file %s %t
// RUN: tenon-opt %t/cuda.mlir --tenon-device-emit-kernels --tenon-gpu-lower-kernels | FileCheck %t/cuda.mlir
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
// CHECK:       nvvm.barrier0

// Half floats are multiplied by the matrix unit.
kernel.func @product(%a: tensor<64x64xf16>, %b: tensor<64x64xf16>) -> tensor<64x64xf16> {
  %0 = graph.contract %a, %b maps [affine_map<(d0, d1, d2) -> (d0, d2)>, affine_map<(d0, d1, d2) -> (d1, d2)>, affine_map<(d0, d1, d2) -> (d0, d1)>] : tensor<64x64xf16>, tensor<64x64xf16> -> tensor<64x64xf16>
  kernel.return %0 : tensor<64x64xf16>
}
// CHECK:       llvm.func @tn_kernel_product
// CHECK:       llvm.load %{{.*}} {alignment = 16 : i64} : !llvm.ptr -> vector<8xf16>
// CHECK:       llvm.call_intrinsic "llvm.nvvm.mma.m16n8k16.row.col.f32.f32"
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
