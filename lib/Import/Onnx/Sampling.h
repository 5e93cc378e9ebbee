// What converters that read between the elements of a tensor share.
#ifndef TENON_IMPORT_ONNX_SAMPLING_H
#define TENON_IMPORT_ONNX_SAMPLING_H

#include "../Common/Spatial.h"
#include "Op.h"

namespace tenon::onnx_import {

/// A scalar input as an operand: a number when it is known, else the tensor with rank 0.
Operand scalarInput(Op &op, unsigned i);

/// Claims that a number of run time (any integer tensor of one element) has the value `size`: what a model declares about a
/// result is checked before it is relied on.
void claimSize(Op &op, Tensor value, mlir::AffineExpr size);

/// The same for each number of a shape that is an input, aligned with `dims` at the right. `read` tells which size a number
/// stands for.
void claimShape(Op &op, Tensor shape, llvm::ArrayRef<mlir::AffineExpr> dims,
                llvm::function_ref<mlir::Value(Scalars &, mlir::Value number, size_t dim)> read = nullptr);

} // namespace tenon::onnx_import
#endif
