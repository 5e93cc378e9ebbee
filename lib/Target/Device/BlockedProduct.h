// Tiles of a product whose operands go through shared memory, a block of the depth at a time.
#ifndef TENON_LIB_TARGET_DEVICE_BLOCKEDPRODUCT_H
#define TENON_LIB_TARGET_DEVICE_BLOCKEDPRODUCT_H

#include "Product.h"

namespace tenon::device {

/// What brings blocks of both operands there. How elements lie in a block, and what is done with them, is said by who derives
/// from it. There is room for several blocks, its stages.
class BlockedProduct {
public:
  virtual ~BlockedProduct() = default;

protected:
  struct Side {
    const Product::Operand *operand;
    mlir::Value begin, end; ///< lines of the tile, and of the matrix
    int64_t lines;          ///< rows of A or columns of B of a tile
    int64_t lanes;          ///< neighbours that are brought at once
    bool alongDepth;        ///< they, and what neighbouring threads bring
    mlir::Value shared;
  };
  BlockedProduct(Emitter &e, const Product &p, int64_t rows, int64_t columns, int64_t block)
      : e(e), p(p), rows(rows), columns(columns), block(block) {}

  /// Sets the schedule, and finds the workgroup's tile.
  void placeTile();
  /// The share of a block that a thread brings: calls `body` for each run of neighbours.
  void forOwn(const Side &side, llvm::function_ref<void(int64_t i, mlir::Value line, mlir::Value k)> body);
  /// What is at depth `begin` + k; zeros beyond the end.
  mlir::Value readAt(const Side &side, mlir::Value line, mlir::Value k, mlir::Value begin);
  mlir::Value stageOf(const Side &side, mlir::Value stage) { return e.mul(stage, e.i64(stageSize(side))); }
  /// Through two stages: a block is read to registers while the one before is multiplied.
  llvm::SmallVector<mlir::Value> runThroughRegisters(llvm::SmallVector<mlir::Value> sums);

  /// Elements of a stage.
  virtual int64_t stageSize(const Side &side) const = 0;
  /// Makes room for stages.
  virtual void share(int64_t stages) = 0;
  /// Writes neighbours from (line, k) on to the stage that begins at `base`.
  virtual void put(const Side &side, mlir::Value base, mlir::Value line, mlir::Value k, mlir::Value neighbours) = 0;
  virtual llvm::SmallVector<mlir::Value> multiplyBlock(mlir::Value stage, mlir::ValueRange sums) = 0;

  Emitter &e;
  const Product &p;
  int64_t rows, columns, block; ///< of a tile, and the depth of a block
  Side a, b;
  mlir::Value batch, depthEnd;
  bool failed = false;

private:
  llvm::SmallVector<mlir::Value> fetch(const Side &side, mlir::Value begin);
  void putAll(const Side &side, mlir::Value stage, llvm::ArrayRef<mlir::Value> values);
};

} // namespace tenon::device
#endif
