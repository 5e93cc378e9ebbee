// Patterns that turn math functions into arithmetic, for kernels on the CPU. The passes are in Passes.h.
#ifndef TENON_TARGET_CPU_MATHFUNCTIONS_H
#define TENON_TARGET_CPU_MATHFUNCTIONS_H

namespace mlir {
class RewritePatternSet;
} // namespace mlir

namespace tenon::cpu {

struct ExpandMathOptions {
  /// The target multiplies and adds with one rounding; without it a product and a sum are emitted.
  bool hasFMA = false;
};

/// One pattern per op of the math dialect that LLVM would turn into a library call, and one for `arith.remf`. The ops a
/// pattern creates need no further expansion, so one walk over the IR is enough.
void populateExpandMathPatterns(mlir::RewritePatternSet &patterns, const ExpandMathOptions &options = {});

struct ConvertHalfTypesOptions {
  /// The target converts between f16 and f32.
  bool hasF16C = false;
  /// The target converts f32 to bf16.
  bool hasBF16 = false;
};

/// Computes bf16 and f16 arithmetic in f32, and converts by integer operations.
void populateConvertHalfTypesPatterns(mlir::RewritePatternSet &patterns, const ConvertHalfTypesOptions &options = {});

} // namespace tenon::cpu
#endif
