// RUN: tenon-opt %s --tenon-device-emit-kernels --split-input-file | FileCheck %s

// One element for each thread, in a grid of workgroups; those beyond the last one do nothing.
kernel.func @add(%x: tensor<1000xf32>, %y: tensor<1000xf32>) -> tensor<1000xf32> {
  %0 = graph.map ins(%x, %y : tensor<1000xf32>, tensor<1000xf32>) maps [affine_map<(d0) -> (d0)>, affine_map<(d0) -> (d0)>] -> tensor<1000xf32> {
  ^bb0(%a: f32, %b: f32):
    %s = arith.addf %a, %b : f32
    graph.yield %s : f32
  }
  kernel.return %0 : tensor<1000xf32>
}
// CHECK:       kernel.func @add
// CHECK-SAME:  device
// CHECK-SAME:  tiles = #graph.dims<[8]>
// CHECK-LABEL: func.func @tn_kernel_add
// CHECK-SAME:  (%[[ARGS:.*]]: !llvm.ptr, %[[GROUP:.*]]: i64, %[[THREAD:.*]]: i64, %{{.*}}: !llvm.ptr) attributes {device.slots = {{[0-9]+}} : i64, device.threads = 128 : i64}
// CHECK:       %[[BASE:.*]] = arith.muli %[[GROUP]], %{{.*}}
// CHECK:       %[[AT:.*]] = arith.addi %[[BASE]], %[[THREAD]]
// CHECK:       arith.cmpi slt, %[[AT]]
// CHECK:       scf.if
// CHECK:         llvm.load %{{.*}} -> f32
// CHECK:         llvm.load %{{.*}} -> f32
// CHECK:         arith.addf %{{.*}} : f32
// CHECK:         llvm.store
// CHECK:       return

// -----

// An index that is out of range is reported by the lowest site that failed.
kernel.func @take(%x: tensor<10xf32>, %i: tensor<4xi64>) -> tensor<4xf32> attributes {sites = ["index {0}"]} {
  %0 = graph.gather %x at (%i) maps [affine_map<(d0) -> (d0)>] coords [-1] {site = 0 : i32} : tensor<10xf32> at (tensor<4xi64>) -> tensor<4xf32>
  kernel.return %0 : tensor<4xf32>
}
// CHECK-LABEL: func.func @tn_kernel_take
// CHECK-SAME:  %[[REPORT:[a-z0-9]+]]: !llvm.ptr) attributes
// CHECK:       %[[BEFORE:.*]] = llvm.atomicrmw umin %[[REPORT]], %[[SITE:.*]] monotonic
// CHECK:       arith.cmpi ult, %[[SITE]], %[[BEFORE]]
