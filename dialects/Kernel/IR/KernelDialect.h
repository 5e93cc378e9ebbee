//===- KernelDialect.h - the kernel dialect -------------------------------===//
// The unit of work. See docs/dialects/kernel.md.
#ifndef TENON_DIALECTS_KERNEL_IR_KERNELDIALECT_H
#define TENON_DIALECTS_KERNEL_IR_KERNELDIALECT_H

#include "dialects/Graph/IR/GraphDialect.h"
#include "mlir/Interfaces/CallInterfaces.h"
#include "mlir/Interfaces/FunctionInterfaces.h"

#include "dialects/Kernel/IR/KernelDialect.h.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/Kernel/IR/KernelAttrs.h.inc"
#define GET_OP_CLASSES
#include "dialects/Kernel/IR/KernelOps.h.inc"

#endif
