// RUN: tenon-opt %s --tenon-device-emit-kernels --tenon-spirv-convert-kernels --split-input-file | FileCheck %s

// Arguments lie in memory whose address is a push constant; buffers are addresses of physical storage.
kernel.func @exp(%x: tensor<1000xf32>) -> tensor<1000xf32> {
  %0 = graph.map ins(%x : tensor<1000xf32>) maps [affine_map<(d0) -> (d0)>] -> tensor<1000xf32> {
  ^bb0(%a: f32):
    %s = math.exp %a : f32
    graph.yield %s : f32
  }
  kernel.return %0 : tensor<1000xf32>
}
// CHECK-LABEL: spirv.module PhysicalStorageBuffer64 GLSL450
// CHECK-SAME:  PhysicalStorageBufferAddresses
// CHECK:       spirv.GlobalVariable @launch : !spirv.ptr<!spirv.struct<(i64 [0], i64 [8], i64 [16]), Block>, PushConstant>
// CHECK:       spirv.func @tn_kernel_exp()
// CHECK:       spirv.ConvertUToPtr %{{.*}} : i64 to !spirv.ptr<f32, PhysicalStorageBuffer>
// CHECK:       spirv.Load "PhysicalStorageBuffer" %{{.*}} ["Aligned", 4] : f32
// CHECK-NOT:   spirv.GL.Exp
// CHECK:       spirv.GL.Fma %{{.*}} {no_contraction}
// CHECK:       spirv.Store "PhysicalStorageBuffer" %{{.*}}, %{{.*}} ["Aligned", 4] : f32
// CHECK:       spirv.EntryPoint "GLCompute" @tn_kernel_exp
// CHECK:       spirv.ExecutionMode @tn_kernel_exp "LocalSize", 128, 1, 1

// -----

// Shared memory is an array among the module's variables; NaNs are asked for by name.
kernel.func @max(%x: tensor<6x1000xf32>) -> tensor<6xf32> {
  %0 = graph.reduce max %x dims [1] : tensor<6x1000xf32> -> tensor<6xf32>
  kernel.return %0 : tensor<6xf32>
}
// CHECK-LABEL: spirv.module
// CHECK:       spirv.GlobalVariable @[[SHARED:.*]] : !spirv.ptr<!spirv.array<128 x f32>, Workgroup>
// CHECK:       spirv.IsNan
// CHECK:       spirv.ControlBarrier <Workgroup>, <Workgroup>, <AcquireRelease|WorkgroupMemory>

// -----

// Half floats are loaded as such and computed in f32; bytes are bools.
kernel.func @half(%x: tensor<64xf16>, %m: tensor<64xi1>) -> tensor<64xf16> {
  %0 = graph.map ins(%x, %m : tensor<64xf16>, tensor<64xi1>) maps [affine_map<(d0) -> (d0)>, affine_map<(d0) -> (d0)>] -> tensor<64xf16> {
  ^bb0(%a: f16, %c: i1):
    %w = arith.extf %a : f16 to f32
    %s = arith.mulf %w, %w : f32
    %n = arith.truncf %s : f32 to f16
    %r = arith.select %c, %n, %a : f16
    graph.yield %r : f16
  }
  kernel.return %0 : tensor<64xf16>
}
// CHECK-LABEL: spirv.module
// CHECK-SAME:  requires #spirv.vce<v1.{{[0-9]}}, [{{[^]]*}}StorageBuffer8BitAccess, StorageBuffer16BitAccess]
// CHECK-DAG:   spirv.Load "PhysicalStorageBuffer" %{{.*}} ["Aligned", 2] : f16
// CHECK-DAG:   spirv.Load "PhysicalStorageBuffer" %{{.*}} ["Aligned", 1] : i8
// CHECK:       spirv.FConvert %{{.*}} : f16 to f32

// -----

// A loop without turns gives what it began with: the first block has no carry.
kernel.func @blocks(%x: tensor<3000xf32>, %c: tensor<2xf32>) -> tensor<3000xf32> {
  %0 = graph.cumulate max %x dim 0 block 1024 carries %c : tensor<3000xf32>, tensor<2xf32>
  kernel.return %0 : tensor<3000xf32>
}
// CHECK-LABEL: spirv.module
// CHECK:       %[[NONE:.*]] = spirv.Constant 0xFF800000 : f32
// CHECK:       spirv.mlir.loop
// CHECK:       spirv.Select %{{.*}}, %{{.*}}, %[[NONE]] : i1, f32
