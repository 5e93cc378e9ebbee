// Passes of the CPU target that work on the scalar and vector ops inside a kernel.
#ifndef TENON_TARGET_CPU_PASSES_TD
#define TENON_TARGET_CPU_PASSES_TD
include "mlir/Pass/PassBase.td"

def ExpandMathPass : Pass<"tenon-cpu-expand-math"> {
  let summary = "Replaces math functions by arithmetic on scalars and vectors.";
  let description = [{
    Why: LLVM turns what is left into calls of a math library, one per lane, which the image neither has nor wants.

    Requires: loops as `scf` (large arguments of sin, cos and tan, fmod and ipowi add `scf.if` and `scf.while`); fixed-size vectors.
    Guarantees: no `math` op on f16, bf16, f32 or f64 scalars or vectors is left but those that LLVM turns into instructions
    (absf, copysign, ceil, floor, trunc, roundeven, sqrt, fma), and no `arith.remf`. Error bounds: `docs/math.md`.

    ```mlir
    %1 = math.rsqrt %0 : vector<8xf32>
    // becomes
    %2 = math.sqrt %0 : vector<8xf32>
    %1 = arith.divf %one, %2 : vector<8xf32>
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::math::MathDialect", "::mlir::scf::SCFDialect",
                           "::mlir::vector::VectorDialect"];
  let options = [Option<"hasFMA", "has-fma", "bool", "false", "The target multiplies and adds with one rounding.">];
}

def ConvertHalfTypesPass : Pass<"tenon-cpu-convert-half-types"> {
  let summary = "Replaces bf16 and f16 arithmetic and conversions by f32 arithmetic and integer vector code.";
  let description = [{
    Why: LLVM turns conversions that the target has no instruction for into calls such as `__truncsfbf2`, one per lane.

    Requires: math functions expanded.
    Guarantees: no `arith` or `math` op computes on bf16 or f16 but `arith.select`, `arith.bitcast` and constants; conversions between
    bf16 and f32 are integer code; those between f16 and f32 are too unless the target has F16C. Rounding is to nearest even, NaN stays NaN.

    ```mlir
    %1 = arith.extf %0 : vector<8xbf16> to vector<8xf32>
    // becomes
    %2 = arith.bitcast %0 : vector<8xbf16> to vector<8xi16>
    %3 = arith.extui %2 : vector<8xi16> to vector<8xi32>
    %4 = arith.shli %3, %sixteen : vector<8xi32>
    %1 = arith.bitcast %4 : vector<8xi32> to vector<8xf32>
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::math::MathDialect"];
  let options = [Option<"hasF16C", "has-f16c", "bool", "false", "The target converts between f16 and f32.">,
                 Option<"hasBF16", "has-bf16", "bool", "false", "The target converts f32 to bf16.">];
}
#endif
