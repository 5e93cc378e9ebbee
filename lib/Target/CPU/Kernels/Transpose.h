//===- Transpose.h - squares of vectors, transposed in registers ----------===//
#ifndef TENON_LIB_TARGET_CPU_KERNELS_TRANSPOSE_H
#define TENON_LIB_TARGET_CPU_KERNELS_TRANSPOSE_H

#include "Emitter.h"

namespace tenon::cpu {

/// `rows` are n vectors of n lanes, n a power of two; result `i` holds lane `i` of each.
llvm::SmallVector<mlir::Value> transpose(Emitter &e, llvm::ArrayRef<mlir::Value> rows);

} // namespace tenon::cpu
#endif
