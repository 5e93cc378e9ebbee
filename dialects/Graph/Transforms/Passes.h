//===- Passes.h - passes on the graph dialect -----------------------------===//
#ifndef TENON_DIALECTS_GRAPH_TRANSFORMS_PASSES_H
#define TENON_DIALECTS_GRAPH_TRANSFORMS_PASSES_H

#include "dialects/Graph/IR/GraphDialect.h"
#include "mlir/Dialect/Complex/IR/Complex.h"

namespace tenon::graph {
#define GEN_PASS_DECL
#include "dialects/Graph/Transforms/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "dialects/Graph/Transforms/Passes.h.inc"
} // namespace tenon::graph
#endif
