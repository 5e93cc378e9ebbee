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

#endif
