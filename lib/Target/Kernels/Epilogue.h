//===- Epilogue.h - what products share: addresses and epilogues ----------===//
#ifndef TENON_LIB_TARGET_KERNELS_EPILOGUE_H
#define TENON_LIB_TARGET_KERNELS_EPILOGUE_H

#include "Emitter.h"

namespace tenon::kernels {

/// The kernel argument behind a chain of ops that only move elements; null when something is computed.
mlir::BlockArgument leafOf(mlir::Value value);

/// Offset of an element in its leaf's buffer, as offset + stride * k.
struct StridedAddress {
  mlir::AffineExpr offset, stride;
};
/// nullopt when the address is not linear in the loop dimension `k`.
std::optional<StridedAddress> resolveStrided(Evaluator &ev, mlir::Value value, Point point, mlir::AffineExpr k);

/// A vector of the root's result: where it is, its value, and which of it is stored.
struct EpilogueElement {
  Point point;           ///< in the root's result
  mlir::Value value;
  mlir::Value mask;      ///< lanes; null: all
  mlir::Value condition; ///< scalar; null: always
};

/// Computes the kernel's results from the root's elements and stores them. Everything is computed before anything is
/// stored, so that results may share buffers with what the epilogue reads at the same place.
mlir::LogicalResult emitEpilogue(Evaluator &ev, mlir::Value root, llvm::ArrayRef<EpilogueElement> elements);

/// Whether the lanes of a root's element at `point` end up as neighbours in all results.
bool storesNeighbours(Evaluator &ev, mlir::Value root, const Point &point);

} // namespace tenon::kernels
#endif
