//===- Kernels.h - the generators, one for each kind of kernel ------------===//
// Each writes the body of one kernel with an Emitter and sets the kernel's `tiles`, `scratch` and `work`.
#ifndef TENON_LIB_TARGET_CPU_KERNELS_KERNELS_H
#define TENON_LIB_TARGET_CPU_KERNELS_KERNELS_H

#include "Emitter.h"

namespace tenon::cpu {

/// Only maps and movement: one loop nest over the results' shape.
mlir::LogicalResult emitPointwise(Emitter &e);
/// The same with lanes along another dimension than the result's innermost one; nullopt when that is no better.
std::optional<mlir::LogicalResult> emitTransposed(Emitter &e, int64_t workPerPoint);
/// Reductions over the same dimensions, with what feeds them and what uses them: softmax, norms, means.
mlir::LogicalResult emitRows(Emitter &e);
/// A contraction with its epilogue, register-tiled.
mlir::LogicalResult emitContract(Emitter &e, graph::ContractOp root);
/// Attention with its epilogue: one pass over the keys.
mlir::LogicalResult emitAttention(Emitter &e, graph::AttentionOp root);
/// Positions of extremes along a dimension, with their epilogue.
mlir::LogicalResult emitArgReduce(Emitter &e, graph::ArgReduceOp root);
/// Running combinations along a dimension, with their epilogue.
mlir::LogicalResult emitCumulate(Emitter &e, graph::CumulateOp root);
/// Stable order along a dimension.
mlir::LogicalResult emitSort(Emitter &e, graph::SortOp root);
/// Positions of true elements, and their number.
mlir::LogicalResult emitNonzero(Emitter &e, graph::NonzeroOp root);
/// Updates at positions that are data; the result may lie in the destination's buffer.
mlir::LogicalResult emitScatter(Emitter &e, graph::ScatterOp root);

/// A convolution with its epilogue; a depthwise one is handed on.
mlir::LogicalResult emitConv(Emitter &e, graph::ConvOp root);
/// A convolution with one filter for each channel, with its epilogue.
mlir::LogicalResult emitDepthwise(Emitter &e, graph::ConvOp root);
/// Pooling, with what feeds it and its epilogue.
mlir::LogicalResult emitWindow(Emitter &e, graph::ReduceWindowOp root);

} // namespace tenon::cpu
#endif
