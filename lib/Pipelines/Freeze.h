//===- Freeze.h - what depends on constants alone -------------------------===//
#ifndef TENON_LIB_PIPELINES_FREEZE_H
#define TENON_LIB_PIPELINES_FREEZE_H

#include "dialects/Graph/IR/GraphDialect.h"
#include "tenon/Support/WeightData.h"

namespace tenon {
/// Computes every op that depends on constants and weights alone, with the reference interpreter, and makes the results
/// that other ops read owned weights of `store` (small ones: constants). Results that would only repeat their inputs, and
/// very large ones, are left to run time.
mlir::LogicalResult freezeConstants(mlir::ModuleOp module, WeightStore &store);
} // namespace tenon
#endif
