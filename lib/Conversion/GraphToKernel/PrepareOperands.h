//===- PrepareOperands.h - operands in an order that roots can read -------===//
#ifndef TENON_LIB_CONVERSION_GRAPHTOKERNEL_PREPAREOPERANDS_H
#define TENON_LIB_CONVERSION_GRAPHTOKERNEL_PREPAREOPERANDS_H

#include "dialects/Graph/Analysis/Access.h"

namespace tenon {
/// On an op that moves elements: it is computed into a buffer, not inlined into its readers.
inline constexpr llvm::StringLiteral kMaterialize = "materialize";

/// Marks or inserts movement where a root could not read its operand through it: a product reads A along k and B along
/// its columns in uniform steps, and B's columns lie side by side.
void prepareOperands(mlir::Block &block);
} // namespace tenon
#endif
