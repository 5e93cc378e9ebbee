#ifndef TENON_GRAPH_OPS_TD
#define TENON_GRAPH_OPS_TD

include "dialects/Graph/IR/GraphAttrs.td"
include "dialects/Graph/IR/GraphStructureOps.td"
include "dialects/Graph/IR/GraphElementwiseOps.td"
include "dialects/Graph/IR/GraphLayoutOps.td"
include "dialects/Graph/IR/GraphIndexingOps.td"
include "dialects/Graph/IR/GraphReductionOps.td"
include "dialects/Graph/IR/GraphContractOps.td"
include "dialects/Graph/IR/GraphControlOps.td"

#endif
