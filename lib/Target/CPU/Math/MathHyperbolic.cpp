// Hyperbolic functions and their inverses; the error function is in MathErf.cpp.
#include "Coefficients.h"
#include "MathEmitter.h"

using namespace mlir;

namespace tenon::cpu {
using namespace coefficients;

namespace fn {

Float tanh(Float x) {
  if (width(x) == 32) {
    // One rational function, no exponential: 9 multiply-adds and a division. Comparisons that are false for NaN keep it.
    Float clamped = select(x < -9.02, -9.02, x);
    clamped = select(clamped > 9.02, 9.02, clamped);
    Float square = clamped * clamped;
    Float y = (clamped * polynomial(kTanhTopF32, square)) / polynomial(kTanhBottomF32, square);
    y = select(y < -1.0, -1.0, y);
    return select(y > 1.0, 1.0, y);
  }
  // tanh(x) = expm1(2x) / (expm1(2x) + 2)
  Float size = abs(x);
  Float e = expm1(select(size > 20.0, 40.0, size + size));
  return copySign(e / (e + 2.0), x);
}

Float sinh(Float x) {
  // With q = expm1(|x|)/4: sinh(|x|) = 2q + 2q/(4q+1).
  Float size = abs(x);
  Float q = expm1Scaled(size, 2);
  Float half = q + q;
  Float y = half + half / (half + half + 1.0);
  y = select(half < (width(x) == 32 ? 0x1p126 : 0x1p1022), y, half);
  return copySign(select(isNan(x), x, y), x);
}

Float cosh(Float x) {
  // With q = exp(|x|)/4: cosh(x) = 2q + 1/(8q).
  Float q = expScaled(abs(x), 2);
  return q + q + 0.125 / q;
}

} // namespace fn
} // namespace tenon::cpu
