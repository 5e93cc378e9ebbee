//===- Lifetimes.h - when the buffers of a plan live ----------------------===//
#ifndef TENON_DIALECTS_PLAN_TRANSFORMS_LIFETIMES_H
#define TENON_DIALECTS_PLAN_TRANSFORMS_LIFETIMES_H

#include "dialects/Plan/IR/PlanDialect.h"

namespace tenon::plan {

/// One buffer of the arena and the events, inclusive, between which its bytes matter. Events are numbered in program
/// order; a loop is the range of its own event and those of its body.
struct Lifetime {
  AllocOp alloc;
  int64_t first, last;
  bool overlaps(const Lifetime &other) const { return first <= other.last && other.first <= last; }
};

/// Lifetimes of all allocs of `func` in program order; allocs that nothing touches have first > last.
llvm::SmallVector<Lifetime> computeLifetimes(FuncOp func);

/// Appends the buffers that `buffer` is or lies in: inputs, outputs, states, weights and allocs.
void addRoots(mlir::Value buffer, llvm::SmallVectorImpl<mlir::Value> &roots);
/// Whether two roots are the same memory: two ops may name one, as the address of output 3 is the same each time.
bool isSameRoot(mlir::Value a, mlir::Value b);

/// Puts calls that read the same value and do not depend on each other into `plan.together`.
void groupCalls(FuncOp func);

/// Gives every alloc of `func` its place. Returns the arena's size when it is constant, else -1, and in `liveBytes`
/// the most bytes that live at once (at the sizes the placement was chosen for).
int64_t assignOffsets(FuncOp func, int64_t *liveBytes = nullptr);

/// Reports every violation of (V1) to (V4).
mlir::LogicalResult verifyMemory(FuncOp func);

} // namespace tenon::plan
#endif
