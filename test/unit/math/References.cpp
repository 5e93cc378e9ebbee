// The functions under test, with the C library's double and long double functions as references.
#include "References.h"
#include <cmath>

#define ONE(f)                                                                                                         \
  [](double x, double) -> double { return std::f(x); },                                                                \
      [](long double x, long double) -> long double { return std::f(x); }
#define TWO(f)                                                                                                         \
  [](double x, double y) -> double { return std::f(x, y); },                                                           \
      [](long double x, long double y) -> long double { return std::f(x, y); }
#define EXPR(e)                                                                                                        \
  [](double x, double) -> double { return e; }, [](long double x, long double) -> long double { return e; }

const std::vector<MathCase> &mathCases() {
  // Names, op, operands, references, usual interval, bounds in ulp for f32 and f64.
  static const std::vector<MathCase> cases = {
      {"exp", "math.exp", 1, ONE(exp), -20, 20, 1.0, 1.0},
      {"exp2", "math.exp2", 1, ONE(exp2), -20, 20, 1.2, 1.2},
      {"expm1", "math.expm1", 1, ONE(expm1), -3, 3, 2.5, 2.5},
      {"log", "math.log", 1, ONE(log), 0, 4, 1.5, 1.5},
      {"log2", "math.log2", 1, ONE(log2), 0, 4, 1.5, 1.5},
      {"log10", "math.log10", 1, ONE(log10), 0, 4, 1.5, 1.5},
      {"log1p", "math.log1p", 1, ONE(log1p), -1, 3, 2.0, 2.0},
      {"tanh", "math.tanh", 1, ONE(tanh), -10, 10, 3.0, 3.0},
      {"sinh", "math.sinh", 1, ONE(sinh), -10, 10, 3.0, 3.0},
      {"cosh", "math.cosh", 1, ONE(cosh), -10, 10, 2.0, 2.0},
      {"sin", "math.sin", 1, ONE(sin), -100, 100, 2.0, 2.0},
      {"cos", "math.cos", 1, ONE(cos), -100, 100, 2.0, 2.0},
      {"tan", "math.tan", 1, ONE(tan), -100, 100, 3.5, 3.0},
      {"erf", "math.erf", 1, ONE(erf), -4, 4, 3.5, 2.0},
      {"erfc", "math.erfc", 1, ONE(erfc), -4, 4, 5.5, 5.5},
      {"asinh", "math.asinh", 1, ONE(asinh), -10, 10, 3.0, 3.0},
      {"acosh", "math.acosh", 1, ONE(acosh), 1, 10, 3.0, 3.0},
      {"atanh", "math.atanh", 1, ONE(atanh), -1, 1, 3.0, 3.0},
      {"asin", "math.asin", 1, ONE(asin), -1, 1, 3.0, 3.0},
      {"acos", "math.acos", 1, ONE(acos), -1, 1, 3.0, 3.0},
      {"atan", "math.atan", 1, ONE(atan), -5, 5, 2.5, 3.5},
      {"atan2", "math.atan2", 2, TWO(atan2), -5, 5, 3.0, 3.0},
      {"pow", "math.powf", 2, TWO(pow), 0, 20, 1.0, 1.25},
      {"fmod", "arith.remf", 2, TWO(fmod), -100, 100, 0.0, 0.0},
      {"cbrt", "math.cbrt", 1, ONE(cbrt), -10, 10, 2.0, 2.0},
      {"round", "math.round", 1, ONE(round), -10, 10, 0.0, 0.0},
      {"rsqrt", "math.rsqrt", 1, EXPR(1 / std::sqrt(x)), 0, 100, 1.5, 1.5},
      {"sqrt", "math.sqrt", 1, ONE(sqrt), 0, 100, 0.51, 0.51},
  };
  return cases;
}
