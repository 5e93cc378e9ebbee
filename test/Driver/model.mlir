// RUN: tenon compile %s -o %t.tenon
// RUN: tenon run %t.tenon --input=splat:2 --symbol=batch=3 | FileCheck %s --check-prefix=RESULT
// RUN: tenon inspect %t.tenon | FileCheck %s --check-prefix=INSPECT
// RUN: tenon compile %s -o %t.tenon --target=cpu:x86-64-v2 && tenon run %t.tenon --input=random:1 --symbol=batch=3 | FileCheck %s --check-prefix=RANDOM
// RUN: not tenon compile %s -o %t.tenon --target=cpu:z80 2>&1 | FileCheck %s --check-prefix=TARGET
// RUN: not tenon compile %S -o %t.tenon 2>&1 | FileCheck %s --check-prefix=FOLDER
// RUN: tenon extract %s --list | FileCheck %s --check-prefix=LIST
// RUN: tenon extract %s --kernel=contract -o %t.k.mlir && tenon verify %t.k.mlir | FileCheck %s --check-prefix=VERIFY
// RUN: not tenon extract %s --kernel=nothing -o %t.k.mlir 2>&1 | FileCheck %s --check-prefix=NAMES

// RUN: tenon check %s --symbol=batch=100 | FileCheck %s --check-prefix=CHECK
// RUN: tenon check %s --symbol=batch=100 --json | FileCheck %s --check-prefix=JSON
// RUN: not tenon check %s --symbol=batch=1000 2>&1 | FileCheck %s --check-prefix=RANGE
// RUN: not tenon check %s --symbol=rows=1 2>&1 | FileCheck %s --check-prefix=SYMBOL

// CHECK: everything in it is supported
// CHECK-NEXT: file: a little over 512 B
// CHECK-NEXT: entry 'main' at batch = 100: 1 kernels, 0.0064 million operations, 5.19 KiB read and written
// JSON: "supported": true
// JSON: "operations": 6400
// JSON: "moved_bytes": 53
// JSON: "slow": []
// RANGE: tenon: error: {{.*}}--symbol=batch=1000 is not batch=SIZE with a size of 0 to 512
// SYMBOL: tenon: error: {{.*}}--symbol=rows=1 names no size of the model: it has batch

// RESULT: y: f32 [3, 4]  min 8, max 8, mean 8
// INSPECT: x {{.*}}f32 {{.*}}[batch, 8]
// INSPECT: size batch in [0, 512]
// INSPECT: contract
// RANDOM: y: f32 [3, 4]
// TARGET: tenon: error: --target=cpu:z80: {{.*}}x86-64-v3
// FOLDER: tenon: error: {{.*}}is a directory but a model file was expected
// LIST: contract
// VERIFY: within
// NAMES: there is no kernel 'nothing'; the kernels are contract
graph.weight @w : tensor<4x8xf32> from #graph.source<"splat", "", 0, 0, 0.5 : f64>
func.func @main(%x: tensor<?x8xf32, #graph.dims<[s0, 8]>> {graph.name = "x"})
    -> (tensor<?x4xf32, #graph.dims<[s0, 4]>> {graph.name = "y"})
    attributes {graph.symbols = [#graph.symbol<"batch", 0, 512>]} {
  %w = graph.use_weight @w : tensor<4x8xf32>
  %0 = graph.contract %x, %w maps [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]
     : tensor<?x8xf32, #graph.dims<[s0, 8]>>, tensor<4x8xf32> -> tensor<?x4xf32, #graph.dims<[s0, 4]>>
  return %0 : tensor<?x4xf32, #graph.dims<[s0, 4]>>
}
