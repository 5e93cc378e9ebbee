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
} // namespace tenon::graph

#endif
