// RUN: tenon-opt %s --tenon-device-emit-kernels --tenon-spirv-convert-kernels --split-input-file | FileCheck %s

// Products of half floats by cooperative matrices: lines in shared memory have one distance, 16-byte aligned; both operands
// are loaded from there, and sums go back there before the epilogue reads them. What a workgroup shares is not private.
module attributes {target.gpu = #target.gpu<name = "vulkan:coopmat", api = vulkan, arch = "coopmat", subgroup = 0, sharedBytes = 49152, matrix = cooperative, hasBF16 = false>} {
kernel.func @product(%a: tensor<100x96xf16>, %b: tensor<96x70xf16>) -> tensor<100x70xf16> {
  %0 = graph.contract %a, %b maps [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (k, n)>, affine_map<(m, n, k) -> (m, n)>] : tensor<100x96xf16>, tensor<96x70xf16> -> tensor<100x70xf16>
  kernel.return %0 : tensor<100x70xf16>
}
}
// CHECK-LABEL: spirv.module PhysicalStorageBuffer64 Vulkan requires #spirv.vce<v1.6, [
// CHECK-SAME:  CooperativeMatrixKHR
// CHECK-SAME:  SPV_KHR_cooperative_matrix
// CHECK-DAG:   spirv.GlobalVariable @[[STRIP:.*shared2]] : !spirv.ptr<!spirv.array<1088 x f32>, Workgroup>
// CHECK-DAG:   spirv.GlobalVariable @{{.*}}shared0 : !spirv.ptr<!spirv.array<5120 x f16>, Workgroup>
// CHECK-DAG:   spirv.GlobalVariable @[[GROUP:.*]] built_in("SubgroupId")
// CHECK-DAG:   %[[PITCH:.*]] = spirv.Constant 40 : i32
// CHECK-DAG:   %[[STRIPPITCH:.*]] = spirv.Constant 68 : i32
// CHECK:       spirv.Store "Workgroup" %{{.*}}, %{{.*}} ["NonPrivatePointer"] : f16
// CHECK:       spirv.ControlBarrier
// CHECK:       spirv.mlir.loop
// CHECK:         spirv.KHR.CooperativeMatrixLoad %{{.*}}, %[[PITCH]], <RowMajor>, <NonPrivatePointer> : {{.*}} -> !spirv.coopmatrix<16x16xf16, Subgroup, MatrixA>
// CHECK:         spirv.KHR.CooperativeMatrixLoad %{{.*}}, %[[PITCH]], <ColumnMajor>, <NonPrivatePointer> : {{.*}} -> !spirv.coopmatrix<16x16xf16, Subgroup, MatrixB>
// CHECK-COUNT-8: spirv.KHR.CooperativeMatrixMulAdd {{.*}} -> !spirv.coopmatrix<16x16xf32, Subgroup, MatrixAcc>
// CHECK:         spirv.Store "Workgroup" %{{.*}}, %{{.*}} ["NonPrivatePointer"] : f16
// CHECK:         spirv.ControlBarrier
// CHECK:       spirv.KHR.CooperativeMatrixStore %{{.*}}, %{{.*}}, %[[STRIPPITCH]], <RowMajor>, <NonPrivatePointer>
// CHECK:       spirv.ControlBarrier
// CHECK:       spirv.EntryPoint "GLCompute" @tn_kernel_product
// CHECK-SAME:  @launch
// CHECK-SAME:  @[[STRIP]]

// -----

// bf16 has none, and neither has f32.
module attributes {target.gpu = #target.gpu<name = "vulkan:coopmat", api = vulkan, arch = "coopmat", subgroup = 0, sharedBytes = 49152, matrix = cooperative, hasBF16 = false>} {
kernel.func @other(%a: tensor<100x96xbf16>, %b: tensor<96x70xbf16>) -> tensor<100x70xbf16> {
  %0 = graph.contract %a, %b maps [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (k, n)>, affine_map<(m, n, k) -> (m, n)>] : tensor<100x96xbf16>, tensor<96x70xbf16> -> tensor<100x70xbf16>
  kernel.return %0 : tensor<100x70xbf16>
}
}
// CHECK-LABEL: spirv.module PhysicalStorageBuffer64 GLSL450 requires #spirv.vce<v1.
// CHECK-NOT:   CooperativeMatrix
// CHECK:       spirv.GL.Fma

// -----

// Attention: the query, weights and rescaled sums go through shared memory, too.
module attributes {target.gpu = #target.gpu<name = "vulkan:coopmat", api = vulkan, arch = "coopmat", subgroup = 0, sharedBytes = 49152, matrix = cooperative, hasBF16 = false>} {
kernel.func @attend(%q: tensor<1x2x100x32xf16>, %k: tensor<1x2x100x32xf16>, %v: tensor<1x2x100x32xf16>) -> tensor<1x2x100x32xf16> {
  %0 = graph.attention %q, %k, %v scale 0.5 causal : tensor<1x2x100x32xf16>, tensor<1x2x100x32xf16>, tensor<1x2x100x32xf16> -> tensor<1x2x100x32xf16>
  kernel.return %0 : tensor<1x2x100x32xf16>
}
}
// CHECK-LABEL: spirv.module PhysicalStorageBuffer64 Vulkan
// CHECK-COUNT-2: spirv.KHR.CooperativeMatrixLoad {{.*}} -> !spirv.coopmatrix<16x16xf16, Subgroup, MatrixA>
// CHECK:       spirv.mlir.loop
// CHECK-COUNT-2: spirv.KHR.CooperativeMatrixStore
// CHECK:         spirv.GroupNonUniformShuffleXor
// CHECK-COUNT-2: spirv.KHR.CooperativeMatrixStore
// CHECK-COUNT-2: spirv.KHR.CooperativeMatrixLoad {{.*}} -> !spirv.coopmatrix<16x16xf32, Subgroup, MatrixAcc>
// CHECK:         spirv.KHR.CooperativeMatrixMulAdd
