// Discrete Fourier transforms of tensors in parts, for the operators that are made of them.
#ifndef TENON_IMPORT_TORCHEXPORT_FOURIER_H
#define TENON_IMPORT_TORCHEXPORT_FOURIER_H

#include "Converter.h"

namespace tenon::torch_export {

/// Real and imaginary parts; a null imaginary part is zero.
struct Complex {
  Tensor re, im;
};
Complex splitComplex(Op &op, Tensor x);
Tensor joinComplex(Op &op, Complex x, ScalarType type);

/// Of real or complex numbers to complex ones, over several dimensions. `normalization` 0: as it is, 1: divided by the
/// root of the number of elements, 2: by that number. Of the last of `dims` one half is kept when `isOneSided`.
Complex transformComplex(Op &op, Tensor x, llvm::ArrayRef<int64_t> dims, int64_t normalization, bool isForward,
                         bool isOneSided);
/// Of one half of a spectrum whose other half is its conjugate, to `n` real numbers along the last of `dims`.
Tensor transformToReal(Op &op, Tensor x, llvm::ArrayRef<int64_t> dims, int64_t normalization, mlir::AffineExpr n,
                       bool isForward);

} // namespace tenon::torch_export
#endif
