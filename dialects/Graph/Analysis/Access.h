//===- Access.h - how index expressions pass through layout ops -----------===//
// A point of a value is a list of index expressions over loop dimensions (AffineDimExpr) and symbols. Ops that only
// move elements turn a point of their result into a point of their input, so a chain of them costs index arithmetic and
// no memory. Used by kernel formation to decide what fuses and by the code generators to find addresses.
#ifndef TENON_DIALECTS_GRAPH_ANALYSIS_ACCESS_H
#define TENON_DIALECTS_GRAPH_ANALYSIS_ACCESS_H

#include "dialects/Graph/IR/GraphDialect.h"

namespace tenon::graph {

using Point = llvm::SmallVector<mlir::AffineExpr, 6>;

/// Simplifies index expressions, knowing that loop dimension `i` runs over `0 .. sizes[i] - 1` and symbols are not
/// negative. A null size means nothing is known of that dimension.
class IndexSimplifier {
public:
  explicit IndexSimplifier(llvm::ArrayRef<mlir::AffineExpr> sizes = {}) : sizes(sizes) {}
  mlir::AffineExpr simplify(mlir::AffineExpr expr) const;
  /// Whether `expr` is at least 0, and below `bound`, for every value of the loop dimensions.
  bool isBetween(mlir::AffineExpr expr, mlir::AffineExpr bound) const;
  void setSize(unsigned dim, mlir::AffineExpr size) {
    if (sizes.size() <= dim)
      sizes.resize(dim + 1);
    sizes[dim] = size;
  }

private:
  llvm::SmallVector<mlir::AffineExpr> sizes;
};

/// Point of a reshape's input (shape `from`) for a point of its result (shape `to`). Works group by group, so that
/// dimensions the reshape leaves alone keep their plain index.
Point reshapePoint(llvm::ArrayRef<mlir::AffineExpr> point, llvm::ArrayRef<mlir::AffineExpr> to,
                   llvm::ArrayRef<mlir::AffineExpr> from, const IndexSimplifier &simplifier);

/// Row-major offset of a point in a tensor of these sizes.
mlir::AffineExpr linearize(llvm::ArrayRef<mlir::AffineExpr> point, llvm::ArrayRef<mlir::AffineExpr> sizes,
                           mlir::MLIRContext *context);

/// What `value` is a reshape of: both have the same elements in the same row-major order, so that an element's address is
/// known from the shape of either.
mlir::Value skipReshapes(mlir::Value value);

/// The input and its point when `op` only moves elements one to one or repeats them (permute, reshape, broadcast,
/// slice, reverse, assert_dim); nullopt for other ops.
std::optional<std::pair<mlir::Value, Point>> pullThrough(mlir::Operation *op, llvm::ArrayRef<mlir::AffineExpr> point,
                                                         const IndexSimplifier &simplifier);

/// The furthest value behind the views before `value` that has each element of it at the same address.
mlir::Value skipIdleViews(mlir::Value value);

/// Point of `op`'s result for a point of its operand `operand`, when the op keeps every element of that operand exactly
/// once (permute, reshape, a map that reads it through a permutation); nullopt otherwise.
std::optional<Point> pushThrough(mlir::Operation *op, unsigned operand, llvm::ArrayRef<mlir::AffineExpr> point,
                                 const IndexSimplifier &simplifier);

/// Replaces the dimensions of `map` by `point`.
Point applyMap(mlir::AffineMap map, llvm::ArrayRef<mlir::AffineExpr> point);

/// Point of `result` where an element of `root` ends up, along ops that keep every element of it; nullopt if there is
/// no such way. Only ops for which `mayCross`, if given, holds are part of a way.
std::optional<Point> pushToResult(mlir::Value root, mlir::Value result, llvm::ArrayRef<mlir::AffineExpr> point,
                                  const IndexSimplifier &simplifier,
                                  llvm::function_ref<bool(mlir::Operation *)> mayCross = {});

/// Points `d0, d1, …` of a value's own index space.
Point identityPoint(unsigned rank, mlir::MLIRContext *context);

} // namespace tenon::graph
#endif
