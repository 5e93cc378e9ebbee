// RUN: tenon compile %s -o %t.tenon
// RUN: tenon run %t.tenon --input=splat:2 --symbol=batch=3 | FileCheck %s --check-prefix=RESULT
// RUN: tenon inspect %t.tenon | FileCheck %s --check-prefix=INSPECT
// RUN: tenon compile %s -o %t.tenon --target=cpu:x86-64-v2 && tenon run %t.tenon --input=random:1 --symbol=batch=3 | FileCheck %s --check-prefix=RANDOM
// RUN: not tenon compile %s -o %t.tenon --target=cpu:z80 2>&1 | FileCheck %s --check-prefix=TARGET
// RUN: not tenon compile %S -o %t.tenon 2>&1 | FileCheck %s --check-prefix=FOLDER
// RUN: tenon extract %s --list | FileCheck %s --check-prefix=LIST
// RUN: tenon extract %s --kernel=contract -o %t.k.mlir && tenon verify %t.k.mlir | FileCheck %s --check-prefix=VERIFY
// RUN: not tenon extract %s --kernel=nothing -o %t.k.mlir 2>&1 | FileCheck %s --check-prefix=NAMES

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
