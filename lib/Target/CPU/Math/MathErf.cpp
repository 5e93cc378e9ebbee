// The error function and its complement: a polynomial near zero, the scaled complement of Shepherd & Laframboise
// (Chebyshev approximation of (1+2x)exp(x^2)erfc x, Math. Comp. 1981) elsewhere; one polynomial for the hot f32 erf.
#include "Coefficients.h"
#include "MathEmitter.h"

using namespace mlir;

namespace tenon::cpu {
using namespace coefficients;

/// erfc for x >= 0.
static Float erfcPositive(Float x) {
  bool single = width(x) == 32;
  double top = single ? 11.0 : 28.0;
  Float clamped = select(x > top, top, x);
  Float t = (clamped - 4.0) / (clamped + 4.0);
  Float p = single ? polynomial(kErfcF32, t) : polynomial(kErfcF64, t);
  // exp of a square magnifies its rounding error, so the square is taken in two parts.
  Pair square = twoProduct(clamped, clamped);
  Float tail = -square.low;
  return fn::expScaled(-square.high, 0, &tail) * (p / mad(clamped, 2.0, literal(x, 1.0)));
}

namespace fn {

Float erf(Float x) {
  bool single = width(x) == 32;
  Float size = abs(x), square = x * x;
  Float near = mad(x, single ? polynomial(kErfF32, square) : polynomial(kErfF64, square), x);
  Float far;
  if (single) {
    // No exponential: the fourth root of erfc is a polynomial of low degree up to where erf is 1.
    Float clamped = select(size > 3.93, 3.93, size);
    Float root = polynomial(kErfTailF32, clamped - 2.425);
    root = root * root;
    far = mad(-root, root, 1.0);
  } else {
    far = 1.0 - erfcPositive(size);
  }
  return select(size < (single ? 0.925 : 1.0), near, copySign(far, x));
}

Float erfc(Float x) {
  Float y = erfcPositive(abs(x));
  return select(x < 0.0, 2.0 - y, y);
}

} // namespace fn
} // namespace tenon::cpu
