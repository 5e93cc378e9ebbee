//===- Ranges.h - what a region's values can be in a block -------===//
// Interval arithmetic on graph values over a box of points, as code that runs once per block: whether a mask keeps no
// key of a block, or all of them. Captured tensors are read: their smallest and largest element in the box counts.
#ifndef TENON_LIB_TARGET_KERNELS_RANGES_H
#define TENON_LIB_TARGET_KERNELS_RANGES_H

#include "Emitter.h"

namespace tenon::kernels {

/// Both ends inclusive. Integers: i64 values. Bools: `low` is "always true", `high` "may be true", both i1. Null ends:
/// nothing is known.
struct Interval {
  mlir::Value low, high;
  bool isKnown() const { return static_cast<bool>(low); }
  bool isPoint() const { return low && low == high; }
};

class RangeAnalysis {
public:
  explicit RangeAnalysis(Emitter &e) : e(e) {}

  /// The next loop dimension: where it runs in the block, and its exclusive bound.
  mlir::AffineExpr bind(Interval range, mlir::AffineExpr size);
  /// Another range for a dimension; what was found out for points that have it is forgotten.
  void rebind(mlir::AffineExpr dim, Interval range);
  /// A region's argument that stands for a value outside.
  void bindValue(mlir::Value argument, mlir::Value outside) { outer[argument] = outside; }
  /// Computes here what does not depend on `dim`, so that it is not computed again where that is bound anew.
  void prepare(mlir::Value value, Point point, mlir::AffineExpr dim);

  Interval of(mlir::Value value, Point point);

private:
  Interval ofIndex(mlir::AffineExpr expr);
  Interval ofMap(graph::MapOp op, mlir::OpResult result, const Point &point);
  Interval ofGather(graph::GatherOp op, const Point &point);
  Interval ofScalar(mlir::Operation *op, llvm::ArrayRef<Interval> operands);
  Interval ofMemory(mlir::Value pointer, mlir::RankedTensorType type, const Point &point);
  /// The point behind the gather, with a dimension for every position that is data; nullopt where one is not known.
  std::optional<Point> gatherPoint(graph::GatherOp op, const Point &point);
  /// Everything that the type can hold.
  Interval top(mlir::Type type);
  /// The range, or everything when it may have wrapped around.
  Interval inType(mlir::Type type, mlir::Value low, mlir::Value high);
  mlir::Value boolean(bool value);
  graph::IndexSimplifier simplifier() const { return graph::IndexSimplifier(sizes); }

  using Key = std::pair<const void *, std::vector<const void *>>;
  Emitter &e;
  llvm::SmallVector<Interval> dims;
  llvm::SmallVector<mlir::AffineExpr> sizes;
  llvm::DenseMap<mlir::Value, mlir::Value> outer;
  struct Known {
    Interval range;
    Point point;
  };
  std::map<Key, Known> known;
};

} // namespace tenon::kernels
#endif
