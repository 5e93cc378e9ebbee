//===- PlanToRt.h - buffers and order -> calls -> LLVM --------------------===//
#ifndef TENON_CONVERSION_PLANTORT_H
#define TENON_CONVERSION_PLANTORT_H

#include "tenon/Support/Pch.h"

namespace tenon {
#define GEN_PASS_DECL
#include "lib/Conversion/PlanToRt/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "lib/Conversion/PlanToRt/Passes.h.inc"

/// Name of a kernel's function in machine code.
inline std::string kernelSymbol(llvm::StringRef kernel) { return ("tn_kernel_" + kernel).str(); }

/// What the calls of a module whose buffers are a device's carry: the number of the device's kernel, or for a kernel that runs on the CPU the sizes
/// of its operands, `#graph.dims` in bytes.
inline constexpr llvm::StringLiteral kDeviceKernelAttr = "rt.device_kernel", kOperandBytesAttr = "rt.operand_bytes";
} // namespace tenon
#endif
