//===- GraphDialect.h - the graph dialect, its attributes and its ops -----===//
// What a model computes, on immutable tensors. See docs/dialects/graph.md.
#ifndef TENON_DIALECTS_GRAPH_IR_GRAPHDIALECT_H
#define TENON_DIALECTS_GRAPH_IR_GRAPHDIALECT_H

#include "tenon/Support/Pch.h"
#include "mlir/IR/TensorEncoding.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"

#include "dialects/Graph/IR/GraphDialect.h.inc"
#include "dialects/Graph/IR/GraphEnums.h.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/Graph/IR/GraphAttrs.h.inc"
#define GET_OP_CLASSES
#include "dialects/Graph/IR/GraphOps.h.inc"

#include "dialects/Graph/IR/Dims.h"

namespace tenon::graph {
/// On an argument or result of a function: its last dimension of 2 holds the parts of what the user knows as complex.
inline constexpr llvm::StringLiteral kComplexPair = "graph.complex";

/// Whether `op` has regions of graph ops with captures: graph.cond, graph.scan, graph.while.
bool isControlFlow(mlir::Operation *op);
/// The captures of such an op: the last arguments of each of its regions.
mlir::MutableOperandRange getCaptures(mlir::Operation *op);
/// Removes capture `index`, which no region reads any more.
void eraseCapture(mlir::Operation *op, unsigned index);

/// Calls `fn` on every symbol position that a size in `type` uses.
void forEachSymbol(mlir::Type type, llvm::function_ref<void(unsigned)> fn);
/// Calls `fn` on every symbol position that `op`, or an op inside it, needs the value of. Positions may repeat.
void forEachSymbol(mlir::Operation *op, llvm::function_ref<void(unsigned)> fn);

} // namespace tenon::graph

#endif
