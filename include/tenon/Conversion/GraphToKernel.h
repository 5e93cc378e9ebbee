//===- GraphToKernel.h - kernel formation ---------------------------------===//
#ifndef TENON_CONVERSION_GRAPHTOKERNEL_H
#define TENON_CONVERSION_GRAPHTOKERNEL_H

#include "dialects/Kernel/IR/KernelDialect.h"

namespace tenon {
/// Groups the graph ops of every function into kernels: each becomes a `kernel.func` and a call of it. See
/// docs/kernels.md for the rules of what runs together.
std::unique_ptr<mlir::Pass> createConvertGraphToKernelPass();
void registerConvertGraphToKernelPass();
} // namespace tenon
#endif
