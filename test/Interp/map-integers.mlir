// RUN: tenon-interp %s --all | FileCheck %s

// Integer ops of arith on i8, which wrap. Expected values: Python's unbounded integers, cut to 8 bits; the unsigned ones
// on the values mod 256.

#id = affine_map<(d0) -> (d0)>

// CHECK-LABEL: @addi
// CHECK-NEXT: #0: 8xi8 [9, -5, 5, -9, 127, -128, 3, 10]
func.func @addi() -> tensor<8xi8> {
  %x = graph.constant dense<[7, -7, 7, -7, -128, 127, 0, 5]> : tensor<8xi8>
  %y = graph.constant dense<[2, 2, -2, -2, -1, 1, 3, 5]> : tensor<8xi8>
  %0 = graph.map ins(%x, %y : tensor<8xi8>, tensor<8xi8>) maps [#id, #id] -> tensor<8xi8> {
  ^bb0(%a: i8, %b: i8):
    %r = arith.addi %a, %b : i8
    graph.yield %r : i8
  }
  return %0 : tensor<8xi8>
}

// CHECK-LABEL: @subi
// CHECK-NEXT: #0: 8xi8 [5, -9, 9, -5, -127, 126, -3, 0]
func.func @subi() -> tensor<8xi8> {
  %x = graph.constant dense<[7, -7, 7, -7, -128, 127, 0, 5]> : tensor<8xi8>
  %y = graph.constant dense<[2, 2, -2, -2, -1, 1, 3, 5]> : tensor<8xi8>
  %0 = graph.map ins(%x, %y : tensor<8xi8>, tensor<8xi8>) maps [#id, #id] -> tensor<8xi8> {
  ^bb0(%a: i8, %b: i8):
    %r = arith.subi %a, %b : i8
    graph.yield %r : i8
  }
  return %0 : tensor<8xi8>
}

// CHECK-LABEL: @muli
// CHECK-NEXT: #0: 8xi8 [14, -14, -14, 14, -128, 127, 0, 25]
func.func @muli() -> tensor<8xi8> {
  %x = graph.constant dense<[7, -7, 7, -7, -128, 127, 0, 5]> : tensor<8xi8>
  %y = graph.constant dense<[2, 2, -2, -2, -1, 1, 3, 5]> : tensor<8xi8>
  %0 = graph.map ins(%x, %y : tensor<8xi8>, tensor<8xi8>) maps [#id, #id] -> tensor<8xi8> {
  ^bb0(%a: i8, %b: i8):
    %r = arith.muli %a, %b : i8
    graph.yield %r : i8
  }
  return %0 : tensor<8xi8>
}

// CHECK-LABEL: @divsi
// CHECK-NEXT: #0: 8xi8 [3, -3, -3, 3, -128, 127, 0, 1]
func.func @divsi() -> tensor<8xi8> {
  %x = graph.constant dense<[7, -7, 7, -7, -128, 127, 0, 5]> : tensor<8xi8>
  %y = graph.constant dense<[2, 2, -2, -2, -1, 1, 3, 5]> : tensor<8xi8>
  %0 = graph.map ins(%x, %y : tensor<8xi8>, tensor<8xi8>) maps [#id, #id] -> tensor<8xi8> {
  ^bb0(%a: i8, %b: i8):
    %r = arith.divsi %a, %b : i8
    graph.yield %r : i8
  }
  return %0 : tensor<8xi8>
}

// CHECK-LABEL: @remsi
// CHECK-NEXT: #0: 8xi8 [1, -1, 1, -1, 0, 0, 0, 0]
func.func @remsi() -> tensor<8xi8> {
  %x = graph.constant dense<[7, -7, 7, -7, -128, 127, 0, 5]> : tensor<8xi8>
  %y = graph.constant dense<[2, 2, -2, -2, -1, 1, 3, 5]> : tensor<8xi8>
  %0 = graph.map ins(%x, %y : tensor<8xi8>, tensor<8xi8>) maps [#id, #id] -> tensor<8xi8> {
  ^bb0(%a: i8, %b: i8):
    %r = arith.remsi %a, %b : i8
    graph.yield %r : i8
  }
  return %0 : tensor<8xi8>
}

// CHECK-LABEL: @floordivsi
// CHECK-NEXT: #0: 8xi8 [3, -4, -4, 3, -128, 127, 0, 1]
func.func @floordivsi() -> tensor<8xi8> {
  %x = graph.constant dense<[7, -7, 7, -7, -128, 127, 0, 5]> : tensor<8xi8>
  %y = graph.constant dense<[2, 2, -2, -2, -1, 1, 3, 5]> : tensor<8xi8>
  %0 = graph.map ins(%x, %y : tensor<8xi8>, tensor<8xi8>) maps [#id, #id] -> tensor<8xi8> {
  ^bb0(%a: i8, %b: i8):
    %r = arith.floordivsi %a, %b : i8
    graph.yield %r : i8
  }
  return %0 : tensor<8xi8>
}

// CHECK-LABEL: @ceildivsi
// CHECK-NEXT: #0: 8xi8 [4, -3, -3, 4, -128, 127, 0, 1]
func.func @ceildivsi() -> tensor<8xi8> {
  %x = graph.constant dense<[7, -7, 7, -7, -128, 127, 0, 5]> : tensor<8xi8>
  %y = graph.constant dense<[2, 2, -2, -2, -1, 1, 3, 5]> : tensor<8xi8>
  %0 = graph.map ins(%x, %y : tensor<8xi8>, tensor<8xi8>) maps [#id, #id] -> tensor<8xi8> {
  ^bb0(%a: i8, %b: i8):
    %r = arith.ceildivsi %a, %b : i8
    graph.yield %r : i8
  }
  return %0 : tensor<8xi8>
}

// CHECK-LABEL: @divui
// CHECK-NEXT: #0: 8xi8 [3, 124, 0, 0, 0, 127, 0, 1]
func.func @divui() -> tensor<8xi8> {
  %x = graph.constant dense<[7, -7, 7, -7, -128, 127, 0, 5]> : tensor<8xi8>
  %y = graph.constant dense<[2, 2, -2, -2, -1, 1, 3, 5]> : tensor<8xi8>
  %0 = graph.map ins(%x, %y : tensor<8xi8>, tensor<8xi8>) maps [#id, #id] -> tensor<8xi8> {
  ^bb0(%a: i8, %b: i8):
    %r = arith.divui %a, %b : i8
    graph.yield %r : i8
  }
  return %0 : tensor<8xi8>
}

// CHECK-LABEL: @remui
// CHECK-NEXT: #0: 8xi8 [1, 1, 7, -7, -128, 0, 0, 0]
func.func @remui() -> tensor<8xi8> {
  %x = graph.constant dense<[7, -7, 7, -7, -128, 127, 0, 5]> : tensor<8xi8>
  %y = graph.constant dense<[2, 2, -2, -2, -1, 1, 3, 5]> : tensor<8xi8>
  %0 = graph.map ins(%x, %y : tensor<8xi8>, tensor<8xi8>) maps [#id, #id] -> tensor<8xi8> {
  ^bb0(%a: i8, %b: i8):
    %r = arith.remui %a, %b : i8
    graph.yield %r : i8
  }
  return %0 : tensor<8xi8>
}

// CHECK-LABEL: @maxsi
// CHECK-NEXT: #0: 8xi8 [7, 2, 7, -2, -1, 127, 3, 5]
func.func @maxsi() -> tensor<8xi8> {
  %x = graph.constant dense<[7, -7, 7, -7, -128, 127, 0, 5]> : tensor<8xi8>
  %y = graph.constant dense<[2, 2, -2, -2, -1, 1, 3, 5]> : tensor<8xi8>
  %0 = graph.map ins(%x, %y : tensor<8xi8>, tensor<8xi8>) maps [#id, #id] -> tensor<8xi8> {
  ^bb0(%a: i8, %b: i8):
    %r = arith.maxsi %a, %b : i8
    graph.yield %r : i8
  }
  return %0 : tensor<8xi8>
}

// CHECK-LABEL: @minsi
// CHECK-NEXT: #0: 8xi8 [2, -7, -2, -7, -128, 1, 0, 5]
func.func @minsi() -> tensor<8xi8> {
  %x = graph.constant dense<[7, -7, 7, -7, -128, 127, 0, 5]> : tensor<8xi8>
  %y = graph.constant dense<[2, 2, -2, -2, -1, 1, 3, 5]> : tensor<8xi8>
  %0 = graph.map ins(%x, %y : tensor<8xi8>, tensor<8xi8>) maps [#id, #id] -> tensor<8xi8> {
  ^bb0(%a: i8, %b: i8):
    %r = arith.minsi %a, %b : i8
    graph.yield %r : i8
  }
  return %0 : tensor<8xi8>
}

// CHECK-LABEL: @maxui
// CHECK-NEXT: #0: 8xi8 [7, -7, -2, -2, -1, 127, 3, 5]
func.func @maxui() -> tensor<8xi8> {
  %x = graph.constant dense<[7, -7, 7, -7, -128, 127, 0, 5]> : tensor<8xi8>
  %y = graph.constant dense<[2, 2, -2, -2, -1, 1, 3, 5]> : tensor<8xi8>
  %0 = graph.map ins(%x, %y : tensor<8xi8>, tensor<8xi8>) maps [#id, #id] -> tensor<8xi8> {
  ^bb0(%a: i8, %b: i8):
    %r = arith.maxui %a, %b : i8
    graph.yield %r : i8
  }
  return %0 : tensor<8xi8>
}

// CHECK-LABEL: @minui
// CHECK-NEXT: #0: 8xi8 [2, 2, 7, -7, -128, 1, 0, 5]
func.func @minui() -> tensor<8xi8> {
  %x = graph.constant dense<[7, -7, 7, -7, -128, 127, 0, 5]> : tensor<8xi8>
  %y = graph.constant dense<[2, 2, -2, -2, -1, 1, 3, 5]> : tensor<8xi8>
  %0 = graph.map ins(%x, %y : tensor<8xi8>, tensor<8xi8>) maps [#id, #id] -> tensor<8xi8> {
  ^bb0(%a: i8, %b: i8):
    %r = arith.minui %a, %b : i8
    graph.yield %r : i8
  }
  return %0 : tensor<8xi8>
}

// CHECK-LABEL: @andi
// CHECK-NEXT: #0: 8xi8 [2, 0, 6, -8, -128, 1, 0, 5]
func.func @andi() -> tensor<8xi8> {
  %x = graph.constant dense<[7, -7, 7, -7, -128, 127, 0, 5]> : tensor<8xi8>
  %y = graph.constant dense<[2, 2, -2, -2, -1, 1, 3, 5]> : tensor<8xi8>
  %0 = graph.map ins(%x, %y : tensor<8xi8>, tensor<8xi8>) maps [#id, #id] -> tensor<8xi8> {
  ^bb0(%a: i8, %b: i8):
    %r = arith.andi %a, %b : i8
    graph.yield %r : i8
  }
  return %0 : tensor<8xi8>
}

// CHECK-LABEL: @ori
// CHECK-NEXT: #0: 8xi8 [7, -5, -1, -1, -1, 127, 3, 5]
func.func @ori() -> tensor<8xi8> {
  %x = graph.constant dense<[7, -7, 7, -7, -128, 127, 0, 5]> : tensor<8xi8>
  %y = graph.constant dense<[2, 2, -2, -2, -1, 1, 3, 5]> : tensor<8xi8>
  %0 = graph.map ins(%x, %y : tensor<8xi8>, tensor<8xi8>) maps [#id, #id] -> tensor<8xi8> {
  ^bb0(%a: i8, %b: i8):
    %r = arith.ori %a, %b : i8
    graph.yield %r : i8
  }
  return %0 : tensor<8xi8>
}

// CHECK-LABEL: @xori
// CHECK-NEXT: #0: 8xi8 [5, -5, -7, 7, 127, 126, 3, 0]
func.func @xori() -> tensor<8xi8> {
  %x = graph.constant dense<[7, -7, 7, -7, -128, 127, 0, 5]> : tensor<8xi8>
  %y = graph.constant dense<[2, 2, -2, -2, -1, 1, 3, 5]> : tensor<8xi8>
  %0 = graph.map ins(%x, %y : tensor<8xi8>, tensor<8xi8>) maps [#id, #id] -> tensor<8xi8> {
  ^bb0(%a: i8, %b: i8):
    %r = arith.xori %a, %b : i8
    graph.yield %r : i8
  }
  return %0 : tensor<8xi8>
}

// CHECK-LABEL: @shli
// CHECK-NEXT: #0: 8xi8 [14, -28, -128, -7, 0, -8, 0, 80]
func.func @shli() -> tensor<8xi8> {
  %x = graph.constant dense<[7, -7, 7, -7, -128, 127, 0, 5]> : tensor<8xi8>
  %y = graph.constant dense<[1, 2, 7, 0, 7, 3, 1, 4]> : tensor<8xi8>
  %0 = graph.map ins(%x, %y : tensor<8xi8>, tensor<8xi8>) maps [#id, #id] -> tensor<8xi8> {
  ^bb0(%a: i8, %b: i8):
    %r = arith.shli %a, %b : i8
    graph.yield %r : i8
  }
  return %0 : tensor<8xi8>
}

// CHECK-LABEL: @shrsi
// CHECK-NEXT: #0: 8xi8 [3, -2, 0, -7, -1, 15, 0, 0]
func.func @shrsi() -> tensor<8xi8> {
  %x = graph.constant dense<[7, -7, 7, -7, -128, 127, 0, 5]> : tensor<8xi8>
  %y = graph.constant dense<[1, 2, 7, 0, 7, 3, 1, 4]> : tensor<8xi8>
  %0 = graph.map ins(%x, %y : tensor<8xi8>, tensor<8xi8>) maps [#id, #id] -> tensor<8xi8> {
  ^bb0(%a: i8, %b: i8):
    %r = arith.shrsi %a, %b : i8
    graph.yield %r : i8
  }
  return %0 : tensor<8xi8>
}

// CHECK-LABEL: @shrui
// CHECK-NEXT: #0: 8xi8 [3, 62, 0, -7, 1, 15, 0, 0]
func.func @shrui() -> tensor<8xi8> {
  %x = graph.constant dense<[7, -7, 7, -7, -128, 127, 0, 5]> : tensor<8xi8>
  %y = graph.constant dense<[1, 2, 7, 0, 7, 3, 1, 4]> : tensor<8xi8>
  %0 = graph.map ins(%x, %y : tensor<8xi8>, tensor<8xi8>) maps [#id, #id] -> tensor<8xi8> {
  ^bb0(%a: i8, %b: i8):
    %r = arith.shrui %a, %b : i8
    graph.yield %r : i8
  }
  return %0 : tensor<8xi8>
}
