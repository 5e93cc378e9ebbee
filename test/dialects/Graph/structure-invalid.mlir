// RUN: tenon-opt %s --split-input-file --verify-diagnostics

// graph.weight C1
// expected-error @+1 {{'graph.weight' op type 'tensor<?xf32, #graph.dims<[s0]>>' must be a static tensor}}
graph.weight @w : tensor<?xf32, #graph.dims<[s0]>> from #graph.source<"splat", "", 0, 0, 0.5 : f64>

// -----

// #graph.source
// expected-error @+1 {{weight source is 'net' but must be file, splat, seed or owned}}
graph.weight @w : tensor<4xf32> from #graph.source<"net", "", 0, 0, 0.5 : f64>

// -----

// expected-error @+1 {{weight source has a negative offset or length}}
graph.weight @w : tensor<4xf32> from #graph.source<"file", "a", -1, 16, 0.5 : f64>

// -----

// graph.use_weight C1: the type
graph.weight @w : tensor<4xf32> from #graph.source<"splat", "", 0, 0, 0.5 : f64>
func.func @f() -> tensor<5xf32> {
  // expected-error @+1 {{'graph.use_weight' op type 'tensor<5xf32>' must be the weight's 'tensor<4xf32>'}}
  %0 = graph.use_weight @w : tensor<5xf32>
  return %0 : tensor<5xf32>
}

// -----

// graph.use_weight C1: the symbol
graph.variable @v : tensor<4xf32>
func.func @f() -> tensor<4xf32> {
  // expected-error @+1 {{'graph.use_weight' op @v is not a 'graph.weight'}}
  %0 = graph.use_weight @v : tensor<4xf32>
  return %0 : tensor<4xf32>
}

// -----

// graph.variable C1
// expected-error @+1 {{'graph.variable' op type 'tensor<?xf32, #graph.dims<[s0]>>' must be a static tensor}}
graph.variable @v : tensor<?xf32, #graph.dims<[s0]>>

// -----

// graph.constant C1: 257 distinct-enough numbers of 4 bytes
func.func @f() -> tensor<257xi32> {
  // expected-error @+1 {{'graph.constant' op holds 1028 bytes but at most 1024 are allowed; use 'graph.weight'}}
  %0 = graph.constant dense<"0x0100000002000000030000000400000005000000060000000700000008000000090000000A0000000B0000000C0000000D0000000E0000000F000000100000001100000012000000130000001400000015000000160000001700000018000000190000001A0000001B0000001C0000001D0000001E0000001F000000200000002100000022000000230000002400000025000000260000002700000028000000290000002A0000002B0000002C0000002D0000002E0000002F000000300000003100000032000000330000003400000035000000360000003700000038000000390000003A0000003B0000003C0000003D0000003E0000003F000000400000004100000042000000430000004400000045000000460000004700000048000000490000004A0000004B0000004C0000004D0000004E0000004F000000500000005100000052000000530000005400000055000000560000005700000058000000590000005A0000005B0000005C0000005D0000005E0000005F000000600000006100000062000000630000006400000065000000660000006700000068000000690000006A0000006B0000006C0000006D0000006E0000006F000000700000007100000072000000730000007400000075000000760000007700000078000000790000007A0000007B0000007C0000007D0000007E0000007F000000800000008100000082000000830000008400000085000000860000008700000088000000890000008A0000008B0000008C0000008D0000008E0000008F000000900000009100000092000000930000009400000095000000960000009700000098000000990000009A0000009B0000009C0000009D0000009E0000009F000000A0000000A1000000A2000000A3000000A4000000A5000000A6000000A7000000A8000000A9000000AA000000AB000000AC000000AD000000AE000000AF000000B0000000B1000000B2000000B3000000B4000000B5000000B6000000B7000000B8000000B9000000BA000000BB000000BC000000BD000000BE000000BF000000C0000000C1000000C2000000C3000000C4000000C5000000C6000000C7000000C8000000C9000000CA000000CB000000CC000000CD000000CE000000CF000000D0000000D1000000D2000000D3000000D4000000D5000000D6000000D7000000D8000000D9000000DA000000DB000000DC000000DD000000DE000000DF000000E0000000E1000000E2000000E3000000E4000000E5000000E6000000E7000000E8000000E9000000EA000000EB000000EC000000ED000000EE000000EF000000F0000000F1000000F2000000F3000000F4000000F5000000F6000000F7000000F8000000F9000000FA000000FB000000FC000000FD000000FE000000FF0000000001000001010000"> : tensor<257xi32>
  return %0 : tensor<257xi32>
}

// -----

// graph.size C1
func.func @f() -> tensor<3xi64> {
  // expected-error @+1 {{'graph.size' op of 2 expressions must give an i64 tensor of 2 elements}}
  %0 = graph.size <[1, 2]> : tensor<3xi64>
  return %0 : tensor<3xi64>
}

// -----

// #graph.dims: one expression per dimension
// expected-error @+1 {{tensor has rank 2 but '#graph.dims' has 1 sizes}}
func.func @f(%x: tensor<?x3xf32, #graph.dims<[s0]>>) { return }

// -----

// expected-error @+1 {{dimension 0 of the tensor and of '#graph.dims' disagree}}
func.func @f(%x: tensor<4x?xf32, #graph.dims<[5, s0]>>) { return }

// -----

// #graph.symbol
// expected-error @+1 {{symbol 'n' has range [4, 2] but needs 0 <= min <= max}}
func.func @f() attributes {graph.symbols = [#graph.symbol<"n", 4, 2>]} { return }

// -----

// A size may use declared symbols only.
// expected-error @+1 {{size uses symbol s1 but 'graph.symbols' declares 1}}
func.func @f(%x: tensor<?xf32, #graph.dims<[s1]>>) attributes {graph.symbols = [#graph.symbol<"n", 0, 2>]} { return }

// -----

// expected-error @+1 {{'graph.state' of argument 0 must name a 'graph.variable'}}
func.func @f(%x: tensor<4xf32> {graph.state = @nothing}) { return }

// -----

// A dynamic size needs an expression.
func.func @f(%x: tensor<?xf32>) -> tensor<?xf32> {
  // expected-error @+1 {{'graph.reverse' op type 'tensor<?xf32>' has a dynamic size without an expression; write #graph.dims}}
  %0 = graph.reverse %x dims [0] : tensor<?xf32>
  return %0 : tensor<?xf32>
}
