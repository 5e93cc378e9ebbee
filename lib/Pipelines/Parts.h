//===- Parts.h - code for the kernels of a module, side by side -----------===//
#ifndef TENON_LIB_PIPELINES_PARTS_H
#define TENON_LIB_PIPELINES_PARTS_H

#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/Error.h"

namespace llvm {
class Module;
}

namespace tenon {

/// Runs `work` for each part on as many threads as there may be (0: processors); long ones first, so that no processor is
/// left with one at the end.
void forEachPart(unsigned threads, llvm::ArrayRef<size_t> sizes, llvm::function_ref<void(size_t)> work);

/// Every function of `loops`, which is in LLVM's dialect, becomes an LLVM module of its own, with the globals whose names
/// begin with its name and a dot: the same kernel gives the same bytes whatever else the model holds. `results` gets name
/// and what `emit` made of it, in the order of the functions. All errors are reported.
mlir::LogicalResult emitParts(mlir::ModuleOp loops, unsigned threads,
                              llvm::function_ref<llvm::Expected<std::string>(llvm::Module &)> emit,
                              std::vector<std::pair<std::string, std::string>> &results);

} // namespace tenon
#endif
