//===- Pack.h - constants into the layouts of their kernels ---------------===//
#ifndef TENON_BUNDLE_PACK_H
#define TENON_BUNDLE_PACK_H

#include "dialects/Kernel/IR/KernelDialect.h"
#include "dialects/Plan/IR/PlanDialect.h"
#include "tenon/Support/WeightData.h"
#include "llvm/Support/Error.h"

namespace tenon {

/// Writes a constant of `type` in `layout` (null: row-major) to `dest`, every byte of it. Uses all cores.
void packConstant(llvm::ArrayRef<uint8_t> source, mlir::RankedTensorType type, kernel::LayoutAttr layout,
                  llvm::MutableArrayRef<uint8_t> dest);

/// Row-major bytes of a small constant.
std::vector<uint8_t> constantBytes(mlir::ElementsAttr value);

/// Bytes of the constants segment that `module`'s `plan.constant`s describe.
int64_t constantsSegmentBytes(mlir::ModuleOp module);
/// Fills `segment`, which must be zeros, and has the size above.
llvm::Error packConstants(mlir::ModuleOp module, WeightStore &weights, llvm::MutableArrayRef<uint8_t> segment);

} // namespace tenon
#endif
