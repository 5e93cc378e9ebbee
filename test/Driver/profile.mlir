// A profile assigns the time of a call to kernels: here nearly all of it to the product.

// RUN: tenon compile %s -o %t.tenon
// RUN: tenon bench %t.tenon --threads=1 --seconds=0.3 --profile | FileCheck %s
// RUN: tenon bench %t.tenon --threads=2 --seconds=0.3 --profile --json > %t.json
// RUN: %python -c "import json, sys; r = json.load(open(sys.argv[1])); p = r['profile']; k = {x['name']: x for x in p['kernels']}; total = sum(x['ms'] for x in p['kernels']) + p['between_kernels_ms'] + p['outside_ms']; assert abs(total - r['mean_ms']) < 0.1 * total, (total, r); assert k['contract']['ms'] + k['contract']['worker_ms'] > 10 * (k['rows']['ms'] + k['rows']['worker_ms']), k; assert k['contract']['flops'] == 2 * 256**3, k" %t.json

// Code sizes come from the same table.
// RUN: tenon inspect %t.tenon --json > %t.json
// RUN: %python -c "import json, sys; r = json.load(open(sys.argv[1])); assert all(k['code_bytes'] > 64 for k in r['variants'][0]['kernels']), r" %t.json

// CHECK: kernel {{.*}}calls {{.*}}share
// CHECK-NEXT: contract 1 {{.*}}%
// CHECK-NEXT: rows {{.*}}%
// CHECK: (between kernels)
// CHECK: samples of the calling thread
graph.weight @w : tensor<256x256xf32> from #graph.source<"splat", "", 0, 0, 0.5 : f64>
func.func @main(%x: tensor<256x256xf32> {graph.name = "x"}) -> (tensor<256xf32> {graph.name = "y"}) {
  %w = graph.use_weight @w : tensor<256x256xf32>
  %0 = graph.contract %x, %w maps [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]
     : tensor<256x256xf32>, tensor<256x256xf32> -> tensor<256x256xf32>
  %1 = graph.reduce sum %0 dims [1] : tensor<256x256xf32> -> tensor<256xf32>
  return %1 : tensor<256xf32>
}
