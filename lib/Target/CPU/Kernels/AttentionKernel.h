//===- AttentionKernel.h - the generator of attention, in parts -----------===//
// Its methods are in Attention.cpp (blocks and tiles), AttentionOperands.cpp, AttentionScores.cpp (many rows),
// AttentionFewRows.cpp, AttentionOutput.cpp.
#ifndef TENON_LIB_TARGET_CPU_KERNELS_ATTENTIONKERNEL_H
#define TENON_LIB_TARGET_CPU_KERNELS_ATTENTIONKERNEL_H

#include "Kernels.h"
#include "MicroKernel.h"

namespace tenon::cpu {

/// Rows of a register tile of P times V, and keys of one of K times Qᵀ.
constexpr int64_t kTileRows = 6;
/// Keys of a register tile that has a single vector of rows.
constexpr int64_t kTileKeys = 12;

/// Rows of a tile that have keys along the lanes: where their number is known, and where it shows at run time.
constexpr int64_t kFewRows = 4, kFewRowsAtRunTime = 2;

/// A matrix in memory: element (i, j) is at offset + i * major + j * minor of its leaf's buffer.
struct Plane {
  mlir::Value pointer;
  mlir::Value major, minor;
  bool isContiguous = false; ///< minor is 1
};

/// Follows `value` to its buffer; null when something on the way is computed.
mlir::AffineExpr addressOf(Evaluator &ev, mlir::Value value, Point point);

class AttentionKernel {
public:
  AttentionKernel(Emitter &e, graph::AttentionOp root) : e(e), root(root), context(root.getContext()), vl(e.vl) {}
  mlir::LogicalResult emit();

private:
  using Value = mlir::Value;
  using AffineExpr = mlir::AffineExpr;

  // Attention.cpp
  void chooseBlocks();
  void layOutScratch();
  void emitTile(Value index);
  void emitTileRows();
  void emitBlock(Value isWhole);
  void emitManyWeights(Value isWhole);
  void emitInverses();
  void forKeyBlocks(llvm::function_ref<void(Value isWhole)> body);

  // AttentionOperands.cpp
  /// Binds a row of the tile's heads, alone or with its successors along lanes; returns the row's loop dimension.
  AffineExpr bindRows(Evaluator &ev, Value row, bool isLane, AffineExpr &head, AffineExpr &query);
  AffineExpr bindOne(Evaluator &ev, Value value, AffineExpr size, int64_t align = 1, bool isLane = false);
  std::optional<Plane> resolve(Value value, bool isQuery);
  void packQuery();
  Value packBlock(Value value, Value pointer, AffineExpr columns, Value stride);
  void packMask();

  // AttentionScores.cpp
  void emitScores(Value begin, Value end, int64_t vectors, int64_t keysPerTile, bool isMasked);
  void emitSoftmax(Value lane, int64_t vectors);
  Value maskAt(Evaluator &ev, AffineExpr head, AffineExpr query, AffineExpr keyIndex, Value key, Value lane);
  Value maskScore(Evaluator &ev, Value score, const Point &point, Value key, Value lane, bool isMasked);

  // AttentionFewRows.cpp
  void emitFewWeights(Value isWhole);
  void emitFewScores(Value row, int64_t rows, bool isMasked);
  void emitFewSoftmax(Value row);
  llvm::SmallVector<Value> transposeKeys(llvm::ArrayRef<Value> keyRows, Value d, Value mask);
  Value maskKeys(Evaluator &ev, Value score, const Point &point, bool isMasked);
  /// Scores of a row at the block's first key; from key to key it is one element, or with many rows a row block.
  Value scoresOfRow(Value row);

  // AttentionOutput.cpp
  void emitOutput();
  void emitOutputTile(Value row, int64_t rows, Value rowLimit, Value column, int64_t vectors, bool isMasked);
  void emitFinalRows();
  void forColumns(int64_t vectors, llvm::function_ref<void(Value column, int64_t vectors, bool isMasked)> body);
  llvm::SmallVector<Value> columnMasks(Value column, int64_t vectors, bool isMasked);

  mlir::Type wide() { return e.vectorOf(accumulator, vl); }
  Value at(Value pointer, Value index) { return e.offsetPointer(pointer, accumulator, index); }
  Value splatConstant(double value) { return e.splat(e.constant(e.b.getFloatAttr(accumulator, value)), vl); }
  Value infinity() { return e.splat(e.constant(e.identity(graph::ReduceKind::Max, accumulator)), vl); }
  Value roundUp(Value value, int64_t step) {
    return e.mul(e.divFloor(e.add(value, e.i64(step - 1)), e.i64(step)), e.i64(step));
  }
  /// Whether something decides which keys a row keeps, so that blocks may be skipped.
  bool isSparse() { return root.getYieldedKeep() || (root.getCausal() && !rowsAreHeads); }

  Emitter &e;
  graph::AttentionOp root;
  mlir::MLIRContext *context;
  int64_t vl;
  AffineExpr batches, heads, groups, queries, keys, depth, width; ///< B, H, G, S, T, D, E
  int64_t headsPerGroup = 1;
  bool rowsAreHeads = false; ///< one query position: the heads that share K and V are the rows
  AffineExpr rowsTotal;      ///< rows that share a key head and, unless they are heads, a query head
  int64_t vectors = 2;       ///< of a register tile
  int64_t rowBlock = 0, keyBlock = 0;
  bool isSingleBlock = false;
  bool packsMask = false;
  bool canBeFew = false; ///< K can be read, and the head's depth is known, as few rows need it
  bool isFew = false;    ///< what is being emitted
  mlir::Type accumulator;
  // Scratch.
  Value queryBuffer, scores, outputs, maxima, blockMaxima, sums, factors, maskBuffer, keyBuffer, valueBuffer,
      widthPadded;
  // The tile being emitted.
  Value batch, head, group, rowBegin, rowCount, rowsPadded, keyBegin, keyCount;
  std::optional<Plane> queryPlane, keyPlane, valuePlane;
  mlir::LogicalResult status = mlir::success();
};

} // namespace tenon::cpu
#endif
