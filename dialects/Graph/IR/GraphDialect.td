#ifndef TENON_GRAPH_DIALECT_TD
#define TENON_GRAPH_DIALECT_TD

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/BuiltinAttributeInterfaces.td"
include "mlir/IR/TensorEncoding.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"

def Graph_Dialect : Dialect {
  let name = "graph";
  let cppNamespace = "::tenon::graph";
  let summary = "What a model computes, on immutable tensors.";
  let description = [{
    Functions are `func.func` with discardable attributes of this dialect:
    `graph.symbols` on the function declares its symbolic sizes with their ranges, in order: symbol `s0` is the first.
    `graph.name` on an argument or result is the name the user knows it by; `graph.state = @v` ties an argument and a
    result to a `graph.variable`.

    Every size is static or an expression over the symbols; it stands in the tensor's encoding, `#graph.dims`.
    Integers are signless: ops carry the sign. Broadcasts are explicit.
  }];
  let useDefaultAttributePrinterParser = 1;
  let hasOperationAttrVerify = 1;
  let hasRegionArgAttrVerify = 1;
  let hasConstantMaterializer = 1;
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::math::MathDialect", "::mlir::func::FuncDialect"];
}

class Graph_Op<string mnemonic, list<Trait> traits = []> : Op<Graph_Dialect, mnemonic, traits>;

// Ops that compute: pure, on ranked tensors.
class Graph_PureOp<string mnemonic, list<Trait> traits = []> : Graph_Op<mnemonic, !listconcat([Pure], traits)>;

#endif
