// Algorithms on batches of matrices, [batch, rows, columns] of float64, as loops of the graph dialect: any size, symbolic
// ones too. Each step works on whole matrices.
#ifndef TENON_IMPORT_TORCHEXPORT_MATRICES_H
#define TENON_IMPORT_TORCHEXPORT_MATRICES_H

#include "Converter.h"

namespace tenon::torch_export {

inline constexpr ScalarType kWork = ScalarType::Double; ///< elements of the matrices
inline constexpr ScalarType kLong = ScalarType::Long;   ///< positions

/// A loop of `count` steps: `body` gets the number of the step (rank 0, i64), what is carried and the captures, and gives
/// what is carried on. With `reverse` the last number comes first.
Tensors repeatSteps(Op &op, mlir::AffineExpr count, llvm::ArrayRef<Tensor> carry, llvm::ArrayRef<Tensor> captures,
                    bool reverse,
                    llvm::function_ref<Tensors(Tensor, llvm::ArrayRef<Tensor>, llvm::ArrayRef<Tensor>)> body);

/// P A = L U with the largest pivot of each column.
struct LuFactors {
  Tensor lu;     ///< both factors in one matrix
  Tensor order;  ///< [batch, rows]: which row of A is row i
  Tensor pivots; ///< [batch, min(rows, columns)], i64: row that was swapped with row k, counted from 0
  Tensor sign;   ///< [batch]: 1 or -1
};
LuFactors factorLu(Op &op, Tensor a);
/// The order that swapping row k with row `pivots[k]`, one after the other, makes of 0 .. rows - 1.
Tensor orderOfPivots(Op &op, Tensor pivots, mlir::AffineExpr rows);
/// Rows of each matrix of a batch, by [batch, n] positions.
Tensor takeRows(Op &op, Tensor a, Tensor positions);
/// X with T X = B for a triangular matrix T; only that triangle of T is read.
Tensor solveTriangular(Op &op, Tensor t, Tensor b, bool isUpper, bool isUnit);
/// The lower factor, and per matrix 0 or the number, from 1, of the first step whose pivot was not positive.
std::pair<Tensor, Tensor> factorCholesky(Op &op, Tensor a);
/// A = Q R with Q square and R upper triangular, by Householder reflections, with LAPACK's signs.
std::pair<Tensor, Tensor> factorQr(Op &op, Tensor a);
/// Eigenvalues of symmetric matrices in rising order, and eigenvectors as columns; the lower triangle is read.
std::pair<Tensor, Tensor> solveSymmetric(Op &op, Tensor a);
struct SvdFactors {
  Tensor u, values, vh;
};
/// A = U diag(values) Vh, values falling. U and Vh are square when `isFull`.
SvdFactors factorSvd(Op &op, Tensor a, bool isFull);

/// The unit matrix for each of a batch.
Tensor unitMatrices(Op &op, mlir::AffineExpr batch, mlir::AffineExpr n);
/// Elements on and below the diagonal, or on and above it; the others are 0.
Tensor triangleOf(Op &op, Tensor a, bool isLower, bool hasUnitDiagonal = false);
Tensor diagonalOf(Op &op, Tensor a);

} // namespace tenon::torch_export
#endif
