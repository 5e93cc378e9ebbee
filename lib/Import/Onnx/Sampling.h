// What converters that read between the elements of a tensor share.
#ifndef TENON_IMPORT_ONNX_SAMPLING_H
#define TENON_IMPORT_ONNX_SAMPLING_H

#include "Op.h"

namespace tenon::onnx_import {

/// Weights of the taps -1 … 2 of cubic convolution at a distance `t` behind tap 0.
llvm::SmallVector<mlir::Value> cubicWeights(Scalars &s, mlir::Value t, double a);

/// `x` at positions (a vector of i64, inside the dimension) along `dim`.
Tensor gatherAlong(Op &op, Tensor x, int64_t dim, Tensor positions);

/// `x` times `matrix` [new, old] along `dim`.
Tensor multiplyAlong(Op &op, Tensor x, int64_t dim, Tensor matrix);

/// A scalar input as an operand: a number when it is known, else the tensor with rank 0.
Operand scalarInput(Op &op, unsigned i);

/// Claims that a number of run time (any integer tensor of one element) has the value `size`: what a model declares about a
/// result is checked before it is relied on.
void claimSize(Op &op, Tensor value, mlir::AffineExpr size);

} // namespace tenon::onnx_import
#endif
