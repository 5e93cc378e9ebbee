//===- LayoutChoice.h - how constants are stored for their kernels --------===//
// Kernel formation attaches these layouts to constant operands; the generators read them. Nothing here depends on the
// machine: all levels of x86 share one layout.
#ifndef TENON_TARGET_CPU_LAYOUTCHOICE_H
#define TENON_TARGET_CPU_LAYOUTCHOICE_H

#include "dialects/Graph/IR/GraphDialect.h"
#include "dialects/Kernel/IR/KernelDialect.h"

namespace tenon::cpu {

/// Columns of a panel: one cache line of f32.
inline constexpr int64_t kPanelWidth = 16;
/// Columns of a tile of a product.
inline constexpr int64_t kTileColumns = 128;

/// The roles of a contraction's iteration dimensions. `a` and `b` are operand numbers: A is read by scalars, B by
/// vectors along `n`.
struct ContractShape {
  unsigned a = 0, b = 1;
  llvm::SmallVector<unsigned> batch, m, n, k;
  llvm::SmallVector<mlir::AffineExpr> sizes;
  static ContractShape analyze(graph::ContractOp op);
};

/// One filter for each channel: lanes run along channels and nothing is summed over them.
bool isDepthwise(graph::ConvOp op);

/// Layout of a constant filter: panels of output channels, or [window…, C] for a depthwise convolution. Null when the
/// filter's sizes are not known.
kernel::LayoutAttr chooseFilterLayout(graph::ConvOp op);

/// Layout of a constant operand (0 or 1) of a contraction: panels of columns. Null when the operand is not the one with
/// the columns, or is read in an order that panels do not give; it is then stored plainly.
kernel::LayoutAttr chooseContractLayout(graph::ContractOp op, unsigned operand);

/// The layout in which the constant behind a kernel's argument is to be stored; null: as it is.
kernel::LayoutAttr chooseLayout(mlir::BlockArgument argument);

} // namespace tenon::cpu
#endif
