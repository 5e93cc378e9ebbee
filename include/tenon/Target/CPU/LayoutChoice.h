//===- LayoutChoice.h - how the generators want constants stored ----------===//
#ifndef TENON_TARGET_CPU_LAYOUTCHOICE_H
#define TENON_TARGET_CPU_LAYOUTCHOICE_H

#include "dialects/Kernel/IR/KernelDialect.h"

namespace tenon::cpu {
/// Floats of a panel: one cache line, shared by all x86 levels.
inline constexpr int64_t kPanelWidth = 16;

/// The layout in which the constant behind this kernel argument is to be stored; null: as it is.
kernel::LayoutAttr chooseLayout(mlir::BlockArgument argument);
} // namespace tenon::cpu
#endif
