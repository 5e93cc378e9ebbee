//===- SplitMasks.h - masked memory accesses of one register ----------------===//
#ifndef TENON_LIB_BUNDLE_SPLITMASKS_H
#define TENON_LIB_BUNDLE_SPLITMASKS_H

#include "llvm/IR/Module.h"

namespace tenon {

/// Splits masked loads and stores of vectors wider than `registerBits` into accesses of one register each. Those whose mask
/// is false everywhere vanish. Must come last: passes over LLVM's IR would put masks together again.
///
/// Why: instruction selection of LLVM 22 splits such accesses itself, and when it sees only then that one part of the mask is
/// false everywhere (`and (splat c), <1, 1, 0, 0>`), that part becomes a load of all its elements.
void splitMaskedAccesses(llvm::Module &module, unsigned registerBits);

} // namespace tenon
#endif
