//===- AttentionRegions.h - making and simplifying regions of attention ---===//
#ifndef TENON_DIALECTS_GRAPH_TRANSFORMS_ATTENTIONREGIONS_H
#define TENON_DIALECTS_GRAPH_TRANSFORMS_ATTENTIONREGIONS_H

#include "dialects/Graph/IR/GraphDialect.h"
#include "mlir/IR/IRMapping.h"

namespace tenon::graph {

/// Puts ops that stand before an attention into its region. Values that they read and that do not come along are
/// captured. With a region already there, the new ops go behind those of it.
class RegionBuilder {
public:
  RegionBuilder(AttentionOp attention, mlir::OpBuilder &builder);

  /// The region's scores as they come in.
  mlir::Value scores() { return block->getArgument(0); }
  /// What the region yields so far.
  mlir::Value score() { return yieldedScore; }
  mlir::Value keep() { return yieldedKeep; }
  /// The value inside for a value outside.
  mlir::Value lookup(mlir::Value outside);
  void map(mlir::Value outside, mlir::Value inside) { mapping.map(outside, inside); }
  /// Copies `op` in.
  void place(mlir::Operation *op);
  mlir::Value reshape(mlir::Value value, llvm::ArrayRef<mlir::AffineExpr> dims);
  mlir::Value convert(mlir::Value value, mlir::Type element);
  /// A map over all scores.
  mlir::Value compute(mlir::Type element, mlir::ValueRange inputs, llvm::ArrayRef<mlir::AffineMap> maps,
                      llvm::function_ref<mlir::Value(mlir::OpBuilder &, mlir::Location, mlir::ValueRange)> body);
  /// Ends the region; once.
  void yield(llvm::ArrayRef<mlir::Value> values);

  /// Whether what makes `value` belongs into the region: it is cheap and made of positions and of small tensors.
  static bool isWorthPlacing(AttentionOp attention, mlir::Value value);

private:
  AttentionOp attention;
  mlir::OpBuilder inside;
  mlir::Block *block = nullptr;
  mlir::IRMapping mapping;
  mlir::Value yieldedScore, yieldedKeep;
};

/// Brings regions into the form that kernels like: one map for the scores and one for what is kept, constant factors in
/// the scale, masks that are computed from positions inside, other masks as the mask operand.
void populateAttentionRegionPatterns(mlir::RewritePatternSet &patterns);

} // namespace tenon::graph
#endif
