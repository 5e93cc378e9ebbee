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

/// An operator's way between tensors of any number of leading dimensions and [batch, rows, columns].
class Batches {
public:
  Batches(Op &op, llvm::ArrayRef<mlir::AffineExpr> leading)
      : op(op), leading(leading.begin(), leading.end()), batch(graph::product(this->leading, op.context())) {}

  Op &op;
  graph::Dims leading;
  mlir::AffineExpr batch;

  /// The last `kept` dimensions stay; those before are broadcast to the batch.
  Tensor in(Tensor x, int64_t kept, ScalarType type) const {
    if (!x)
      return {};
    graph::Dims dims = leading, flat{batch}, own = x.dims();
    llvm::ArrayRef<mlir::AffineExpr> last = llvm::ArrayRef(own).take_back(kept);
    dims.append(last.begin(), last.end());
    flat.append(last.begin(), last.end());
    return op.reshape(op.broadcast(op.convert(x, type), dims), flat);
  }
  Tensor matrix(Tensor x) const { return in(x, 2, kWork); }
  Tensor out(Tensor x, ScalarType type) const {
    if (!x)
      return {};
    graph::Dims dims = leading, own = x.dims();
    dims.append(own.begin() + 1, own.end());
    return op.reshape(op.convert(x, type), dims);
  }
};

Batches batchesOf(Op &op, Tensor a, int64_t kept = 2);
/// A real matrix or a batch of them; null, and reported, for anything else.
Tensor matrixArgument(Op &op, llvm::StringRef name);
/// The last two dimensions exchanged.
Tensor transposed(Op &op, Tensor x);
Tensor inverseOf(Op &op, Tensor a);
/// Column k of each matrix, row k, element k of each vector; k is of rank 0.
Tensor columnOf(Op &op, Tensor a, Tensor k);
Tensor rowOf(Op &op, Tensor a, Tensor k);
Tensor entryOf(Op &op, Tensor v, Tensor k);

} // namespace tenon::torch_export
#endif
