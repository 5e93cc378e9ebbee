//===- Generator.h - random modules of the graph dialect ------------------===//
// A module is a list of steps. Each step has a random stream of its own, drawn from the seed and its number, so that
// leaving steps out (which is how a failure is made smaller) changes the others as little as possible.
#ifndef TENON_FUZZ_GENERATOR_H
#define TENON_FUZZ_GENERATOR_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include <cstdint>

namespace tenon::fuzz {

struct Recipe {
  uint64_t seed = 0;
  std::vector<unsigned> steps; ///< numbers of the steps to make, rising
  int64_t maxSize = 20;        ///< of one dimension
};

/// A module with one function `main`; some recipes have a symbolic size s0 in 0 .. 64. Every value that no other op
/// uses is a result.
mlir::OwningOpRef<mlir::ModuleOp> generate(mlir::MLIRContext *context, const Recipe &recipe);

} // namespace tenon::fuzz
#endif
