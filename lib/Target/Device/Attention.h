// What kernels for attention have in common: the head at hand, masks and score functions, the running softmax.
#ifndef TENON_LIB_TARGET_DEVICE_ATTENTION_H
#define TENON_LIB_TARGET_DEVICE_ATTENTION_H

#include "../Kernels/Ranges.h"
#include "Emitter.h"

namespace tenon::device {

class AttentionScores {
public:
  AttentionScores(Emitter &e, graph::AttentionOp root) : e(e), root(root), context(root.getContext()) {}

protected:
  /// Sizes and types; reports what is not possible.
  mlir::LogicalResult analyze();
  /// Sets the schedule for workgroups of so many rows, and finds the workgroup's: its head, where its rows begin, where rows and keys end.
  void placeRows(int64_t count);
  /// A score under the score function and all masks; null after an error was reported.
  mlir::Value masked(mlir::Value score, mlir::Value row, mlir::Value key);
  /// Makes ready to tell of blocks of keys whether one of the workgroup's rows keeps a key, in front of the loop over blocks. A mask of
  /// which that can be told is a region's.
  void prepareRanges();
  /// All blocks of so many keys before `end` of which a key may be kept.
  llvm::SmallVector<mlir::Value> forBlocks(int64_t keys, mlir::ValueRange init, Emitter::Body body);
  /// Whether the region's mask may keep one of the keys; the same in all threads. Null: it cannot be told.
  mlir::Value keepsAny(mlir::Value firstKey, mlir::Value lastKey);
  /// `body` where `condition` holds (null: always); elsewhere what is carried stays.
  llvm::SmallVector<mlir::Value> where(mlir::Value condition, mlir::ValueRange carried,
                                       llvm::function_ref<llvm::SmallVector<mlir::Value>()> body);
  /// What weights are relative to: without any key yet 0, since -inf minus -inf would be NaN.
  mlir::Value baseOf(mlir::Value most);
  /// By what a row's result is multiplied at the end.
  mlir::Value inverseOf(mlir::Value sum);
  mlir::Value larger(mlir::Value a, mlir::Value b);

  mlir::Value number(double value) { return e.constant(e.b.getFloatAttr(accumulator, value)); }
  /// 2 to the power of x, to 22 bits (f32, of NVIDIA's and AMD's devices).
  mlir::Value exp2(mlir::Value x);
  /// e to the power of x, as exactly as weights need it.
  mlir::Value weightOf(mlir::Value x);
  mlir::Value exp(mlir::Value x) { return mlir::math::ExpOp::create(e.b, e.loc, x); }
  mlir::Value sub(mlir::Value a, mlir::Value b) { return mlir::arith::SubFOp::create(e.b, e.loc, a, b); }
  mlir::Value mul(mlir::Value a, mlir::Value b) { return mlir::arith::MulFOp::create(e.b, e.loc, a, b); }
  mlir::Value addf(mlir::Value a, mlir::Value b) { return mlir::arith::AddFOp::create(e.b, e.loc, a, b); }
  mlir::AffineExpr bind(Evaluator &ev, mlir::Value value, mlir::AffineExpr size) {
    return graph::asConstant(size) == 1 ? getAffineConstantExpr(0, context) : ev.bind(value, size);
  }

  Emitter &e;
  graph::AttentionOp root;
  mlir::MLIRContext *context;
  graph::Dims querySizes, keySizes;
  mlir::AffineExpr width;
  mlir::Type accumulator;
  mlir::Value batch, head, keyHead, infinity;
  mlir::Value rowBegin, rowEnd, keyEnd;
  mlir::Value end; ///< of the keys that a causal mask leaves to the workgroup's rows

private:
  int64_t rowCount = 0; ///< of a workgroup
  std::optional<kernels::RangeAnalysis> ranges;
  graph::Point rangePoint;
};

/// Whether the device has a matrix unit for the operands, and heads and rows are of sizes that it takes.
bool hasMatrixAttention(const Emitter &e, graph::AttentionOp root);
mlir::LogicalResult emitMatrixAttention(Emitter &e, graph::AttentionOp root);

/// Whether lanes that share a key can combine what they have.
bool hasLaneAttention(const Emitter &e);
mlir::LogicalResult emitLaneAttention(Emitter &e, graph::AttentionOp root);
/// As by a matrix unit, where the unit is NVIDIA's, which leaves scores where the next product wants them.
bool hasWarpAttention(const Emitter &e, graph::AttentionOp root);
mlir::LogicalResult emitWarpAttention(Emitter &e, graph::AttentionOp root);

} // namespace tenon::device
#endif
