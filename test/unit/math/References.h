// What is tested: each function with its reference, its samples and its stated bounds.
#ifndef TENON_TEST_UNIT_MATH_REFERENCES_H
#define TENON_TEST_UNIT_MATH_REFERENCES_H
#include <optional>
#include <string>
#include <vector>

/// A function of one or two floats. `second` in the references is ignored by functions of one.
struct MathCase {
  std::string name;
  /// The op as text: `math.exp`.
  std::string op;
  int operands;
  /// Exact to well below an ulp of f32 (`inDouble`) and of f64 (`inLong`).
  double (*inDouble)(double, double);
  long double (*inLong)(long double, long double);
  /// Where models call it: half of the samples and all timing arguments come from here.
  double low, high;
  /// Largest error in ulp; NaN: not implemented for the type.
  double boundF32, boundF64;
};

const std::vector<MathCase> &mathCases();
#endif
