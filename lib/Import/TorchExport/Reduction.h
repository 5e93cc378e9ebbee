// What reductions share with norms and losses.
#ifndef TENON_IMPORT_TORCHEXPORT_REDUCTION_H
#define TENON_IMPORT_TORCHEXPORT_REDUCTION_H

#include "Converter.h"

namespace tenon::torch_export {

/// Puts sizes of 1 where dimensions were reduced, if asked to.
Tensor finishDims(Op &op, Tensor x, llvm::ArrayRef<int64_t> reduced, int64_t rank, bool keepsDims);
/// The dimensions of a tensor of that rank that are not reduced, in order.
llvm::SmallVector<int64_t> keptDims(int64_t rank, llvm::ArrayRef<int64_t> reduced);
/// Of a tensor of floats that needs no widening.
Tensor meanOver(Op &op, Tensor x, llvm::ArrayRef<int64_t> dims);
/// In two passes; the divisor is the count less `correction`.
std::pair<Tensor, Tensor> meanAndVariance(Op &op, Tensor x, llvm::ArrayRef<int64_t> dims, double correction);
/// How losses of elements become one: the values of torch's enumeration.
enum LossReduction { kNone = 0, kMean = 1, kSum = 2 };
Tensor reduceLoss(Op &op, Tensor loss, int64_t how);
Tensor normOver(Op &op, Tensor x, double order, llvm::ArrayRef<int64_t> dims);

} // namespace tenon::torch_export
#endif
