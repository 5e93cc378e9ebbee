// Loops that converters build.
#ifndef TENON_IMPORT_ONNX_CONTROL_H
#define TENON_IMPORT_ONNX_CONTROL_H

#include "Op.h"

namespace tenon::onnx_import {

/// The body of a loop: from carried values and one slice of each tensor, the next carried values and slices of results.
/// It may use any value of outside.
using LoopBody = llvm::function_ref<std::optional<Tensors>(llvm::ArrayRef<Datum> carried, llvm::ArrayRef<Datum> slices)>;

/// A graph.scan over dimension 0 of `xs`, `length` steps: final carried values, then stacks along a new dimension 0.
/// With `isReverse` slices are taken, and stacked, from the last to the first. `graph` is what the body imports, if it does:
/// each turn has random numbers of its own. None when an error was reported.
std::optional<Tensors> buildScan(Op &op, llvm::ArrayRef<Tensor> carry, llvm::ArrayRef<Tensor> xs, mlir::AffineExpr length,
                                 LoopBody body, bool isReverse = false, const onnx::GraphProto *graph = nullptr);
/// The same, for bodies on tensors.
std::optional<Tensors> buildScan(Op &op, llvm::ArrayRef<Tensor> carry, llvm::ArrayRef<Tensor> xs,
                                 llvm::function_ref<Tensors(llvm::ArrayRef<Tensor> carried, llvm::ArrayRef<Tensor> slices)> body,
                                 bool isReverse = false);

} // namespace tenon::onnx_import
#endif
