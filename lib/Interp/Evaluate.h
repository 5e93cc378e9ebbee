//===- Evaluate.h - what the op families share ----------------------------===//
// One function per family of ops; each gets the op's operands and gives its results, unrounded shapes checked by the
// caller. Not for use outside lib/Interp.
#ifndef TENON_LIB_INTERP_EVALUATE_H
#define TENON_LIB_INTERP_EVALUATE_H

#include "tenon/Interp/Interpreter.h"

namespace tenon::interp {

using Results = mlir::FailureOr<llvm::SmallVector<Tensor, 2>>;

/// One activation of a function: its symbols and its values.
struct Frame {
  Frame(Interpreter &interpreter) : interpreter(interpreter) {}

  Interpreter &interpreter;
  std::vector<std::optional<int64_t>> symbols;
  llvm::DenseMap<mlir::Value, Tensor> values;

  const Tensor &get(mlir::Value value) const { return values.find(value)->second; }
  /// Value of a size expression; an error at `op` when it is unknown, overflows or divides by zero.
  mlir::FailureOr<int64_t> evaluate(mlir::Operation *op, mlir::AffineExpr expr) const;
  mlir::FailureOr<Shape> evaluate(mlir::Operation *op, llvm::ArrayRef<mlir::AffineExpr> exprs) const;
  /// Shape that the op's result type says.
  mlir::FailureOr<Shape> shapeOf(mlir::Operation *op, mlir::Type type) const;
  /// Zeros of an element type; an error at `op` when they are too many or cannot be held.
  mlir::FailureOr<Tensor> make(mlir::Operation *op, mlir::Type elementType, llvm::ArrayRef<int64_t> shape) const;
  /// Zeros of the shape and element type that a result type says.
  mlir::FailureOr<Tensor> make(mlir::Operation *op, mlir::Type type) const;
};

Results evaluateMap(graph::MapOp op, Frame &frame);
Results evaluateLayout(mlir::Operation *op, Frame &frame);
Results evaluateIndexing(mlir::Operation *op, Frame &frame);
Results evaluateReduction(mlir::Operation *op, Frame &frame);
Results evaluateProduct(mlir::Operation *op, Frame &frame);
/// Runs the ops of a block whose arguments are bound; gives the terminator's operands.
Results evaluateBlock(mlir::Block &block, Frame &frame);

/// Calls fn(offset0, offset1, …) for every point of `shape` in row-major order; offset k moves by strides[k][d] along d.
template <size_t N, typename Fn>
void forEachPoint(llvm::ArrayRef<int64_t> shape, std::array<llvm::ArrayRef<int64_t>, N> strides,
                  std::array<int64_t, N> offsets, Fn fn) {
  Shape index(shape.size(), 0);
  for (int64_t size : shape)
    if (size == 0)
      return;
  while (true) {
    std::apply(fn, offsets);
    size_t d = shape.size();
    while (d > 0) {
      --d;
      if (++index[d] < shape[d]) {
        for (size_t k = 0; k < N; ++k)
          offsets[k] += strides[k][d];
        break;
      }
      for (size_t k = 0; k < N; ++k)
        offsets[k] -= strides[k][d] * (shape[d] - 1);
      index[d] = 0;
      if (d == 0)
        return;
    }
    if (shape.empty())
      return;
  }
}
/// The same with the point's index.
template <typename Fn> void forEachIndex(llvm::ArrayRef<int64_t> shape, Fn fn) {
  for (int64_t size : shape)
    if (size == 0)
      return;
  Shape index(shape.size(), 0);
  while (true) {
    fn(llvm::ArrayRef<int64_t>(index));
    size_t d = shape.size();
    while (d > 0 && ++index[d - 1] == shape[d - 1])
      index[--d] = 0;
    if (d == 0)
      return;
  }
}

/// Strides of a tensor read through a map of dimensions and zeros: one per dimension of the map.
Shape stridesThroughMap(mlir::AffineMap map, llvm::ArrayRef<int64_t> shape);

/// Max and min that give NaN when either is NaN, and order -0 below 0.
double maxOf(double a, double b);
double minOf(double a, double b);

} // namespace tenon::interp
#endif
