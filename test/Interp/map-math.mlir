// RUN: tenon-interp %s --all | FileCheck %s

// Floats functions of math, each at the same points. Expected values: torch in f64 rounded to f32 (cbrt: numpy;
// round: half away from zero, by hand).

#id = affine_map<(d0) -> (d0)>

// CHECK-LABEL: @absf
// CHECK-NEXT: #0: 9xf32 [0.5, 0.25, 0, 0, 1.5, 2.5, inf, inf, nan]
func.func @absf() -> tensor<9xf32> {
  %x = graph.constant dense<[0.5, -0.25, 0.0, -0.0, 1.5, -2.5, 0x7F800000, 0xFF800000, 0x7FC00000]> : tensor<9xf32>
  %0 = graph.map ins(%x : tensor<9xf32>) maps [#id] -> tensor<9xf32> {
  ^bb0(%a: f32):
    %r = math.absf %a : f32
    graph.yield %r : f32
  }
  return %0 : tensor<9xf32>
}

// CHECK-LABEL: @acos
// CHECK-NEXT: #0: 9xf32 [1.0471976, 1.8234766, 1.5707964, 1.5707964, nan, nan, nan, nan, nan]
func.func @acos() -> tensor<9xf32> {
  %x = graph.constant dense<[0.5, -0.25, 0.0, -0.0, 1.5, -2.5, 0x7F800000, 0xFF800000, 0x7FC00000]> : tensor<9xf32>
  %0 = graph.map ins(%x : tensor<9xf32>) maps [#id] -> tensor<9xf32> {
  ^bb0(%a: f32):
    %r = math.acos %a : f32
    graph.yield %r : f32
  }
  return %0 : tensor<9xf32>
}

// CHECK-LABEL: @acosh
// CHECK-NEXT: #0: 9xf32 [nan, nan, nan, nan, 0.9624236, nan, inf, nan, nan]
func.func @acosh() -> tensor<9xf32> {
  %x = graph.constant dense<[0.5, -0.25, 0.0, -0.0, 1.5, -2.5, 0x7F800000, 0xFF800000, 0x7FC00000]> : tensor<9xf32>
  %0 = graph.map ins(%x : tensor<9xf32>) maps [#id] -> tensor<9xf32> {
  ^bb0(%a: f32):
    %r = math.acosh %a : f32
    graph.yield %r : f32
  }
  return %0 : tensor<9xf32>
}

// CHECK-LABEL: @asin
// CHECK-NEXT: #0: 9xf32 [0.5235988, -0.25268024, 0, -0, nan, nan, nan, nan, nan]
func.func @asin() -> tensor<9xf32> {
  %x = graph.constant dense<[0.5, -0.25, 0.0, -0.0, 1.5, -2.5, 0x7F800000, 0xFF800000, 0x7FC00000]> : tensor<9xf32>
  %0 = graph.map ins(%x : tensor<9xf32>) maps [#id] -> tensor<9xf32> {
  ^bb0(%a: f32):
    %r = math.asin %a : f32
    graph.yield %r : f32
  }
  return %0 : tensor<9xf32>
}

// CHECK-LABEL: @asinh
// CHECK-NEXT: #0: 9xf32 [0.4812118, -0.24746646, 0, -0, 1.1947632, -1.6472311, inf, -inf, nan]
func.func @asinh() -> tensor<9xf32> {
  %x = graph.constant dense<[0.5, -0.25, 0.0, -0.0, 1.5, -2.5, 0x7F800000, 0xFF800000, 0x7FC00000]> : tensor<9xf32>
  %0 = graph.map ins(%x : tensor<9xf32>) maps [#id] -> tensor<9xf32> {
  ^bb0(%a: f32):
    %r = math.asinh %a : f32
    graph.yield %r : f32
  }
  return %0 : tensor<9xf32>
}

// CHECK-LABEL: @atan
// CHECK-NEXT: #0: 9xf32 [0.4636476, -0.24497867, 0, -0, 0.98279375, -1.19029, 1.5707964, -1.5707964, nan]
func.func @atan() -> tensor<9xf32> {
  %x = graph.constant dense<[0.5, -0.25, 0.0, -0.0, 1.5, -2.5, 0x7F800000, 0xFF800000, 0x7FC00000]> : tensor<9xf32>
  %0 = graph.map ins(%x : tensor<9xf32>) maps [#id] -> tensor<9xf32> {
  ^bb0(%a: f32):
    %r = math.atan %a : f32
    graph.yield %r : f32
  }
  return %0 : tensor<9xf32>
}

// CHECK-LABEL: @atanh
// CHECK-NEXT: #0: 9xf32 [0.54930615, -0.25541282, 0, -0, nan, nan, nan, nan, nan]
func.func @atanh() -> tensor<9xf32> {
  %x = graph.constant dense<[0.5, -0.25, 0.0, -0.0, 1.5, -2.5, 0x7F800000, 0xFF800000, 0x7FC00000]> : tensor<9xf32>
  %0 = graph.map ins(%x : tensor<9xf32>) maps [#id] -> tensor<9xf32> {
  ^bb0(%a: f32):
    %r = math.atanh %a : f32
    graph.yield %r : f32
  }
  return %0 : tensor<9xf32>
}

// CHECK-LABEL: @ceil
// CHECK-NEXT: #0: 9xf32 [1, -0, 0, -0, 2, -2, inf, -inf, nan]
func.func @ceil() -> tensor<9xf32> {
  %x = graph.constant dense<[0.5, -0.25, 0.0, -0.0, 1.5, -2.5, 0x7F800000, 0xFF800000, 0x7FC00000]> : tensor<9xf32>
  %0 = graph.map ins(%x : tensor<9xf32>) maps [#id] -> tensor<9xf32> {
  ^bb0(%a: f32):
    %r = math.ceil %a : f32
    graph.yield %r : f32
  }
  return %0 : tensor<9xf32>
}

// CHECK-LABEL: @cos
// CHECK-NEXT: #0: 9xf32 [0.87758255, 0.9689124, 1, 1, 0.0707372, -0.8011436, nan, nan, nan]
func.func @cos() -> tensor<9xf32> {
  %x = graph.constant dense<[0.5, -0.25, 0.0, -0.0, 1.5, -2.5, 0x7F800000, 0xFF800000, 0x7FC00000]> : tensor<9xf32>
  %0 = graph.map ins(%x : tensor<9xf32>) maps [#id] -> tensor<9xf32> {
  ^bb0(%a: f32):
    %r = math.cos %a : f32
    graph.yield %r : f32
  }
  return %0 : tensor<9xf32>
}

// CHECK-LABEL: @cosh
// CHECK-NEXT: #0: 9xf32 [1.127626, 1.0314131, 1, 1, 2.3524096, 6.1322894, inf, inf, nan]
func.func @cosh() -> tensor<9xf32> {
  %x = graph.constant dense<[0.5, -0.25, 0.0, -0.0, 1.5, -2.5, 0x7F800000, 0xFF800000, 0x7FC00000]> : tensor<9xf32>
  %0 = graph.map ins(%x : tensor<9xf32>) maps [#id] -> tensor<9xf32> {
  ^bb0(%a: f32):
    %r = math.cosh %a : f32
    graph.yield %r : f32
  }
  return %0 : tensor<9xf32>
}

// CHECK-LABEL: @sin
// CHECK-NEXT: #0: 9xf32 [0.47942555, -0.24740396, 0, -0, 0.997495, -0.5984721, nan, nan, nan]
func.func @sin() -> tensor<9xf32> {
  %x = graph.constant dense<[0.5, -0.25, 0.0, -0.0, 1.5, -2.5, 0x7F800000, 0xFF800000, 0x7FC00000]> : tensor<9xf32>
  %0 = graph.map ins(%x : tensor<9xf32>) maps [#id] -> tensor<9xf32> {
  ^bb0(%a: f32):
    %r = math.sin %a : f32
    graph.yield %r : f32
  }
  return %0 : tensor<9xf32>
}

// CHECK-LABEL: @sinh
// CHECK-NEXT: #0: 9xf32 [0.5210953, -0.25261232, 0, -0, 2.1292794, -6.0502043, inf, -inf, nan]
func.func @sinh() -> tensor<9xf32> {
  %x = graph.constant dense<[0.5, -0.25, 0.0, -0.0, 1.5, -2.5, 0x7F800000, 0xFF800000, 0x7FC00000]> : tensor<9xf32>
  %0 = graph.map ins(%x : tensor<9xf32>) maps [#id] -> tensor<9xf32> {
  ^bb0(%a: f32):
    %r = math.sinh %a : f32
    graph.yield %r : f32
  }
  return %0 : tensor<9xf32>
}

// CHECK-LABEL: @tan
// CHECK-NEXT: #0: 9xf32 [0.5463025, -0.25534192, 0, -0, 14.10142, 0.7470223, nan, nan, nan]
func.func @tan() -> tensor<9xf32> {
  %x = graph.constant dense<[0.5, -0.25, 0.0, -0.0, 1.5, -2.5, 0x7F800000, 0xFF800000, 0x7FC00000]> : tensor<9xf32>
  %0 = graph.map ins(%x : tensor<9xf32>) maps [#id] -> tensor<9xf32> {
  ^bb0(%a: f32):
    %r = math.tan %a : f32
    graph.yield %r : f32
  }
  return %0 : tensor<9xf32>
}

// CHECK-LABEL: @tanh
// CHECK-NEXT: #0: 9xf32 [0.46211717, -0.24491866, 0, -0, 0.90514827, -0.9866143, 1, -1, nan]
func.func @tanh() -> tensor<9xf32> {
  %x = graph.constant dense<[0.5, -0.25, 0.0, -0.0, 1.5, -2.5, 0x7F800000, 0xFF800000, 0x7FC00000]> : tensor<9xf32>
  %0 = graph.map ins(%x : tensor<9xf32>) maps [#id] -> tensor<9xf32> {
  ^bb0(%a: f32):
    %r = math.tanh %a : f32
    graph.yield %r : f32
  }
  return %0 : tensor<9xf32>
}

// CHECK-LABEL: @erf
// CHECK-NEXT: #0: 9xf32 [0.5204999, -0.2763264, 0, -0, 0.96610516, -0.999593, 1, -1, nan]
func.func @erf() -> tensor<9xf32> {
  %x = graph.constant dense<[0.5, -0.25, 0.0, -0.0, 1.5, -2.5, 0x7F800000, 0xFF800000, 0x7FC00000]> : tensor<9xf32>
  %0 = graph.map ins(%x : tensor<9xf32>) maps [#id] -> tensor<9xf32> {
  ^bb0(%a: f32):
    %r = math.erf %a : f32
    graph.yield %r : f32
  }
  return %0 : tensor<9xf32>
}

// CHECK-LABEL: @erfc
// CHECK-NEXT: #0: 9xf32 [0.47950011, 1.2763264, 1, 1, 0.03389485, 1.999593, 0, 2, nan]
func.func @erfc() -> tensor<9xf32> {
  %x = graph.constant dense<[0.5, -0.25, 0.0, -0.0, 1.5, -2.5, 0x7F800000, 0xFF800000, 0x7FC00000]> : tensor<9xf32>
  %0 = graph.map ins(%x : tensor<9xf32>) maps [#id] -> tensor<9xf32> {
  ^bb0(%a: f32):
    %r = math.erfc %a : f32
    graph.yield %r : f32
  }
  return %0 : tensor<9xf32>
}

// CHECK-LABEL: @exp
// CHECK-NEXT: #0: 9xf32 [1.6487212, 0.7788008, 1, 1, 4.481689, 0.082085, inf, 0, nan]
func.func @exp() -> tensor<9xf32> {
  %x = graph.constant dense<[0.5, -0.25, 0.0, -0.0, 1.5, -2.5, 0x7F800000, 0xFF800000, 0x7FC00000]> : tensor<9xf32>
  %0 = graph.map ins(%x : tensor<9xf32>) maps [#id] -> tensor<9xf32> {
  ^bb0(%a: f32):
    %r = math.exp %a : f32
    graph.yield %r : f32
  }
  return %0 : tensor<9xf32>
}

// CHECK-LABEL: @exp2
// CHECK-NEXT: #0: 9xf32 [1.4142135, 0.8408964, 1, 1, 2.828427, 0.17677669, inf, 0, nan]
func.func @exp2() -> tensor<9xf32> {
  %x = graph.constant dense<[0.5, -0.25, 0.0, -0.0, 1.5, -2.5, 0x7F800000, 0xFF800000, 0x7FC00000]> : tensor<9xf32>
  %0 = graph.map ins(%x : tensor<9xf32>) maps [#id] -> tensor<9xf32> {
  ^bb0(%a: f32):
    %r = math.exp2 %a : f32
    graph.yield %r : f32
  }
  return %0 : tensor<9xf32>
}

// CHECK-LABEL: @expm1
// CHECK-NEXT: #0: 9xf32 [0.6487213, -0.22119921, 0, -0, 3.481689, -0.917915, inf, -1, nan]
func.func @expm1() -> tensor<9xf32> {
  %x = graph.constant dense<[0.5, -0.25, 0.0, -0.0, 1.5, -2.5, 0x7F800000, 0xFF800000, 0x7FC00000]> : tensor<9xf32>
  %0 = graph.map ins(%x : tensor<9xf32>) maps [#id] -> tensor<9xf32> {
  ^bb0(%a: f32):
    %r = math.expm1 %a : f32
    graph.yield %r : f32
  }
  return %0 : tensor<9xf32>
}

// CHECK-LABEL: @floor
// CHECK-NEXT: #0: 9xf32 [0, -1, 0, -0, 1, -3, inf, -inf, nan]
func.func @floor() -> tensor<9xf32> {
  %x = graph.constant dense<[0.5, -0.25, 0.0, -0.0, 1.5, -2.5, 0x7F800000, 0xFF800000, 0x7FC00000]> : tensor<9xf32>
  %0 = graph.map ins(%x : tensor<9xf32>) maps [#id] -> tensor<9xf32> {
  ^bb0(%a: f32):
    %r = math.floor %a : f32
    graph.yield %r : f32
  }
  return %0 : tensor<9xf32>
}

// CHECK-LABEL: @log
// CHECK-NEXT: #0: 9xf32 [-0.6931472, nan, -inf, -inf, 0.4054651, nan, inf, nan, nan]
func.func @log() -> tensor<9xf32> {
  %x = graph.constant dense<[0.5, -0.25, 0.0, -0.0, 1.5, -2.5, 0x7F800000, 0xFF800000, 0x7FC00000]> : tensor<9xf32>
  %0 = graph.map ins(%x : tensor<9xf32>) maps [#id] -> tensor<9xf32> {
  ^bb0(%a: f32):
    %r = math.log %a : f32
    graph.yield %r : f32
  }
  return %0 : tensor<9xf32>
}

// CHECK-LABEL: @log10
// CHECK-NEXT: #0: 9xf32 [-0.30103, nan, -inf, -inf, 0.17609125, nan, inf, nan, nan]
func.func @log10() -> tensor<9xf32> {
  %x = graph.constant dense<[0.5, -0.25, 0.0, -0.0, 1.5, -2.5, 0x7F800000, 0xFF800000, 0x7FC00000]> : tensor<9xf32>
  %0 = graph.map ins(%x : tensor<9xf32>) maps [#id] -> tensor<9xf32> {
  ^bb0(%a: f32):
    %r = math.log10 %a : f32
    graph.yield %r : f32
  }
  return %0 : tensor<9xf32>
}

// CHECK-LABEL: @log1p
// CHECK-NEXT: #0: 9xf32 [0.4054651, -0.2876821, 0, -0, 0.91629076, nan, inf, nan, nan]
func.func @log1p() -> tensor<9xf32> {
  %x = graph.constant dense<[0.5, -0.25, 0.0, -0.0, 1.5, -2.5, 0x7F800000, 0xFF800000, 0x7FC00000]> : tensor<9xf32>
  %0 = graph.map ins(%x : tensor<9xf32>) maps [#id] -> tensor<9xf32> {
  ^bb0(%a: f32):
    %r = math.log1p %a : f32
    graph.yield %r : f32
  }
  return %0 : tensor<9xf32>
}

// CHECK-LABEL: @log2
// CHECK-NEXT: #0: 9xf32 [-1, nan, -inf, -inf, 0.5849625, nan, inf, nan, nan]
func.func @log2() -> tensor<9xf32> {
  %x = graph.constant dense<[0.5, -0.25, 0.0, -0.0, 1.5, -2.5, 0x7F800000, 0xFF800000, 0x7FC00000]> : tensor<9xf32>
  %0 = graph.map ins(%x : tensor<9xf32>) maps [#id] -> tensor<9xf32> {
  ^bb0(%a: f32):
    %r = math.log2 %a : f32
    graph.yield %r : f32
  }
  return %0 : tensor<9xf32>
}

// CHECK-LABEL: @roundeven
// CHECK-NEXT: #0: 9xf32 [0, -0, 0, -0, 2, -2, inf, -inf, nan]
func.func @roundeven() -> tensor<9xf32> {
  %x = graph.constant dense<[0.5, -0.25, 0.0, -0.0, 1.5, -2.5, 0x7F800000, 0xFF800000, 0x7FC00000]> : tensor<9xf32>
  %0 = graph.map ins(%x : tensor<9xf32>) maps [#id] -> tensor<9xf32> {
  ^bb0(%a: f32):
    %r = math.roundeven %a : f32
    graph.yield %r : f32
  }
  return %0 : tensor<9xf32>
}

// CHECK-LABEL: @trunc
// CHECK-NEXT: #0: 9xf32 [0, -0, 0, -0, 1, -2, inf, -inf, nan]
func.func @trunc() -> tensor<9xf32> {
  %x = graph.constant dense<[0.5, -0.25, 0.0, -0.0, 1.5, -2.5, 0x7F800000, 0xFF800000, 0x7FC00000]> : tensor<9xf32>
  %0 = graph.map ins(%x : tensor<9xf32>) maps [#id] -> tensor<9xf32> {
  ^bb0(%a: f32):
    %r = math.trunc %a : f32
    graph.yield %r : f32
  }
  return %0 : tensor<9xf32>
}

// CHECK-LABEL: @sqrt
// CHECK-NEXT: #0: 9xf32 [0.70710677, nan, 0, -0, 1.2247449, nan, inf, nan, nan]
func.func @sqrt() -> tensor<9xf32> {
  %x = graph.constant dense<[0.5, -0.25, 0.0, -0.0, 1.5, -2.5, 0x7F800000, 0xFF800000, 0x7FC00000]> : tensor<9xf32>
  %0 = graph.map ins(%x : tensor<9xf32>) maps [#id] -> tensor<9xf32> {
  ^bb0(%a: f32):
    %r = math.sqrt %a : f32
    graph.yield %r : f32
  }
  return %0 : tensor<9xf32>
}

// CHECK-LABEL: @rsqrt
// CHECK-NEXT: #0: 9xf32 [1.4142135, nan, inf, -inf, 0.8164966, nan, 0, nan, nan]
func.func @rsqrt() -> tensor<9xf32> {
  %x = graph.constant dense<[0.5, -0.25, 0.0, -0.0, 1.5, -2.5, 0x7F800000, 0xFF800000, 0x7FC00000]> : tensor<9xf32>
  %0 = graph.map ins(%x : tensor<9xf32>) maps [#id] -> tensor<9xf32> {
  ^bb0(%a: f32):
    %r = math.rsqrt %a : f32
    graph.yield %r : f32
  }
  return %0 : tensor<9xf32>
}

// CHECK-LABEL: @cbrt
// CHECK-NEXT: #0: 9xf32 [0.7937005, -0.62996054, 0, -0, 1.1447142, -1.3572088, inf, -inf, nan]
func.func @cbrt() -> tensor<9xf32> {
  %x = graph.constant dense<[0.5, -0.25, 0.0, -0.0, 1.5, -2.5, 0x7F800000, 0xFF800000, 0x7FC00000]> : tensor<9xf32>
  %0 = graph.map ins(%x : tensor<9xf32>) maps [#id] -> tensor<9xf32> {
  ^bb0(%a: f32):
    %r = math.cbrt %a : f32
    graph.yield %r : f32
  }
  return %0 : tensor<9xf32>
}

// CHECK-LABEL: @round
// CHECK-NEXT: #0: 9xf32 [1, -0, 0, -0, 2, -3, inf, -inf, nan]
func.func @round() -> tensor<9xf32> {
  %x = graph.constant dense<[0.5, -0.25, 0.0, -0.0, 1.5, -2.5, 0x7F800000, 0xFF800000, 0x7FC00000]> : tensor<9xf32>
  %0 = graph.map ins(%x : tensor<9xf32>) maps [#id] -> tensor<9xf32> {
  ^bb0(%a: f32):
    %r = math.round %a : f32
    graph.yield %r : f32
  }
  return %0 : tensor<9xf32>
}
