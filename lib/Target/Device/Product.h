// Products of two matrices whose elements are given by functions: what contractions and convolutions are on a device.
#ifndef TENON_LIB_TARGET_DEVICE_PRODUCT_H
#define TENON_LIB_TARGET_DEVICE_PRODUCT_H

#include "StridedMatrix.h"

namespace tenon::device {

/// `batches` products of [rows, depth] and [depth, columns]. A workgroup computes a tile of one product, with blocks of both
/// operands in shared memory; where there are few rows or columns, its threads share the depth.
struct Product {
  /// Rows of A or columns of B are lines: each has an element for every place of the depth.
  struct Operand {
    /// Neighbours from a place on, along the depth or across lines. The place is inside, and a multiple of their number there;
    /// one is a scalar. Null after an error was reported.
    std::function<mlir::Value(mlir::Value batch, mlir::Value line, mlir::Value k, int64_t lanes, bool alongDepth)> read;
    mlir::Type type; ///< of the elements
    /// Whether neighbours along the depth lie together; if not, neighbouring lines may.
    bool isAlongDepth;
    /// Runs of neighbours begin at multiples of their number inside the innermost part of the depth, or of the lines, which
    /// has so many (1: not known).
    int64_t depthPart = 1, linePart = 1;
    /// Where it lies in memory, if it does.
    std::optional<StridedMatrix> strided;

    /// Most neighbours that are read at once, in the direction they lie in: 16 bytes, or one.
    int64_t lanes(const Emitter &e) const;
  };
  mlir::AffineExpr batches, rows, columns, depth;
  mlir::Type accumulator;
  Operand a, b;
  bool hasNeighbouringBatches = false; ///< what lies together are batches, not lines or the depth
  /// Stores sums of type `accumulator`, of `lanes` neighbouring columns from a multiple of `lanes` on (1: scalars); the place is
  /// inside when `isInside` holds.
  struct Sum {
    mlir::Value batch, row, column, value, isInside;
  };
  std::function<mlir::LogicalResult(llvm::ArrayRef<Sum>, int64_t lanes)> store;
  /// So many columns may be stored at once: their number is a multiple of it, and they are neighbours in all results.
  int64_t storeLanes = 1;

  /// Threads of a workgroup.
  int64_t threads(const Emitter &e) const;
  mlir::LogicalResult emit(Emitter &e) const;

  /// Sums in shared memory, rows `pitch` apart (a multiple of 4), and where they are in the product.
  struct Strip {
    mlir::Value memory;
    int64_t pitch, rows, columns;
    mlir::Value batch, row, column;
    int64_t rowStep = 1; ///< from a row to the next, in the product
    int64_t parts = 1;   ///< that a sum is made of, one strip behind the other
  };
  /// All threads store a strip together, neighbours what is side by side.
  mlir::LogicalResult storeStrip(Emitter &e, const Strip &strip) const;

  /// Tiles of such a size that there are of a product; symbolic sizes count as large ones.
  int64_t countTiles(int64_t tileRows, int64_t tileColumns) const;

private:
  bool isFlat() const;
  int64_t flatThreads(const Emitter &e) const;
  mlir::LogicalResult emitFlat(Emitter &e) const;
  int64_t tiledThreads(const Emitter &e) const;
  mlir::LogicalResult emitTiled(Emitter &e) const;
  /// Whether both operands are of one type that the device has a matrix unit for.
  bool hasMatrixUnit(const Emitter &e) const;
  mlir::LogicalResult emitMatrix(Emitter &e) const;
  int64_t matrixThreads(const Emitter &e) const;
  /// Whether four warps multiply what lies in shared memory, and copies bring it there.
  bool hasWarpgroups(const Emitter &e) const;
  mlir::LogicalResult emitWarpgroups(Emitter &e) const;
  int64_t warpgroupThreads(const Emitter &e) const;
};

/// sum + a * b, in the type of the sum; scalars and vectors.
mlir::Value multiplyAdd(Emitter &e, mlir::Value a, mlir::Value b, mlir::Value sum);

} // namespace tenon::device
#endif
