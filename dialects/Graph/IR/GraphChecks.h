//===- GraphChecks.h - what the verifiers of several families share -------===//
#ifndef TENON_DIALECTS_GRAPH_IR_GRAPHCHECKS_H
#define TENON_DIALECTS_GRAPH_IR_GRAPHCHECKS_H

#include "dialects/Graph/IR/GraphDialect.h"

namespace tenon::graph {

/// A `?` needs an expression, or nobody knows what size it has.
mlir::LogicalResult checkSizesAreKnown(mlir::Operation *op);
/// Result `value` has the sizes `want`.
mlir::LogicalResult checkDims(mlir::Operation *op, mlir::Value value, llvm::ArrayRef<mlir::AffineExpr> want);

} // namespace tenon::graph
#endif
